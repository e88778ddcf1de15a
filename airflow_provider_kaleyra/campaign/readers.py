"""Readers of a campaign's recipients: a list, a CSV file or a JSON Lines file as a stream of rows."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from airflow_provider_kaleyra.whatsapp.validation import BrokenRule, shown

_LONGEST_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the recipients.

    :param line: where it stands: its line in a file, its place in a list, from 1 on.
    :param columns: what it holds; none where it cannot be read.
    :param flaw: why it cannot be read.
    """

    line: int
    columns: Mapping[str, Any]
    flaw: str | None = None


def rows_of_list(recipients: Iterable[Any]) -> Iterator[Row]:
    """Read numbers, or dicts with a ``to``."""
    for line, recipient in enumerate(recipients, 1):
        yield _row(line, recipient)


def rows_of_json_lines(file: IO[str]) -> Iterator[Row]:
    """Read a file with one JSON value a line: a number as text, or an object with a ``to``."""
    line = 0
    while text := file.readline(_LONGEST_LINE):
        line += 1
        if len(text) == _LONGEST_LINE and not text.endswith("\n"):
            while (rest := file.readline(_LONGEST_LINE)) and not rest.endswith("\n"):
                pass
            yield Row(line, {}, f"the line is longer than {_LONGEST_LINE} characters")
            continue
        if not text.strip():
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            yield Row(line, {}, f"the line is not JSON: {_without_numbers(text.strip())}")
            continue
        yield _row(line, value)


def rows_of_csv(file: IO[str]) -> Iterator[Row]:
    """Read a file whose first line names the columns; the file is opened with ``newline=""``.

    :raises BrokenRule: there is no column ``to``.
    """
    # Line by line, because the files of Airflow 2's object storage cannot be iterated over.
    reader = csv.reader(iter(lambda: file.readline(_LONGEST_LINE), ""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise BrokenRule("recipients", "a CSV file", f"a first line that cannot be read ({error})") from None
    if "to" not in header:
        # Without a header, the first line holds a number that nobody needs to see.
        found = ", ".join(_without_numbers(name) for name in header) or "an empty file"
        raise BrokenRule("recipients", "a CSV file whose first line names a column 'to'", found)
    while True:
        line = reader.line_num + 1
        try:
            values = next(reader, None)
        except csv.Error as error:
            last = f" up to line {reader.line_num}" if reader.line_num > line else ""
            yield Row(line, {}, f"the row{last} is not CSV ({error})")
            continue
        if values is None:
            return
        if not any(values):
            continue
        if len(values) > len(header):
            yield Row(line, {}, f"the row has {len(values)} columns, the first line names {len(header)}")
            continue
        yield Row(line, dict(zip(header, values, strict=False)))


def _row(line: int, value: object) -> Row:
    if isinstance(value, str):
        return Row(line, {"to": value})
    if isinstance(value, Mapping):
        return Row(line, value)
    return Row(line, {}, f"it is neither a number as text nor an object, but of type {type(value).__name__}")


def _without_numbers(text: str) -> str:
    return shown(re.sub(r"\d(?=[\d\s().-]*\d{2})", "*", text), 60)

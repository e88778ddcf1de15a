"""A campaign's recipients as a stream: rows in, messages or what is wrong with a row out."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from string import Template
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_kaleyra.whatsapp.media import SOURCE_FIELDS
from airflow_provider_kaleyra.whatsapp.message import SHARED_FIELDS, VideoMessage
from airflow_provider_kaleyra.whatsapp.rules import BrokenRule, shown

if TYPE_CHECKING:
    from airflow_provider_kaleyra.whatsapp.request import Request

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


@dataclass(frozen=True, slots=True)
class Invalid:
    """A row that nothing is sent for: it breaks a rule."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Addressed:
    """A row's message, with the request that would send it."""

    line: int
    message: VideoMessage
    request: Request
    fingerprint: str

    @property
    def to(self) -> str:
        """The recipient."""
        return self.message.to


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


class Addressing:
    """Turns rows into messages.

    :param fields: the message's fields but its recipient; a row's own outweigh them.
    :param request_for: builds the request that sends a message.
    :param fingerprint_of: tells one message from another, where the request does not, because its media are uploaded
        anew now and then.
    :raises BrokenRule: the caption's placeholders cannot be read.
    """

    def __init__(
        self,
        fields: Mapping[str, str | None],
        request_for: Callable[[VideoMessage], Request],
        fingerprint_of: Callable[[VideoMessage], str] | None = None,
    ) -> None:
        self._fields = {name: value for name, value in fields.items() if value}
        self._request_for = request_for
        self._fingerprint_of = fingerprint_of
        self._caption = _placeholders(self._fields.pop("caption", None))

    def address(self, rows: Iterable[Row]) -> Iterator[Addressed | Invalid]:
        """Build each row's message."""
        for row in rows:
            yield self._addressed(row)

    def _addressed(self, row: Row) -> Addressed | Invalid:
        if row.flaw:
            return Invalid(row.line, row.flaw)
        try:
            to: Any = row.columns.get("to")  # the message checks it
            message = VideoMessage(to=to, **self._fields_for(row.columns))
            request = self._request_for(message)
            fingerprint = self._fingerprint_of(message) if self._fingerprint_of else request.fingerprint
        except BrokenRule as broken:
            return Invalid(row.line, str(broken))
        return Addressed(row.line, message, request, fingerprint)

    def _fields_for(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        own = {name: value for name in SHARED_FIELDS if _is_given(value := columns.get(name))}
        fields = self._fields
        if any(name in own for name in SOURCE_FIELDS):
            # The row's one source stands for both, or every row that names the other would have two.
            fields = {name: value for name, value in fields.items() if name not in SOURCE_FIELDS}
        if self._caption is not None and "caption" not in own:
            own["caption"] = self._filled(columns)
        return fields | own

    def _filled(self, columns: Mapping[str, Any]) -> str:
        """The operator's caption with the row's values; what those hold is never read as a placeholder."""
        assert self._caption is not None  # noqa: S101 - asked by the caller
        try:
            return self._caption.substitute({name: value for name, value in columns.items() if _is_given(value)})
        except KeyError as missing:
            raise BrokenRule("caption", "filled from the row", f"no value in column {missing}") from None
        except Exception as error:  # noqa: BLE001 - turning a value of any class into text may raise anything
            raise BrokenRule(
                "caption", "filled from the row", f"a value without a text ({type(error).__name__})"
            ) from None


def _row(line: int, value: object) -> Row:
    if isinstance(value, str):
        return Row(line, {"to": value})
    if isinstance(value, Mapping):
        return Row(line, value)
    return Row(line, {}, f"it is neither a number as text nor an object, but of type {type(value).__name__}")


def _is_given(value: object) -> bool:
    return value is not None and not (isinstance(value, str) and not str.__str__(value).strip())


def _placeholders(caption: str | None) -> Template | None:
    if caption is None:
        return None
    template = Template(caption)
    if not template.is_valid():
        raise BrokenRule(
            "caption", "text whose $ starts a column's name, such as $name; write $$ for a dollar sign", shown(caption)
        )
    return template


def _without_numbers(text: str) -> str:
    return shown(re.sub(r"\d(?=[\d\s().-]*\d{2})", "*", text), 60)

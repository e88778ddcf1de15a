"""Opens what an operator takes as ``recipients``, a list or a file at a path or URL, as a stream of rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import PurePath
from typing import IO, Any

from airflow_provider_kaleyra.campaign.readers import Row, rows_of_csv, rows_of_json_lines, rows_of_list
from airflow_provider_kaleyra.files.object_storage import (
    BLOCK_SIZE,
    display_path,
    file_info,
    storage_path,
    translated_errors,
)
from airflow_provider_kaleyra.whatsapp.validation import BrokenRule, shown, shown_value

_UNREAD = "The recipients cannot be read"
_FORMATS = {".csv": rows_of_csv, ".jsonl": rows_of_json_lines, ".ndjson": rows_of_json_lines}
_RULE = "a list of numbers or of dicts with a 'to', or the path or URL of a .csv, .jsonl or .ndjson file"


@contextmanager
def rows_of(recipients: Any) -> Iterator[Iterator[Row]]:
    """Open the recipients as a stream of rows.

    :raises BrokenRule: they are neither a list nor the path or URL of a file in a known format.
    :raises KaleyraUnusableFileError: there is no such file, or it may not be read.
    :raises KaleyraConfigError: this Airflow cannot open such a URL.
    :raises KaleyraFileError: reading it failed, and a retry can help; the iterator raises it, too.
    """
    if not isinstance(recipients, str | PurePath):
        try:
            rows = None if isinstance(recipients, Mapping | bytes) else iter(recipients)
        except Exception:  # noqa: BLE001 - an object of any class may raise anything
            rows = None
        if rows is None:
            raise BrokenRule("recipients", _RULE, shown_value(recipients))
        yield rows_of_list(rows)
        return
    path = (str.__str__(recipients) if isinstance(recipients, str) else str(recipients)).strip()
    reader = _FORMATS.get(PurePath(path).suffix.lower())
    if reader is None:
        raise BrokenRule("recipients", _RULE, _likely_cause(path))
    with _opened(path) as file:
        yield _with_file_errors(reader(file), path)


@contextmanager
def _opened(url: str) -> Iterator[IO[str]]:
    shown = display_path(url)
    with ExitStack() as stack:
        with translated_errors(shown, _UNREAD):
            path = storage_path(url, "file of the recipients", _UNREAD)
            file_info(path, shown, _UNREAD)
            # In a file with another encoding only some rows are invalid, so reading it must not fail.
            text = {"encoding": "utf-8-sig", "errors": "surrogateescape", "newline": ""}
            file = path.fs.open(path.path, "r", block_size=BLOCK_SIZE, **text)
            stack.enter_context(file)
        yield file


def _with_file_errors(rows: Iterator[Row], url: str) -> Iterator[Row]:
    with translated_errors(display_path(url), _UNREAD):
        yield from rows


def count_of(recipients: Any) -> int | None:
    """Return how many there are, or None if that is not known without reading a file."""
    return len(recipients) if isinstance(recipients, Collection) and not isinstance(recipients, str) else None


def _likely_cause(path: str) -> str:
    if path.startswith(("[", "{", "LazySelectSequence")):
        return "a list that a template rendered to text: pass the task's .output instead"
    if path in {"", "None"}:
        return f"{path!r}: a template may have rendered a missing value"
    return "a phone number: put it into a list" if path.startswith("+") else shown(path)

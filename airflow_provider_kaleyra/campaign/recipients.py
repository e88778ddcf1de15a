"""Opens what an operator takes as ``recipients``, a list or a file at a path or URL, as a stream of rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import PurePath
from typing import IO, Any

from airflow_provider_kaleyra.campaign.readers import Row, rows_of_csv, rows_of_json_lines, rows_of_list
from airflow_provider_kaleyra.exceptions import KaleyraFileError
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
        yield rows_of_list(_with_list_errors(rows))
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


def _with_list_errors(recipients: Iterator[Any]) -> Iterator[Any]:
    """Yield the recipients; an XCom of an earlier task is read from Airflow's API server while it is iterated over."""
    try:
        yield from recipients
    except Exception as error:  # an iterator of any class may raise anything
        raise KaleyraFileError(
            f"{_UNREAD}: reading failed ({type(error).__name__}: {error}). If the cause is temporary, Airflow's next "
            "try reads them again; otherwise fix the cause."
        ) from error


def require_rereadable(recipients: Any) -> None:
    """Check that the recipients can be read more than once.

    :raises BrokenRule: they are an iterator, which has no rows when it is read again.
    """
    if isinstance(recipients, Iterator):
        raise BrokenRule("recipients", "a list or a file, because strict=True reads it twice", shown_value(recipients))


def count_of(recipients: Any) -> int | None:
    """Return how many there are, or None if that is not known without reading a file."""
    if isinstance(recipients, str) or not isinstance(recipients, Collection):
        return None
    try:
        return len(recipients)
    except Exception:  # noqa: BLE001 - an object of any class may raise anything; opening it reports what is wrong
        return None


def _likely_cause(path: str) -> str:
    if path.startswith(("[", "{", "LazySelectSequence")):
        return "a list that a template rendered to text: pass the task's .output instead"
    if path in {"", "None"}:
        return f"{path!r}: a template may have rendered a missing value"
    return "a phone number: put it into a list" if path.startswith("+") else shown(path)

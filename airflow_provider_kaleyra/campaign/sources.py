"""What an operator's ``recipients`` can be, as rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any

from airflow_provider_kaleyra.campaign.recipients import Row, rows_of_csv, rows_of_json_lines, rows_of_list
from airflow_provider_kaleyra.whatsapp.rules import BrokenRule, shown

_FORMATS = {".csv": rows_of_csv, ".jsonl": rows_of_json_lines, ".ndjson": rows_of_json_lines}
_RULE = "a list of numbers or of dicts with a 'to', or the path or URL of a .csv, .jsonl or .ndjson file"


@contextmanager
def rows_of(recipients: Any) -> Iterator[Iterator[Row]]:
    """Open the recipients as a stream of rows.

    :raises BrokenRule: they are nothing that recipients can be.
    :raises OSError: the file cannot be opened.
    """
    if not isinstance(recipients, str | PurePath):
        if isinstance(recipients, Mapping | bytes) or not hasattr(recipients, "__iter__"):
            raise BrokenRule("recipients", _RULE, f"a value of type {type(recipients).__name__}")
        yield rows_of_list(recipients)
        return
    path = str(recipients).strip()
    reader = _FORMATS.get(PurePath(path).suffix.lower())
    if reader is None:
        raise BrokenRule("recipients", _RULE, _slip(path))
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    # A file in another encoding makes invalid rows, not an end in the middle.
    opener: Any = ObjectStoragePath(path)
    with opener.open("r", encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        yield reader(file)


def count_of(recipients: Any) -> int | None:
    """How many there are, where that is known without reading a file."""
    return len(recipients) if isinstance(recipients, Collection) and not isinstance(recipients, str) else None


def _slip(path: str) -> str:
    if path.startswith(("[", "{", "LazySelectSequence")):
        return "a list that a template rendered to text: pass the task's .output instead"
    if path in {"", "None"}:
        return f"{path!r}: a template may have rendered a missing value"
    return "a phone number: put it into a list" if path.startswith("+") else shown(path)

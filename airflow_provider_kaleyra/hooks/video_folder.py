"""Looking into a folder for videos that are there as a whole."""

from __future__ import annotations

import time
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from airflow_provider_kaleyra.exceptions import KaleyraError, KaleyraUnusableFileError
from airflow_provider_kaleyra.hooks.store import no_bucket, open_anew, path_of, shown_path, troubles_told

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

_NOTHING_SEEN = "No video can be waited for"
# What stores call the time of the last change.
_TIMES = ("mtime", "LastModified", "last_modified", "updated")


def videos_in(folder: str | os.PathLike[str], patterns: Sequence[str], settled_after: float) -> list[str]:
    """
    The URLs of the videos in the folder, by name; none while there is no such folder.

    :param patterns: of the names; upper and lower case are the same.
    :param settled_after: seconds; younger files may still be on their way.
    :raises KaleyraUnusableFileError: it is a file, or may not be read, or there is no such bucket.
    :raises KaleyraConfigError: this Airflow cannot open such a URL.
    :raises KaleyraFileError: reading it failed, which may pass.
    """
    try:
        return _look(folder, patterns, settled_after)
    except KaleyraError:
        # A triggerer runs for weeks: whoever mended the Connection meanwhile must not have to restart it.
        open_anew(str(folder))
        return _look(folder, patterns, settled_after)


def settled(entries: Iterable[Mapping[str, Any]], patterns: Sequence[str], before: float) -> list[str]:
    """
    The names of the files that match and were last changed before that time.

    A file whose store tells no time counts.

    :param entries: what a file system tells of a folder's content.
    """
    names = (
        entry["name"].rpartition("/")[2]
        for entry in entries
        if entry["type"] != "directory" and _changed_at(entry) < before
    )
    return sorted(
        name
        for name in names
        if not name.startswith(".") and any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)
    )


def _look(folder: str | os.PathLike[str], patterns: Sequence[str], settled_after: float) -> list[str]:
    path = path_of(folder, "folder", _NOTHING_SEEN)
    with troubles_told(shown_path(folder), _NOTHING_SEEN):
        # Object stores remember what they listed.
        path.fs.invalidate_cache(path.path)
        try:
            entries = path.fs.ls(path.path, detail=True)
        except FileNotFoundError as error:
            # An object store has no empty folders.
            if no_bucket(error):
                raise
            return []
        if any(entry["type"] != "directory" and entry["name"].strip("/") == path.path.strip("/") for entry in entries):
            raise KaleyraUnusableFileError(f"{_NOTHING_SEEN}: {shown_path(folder)} is a file, and no folder.")
        return [str(path / name) for name in settled(entries, patterns, time.time() - settled_after)]


def _changed_at(entry: Mapping[str, Any]) -> float:
    told = next((entry[name] for name in _TIMES if entry.get(name)), 0)
    if isinstance(told, str):
        told = datetime.fromisoformat(told)
    return told.timestamp() if isinstance(told, datetime) else float(told)

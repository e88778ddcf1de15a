"""List the videos in a folder that are complete."""

from __future__ import annotations

import time
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from airflow_provider_kaleyra.exceptions import KaleyraError, KaleyraUnusableFileError
from airflow_provider_kaleyra.files.object_storage import (
    display_path,
    is_missing_bucket,
    reset_store,
    storage_path,
    translated_errors,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

_CONSEQUENCE = "Cannot wait for videos"
# The names that file systems have for the time of the last change.
_TIMES = ("mtime", "LastModified", "last_modified", "updated")


def list_videos(folder: str | os.PathLike[str], patterns: Sequence[str], settled_after: float) -> list[str]:
    """
    Return the URLs of the videos in a folder, sorted by name; none if the folder does not exist.

    :param folder: path, or URL that Airflow's ``ObjectStoragePath`` opens.
    :param patterns: patterns of the file names; case is ignored.
    :param settled_after: seconds for which a file must not have changed; newer files may still be incomplete.
    :raises KaleyraUnusableFileError: the folder is a file or cannot be read for lack of permission, or its bucket does
        not exist.
    :raises KaleyraConfigError: this Airflow cannot open the URL.
    :raises KaleyraFileError: reading the folder failed; the cause may be temporary.
    """
    try:
        return _list(folder, patterns, settled_after)
    except KaleyraError:
        # A triggerer runs for weeks, and must not need a restart after the Connection was fixed.
        reset_store(folder)
        return _list(folder, patterns, settled_after)


def settled(entries: Iterable[Mapping[str, Any]], patterns: Sequence[str], before: float) -> list[str]:
    """
    Return the sorted names of the files that match a pattern and were last changed before a given time.

    A file without a time of change is included.

    :param entries: entries of the folder, as a file system of fsspec lists them.
    :param patterns: patterns of the file names; case is ignored.
    :param before: time in seconds since the epoch.
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


def _list(folder: str | os.PathLike[str], patterns: Sequence[str], settled_after: float) -> list[str]:
    path = storage_path(folder, "folder", _CONSEQUENCE)
    with translated_errors(display_path(folder), _CONSEQUENCE):
        # Object stores cache their listings.
        path.fs.invalidate_cache(path.path)
        try:
            entries = path.fs.ls(path.path, detail=True)
        except FileNotFoundError as error:
            # In an object store, an empty folder does not exist.
            if is_missing_bucket(error):
                raise
            return []
        if any(entry["type"] != "directory" and entry["name"].strip("/") == path.path.strip("/") for entry in entries):
            raise KaleyraUnusableFileError(
                f"{_CONSEQUENCE}: the path is a file, not a folder: {display_path(folder)}. Fix the folder."
            )
        return [str(path / name) for name in settled(entries, patterns, time.time() - settled_after)]


def _changed_at(entry: Mapping[str, Any]) -> float:
    time_of_change = next((entry[name] for name in _TIMES if entry.get(name)), 0)
    if isinstance(time_of_change, str):
        time_of_change = datetime.fromisoformat(time_of_change)
    return time_of_change.timestamp() if isinstance(time_of_change, datetime) else float(time_of_change)

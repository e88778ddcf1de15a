"""Which files of a folder are videos that are there as a whole."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_kaleyra.exceptions import (
    KaleyraConfigError,
    KaleyraError,
    KaleyraFileError,
    KaleyraUnusableFileError,
)
from airflow_provider_kaleyra.files.video_folder import list_videos, settled

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
PATTERNS = ["*.mp4", "*.3gp"]


def entry(name: str, changed: object = None, kind: str = "file", told_as: str = "mtime") -> dict[str, object]:
    return {"name": f"bucket/videos/{name}", "type": kind, told_as: changed}


@pytest.mark.parametrize("told_as", ["mtime", "LastModified", "last_modified", "updated"])
@pytest.mark.parametrize("form", [datetime.timestamp, lambda time: time, datetime.isoformat])
def test_every_format_of_a_time_of_change_is_read(told_as, form):
    before = NOW.timestamp()
    young, old = (entry("v.mp4", form(NOW + timedelta(seconds=age)), told_as=told_as) for age in (1, -1))
    assert settled([old], PATTERNS, before) == ["v.mp4"]
    assert settled([young], PATTERNS, before) == []


def test_a_file_without_a_time_of_change_is_included():
    assert settled([entry("v.mp4")], PATTERNS, NOW.timestamp()) == ["v.mp4"]


@pytest.mark.parametrize(
    ("name", "counts"),
    [("v.mp4", True), ("V.MP4", True), ("v.3gp", True), ("v.mp4.part", False), (".v.mp4", False), ("v.jpg", False)],
)
def test_names_must_match(name, counts):
    assert settled([entry(name)], PATTERNS, NOW.timestamp()) == [name] * counts


def test_folders_are_ignored():
    assert settled([entry("taken.mp4", kind="directory")], PATTERNS, NOW.timestamp()) == []


def test_videos_are_sorted_by_name():
    assert settled([entry("b.mp4"), entry("a.mp4")], PATTERNS, NOW.timestamp()) == ["a.mp4", "b.mp4"]


def in_store(path: os.PathLike[str]) -> str:
    return f"file://{path}"


@pytest.mark.parametrize("as_given", [str, in_store, lambda path: ObjectStoragePath(in_store(path))])
def test_a_folder_is_listed_by_path_or_url(tmp_path, as_given):
    (tmp_path / "old.mp4").touch()
    os.utime(tmp_path / "old.mp4", (time.time() - 61,) * 2)
    (tmp_path / "young.mp4").touch()
    (found,) = list_videos(as_given(tmp_path), PATTERNS, 60)
    assert found.removeprefix("file://") == f"{tmp_path}/old.mp4"


def test_a_folder_that_does_not_exist_yet_is_empty(tmp_path):
    assert list_videos(f"{tmp_path}/later", PATTERNS, 60) == []


def failing(monkeypatch, *errors: Exception) -> None:
    """Let the next listings fail."""
    ls, left = LocalFileSystem.ls, list(errors)

    def maybe(*args, **kwargs):
        if left:
            raise left.pop(0)
        return ls(*args, **kwargs)

    monkeypatch.setattr(LocalFileSystem, "ls", maybe)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (PermissionError("Access Denied"), KaleyraUnusableFileError, "no permission to read"),
        (FileNotFoundError("The specified bucket does not exist"), KaleyraUnusableFileError, "there is no bucket for"),
        (OSError("Connection reset"), KaleyraFileError, "Connection reset"),
    ],
)
def test_an_error_of_the_store_is_reported(tmp_path, monkeypatch, error, kind, words):
    failing(monkeypatch, error, error)
    with pytest.raises(kind, match=f"Cannot wait for videos.*{words}") as raised:
        list_videos(tmp_path, PATTERNS, 60)
    assert str(tmp_path) in str(raised.value)


def test_after_an_error_the_folder_is_listed_again_with_the_current_connection(tmp_path, monkeypatch):
    failing(monkeypatch, PermissionError("Access Denied"))
    assert list_videos(tmp_path, PATTERNS, 60) == []


def test_a_file_is_not_a_folder(tmp_path):
    (tmp_path / "v.mp4").touch()
    with pytest.raises(KaleyraUnusableFileError, match="is a file, not a folder"):
        list_videos(tmp_path / "v.mp4", PATTERNS, 60)


def test_a_store_that_airflow_cannot_open_is_named():
    with pytest.raises(KaleyraConfigError, match=r"cannot open URLs of that kind .*: 'nowhere://bucket/videos'"):
        list_videos("nowhere://bucket/videos", PATTERNS, 60)


@pytest.mark.parametrize("folder", ["", None, "None"])
def test_a_folder_that_rendered_to_nothing_is_named(folder):
    with pytest.raises(KaleyraError, match="the folder must be a path or a URL"):
        list_videos(folder, PATTERNS, 60)

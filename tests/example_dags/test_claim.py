"""A file in the folder is taken by one run alone, however often that run tries."""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath

EXAMPLE = Path(__file__).parents[2] / "example_dags" / "example_send_video_on_upload.py"
RUN_FOLDER = "asset_triggered__2026_01_01T00_00_00_00_00_a"
RUN, OTHER = "asset_triggered__2026-01-01T00:00:00+00:00_a", "scheduled__2026-01-01T00:00:00+00:00"


@pytest.fixture(scope="module")
def take():
    spec = importlib.util.spec_from_file_location("example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.take


@pytest.fixture
def file(tmp_path):
    (tmp_path / "v.mp4").write_bytes(b"video")
    return f"file://{tmp_path}/v.mp4"


def content(path: str) -> bytes:
    with ObjectStoragePath(path).open("rb") as opened:
        return opened.read()


def test_a_file_is_taken_out_of_the_folder(take, file, tmp_path):
    taken = take(file, RUN)
    assert content(taken) == b"video"
    assert list(tmp_path.glob("*.mp4")) == []


def test_a_later_try_of_the_run_finds_it(take, file):
    assert take(file, RUN) == take(file, RUN)


def test_another_run_does_not_get_it(take, file):
    assert take(file, RUN)
    assert take(file, OTHER) is None


def test_a_new_file_of_the_same_name_is_another_runs(take, file, tmp_path):
    take(file, RUN)
    (tmp_path / "v.mp4").write_bytes(b"another")
    assert content(take(file, OTHER)) == b"another"


def test_a_new_file_of_the_same_name_outlives_a_try_of_the_run_that_took_the_old(take, file, tmp_path):
    take(file, RUN)
    (tmp_path / "v.mp4").write_bytes(b"other")
    assert content(take(file, RUN)) == b"video"
    assert (tmp_path / "v.mp4").exists()


def test_a_copy_that_was_not_deleted_in_time_is_deleted(take, file, tmp_path):
    take(file, RUN)
    (tmp_path / "v.mp4").write_bytes(b"video")
    take(file, RUN)
    assert not (tmp_path / "v.mp4").exists()


def test_a_file_that_was_never_there_is_nobodys(take, tmp_path):
    assert take(f"file://{tmp_path}/none.mp4", RUN) is None
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_came_after_its_event_is_another_of_the_same_name(take, file, tmp_path):
    now = datetime.now(UTC)
    assert take(file, RUN, now - timedelta(minutes=5)) is None
    assert (tmp_path / "v.mp4").exists()
    assert take(file, RUN, now)
    assert take(file, RUN, now - timedelta(minutes=5))


def test_an_object_store_is_a_folder_too(take, bucket):
    bucket.put("in/v.mp4", b"video")
    taken = take(bucket.url("in/v.mp4"), RUN)
    assert taken == bucket.url(f"in/taken/{RUN_FOLDER}/v.mp4")
    assert content(taken) == b"video"
    assert bucket.keys() == [f"in/taken/{RUN_FOLDER}/v.mp4"]
    assert take(bucket.url("in/v.mp4"), RUN) == taken
    assert take(bucket.url("in/v.mp4"), OTHER) is None


def test_a_copy_that_an_object_store_did_not_delete_in_time_is_deleted(take, bucket):
    bucket.put("in/v.mp4", b"video")
    taken = take(bucket.url("in/v.mp4"), RUN)
    bucket.put("in/v.mp4", b"video")
    assert take(bucket.url("in/v.mp4"), RUN) == taken
    assert bucket.keys() == [f"in/taken/{RUN_FOLDER}/v.mp4"]


def test_the_time_of_an_object_is_that_of_its_upload(take, bucket):
    bucket.put("in/v.mp4", b"video")
    now = datetime.now(UTC)
    assert take(bucket.url("in/v.mp4"), RUN, now - timedelta(minutes=5)) is None
    assert take(bucket.url("in/v.mp4"), RUN, now)

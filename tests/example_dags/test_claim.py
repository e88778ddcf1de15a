"""A file in the folder is claimed by one run only, however many tries that run has."""

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
def claim():
    spec = importlib.util.spec_from_file_location("example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.claim


@pytest.fixture
def file(tmp_path):
    (tmp_path / "v.mp4").write_bytes(b"video")
    return f"file://{tmp_path}/v.mp4"


def content(path: str) -> bytes:
    with ObjectStoragePath(path).open("rb") as opened:
        return opened.read()


def test_a_file_is_moved_out_of_the_folder(claim, file, tmp_path):
    claimed = claim(file, RUN)
    assert content(claimed) == b"video"
    assert list(tmp_path.glob("*.mp4")) == []


def test_a_later_try_of_the_run_gets_the_same_file(claim, file):
    assert claim(file, RUN) == claim(file, RUN)


def test_another_run_does_not_get_it(claim, file):
    assert claim(file, RUN)
    assert claim(file, OTHER) is None


def test_another_run_gets_a_new_file_of_the_same_name(claim, file, tmp_path):
    claim(file, RUN)
    (tmp_path / "v.mp4").write_bytes(b"another")
    assert content(claim(file, OTHER)) == b"another"


def test_a_later_try_does_not_delete_a_new_file_of_the_same_name(claim, file, tmp_path):
    claim(file, RUN)
    (tmp_path / "v.mp4").write_bytes(b"other")
    assert content(claim(file, RUN)) == b"video"
    assert (tmp_path / "v.mp4").exists()


def test_a_later_try_deletes_the_copy_that_was_left_behind(claim, file, tmp_path):
    claim(file, RUN)
    (tmp_path / "v.mp4").write_bytes(b"video")
    claim(file, RUN)
    assert not (tmp_path / "v.mp4").exists()


def test_a_missing_file_is_not_claimed(claim, tmp_path):
    assert claim(f"file://{tmp_path}/none.mp4", RUN) is None
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_newer_than_its_event_is_not_claimed(claim, file, tmp_path):
    now = datetime.now(UTC)
    assert claim(file, RUN, now - timedelta(minutes=5)) is None
    assert (tmp_path / "v.mp4").exists()
    assert claim(file, RUN, now)
    assert claim(file, RUN, now - timedelta(minutes=5))


def test_a_file_in_an_object_store_is_claimed(claim, bucket):
    bucket.put("in/v.mp4", b"video")
    claimed = claim(bucket.url("in/v.mp4"), RUN)
    assert claimed == bucket.url(f"in/claimed/{RUN_FOLDER}/v.mp4")
    assert content(claimed) == b"video"
    assert bucket.keys() == [f"in/claimed/{RUN_FOLDER}/v.mp4"]
    assert claim(bucket.url("in/v.mp4"), RUN) == claimed
    assert claim(bucket.url("in/v.mp4"), OTHER) is None


def test_a_later_try_deletes_the_copy_in_an_object_store(claim, bucket):
    bucket.put("in/v.mp4", b"video")
    claimed = claim(bucket.url("in/v.mp4"), RUN)
    bucket.put("in/v.mp4", b"video")
    assert claim(bucket.url("in/v.mp4"), RUN) == claimed
    assert bucket.keys() == [f"in/claimed/{RUN_FOLDER}/v.mp4"]


def test_the_age_of_an_object_is_counted_from_its_upload(claim, bucket):
    bucket.put("in/v.mp4", b"video")
    now = datetime.now(UTC)
    assert claim(bucket.url("in/v.mp4"), RUN, now - timedelta(minutes=5)) is None
    assert claim(bucket.url("in/v.mp4"), RUN, now)

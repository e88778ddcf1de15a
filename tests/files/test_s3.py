"""Videos in an object store, from which Airflow reads them over HTTP."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator

import pytest

from airflow_provider_kaleyra.exceptions import KaleyraConfigError, KaleyraFileError, KaleyraUnusableFileError
from airflow_provider_kaleyra.files.video_folder import list_videos
from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook
from airflow_provider_kaleyra.whatsapp.video_file import MAX_SIZE
from tests.sandbox.conftest import Client, served
from tests.support.video import mp4

PATTERNS = ["*.mp4"]
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Client]:
    with served() as url, Client(url) as client:
        yield client


@pytest.fixture
def upload(sandbox, monkeypatch):
    sandbox.delete("/sandbox/uploads")
    monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", sandbox.connection())
    return KaleyraHook().upload_media


def test_a_video_of_the_maximum_size_arrives_unchanged(upload, sandbox, bucket):
    video = mp4(size=MAX_SIZE)
    bucket.put("in/diwali.mp4", video)
    assert upload(bucket.url("in/diwali.mp4"))
    (received,) = sandbox.get("/sandbox/uploads").json()
    assert (received["file_name"], received["sha256"]) == ("diwali.mp4", hashlib.sha256(video).hexdigest())


@pytest.mark.parametrize(
    ("key", "cause"), [("in/gone.mp4", "there is no file"), ("in", "is a folder"), ("in/", "is a folder")]
)
def test_a_path_that_is_not_a_file_is_named(upload, bucket, key, cause):
    bucket.put("in/diwali.mp4", mp4())
    with pytest.raises(KaleyraUnusableFileError, match=cause) as raised:
        upload(bucket.url(key))
    assert bucket.url(key) in str(raised.value)


def test_a_missing_bucket_is_named(upload, bucket):
    with pytest.raises(KaleyraUnusableFileError, match=r"there is no bucket for 's3://store@no-bucket/v\.mp4'"):
        upload("s3://store@no-bucket/v.mp4")
    for folder in ("s3://store@no-bucket", "s3://store@no-bucket/in"):
        with pytest.raises(KaleyraUnusableFileError, match=f"there is no bucket for '{folder}'"):
            list_videos(folder, PATTERNS, 0)


def test_only_a_user_with_permission_can_read(upload, bucket, s3, monkeypatch):
    bucket.put("in/diwali.mp4", mp4())
    key, secret = s3.new_user(Action="s3:*")
    keys = {"reader": (key, secret), "other": s3.new_user(), "unknown": ("unknown", "x"), "wrong": (key, "x")}
    for name, pair in keys.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", s3.connection(*pair))
    with s3.checking_keys():
        assert upload(bucket.url("in/diwali.mp4", "reader"))
        for name in ("other", "unknown", "wrong"):
            with pytest.raises(
                KaleyraUnusableFileError, match=f"Airflow has no permission to read 's3://{name}@.*diwali.mp4'"
            ):
                upload(bucket.url("in/diwali.mp4", name))
            with pytest.raises(KaleyraUnusableFileError, match=f"Airflow has no permission to read 's3://{name}@.*in'"):
                list_videos(bucket.url("in", name), PATTERNS, 0)


@pytest.mark.parametrize("key", ["in/diwali.mp4", "in"])
def test_a_missing_connection_fails_at_once_without_a_request(upload, bucket, s3, monkeypatch, key):
    bucket.put("in/diwali.mp4", mp4())
    # The Amazon provider would use these credentials, which may read the file.
    for name, value in {"ENDPOINT_URL": s3.url, "ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "x"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    start = time.monotonic()
    for use in (upload, lambda url: list_videos(url, PATTERNS, 0)):
        with pytest.raises(KaleyraConfigError, match=f"there is no Connection 'missing', which 's3://missing@.*{key}'"):
            use(bucket.url(key, "missing"))
    assert time.monotonic() - start < 5


def test_an_unreachable_store_can_be_retried(upload, bucket, s3, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_NOWHERE", s3.connection(url=NOWHERE))
    with pytest.raises(KaleyraFileError, match=f"reading failed .*{NOWHERE}.* for 's3://nowhere@.*v.mp4'"):
        upload(bucket.url("v.mp4", "nowhere"))


def test_a_connection_that_was_fixed_is_read_again(bucket, s3, monkeypatch):
    bucket.put("in/diwali.mp4", mp4())
    monkeypatch.setenv("AIRFLOW_CONN_FIXED", s3.connection(url=NOWHERE))
    with pytest.raises(KaleyraFileError, match=NOWHERE):
        list_videos(bucket.url("in", "fixed"), PATTERNS, 0)
    monkeypatch.setenv("AIRFLOW_CONN_FIXED", s3.connection())
    assert list_videos(bucket.url("in", "fixed"), PATTERNS, 0) == [bucket.url("in/diwali.mp4", "fixed")]


def test_each_check_lists_the_current_files(bucket):
    assert list_videos(bucket.url("in"), PATTERNS, 0) == []
    bucket.put("in/a.mp4", mp4())
    bucket.put("in/old/old.mp4", mp4())
    assert list_videos(bucket.url("in"), PATTERNS, 0) == [bucket.url("in/a.mp4")]
    bucket.put("in/b.mp4", mp4())
    assert list_videos(bucket.url("in/"), PATTERNS, 0) == [bucket.url("in/a.mp4"), bucket.url("in/b.mp4")]
    assert list_videos(bucket.url("in"), PATTERNS, 60) == []


def test_an_object_is_not_a_folder(bucket):
    bucket.put("in/a.mp4", mp4())
    with pytest.raises(KaleyraUnusableFileError, match="is a file, not a folder"):
        list_videos(bucket.url("in/a.mp4"), PATTERNS, 0)

"""Stores, and the Connections that they were opened with."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException, ObjectStoragePath
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_kaleyra.exceptions import KaleyraConfigError, KaleyraUnusableFileError
from airflow_provider_kaleyra.files.object_storage import reset_store, storage_path, translated_errors


def test_a_reset_store_reads_its_connection_again():
    url = "file://a_store@/videos"
    first = storage_path(url).fs
    LocalFileSystem.clear_instance_cache()
    assert storage_path(url).fs is first
    reset_store(url)
    assert storage_path(url).fs is not first


def test_a_store_that_was_never_opened_can_be_reset():
    reset_store("nowhere://bucket")
    reset_store("/videos")


def test_a_missing_connection_is_named():
    error = AirflowNotFoundException("The conn_id `gone` isn't defined")
    with (
        pytest.raises(KaleyraConfigError, match=r"`gone` isn't defined.*Add the Connection"),
        translated_errors("'s3://…'"),
    ):
        raise error


@pytest.mark.parametrize(("conn_id", "cause"), [("gone", "there is no Connection 'gone'"), ("there", "Forbidden")])
def test_a_missing_connection_is_the_cause_of_what_may_not_be_read(monkeypatch, conn_id, cause):
    monkeypatch.setenv("AIRFLOW_CONN_THERE", '{"conn_type": "aws"}')
    with pytest.raises(KaleyraUnusableFileError, match=cause), translated_errors(f"'s3://{conn_id}@bucket/v.mp4'"):
        raise PermissionError("Forbidden")


def test_a_missing_bucket_is_told_from_a_missing_file():
    with (
        pytest.raises(KaleyraUnusableFileError, match="the bucket of 's3://…' does not exist"),
        translated_errors("'s3://…'"),
    ):
        raise FileNotFoundError("The specified bucket does not exist")


def test_a_path_is_taken_as_it_is():
    path = ObjectStoragePath("file:///v.mp4")
    assert storage_path(path) is path

"""Stores, and the Connections that they were opened with."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException, ObjectStoragePath
from airflow.secrets import BaseSecretsBackend
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_kaleyra.connection import reading
from airflow_provider_kaleyra.exceptions import (
    KaleyraConfigError,
    KaleyraConnectionUnreadableError,
    KaleyraUnusableFileError,
)
from airflow_provider_kaleyra.files.object_storage import display_path, reset_store, storage_path, translated_errors


def test_a_reset_store_reads_its_connection_again(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_A_STORE", "{}")
    url = "file://a_store@/videos"
    first = storage_path(url).fs
    LocalFileSystem.clear_instance_cache()
    assert storage_path(url).fs is first
    reset_store(url)
    assert storage_path(url).fs is not first


def test_a_store_that_was_never_opened_can_be_reset():
    reset_store("nowhere://bucket")
    reset_store("/videos")


def test_a_connection_that_a_store_does_not_find_is_named():
    error = AirflowNotFoundException("The conn_id `gone` isn't defined")
    with (
        pytest.raises(KaleyraConfigError, match=r"a Connection is missing \(The conn_id `gone` isn't defined\)"),
        translated_errors("'s3://…'"),
    ):
        raise error


def test_a_missing_bucket_is_distinguished_from_a_missing_file():
    with (
        pytest.raises(KaleyraUnusableFileError, match="there is no bucket for 's3://…'"),
        translated_errors("'s3://…'"),
    ):
        raise FileNotFoundError("The specified bucket does not exist")


def test_an_object_storage_path_is_returned_unchanged():
    path = ObjectStoragePath("file:///v.mp4")
    assert storage_path(path) is path


@pytest.mark.parametrize("as_given", [str, ObjectStoragePath])
def test_a_missing_connection_is_named_before_the_store_is_opened(monkeypatch, as_given):
    file = as_given("s3://gone@bucket/v.mp4")
    monkeypatch.setattr(ObjectStoragePath, "fs", property(lambda _: pytest.fail("the store was opened")))
    with pytest.raises(KaleyraConfigError) as error:
        storage_path(file)
    assert str(error.value) == (
        "Nothing was uploaded: there is no Connection 'gone', which 's3://gone@bucket/v.mp4' names before its @. "
        "Add it in Admin > Connections, or fix the URL."
    )


class FailingBackend(BaseSecretsBackend):
    """A secrets backend that fails, which Airflow reports as a missing Connection."""

    def get_connection(self, conn_id):
        raise ConnectionError("out of reach")


def test_a_connection_whose_secrets_backend_fails_is_not_reported_as_missing(monkeypatch):
    monkeypatch.setattr(reading, "_backends", lambda: [FailingBackend()])
    with pytest.raises(KaleyraConnectionUnreadableError, match="Connection 'there' could not be read: FailingBackend"):
        storage_path("s3://there@bucket/v.mp4")


def test_a_connection_that_cannot_be_decoded_is_named(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_BROKEN", "{")
    with pytest.raises(KaleyraConfigError, match=r"Connection 'broken' could not be read: .*valid JSON"):
        storage_path("s3://broken@bucket/v.mp4")


def test_a_password_and_a_signature_in_a_url_are_not_shown():
    url = "https://user:secret@host/v.mp4?signature=secret"
    assert display_path(url) == "'https://user:***@host/v.mp4'"
    with pytest.raises(KaleyraConfigError, match=r"there is no Connection 'user:\*\*\*'") as error:
        storage_path(url)
    assert "secret" not in str(error.value)

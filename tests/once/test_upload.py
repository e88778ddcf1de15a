"""One upload for all tries of a task."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_kaleyra.connection.settings import ConnectionSettings
from airflow_provider_kaleyra.exceptions import KaleyraUnusableFileError
from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook
from airflow_provider_kaleyra.once import upload
from airflow_provider_kaleyra.once.store import UPLOAD_KEY, TaskStateStore
from airflow_provider_kaleyra.once.upload import UploadOnce
from airflow_provider_kaleyra.whatsapp.account import Account
from tests.support.video import mp4


class Store(dict):
    """A task state store."""

    def set(self, key, value):
        self[key] = value


class BrokenStore:
    def get(self, key):
        raise OSError("no route")

    def set(self, key, value):
        raise OSError("no route")


class Hook(KaleyraHook):
    """Hook that counts uploads and makes none."""

    def __init__(self, sid="HX1"):
        super().__init__()
        account = Account(
            sid=sid, api_key="k", base_url="https://api.in.kaleyra.io", business_phone_number="+12025550100"
        )
        self.settings = ConnectionSettings(account)
        self.uploads = 0

    def upload_media(self, file, mime_type=None, business_phone_number=None):
        self.uploads += 1
        return f"{self.settings.account.sid}-{self.uploads}"


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "v.mp4"
    path.write_bytes(mp4())
    return path


@pytest.fixture
def hook():
    return Hook()


def test_a_later_try_uses_the_id_of_the_earlier(hook, video):
    store = Store()
    assert UploadOnce(hook, str(video), TaskStateStore(store)).media_id() == "HX1-1"
    assert UploadOnce(hook, str(video), TaskStateStore(store)).media_id() == "HX1-1"
    assert hook.uploads == 1
    assert set(store) == {UPLOAD_KEY} == {"kaleyra_upload"}


def test_without_a_store_every_try_uploads_once(hook, video):
    once = UploadOnce(hook, str(video), TaskStateStore(None))
    assert [once.media_id(), once.media_id()] == ["HX1-1", "HX1-1"]
    assert UploadOnce(hook, str(video), TaskStateStore(None)).media_id() == "HX1-2"


def test_a_changed_file_is_uploaded_again(hook, video):
    store = Store()
    UploadOnce(hook, str(video), TaskStateStore(store)).media_id()
    video.write_bytes(mp4(brand=b"3gp5") + b"longer")
    assert UploadOnce(hook, str(video), TaskStateStore(store)).media_id() == "HX1-2"


def test_the_media_id_of_a_deleted_file_is_used(hook, video):
    store = Store()
    UploadOnce(hook, str(video), TaskStateStore(store)).media_id()
    video.unlink()
    assert UploadOnce(hook, str(video), TaskStateStore(store)).media_id() == "HX1-1"


def test_an_upload_for_another_account_or_sender_is_not_used(hook, video, tmp_path):
    store = Store()
    UploadOnce(hook, str(video), TaskStateStore(store)).media_id()
    assert UploadOnce(Hook("HX2"), str(video), TaskStateStore(store)).media_id() == "HX2-1"
    assert UploadOnce(Hook("HX3"), str(video), TaskStateStore(store), "+12025550199").media_id() == "HX3-1"
    (tmp_path / "w.mp4").write_bytes(mp4())
    assert UploadOnce(Hook("HX3"), str(tmp_path / "w.mp4"), TaskStateStore(store), "+12025550199").media_id() == "HX3-1"


@pytest.mark.parametrize(("days", "uploads"), [(28, 1), (30, 2)])
def test_a_file_is_uploaded_again_before_its_media_id_expires(hook, video, monkeypatch, days, uploads):
    store, later = Store(), datetime.now(UTC) + timedelta(days=days)

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return later

    same_try = UploadOnce(hook, str(video), TaskStateStore(store))
    same_try.media_id()
    monkeypatch.setattr(upload, "datetime", Later)
    same_try.media_id()
    assert hook.uploads == uploads
    UploadOnce(hook, str(video), TaskStateStore(store)).media_id()
    assert hook.uploads == uploads


def test_an_error_of_the_store_only_repeats_the_upload(hook, video):
    assert UploadOnce(hook, str(video), TaskStateStore(BrokenStore())).media_id() == "HX1-1"


@pytest.mark.parametrize(
    "value", ["x", {}, {"media_id": 7, "source_sha256": "", "file_version": "", "use_until": "2020"}, []]
)
def test_an_unreadable_record_only_repeats_the_upload(hook, video, value):
    store = Store({UPLOAD_KEY: value})
    assert UploadOnce(hook, str(video), TaskStateStore(store)).media_id() == "HX1-1"
    assert UploadOnce(hook, str(video), TaskStateStore(store)).media_id() == "HX1-1"


@pytest.mark.parametrize("damage", [{"media_id": " "}, {"media_id": "None"}, {"file_version": []}, {"use_until": None}])
def test_a_damaged_record_only_repeats_the_upload(hook, video, damage):
    store = Store()
    UploadOnce(hook, str(video), TaskStateStore(store)).media_id()
    store[UPLOAD_KEY] |= damage
    assert UploadOnce(hook, str(video), TaskStateStore(store)).media_id() == "HX1-2"


def test_no_secret_and_no_number_is_stored(hook, video):
    store = Store()
    UploadOnce(hook, str(video), TaskStateStore(store)).media_id()
    assert not {"HX1", "+12025550100", str(video)} & set(map(str, store[UPLOAD_KEY].values()))


def test_a_failed_upload_is_not_recorded(video):
    store = Store()
    with pytest.raises(KaleyraUnusableFileError):
        UploadOnce(KaleyraHookOf(Hook().settings), str(video.with_name("gone.mp4")), TaskStateStore(store)).media_id()
    assert store == {}


class KaleyraHookOf(KaleyraHook):
    def __init__(self, settings):
        super().__init__()
        self.settings = settings

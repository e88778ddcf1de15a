"""Uploading a video through the hook."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_kaleyra.exceptions import (
    KaleyraConfigError,
    KaleyraError,
    KaleyraFileError,
    KaleyraMessageError,
    KaleyraPermanentError,
    KaleyraRejectedError,
    KaleyraUnreachableError,
    KaleyraUnusableFileError,
    KaleyraUploadError,
)
from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook
from airflow_provider_kaleyra.whatsapp.video_file import MAX_SIZE
from dev.airflow import AIRFLOW_VERSION
from dev.sandbox import running_sandbox
from tests.sandbox.conftest import ACCOUNT, Client, served
from tests.support.http_server import raw_response, raw_server
from tests.support.video import FFMPEG, mp4, mp4_by_ffmpeg

TO = "+12025550123"
UPLOADED = raw_response("200 OK", json.dumps({"code": "WA200", "data": {"media_id": "42"}}).encode())


@pytest.fixture(scope="module")
def sandbox():
    with served() as url, Client(url) as client:
        yield client


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    """The waits between tries, not waited for."""
    waited: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waited.append)
    return waited


@pytest.fixture
def use(monkeypatch):
    """A hook for the server at that URL."""

    def hook_of(url: str, **extra: object) -> KaleyraHook:
        connection = {
            "conn_type": "kaleyra",
            "host": url,
            "login": ACCOUNT.sid,
            "password": ACCOUNT.api_key,
            "extra": {"business_phone_number": ACCOUNT.business_phone_number, "timeout": 5} | extra,
        }
        monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", json.dumps(connection))
        return KaleyraHook()

    return hook_of


@pytest.fixture
def hook(use, sandbox):
    sandbox.delete("/sandbox/uploads")
    sandbox.delete("/sandbox/messages")
    return use(sandbox.url)


@pytest.fixture
def video(tmp_path) -> Path:
    path = tmp_path / "diwali.mp4"
    path.write_bytes(mp4())
    return path


def in_store(path: Path) -> str:
    return f"file://{path}"


@pytest.mark.parametrize("as_given", [str, Path, in_store, lambda path: ObjectStoragePath(in_store(path))])
def test_an_uploaded_video_can_be_sent(hook, sandbox, video, as_given):
    media_id = hook.upload_media(as_given(video))
    assert hook.send_video(to=TO, media_id=media_id)
    (upload,) = sandbox.get("/sandbox/uploads").json()
    assert upload["sha256"] == hashlib.sha256(video.read_bytes()).hexdigest()
    assert (upload["file_name"], upload["type"], upload["size"]) == ("diwali.mp4", "video/mp4", len(mp4()))
    assert upload["user_agent"].startswith("airflow-provider-kaleyra/")
    (message,) = sandbox.get("/sandbox/messages").json()
    assert sandbox.get(f"/{message['media_url']}").content == video.read_bytes()


def test_a_relative_path_starts_at_the_working_folder(hook, sandbox, video, monkeypatch):
    monkeypatch.chdir(video.parent)
    assert hook.upload_media("diwali.mp4")


@pytest.mark.skipif(FFMPEG is None, reason="ffmpeg is not installed")
def test_a_video_of_ffmpeg_arrives_unchanged(hook, sandbox, tmp_path):
    path = mp4_by_ffmpeg(tmp_path / "real.mp4")
    hook.upload_media(in_store(path))
    (upload,) = sandbox.get("/sandbox/uploads").json()
    assert upload["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_mime_type_is_detected_from_the_content(hook, sandbox, video):
    video.write_bytes(mp4(brand=b"3gp5"))
    hook.upload_media(video)
    hook.upload_media(video, mime_type="video/mp4")
    assert [upload["type"] for upload in sandbox.get("/sandbox/uploads").json()] == ["video/3gpp", "video/mp4"]


def test_another_mime_type_is_rejected(hook, sandbox, video):
    with pytest.raises(KaleyraMessageError, match="mime_type must be video/mp4 or video/3gpp"):
        hook.upload_media(video, mime_type="image/png")
    assert sandbox.get("/sandbox/uploads").json() == []


def test_a_video_that_starts_slowly_is_a_warning(hook, video, logged):
    video.write_bytes(mp4(moov_first=False))
    assert hook.upload_media(video)
    assert "starts slowly on phones" in logged()


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "an empty file"),
        (mp4(size=17_000_000), "17,000,000 bytes"),
        (b"\x89PNG\r\n\x1a\n" + bytes(500), "a PNG image"),
        (mp4()[:-100], "cut short"),
    ],
    ids=["empty", "17 MB", "a PNG", "truncated"],
)
def test_a_wrong_file_is_named_with_the_cause(hook, sandbox, video, content, cause):
    video.write_bytes(content)
    check_refusal(hook, sandbox, in_store(video), KaleyraMessageError, cause)


def test_a_folder_is_named(hook, sandbox, tmp_path):
    check_refusal(hook, sandbox, in_store(tmp_path), KaleyraUnusableFileError, "is a folder")


def test_a_pipe_is_named(hook, sandbox, tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    check_refusal(hook, sandbox, in_store(tmp_path / "pipe.mp4"), KaleyraUnusableFileError, "not a regular file")


def test_a_missing_key_is_named(hook, sandbox, tmp_path):
    check_refusal(hook, sandbox, in_store(tmp_path / "gone.mp4"), KaleyraUnusableFileError, "there is no file")


@pytest.mark.parametrize("method", ["info", "_open"])
def test_a_permission_error_is_named(hook, sandbox, video, monkeypatch, method):
    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(LocalFileSystem, method, denied)
    check_refusal(hook, sandbox, in_store(video), KaleyraUnusableFileError, "no permission to read")


@pytest.mark.parametrize("error", [OSError("Connection reset"), RuntimeError("EndpointConnectionError")])
def test_an_unreachable_store_can_be_retried(hook, sandbox, video, monkeypatch, error):
    def broken(*_, **__):
        raise error

    monkeypatch.setattr(LocalFileSystem, "info", broken)
    check_refusal(hook, sandbox, in_store(video), KaleyraFileError, str(error))


def test_a_store_that_airflow_cannot_open_is_named(hook, sandbox):
    error = check_refusal(hook, sandbox, "nowhere://bucket/v.mp4", KaleyraConfigError, "this Airflow cannot open")
    assert "Install the provider" in error


@pytest.mark.parametrize(
    ("file", "found"), [("", "nothing"), ("  ", "nothing"), (None, "nothing"), ("None", "missing")]
)
def test_a_file_that_rendered_to_nothing_is_named(hook, sandbox, file, found):
    with pytest.raises(KaleyraMessageError, match=f"path or a URL; found .*{found}"):
        hook.upload_media(file)


def check_refusal(hook, sandbox, file: str, kind: type[KaleyraError], cause: str) -> str:
    with pytest.raises(kind) as raised:
        hook.upload_media(file)
    assert type(raised.value) is kind
    assert file.removeprefix("file://") in str(raised.value)
    assert cause in str(raised.value)
    assert sandbox.get("/sandbox/uploads").json() == sandbox.get("/sandbox/requests").json() == []
    return str(raised.value)


def test_the_signature_of_a_url_is_not_shown(hook):
    with pytest.raises(KaleyraError) as raised:
        hook.upload_media("nowhere://bucket/v.mp4?X-Signature=secret")
    assert "secret" not in str(raised.value)


def test_the_file_is_checked_before_the_connection(tmp_path):
    with pytest.raises(KaleyraUnusableFileError):
        KaleyraHook("no_such_connection").upload_media(tmp_path / "gone.mp4")


def test_a_missing_connection_is_not_reported_as_an_error_of_the_file(video):
    with pytest.raises(Exception, match="no_such_connection") as raised:
        KaleyraHook("no_such_connection").upload_media(video)
    assert not isinstance(raised.value, KaleyraUploadError)


def test_the_upload_uses_the_senders_number(use, video):
    with raw_server(UPLOADED) as server:
        use(server.url).upload_media(video, business_phone_number="+12025550199")
    (received,) = server.received
    assert received.request_line == f"POST /v2/{ACCOUNT.sid}/whatsapp/+12025550199/media HTTP/1.1"
    assert received.headers["api-key"] == ACCOUNT.api_key
    assert received.headers["Content-Length"] == str(len(received.body))


def test_a_missing_sender_is_an_error_of_the_connection(use, video):
    with pytest.raises(KaleyraConfigError, match="business_phone_number"):
        use("http://127.0.0.1:1", business_phone_number="").upload_media(video)


@pytest.mark.parametrize(
    "fault",
    [
        lambda connection: None,
        raw_response("502 Bad Gateway", b"<html>"),
        raw_response("429 Too Many Requests", b"", "Retry-After: 3"),
        raw_response("503 Service Unavailable", b""),
        raw_response(
            "500 Internal Server Error",
            b'{"code": "WA500", "message": "Please try again later", "error": {"error": "x"}}',
        ),
    ],
    ids=["closed", "502", "429", "503", "WA500"],
)
def test_an_upload_with_an_unknown_outcome_is_repeated(use, video, waits, fault):
    with raw_server(fault, fault, UPLOADED) as server:
        assert use(server.url).upload_media(video) == "42"
    bodies = [received.body for received in server.received]
    assert len(bodies) == 3
    assert all(mp4() in body for body in bodies)
    assert len(waits) == 2


def test_the_attempts_of_an_upload_are_limited(use, video, waits):
    with raw_server(raw_response("502 Bad Gateway", b"<html>")) as server:
        hook = use(server.url)
        with pytest.raises(KaleyraUploadError, match="uploading again is safe"):
            hook.upload_media(video)
    assert len(server.received) == 4
    assert 3 < sum(waits) < 10


def test_a_long_wait_is_not_made_within_the_task(use, video, waits):
    with raw_server(raw_response("429 Too Many Requests", b"", "Retry-After: 60")) as server:
        hook = use(server.url)
        with pytest.raises(KaleyraRejectedError) as raised:
            hook.upload_media(video)
    assert raised.value.retry_after == 60
    assert waits == []


def test_an_unreachable_host_is_reported(use, video, waits):
    with pytest.raises(KaleyraUnreachableError, match=r"the upload of .*diwali\.mp4"):
        use("http://127.0.0.1:1").upload_media(video)
    assert len(waits) == 3


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("account-not-enabled.mp4", "WA-401", "postpaid accounts only"),
        ("wrong-business-number.mp4", "WA401", "The sender is at fault"),
        ("incorrect-payload.mp4", "WA400", "The file is at fault"),
        ("low-balance.mp4", "E110", "top it up"),
    ],
)
def test_a_rejection_is_reported_once_with_what_to_do(hook, sandbox, video, waits, name, code, words):
    with pytest.raises(KaleyraRejectedError) as raised:
        hook.upload_media(video.rename(video.with_name(name)))
    assert raised.value.code == code
    assert isinstance(raised.value, KaleyraPermanentError) == (code != "E110")
    assert name in str(raised.value)
    assert words in str(raised.value)
    assert len(sandbox.get("/sandbox/uploads").json()) == 1


def test_a_response_without_a_media_id_is_reported_once_with_its_keys(hook, sandbox, video):
    with pytest.raises(KaleyraUploadError, match=r"the keys code, message, data\.message_id, error") as raised:
        hook.upload_media(video.rename(video.with_name("accepted-wa200.mp4")))
    assert "MEDIA_ID_PLACES" in str(raised.value)
    assert len(sandbox.get("/sandbox/uploads").json()) == 1


def test_a_redirect_is_not_followed(use, video):
    elsewhere = []

    def redirect(connection: socket.socket) -> None:
        elsewhere.append(server.url)
        connection.sendall(raw_response("307 Temporary Redirect", b"", f"Location: {server.url}/elsewhere"))

    with raw_server(redirect, UPLOADED) as server:
        hook = use(server.url)
        with pytest.raises(KaleyraPermanentError, match="Redirects are not followed"):
            hook.upload_media(video)
    assert (len(elsewhere), len(server.received)) == (1, 1)


def test_a_key_that_a_response_echoes_is_not_shown(use, video, logged):
    body = json.dumps({"code": "WA401", "message": f"no {ACCOUNT.api_key}", "error": {ACCOUNT.api_key: "x"}})
    with raw_server(raw_response("401 Unauthorized", body.encode())) as server:
        hook = use(server.url)
        with pytest.raises(KaleyraPermanentError) as raised:
            hook.upload_media(video)
    assert ACCOUNT.api_key not in str(raised.value) + logged()


@pytest.mark.parametrize(
    ("cause", "kind"), [(OSError("gone"), KaleyraFileError), (PermissionError("revoked"), KaleyraUnusableFileError)]
)
def test_a_read_error_during_the_upload_is_reported(use, video, monkeypatch, cause, kind):
    opened = LocalFileSystem._open

    class Failing:
        def __init__(self, file):
            self.file = file

        def read(self, size):
            if self.file.tell() > 100_000:
                raise cause
            return self.file.read(size)

        def seek(self, position):
            return self.file.seek(position)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

    monkeypatch.setattr(LocalFileSystem, "_open", lambda *args, **kwargs: Failing(opened(*args, **kwargs)))
    with raw_server(UPLOADED) as server:
        hook = use(server.url)
        with pytest.raises(kind, match=str(cause)) as error:
            hook.upload_media(video)
    assert "diwali.mp4'" in str(error.value)


FIRST_UPLOAD = """
import sys, threading
import psutil
from airflow_provider_kaleyra.operators.media import KaleyraUploadMediaOperator
from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook

hook = KaleyraHook()
hook.settings
memory = psutil.Process().memory_info
sizes, done = [memory().rss], threading.Event()

def watch():
    while not done.wait(0.001):
        sizes.append(memory().rss)

watching = threading.Thread(target=watch)
watching.start()
hook.upload_media(sys.argv[1])
done.set()
watching.join()
print("grew by", max(sizes) - sizes[0])
"""


def test_the_first_upload_of_a_process_needs_little_memory(use, tmp_path):
    large = tmp_path / "large.mp4"
    large.write_bytes(mp4(size=MAX_SIZE))
    with running_sandbox() as sandbox:
        use(sandbox.url)
        program = [sys.executable, "-c", FIRST_UPLOAD, in_store(large)]
        process = subprocess.run(program, capture_output=True, text=True, check=True)
        (upload,) = sandbox.get("/sandbox/uploads")
    assert upload["sha256"] == hashlib.sha256(large.read_bytes()).hexdigest()
    assert int(process.stdout.rpartition("grew by ")[2]) < 8 * 1024 * 1024


@pytest.mark.parametrize("read", [True, False])
def test_airflows_lineage_contains_the_file(hook, video, monkeypatch, read):
    lineage = import_module("airflow.sdk.lineage" if AIRFLOW_VERSION >= (3, 2) else "airflow.lineage.hook")
    collector = lineage.HookLineageCollector()
    if AIRFLOW_VERSION < (3, 0):  # assets are datasets there, which the compat module translates
        collector.add_input_asset = collector.add_input_dataset
    monkeypatch.setattr("airflow.providers.common.compat.lineage.hook.get_hook_lineage_collector", lambda: collector)
    reader = type("Reader", (), {})
    readers = [type("Mine", (reader,), {})] if read else []
    monkeypatch.setattr(lineage, "HookLineageReader", reader)
    hook.upload_media(in_store(video))
    collected = collector.collected_datasets if AIRFLOW_VERSION < (3, 0) else collector.collected_assets
    reported = [getattr(info, "dataset" if AIRFLOW_VERSION < (3, 0) else "asset").uri for info in collected.inputs]
    assert reported == [in_store(video)] * len(readers)

"""The sandbox accepts uploads as the page "Upload Media Files" says, and the uploaded videos can be sent."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_kaleyra.sandbox.uploads import MAX_VIDEO_BYTES
from tests.sandbox.conftest import ACCOUNT, MESSAGES_PATH, served, video
from tests.sandbox.conftest import Client as SandboxClient

if TYPE_CHECKING:
    import requests

    from tests.sandbox.conftest import Client

MEDIA_PATH = MESSAGES_PATH.removesuffix("/messages") + "/media"
MP4 = b"\x00\x00\x00\x14ftypisom\x00\x00\x00\x00isom" + b"\x00\x00\x00\x08free"


def upload(
    client: Client,
    content: bytes = MP4,
    *,
    name: str = "v.mp4",
    media_type: str = "video/mp4",
    path: str = MEDIA_PATH,
    **headers: str | None,
) -> requests.Response:
    extra = {header.replace("_", "-"): value for header, value in headers.items()}
    files = {"file": (name, content, media_type), "type": (None, media_type)}
    return client.post(path, files=files, headers={"Content-Type": None} | extra)


def by_id(media_id: str) -> dict[str, Any]:
    message = video()
    message["messaging_object"]["video"] = {"id": media_id}
    return message


@pytest.fixture(autouse=True)
def _no_uploads(client: Client) -> None:
    client.delete("/sandbox/uploads")


def test_an_uploaded_video_can_be_sent_and_is_unchanged(client: Client) -> None:
    content = MP4 + bytes(range(256)) * 8192
    response = upload(client, content)
    media_id = response.json()["data"]["media_id"]
    assert response.status_code == 200
    assert client.post(MESSAGES_PATH, json=by_id(media_id)).status_code == 202
    (message,) = client.get("/sandbox/messages").json()
    played = client.get(f"/{message['media_url']}")
    assert (played.content, played.headers["Content-Type"]) == (content, "video/mp4")
    part = client.get(f"/{message['media_url']}", headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, b"ftyp")
    (recorded,) = client.get("/sandbox/uploads").json()
    assert (recorded["media_id"], recorded["size"]) == (media_id, len(content))
    assert recorded["sha256"] == hashlib.sha256(content).hexdigest()


def test_every_upload_has_its_own_id(client: Client) -> None:
    assert len({upload(client).json()["data"]["media_id"] for _ in range(20)}) == 20


def test_an_id_that_was_never_uploaded_is_wa400(client: Client) -> None:
    response = client.post(MESSAGES_PATH, json=by_id("1000000000000000"))
    assert (response.status_code, response.json()["code"]) == (400, "WA400")
    assert response.json()["error"]["messaging_object.video.id"] == "the account has no media with this id"
    assert client.get("/sandbox/messages").json() == []


def test_a_deleted_upload_cannot_be_sent(client: Client) -> None:
    media_id = upload(client).json()["data"]["media_id"]
    client.delete("/sandbox/uploads")
    assert client.post(MESSAGES_PATH, json=by_id(media_id)).json()["code"] == "WA400"
    assert client.get(f"/sandbox/media/{media_id}").status_code == 404


def test_media_that_the_account_has_from_the_start_can_be_sent() -> None:
    with served(media_ids=["7"]) as url, SandboxClient(url) as client:
        assert client.post(MESSAGES_PATH, json=by_id("7")).status_code == 202
        assert client.post(MESSAGES_PATH, json=by_id("8")).status_code == 400


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"api_key": "wrong"}, "RBC001"),
        ({"api_key": None}, "RBC001"),
        ({"path": MEDIA_PATH.replace(ACCOUNT.sid, "HX1")}, "RBC001"),
        ({"path": MEDIA_PATH.replace(ACCOUNT.business_phone_number, "+999111")}, "WA401"),
        ({"name": "account-not-enabled.mp4"}, "WA-401"),
    ],
    ids=["wrong key", "no key", "wrong SID", "wrong number", "prepaid account"],
)
def test_a_documented_401_is_returned_and_recorded(client: Client, changes: dict[str, Any], code: str) -> None:
    response = upload(client, **changes)
    assert (response.status_code, response.json()["code"]) == (401, code)
    (recorded,) = client.get("/sandbox/uploads").json()
    assert (recorded["status"], recorded["media_id"]) == (401, None)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"content": b""}, "file"),
        ({"content": b"\x89PNG\r\n\x1a\n" + b"x" * 100}, "file"),
        ({"content": MP4 + bytes(MAX_VIDEO_BYTES)}, "file"),
        ({"content": MP4 + bytes(17_000_000)}, "file"),
        ({"content": MP4 + bytes(40_000_000)}, "file"),
        ({"media_type": "image/png"}, "type"),
        ({"Content_Type": "application/json"}, "Content-Type"),
        ({"Content_Type": "multipart/form-data"}, "body"),
        ({"Content_Type": "multipart/form-data; boundary=another"}, "body"),
    ],
    ids=["empty", "a PNG", "more than 16 MiB", "17 MB", "40 MB", "type", "not a form", "no boundary", "wrong boundary"],
)
def test_an_upload_that_is_not_a_video_is_wa400(client: Client, changes: dict[str, Any], field: str) -> None:
    response = upload(client, **changes)
    assert (response.status_code, response.json()["code"]) == (400, "WA400")
    assert field in response.json()["error"]


@pytest.mark.parametrize("missing", ["file", "type"])
def test_both_fields_are_required(client: Client, missing: str) -> None:
    files: dict[str, Any] = {"file": ("v.mp4", MP4, "video/mp4"), "type": (None, "video/mp4")}
    del files[missing]
    response = client.post(MEDIA_PATH, files=files, headers={"Content-Type": None})
    assert missing in response.json()["error"]


def test_a_video_of_the_maximum_size_is_accepted(client: Client) -> None:
    assert upload(client, MP4 + bytes(MAX_VIDEO_BYTES - len(MP4))).status_code == 200


def test_the_file_name_selects_the_scenario(client: Client) -> None:
    assert upload(client, name="internal-error.mp4").json()["code"] == "WA500"
    busy = upload(client, name="too-many-requests-once.mp4")
    assert (busy.status_code, busy.headers["Retry-After"]) == (429, "1")
    assert upload(client, name="too-many-requests-once.mp4").json()["data"]["media_id"]
    assert upload(client, name="accepted-empty-body.mp4").content == b""
    assert [one["status"] for one in client.get("/sandbox/uploads").json()] == [500, 429, 200, 202]
    assert [bool(one["media_id"]) for one in client.get("/sandbox/uploads").json()] == [False, False, True, True]


def test_deleting_the_messages_keeps_the_uploads(client: Client) -> None:
    media_id = upload(client).json()["data"]["media_id"]
    client.delete("/sandbox/messages")
    assert client.post(MESSAGES_PATH, json=by_id(media_id)).status_code == 202

"""The sandbox rejects every request that the page "Send Video Messages" does not allow."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_kaleyra.sandbox.contract import MAX_BODY_BYTES, WA_SOURCES
from tests.sandbox.conftest import ACCOUNT, HEADERS, MESSAGES_PATH, video

if TYPE_CHECKING:
    from tests.sandbox.conftest import Client

RBC001 = {
    "code": "RBC001",
    "message": "Incorrect SID or API key.",
    "data": [],
    "error": {"error": "Incorrect SID or API key."},
}
WA401 = {
    "code": "WA401",
    "message": "Phone number is not present or does not belong to the account.",
    "data": {},
    "error": {"phone_number": "Phone number is not present or does not belong to the account."},
}
NUMBER_PATH = f"/v2/{ACCOUNT.sid}/whatsapp/{ACCOUNT.business_phone_number}/phone_number_details"
PROFILES_PATH = f"/v1/{ACCOUNT.sid}/callback/profiles?limit=1&offset=0"


def changed(path: str, value: object) -> dict[str, Any]:
    """Return the sample message with one field changed."""
    payload = copy.deepcopy(video(ref="customer1"))
    *parents, name = path.split(".")
    parent = payload
    for step in parents:
        parent = parent[step]
    parent[name] = value
    return payload


def without(path: str) -> dict[str, Any]:
    """Return the sample message without one field."""
    payload = changed(path, None)
    *parents, name = path.split(".")
    parent = payload
    for step in parents:
        parent = parent[step]
    del parent[name]
    return payload


def envelope(kind: str, content: object) -> dict[str, Any]:
    """Return a message of that type."""
    return {
        "messaging_object": {"messaging_product": "whatsapp", "to": "+919876543210", "type": kind, kind: content},
    }


def test_the_pages_sample_is_accepted(client: Client) -> None:
    response = client.post(MESSAGES_PATH, json=video(ref="customer1", ref1="marketing", ref2="dictionary"))
    body = response.json()
    assert response.status_code == 202
    assert body == {
        "code": "WA202",
        "message": "Request Accepted",
        "data": {"message_id": client.get("/sandbox/messages").json()[0]["message_id"]},
        "error": {},
    }


def test_every_message_has_its_own_id(client: Client) -> None:
    ids = {client.post(MESSAGES_PATH, json=video()).json()["data"]["message_id"] for _ in range(50)}
    assert len(ids) == 50


@pytest.mark.parametrize("path", [MESSAGES_PATH, NUMBER_PATH, PROFILES_PATH])
@pytest.mark.parametrize("key", ["wrong", "", None])
def test_a_wrong_or_missing_key_is_rbc001(client: Client, path: str, key: str | None) -> None:
    headers = {"Content-Type": "application/json"} | ({} if key is None else {"api-key": key})
    client.headers = headers
    response = client.post(path, json=video()) if path == MESSAGES_PATH else client.get(path)
    assert (response.status_code, response.json()) == (401, RBC001)


@pytest.mark.parametrize("path", [MESSAGES_PATH, NUMBER_PATH, PROFILES_PATH])
def test_a_wrong_sid_is_rbc001(client: Client, path: str) -> None:
    path = path.replace(ACCOUNT.sid, "HXAP1600000000XX")
    response = client.post(path, json=video()) if "messages" in path else client.get(path)
    assert (response.status_code, response.json()) == (401, RBC001)


@pytest.mark.parametrize("path", [MESSAGES_PATH, NUMBER_PATH])
@pytest.mark.parametrize("number", ["+919876543210", ACCOUNT.business_phone_number.lstrip("+")])
def test_a_number_of_another_account_is_wa401(client: Client, path: str, number: str) -> None:
    path = path.replace(ACCOUNT.business_phone_number, number)
    response = client.post(path, json=video()) if "messages" in path else client.get(path)
    assert (response.status_code, response.json()) == (401, WA401)


def test_the_number_may_be_percent_encoded(client: Client) -> None:
    assert client.post(MESSAGES_PATH.replace("+", "%2B"), json=video()).status_code == 202


def test_the_caller_is_checked_before_the_payload(client: Client) -> None:
    client.headers = {"api-key": "wrong"}
    assert client.post(MESSAGES_PATH, data=b"{").json() == RBC001


NESTED = video()
NESTED["messaging_object"]["extra_info"] = {"ref": "customer1"}

REJECTED = [
    (NESTED, "messaging_object.extra_info"),
    ([], "body"),
    (None, "body"),
    ({}, "messaging_object"),
    ({"messaging_object": []}, "messaging_object"),
    (video() | {"unknown": "x"}, "unknown"),
    (video() | {"code": "x"}, "code"),
    (without("messaging_object.messaging_product"), "messaging_object.messaging_product"),
    (changed("messaging_object.messaging_product", "sms"), "messaging_object.messaging_product"),
    (changed("messaging_object.recipient_type", "group"), "messaging_object.recipient_type"),
    (changed("messaging_object.recipient_type", None), "messaging_object.recipient_type"),
    (changed("messaging_object.unknown", "x"), "messaging_object.unknown"),
    (without("messaging_object.to"), "messaging_object.to"),
    (changed("messaging_object.to", ""), "messaging_object.to"),
    (changed("messaging_object.to", " "), "messaging_object.to"),
    (changed("messaging_object.to", "919876543210"), "messaging_object.to"),
    (changed("messaging_object.to", "+0919876543"), "messaging_object.to"),
    (changed("messaging_object.to", "+91 98765 43210"), "messaging_object.to"),
    (changed("messaging_object.to", "+9198765432101234"), "messaging_object.to"),
    (changed("messaging_object.to", "+919876543210\n"), "messaging_object.to"),
    (changed("messaging_object.to", "+९१९८७६५४३२१०"), "messaging_object.to"),
    (changed("messaging_object.to", 919876543210), "messaging_object.to"),
    (without("messaging_object.type"), "messaging_object.type"),
    (changed("messaging_object.type", "Video"), "messaging_object.video"),
    (changed("messaging_object.type", "image"), "messaging_object.video"),
    (changed("messaging_object.type", 7), "messaging_object.type"),
    (without("messaging_object.video"), "messaging_object.video"),
    (changed("messaging_object.video", {}), "messaging_object.video"),
    (changed("messaging_object.video", ["1166846181421424"]), "messaging_object.video"),
    (changed("messaging_object.video.unknown", "x"), "messaging_object.video.unknown"),
    (changed("messaging_object.video.link", None), "messaging_object.video.link"),
    (changed("messaging_object.video.link", "https://example.com/v.mp4"), "messaging_object.video"),
    (changed("messaging_object.video", {"caption": "only"}), "messaging_object.video"),
    (changed("messaging_object.video", {"link": "javascript:alert(1)"}), "messaging_object.video.link"),
    (changed("messaging_object.video", {"link": "https://"}), "messaging_object.video.link"),
    (changed("messaging_object.video", {"link": "https://[broken"}), "messaging_object.video.link"),
    (changed("messaging_object.video", {"link": "/v.mp4"}), "messaging_object.video.link"),
    (changed("messaging_object.video.id", 1166846181421424), "messaging_object.video.id"),
    (changed("messaging_object.video.id", ""), "messaging_object.video.id"),
    (changed("messaging_object.video.caption", "x" * 1025), "messaging_object.video.caption"),
    (changed("messaging_object.video.caption", ""), "messaging_object.video.caption"),
    (changed("messaging_object.video.caption", None), "messaging_object.video.caption"),
    (changed("extra_info", None), "extra_info"),
    (changed("extra_info", {}), "extra_info"),
    (changed("extra_info", "customer1"), "extra_info"),
    (changed("extra_info.unknown", "x"), "extra_info.unknown"),
    (changed("extra_info.ref", None), "extra_info.ref"),
    (changed("extra_info.ref", ""), "extra_info.ref"),
    (changed("extra_info.ref", 7), "extra_info.ref"),
    (changed("extra_info.ref", "x" * 256), "extra_info.ref"),
    (changed("extra_info.ref1", "x" * 256), "extra_info.ref1"),
    (changed("extra_info.ref2", "x" * 256), "extra_info.ref2"),
    (changed("extra_info.wa_source", ""), "extra_info.wa_source"),
    (envelope("text", "hello"), "messaging_object.text"),
    (envelope("text", {"body": None}), "messaging_object.text.body"),
    (envelope("contacts", [{"name": ""}]), "messaging_object.contacts.0.name"),
    (envelope("location", {"latitude": float("1e999")}), "body"),
]


@pytest.mark.parametrize(
    ("payload", "field"), REJECTED, ids=[f"{number}-{case[1]}" for number, case in enumerate(REJECTED)]
)
def test_an_incorrect_payload_is_wa400_and_names_the_field(client: Client, payload: object, field: str) -> None:
    response = client.post(MESSAGES_PATH, data=json.dumps(payload))
    body = response.json()
    assert response.status_code == 400
    assert (body["code"], body["message"], body["data"]) == ("WA400", "Refer to correct payload format", {})
    assert body["error"]["payload"] == "Incorrect payload format"
    assert field in body["error"]
    assert client.get("/sandbox/messages").json() == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"NaN",
        b"[" * 100_000,
        b"1" * 5_000,
        b'{"messaging_object": NaN}',
        json.dumps(video()).encode("utf-16"),
    ],
    ids=["empty", "truncated", "not-utf8", "nan", "deep", "long-number", "nan-inside", "utf16"],
)
def test_a_body_that_is_not_json_is_wa400(client: Client, body: bytes) -> None:
    response = client.post(MESSAGES_PATH, data=body)
    assert (response.status_code, response.json()["code"]) == (400, "WA400")
    assert "body" in response.json()["error"]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(changed("messaging_object.video.caption", "\ud83d")),
        json.dumps(envelope("text", {"\ud83d": "x"})),
        json.dumps(envelope("location", {"latitude": 7})).replace("7", "1e999"),
        json.dumps(envelope("interactive", json.loads('{"a":' * 40 + "1" + "}" * 40))),
    ],
    ids=["lone-surrogate", "lone-surrogate-in-name", "infinite", "deep"],
)
def test_json_that_could_not_be_serialized_is_wa400(client: Client, text: str) -> None:
    assert client.post(MESSAGES_PATH, data=text).json()["code"] == "WA400"
    assert client.get("/sandbox/messages").json() == []
    assert len(client.get("/sandbox/requests").json()) == 1


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
def test_another_content_type_is_wa400(client: Client, content_type: str | None) -> None:
    client.headers = {"api-key": ACCOUNT.api_key} | ({"Content-Type": content_type} if content_type else {})
    body = client.post(MESSAGES_PATH, data=json.dumps(video()).encode()).json()
    assert body["code"] == "WA400"
    assert "Content-Type" in body["error"]


def test_the_content_type_may_contain_a_charset(client: Client) -> None:
    headers = HEADERS | {"Content-Type": "application/json; charset=utf-8"}
    assert client.post(MESSAGES_PATH, data=json.dumps(video()), headers=headers).status_code == 202


def test_a_body_that_is_too_long_is_wa400(client: Client) -> None:
    response = client.post(MESSAGES_PATH, data=b" " * (MAX_BODY_BYTES + 1))
    assert (response.status_code, response.json()["code"]) == (400, "WA400")


@pytest.mark.parametrize(
    "payload",
    [
        changed("messaging_object.video", {"link": "https://www.awesomeview.com/assets/awesome-view.mp4"}),
        without("messaging_object.recipient_type"),
        changed("messaging_object.video.caption", "x" * 1024),
        changed("messaging_object.video.caption", "दीपावली\nकी शुभकामनाएँ 🪔"),
        changed("extra_info.ref", "x" * 255),
        envelope("text", {"body": "hello"}),
        envelope("image", {"link": "https://example.com/a.png"}),
        envelope("contacts", [{"name": {"formatted_name": "A"}}]),
        envelope("location", {"latitude": 12.97, "longitude": 0}),
    ],
    ids=[
        "link",
        "no-recipient-type",
        "longest-caption",
        "devanagari",
        "longest-ref",
        "text",
        "image",
        "contacts",
        "location",
    ],
)
def test_a_message_that_the_page_allows_is_accepted(client: Client, payload: dict[str, Any]) -> None:
    assert client.post(MESSAGES_PATH, json=payload).status_code == 202
    message = client.get("/sandbox/messages").json()[0]
    sent = payload["messaging_object"]
    assert (message["type"], message["content"]) == (sent["type"], sent[sent["type"]])


@pytest.mark.parametrize("source", sorted(WA_SOURCES))
def test_a_known_wa_source_is_recorded(client: Client, source: str) -> None:
    client.post(MESSAGES_PATH, json=video(wa_source=source))
    assert client.get("/sandbox/messages").json()[0]["extra_info"] == {"wa_source": source}


@pytest.mark.parametrize("source", ["airflow", "API", "Zoho"])
def test_an_unknown_wa_source_is_recorded_as_api(client: Client, source: str) -> None:
    client.post(MESSAGES_PATH, json=video(ref="customer1", wa_source=source))
    assert client.get("/sandbox/messages").json()[0]["extra_info"] == {"ref": "customer1", "wa_source": "API"}


def test_the_details_of_the_number_are_returned(client: Client) -> None:
    response = client.get(NUMBER_PATH)
    body = response.json()
    assert (response.status_code, body["error"]) == (200, {})
    assert body["data"]["phone_number"] == ACCOUNT.business_phone_number
    assert {"status", "quality_rating", "throughput", "messaging_limit"} <= body["data"].keys()


def test_the_callback_profiles_are_returned(client: Client) -> None:
    response = client.get(PROFILES_PATH)
    assert response.status_code == 200
    assert response.json() == {"code": "RBC024", "message": "Profile fetched successfully", "data": [], "error": {}}

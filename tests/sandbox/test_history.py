"""The sandbox lists the messages that it accepted and the requests that it received."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from tests.sandbox.conftest import ACCOUNT, MESSAGES_PATH, Client, served, video


def test_messages_are_listed_in_order_with_all_their_fields(client: Client) -> None:
    first = client.post(MESSAGES_PATH, json=video("+919876543210", ref="customer1")).json()["data"]["message_id"]
    second = client.post(MESSAGES_PATH, json=video("+999000000200")).json()["data"]["message_id"]
    messages = client.get("/sandbox/messages").json()
    received_at = [datetime.fromisoformat(message.pop("received_at")) for message in messages]
    assert received_at == sorted(received_at)
    assert {moment.utcoffset() for moment in received_at} == {timedelta(0)}
    content = {"id": "1166846181421424", "caption": "Splendid festive celebrations"}
    sent = {"sender": ACCOUNT.business_phone_number, "type": "video", "content": content}
    assert messages == [
        {"message_id": first, "to": "+919876543210", "extra_info": {"ref": "customer1"}, "scenario": None} | sent,
        {"message_id": second, "to": "+999000000200", "extra_info": {}, "scenario": "accepted-wa200"} | sent,
    ]


def test_messages_after_a_known_one_are_listed(client: Client) -> None:
    ids = [client.post(MESSAGES_PATH, json=video()).json()["data"]["message_id"] for _ in range(3)]
    found = client.get("/sandbox/messages", params={"after": ids[0]}).json()
    assert [message["message_id"] for message in found] == ids[1:]
    assert client.get("/sandbox/messages", params={"after": ids[2]}).json() == []


def test_messages_after_a_deleted_one_are_404(client: Client) -> None:
    deleted = client.post(MESSAGES_PATH, json=video()).json()["data"]["message_id"]
    client.delete("/sandbox/messages")
    assert client.get("/sandbox/messages", params={"after": deleted}).status_code == 404


def test_requests_are_listed_whatever_their_result(client: Client) -> None:
    client.headers["User-Agent"] = "client/1.0"
    accepted = client.post(MESSAGES_PATH, json=video(ref="customer1")).json()["data"]["message_id"]
    client.post(MESSAGES_PATH, json=video("+999000000500", ref="customer2", ref1="marketing"))
    client.post(MESSAGES_PATH, json=video(ref="customer3"), headers={"api-key": "wrong"})
    client.post(MESSAGES_PATH, data=b"{")
    requests = client.get("/sandbox/requests").json()
    assert {request["user_agent"] for request in requests} == {"client/1.0"}
    assert [
        (request["to"], request["extra_info"], request["accepted"], request["message_id"], request["status"])
        for request in requests
    ] == [
        ("+919876543210", {"ref": "customer1"}, True, accepted, 202),
        ("+999000000500", {"ref": "customer2", "ref1": "marketing"}, False, None, 500),
        ("+919876543210", {"ref": "customer3"}, False, None, 401),
        (None, {}, False, None, 400),
    ]


def test_a_request_with_fields_of_wrong_types_is_listed(client: Client) -> None:
    payload = {"messaging_object": {"to": 7}, "extra_info": {"ref": "x", "ref1": None, "ref2": {}}}
    for body in (payload, {"messaging_object": "x", "extra_info": "y"}):
        client.post(MESSAGES_PATH, data=json.dumps(body))
    assert [(r["to"], r["extra_info"]) for r in client.get("/sandbox/requests").json()] == [
        (None, {"ref": "x"}),
        (None, {}),
    ]


def test_deleting_the_messages_deletes_the_requests(client: Client) -> None:
    client.post(MESSAGES_PATH, json=video())
    assert client.delete("/sandbox/messages").status_code == 204
    assert client.get("/sandbox/messages").json() == client.get("/sandbox/requests").json() == []


def test_the_simulated_account_is_shown(client: Client) -> None:
    assert client.get("/sandbox/account").json() == {
        "sid": ACCOUNT.sid,
        "api_key": ACCOUNT.api_key,
        "business_phone_number": ACCOUNT.business_phone_number,
    }


def test_two_sandboxes_share_nothing(client: Client) -> None:
    client.post(MESSAGES_PATH, json=video())
    with served() as url:
        assert Client(url).get("/sandbox/messages").json() == []

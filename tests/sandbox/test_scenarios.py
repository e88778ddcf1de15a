"""The recipient's number selects the scenario."""

from __future__ import annotations

import json
import time

import pytest
import requests

from airflow_provider_kaleyra.sandbox.scenarios import SCENARIOS, SLOW_SECONDS
from tests.sandbox.conftest import MESSAGES_PATH, Client, served, video

NUMBERS = {scenario.name: scenario.number for scenario in SCENARIOS}


def test_no_two_scenarios_share_a_number_or_a_name() -> None:
    assert len({scenario.number for scenario in SCENARIOS}) == len(NUMBERS) == len(SCENARIOS)


def test_every_number_is_in_a_country_code_without_real_numbers() -> None:
    assert {scenario.number[:4] for scenario in SCENARIOS} == {"+999"}


def test_the_scenarios_are_listed(client: Client) -> None:
    table = client.get("/sandbox/scenarios").json()
    assert [(row["number"], row["name"]) for row in table] == [(s.number, s.name) for s in SCENARIOS]
    assert all(row["what_happens"] for row in table)


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("wrong-sid-or-key", 401, "RBC001"),
        ("wrong-business-number", 401, "WA401"),
        ("account-not-enabled", 401, "WA-401"),
        ("number-of-other-version", 401, "WA-401"),
        ("incorrect-payload", 400, "WA400"),
        ("low-balance", 400, "E110"),
        ("internal-error", 500, "WA500"),
        ("daily-limit", 400, "WAV2101"),
        ("failure-in-200", 200, "E110"),
    ],
)
def test_a_failure_has_kaleyras_envelope(client: Client, name: str, status: int, code: str) -> None:
    response = client.post(MESSAGES_PATH, json=video(NUMBERS[name]))
    body = response.json()
    assert (response.status_code, body["code"]) == (status, code)
    assert body.keys() == {"code", "message", "data", "error"}
    assert client.get("/sandbox/messages").json() == []


def test_the_two_wa_401_differ_as_on_the_page(client: Client) -> None:
    account = client.post(MESSAGES_PATH, json=video(NUMBERS["account-not-enabled"])).json()
    version = client.post(MESSAGES_PATH, json=video(NUMBERS["number-of-other-version"])).json()
    assert account["error"] == {"account": account["message"]}
    assert version["error"] == {"phone_number": version["message"]}


@pytest.mark.parametrize(
    ("name", "status", "retry_after"),
    [
        ("too-many-requests", 429, None),
        ("too-many-requests-retry-after", 429, "2"),
        ("too-many-requests-for-long", 429, "120"),
        ("overloaded", 503, None),
        ("overloaded-retry-after", 503, "2"),
    ],
)
def test_rate_limits_carry_their_retry_after(client: Client, name: str, status: int, retry_after: str | None) -> None:
    for _ in range(2):
        response = client.post(MESSAGES_PATH, json=video(NUMBERS[name]))
        assert (response.status_code, response.headers.get("Retry-After")) == (status, retry_after)
    assert client.get("/sandbox/messages").json() == []


def test_a_message_is_rejected_once_then_accepted(client: Client) -> None:
    payload = video(NUMBERS["too-many-requests-once"], ref="customer1")
    other = video(NUMBERS["too-many-requests-once"], ref="customer2")
    first = client.post(MESSAGES_PATH, json=payload)
    assert (first.status_code, first.headers["Retry-After"]) == (429, "1")
    assert client.post(MESSAGES_PATH, json=other).status_code == 429
    assert client.post(MESSAGES_PATH, json=payload).status_code == 202
    assert [message["extra_info"]["ref"] for message in client.get("/sandbox/messages").json()] == ["customer1"]


def test_deleting_the_messages_restarts_the_scenario_that_rejects_once(client: Client) -> None:
    payload = video(NUMBERS["too-many-requests-once"])
    client.post(MESSAGES_PATH, json=payload)
    client.delete("/sandbox/messages")
    assert client.post(MESSAGES_PATH, json=payload).status_code == 429


@pytest.mark.parametrize(
    ("name", "status"), [("internal-error-html", 500), ("bad-gateway", 502), ("gateway-timeout", 504)]
)
def test_a_response_of_a_proxy_is_html(client: Client, name: str, status: int) -> None:
    response = client.post(MESSAGES_PATH, json=video(NUMBERS[name]))
    assert (response.status_code, response.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert response.text.startswith("<html>")


@pytest.mark.parametrize(("name", "status"), [("redirect-302", 302), ("redirect-307", 307)])
def test_a_redirect_names_the_configured_url(client: Client, name: str, status: int) -> None:
    response = client.post(MESSAGES_PATH, json=video(NUMBERS[name]))
    assert (response.status_code, response.headers["Location"]) == (status, "http://other-host.invalid/")
    with served(redirect_to="http://127.0.0.1:9/other") as url:
        response = Client(url).post(MESSAGES_PATH, json=video(NUMBERS[name]))
    assert response.headers["Location"] == "http://127.0.0.1:9/other"


def test_accepted_with_the_pages_own_invalid_json(client: Client) -> None:
    response = client.post(MESSAGES_PATH, json=video(NUMBERS["accepted-invalid-json"]))
    assert response.status_code == 202
    with pytest.raises(json.JSONDecodeError):
        response.json()
    assert '"code":"WA202"\n"message"' in response.text
    assert len(client.get("/sandbox/messages").json()) == 1


def test_accepted_with_an_empty_body(client: Client) -> None:
    response = client.post(MESSAGES_PATH, json=video(NUMBERS["accepted-empty-body"]))
    assert (response.status_code, response.content) == (202, b"")
    assert len(client.get("/sandbox/messages").json()) == 1


def test_accepted_with_the_other_success_code(client: Client) -> None:
    response = client.post(MESSAGES_PATH, json=video(NUMBERS["accepted-wa200"]))
    message_id = client.get("/sandbox/messages").json()[0]["message_id"]
    assert (response.status_code, response.json()["code"]) == (200, "WA200")
    assert response.json()["data"] == {"message_id": message_id}


def test_a_scenario_applies_only_after_the_checks(client: Client) -> None:
    payload = video(NUMBERS["accepted-empty-body"])
    assert client.post(MESSAGES_PATH, json=payload, headers={"api-key": "wrong"}).json()["code"] == "RBC001"
    payload["messaging_object"]["video"]["caption"] = ""
    assert client.post(MESSAGES_PATH, json=payload).json()["code"] == "WA400"


@pytest.mark.parametrize(("name", "accepted"), [("close-before-accepting", False), ("close-after-accepting", True)])
def test_the_connection_is_closed_without_a_response(client: Client, name: str, accepted: bool) -> None:
    with pytest.raises(requests.ConnectionError, match="without response"):
        client.post(MESSAGES_PATH, json=video(NUMBERS[name]))
    assert len(client.get("/sandbox/messages").json()) == accepted
    (request,) = client.get("/sandbox/requests").json()
    assert (request["accepted"], request["status"]) == (accepted, "closed")


@pytest.mark.parametrize(("name", "accepted"), [("hang", False), ("hang-after-accepting", True)])
def test_the_response_never_comes(client: Client, name: str, accepted: bool) -> None:
    with pytest.raises(requests.ReadTimeout):
        client.post(MESSAGES_PATH, json=video(NUMBERS[name]), timeout=0.5)
    (request,) = client.get("/sandbox/requests").json()
    assert (request["accepted"], request["status"]) == (accepted, "hung")


def test_a_late_response_comes_after_the_delay(client: Client) -> None:
    start = time.monotonic()
    response = client.post(MESSAGES_PATH, json=video(NUMBERS["slow-response"]))
    assert time.monotonic() - start >= SLOW_SECONDS
    assert response.status_code == 202
    (message,) = client.get("/sandbox/messages").json()
    assert response.json()["data"] == {"message_id": message["message_id"]}


def test_a_late_response_belongs_to_a_message_accepted_at_once(client: Client) -> None:
    with pytest.raises(requests.ReadTimeout):
        client.post(MESSAGES_PATH, json=video(NUMBERS["slow-response"]), timeout=0.5)
    assert len(client.get("/sandbox/messages").json()) == 1

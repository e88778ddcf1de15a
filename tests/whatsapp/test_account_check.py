from __future__ import annotations

import json

import pytest

from airflow_provider_kaleyra.whatsapp.account import Account
from airflow_provider_kaleyra.whatsapp.account_check import verdict
from airflow_provider_kaleyra.whatsapp.outcome import NotSent, Response, Unknown
from airflow_provider_kaleyra.whatsapp.request import check_request

NUMBER = "+12025550100"
URL = "https://api.in.kaleyra.io"


def account(number: str | None = NUMBER) -> Account:
    return Account(sid="HXAP16XXXXXX97IN", api_key="a-key", base_url=URL, business_phone_number=number)


def response(status: int, body: object, headers: dict[str, str] | None = None) -> Response:
    text = body if isinstance(body, str) else json.dumps(body)
    return Response(status, headers or {}, text.encode())


def failure(code: str, message: str) -> dict[str, object]:
    return {"code": code, "message": message, "data": {}, "error": {"error": message}}


@pytest.mark.parametrize(
    ("number", "path"),
    [
        (NUMBER, f"/v2/HXAP16XXXXXX97IN/whatsapp/{NUMBER}/phone_number_details"),
        (None, "/v1/HXAP16XXXXXX97IN/callback/profiles?limit=1&offset=0"),
    ],
)
def test_the_request_reads_and_sends_nothing(number, path):
    request = check_request(account(number))
    assert (request.method, request.url, request.body) == ("GET", URL + path, b"")
    assert request.headers == {"api-key": "a-key", "cache-control": "no-cache"}
    assert "a-key" not in f"{request} {request!r}"
    assert NUMBER not in f"{request} {request!r}"


def test_all_that_kaleyra_reports_for_the_number_is_shown():
    data = {"status": "CONNECTED", "throughput": {"level": "HIGH"}, "limits": ["a", {"b": 1}], "none": None, "x": ""}
    works, why = verdict(account(), response(200, {"code": "WA200", "message": "ok", "data": data, "error": {}}))
    assert works
    assert why == (
        "SID, API key and WhatsApp business number +12*******00 are right. Kaleyra reports for the number: "
        "status: CONNECTED, throughput.level: HIGH, limits: a, limits.b: 1."
    )


@pytest.mark.parametrize("body", [{"code": "WA200"}, {"data": []}, {"data": "text"}])
def test_a_response_without_facts_about_the_number_is_a_success(body):
    assert verdict(account(), response(200, body))[0]


def test_without_a_number_the_verdict_says_that_none_was_checked():
    body = {"code": "RBC024", "message": "Profile fetched successfully", "data": [], "error": {}}
    works, why = verdict(account(None), response(200, body))
    assert works
    assert "No WhatsApp business number is set" in why


def test_a_response_of_any_size_and_depth_makes_a_short_verdict():
    deep: object = {"x" * 5000: "y" * 5000}
    for _ in range(300):
        deep = {"d": deep}
    body = {"code": "WA200", "data": {"deep": deep, "k" * 5000: "v", **{str(i): "z" * 5000 for i in range(5000)}}}
    works, why = verdict(account(), response(200, body))
    assert works
    assert len(why) < 5000


@pytest.mark.parametrize(
    "body",
    [
        {"code": 0, "data": {}},
        {"code": "UNAUTHENTICATED", "error": {"reason": "no session"}},
        {"data": None, "error": "login required"},
        {"error": {"code": "WA200"}},
        {"errors": ["login required"], "data": {}},
        {"success": False, "data": {}},
        {"status": 401, "data": {}},
    ],
)
def test_a_2xx_of_a_gateway_is_a_failure(body):
    works, why = verdict(account(), response(200, body))
    assert not works
    assert "is not Kaleyra's own (HTTP 200)" in why


def test_a_code_that_kaleyra_does_not_document_is_not_kaleyras_own():
    works, why = verdict(account(), response(403, {"code": "FORBIDDEN", "message": "blocked"}))
    assert not works
    assert "is not Kaleyra's own (HTTP 403)" in why


ECHO = "line\n\x1b[2J api-key: Aq3x9Zt7Lk2Vb8Nw5Rj1Hs6Pf4Gd0Yc3 +12025550100"


@pytest.mark.parametrize("before", range(0, 220, 9))
@pytest.mark.parametrize(
    "make",
    [
        lambda echo: response(200, {"code": "WA200", "data": {"echo": echo, echo: [echo]}}),
        lambda echo: response(200, f"<pre>{echo}"),
        lambda echo: response(401, failure("RBC001", echo)),
        lambda echo: response(502, failure(echo, echo)),
        NotSent,
        Unknown,
    ],
)
def test_a_verdict_quotes_neither_key_nor_number_nor_control_characters(make, before):
    proved = Account(sid="S", api_key=ECHO.split()[-2], base_url=URL, business_phone_number=NUMBER)
    _, why = verdict(proved, make("." * before + ECHO))
    key = proved.api_key.reveal()
    assert not any(key[i : i + 4] in why for i in range(len(key) - 3))
    assert NUMBER.removeprefix("+") not in why
    assert why.isprintable()


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (
            response(401, failure("RBC001", "Incorrect SID or API key.")),
            ["RBC001, Incorrect SID or API key. The Connection", "login (SID), password (API key)"],
        ),
        (response(401, failure("WA401", "Phone number is not present")), ["WA401", "not a WhatsApp number of this"]),
        (response(401, failure("WA-401", "API is not available")), ["WA-401", "support"]),
        (response(200, failure("RBC001", "Incorrect SID or API key.")), ["RBC001"]),
        (response(500, failure("WA500", "Please try again later")), ["WA500", "try again later"]),
        (NotSent("NameResolutionError: nope"), ["could not be reached", "NameResolutionError", "pod or host", "proxy"]),
        (Unknown("ReadTimeout: Read timed out."), ["No response came", "Read timed out", "timeout"]),
        (response(200, "<html>Welcome to the hotel</html>"), ["not Kaleyra's own", "hotel", "pod or host", "proxy"]),
        (response(200, ""), ["not Kaleyra's own", "it is empty"]),
        (response(200, [1]), ["not Kaleyra's own"]),
        (response(200, {"hello": "world"}), ["not Kaleyra's own"]),
        (response(403, "<h1>Blocked by policy</h1>"), ["not Kaleyra's own", "Blocked by policy", "proxy"]),
        (response(404, "not found"), ["not Kaleyra's own", "HTTP 404", "pod or host"]),
        (response(502, "<h1>Bad Gateway</h1>"), ["not Kaleyra's own", "HTTP 502"]),
        (response(302, "", {"Location": "https://elsewhere"}), ["HTTP 302", "Redirects are not followed"]),
        (response(407, ""), ["HTTP 407", "proxy", "credentials"]),
        (response(429, "Too Many Requests"), ["HTTP 429", "Too many requests"]),
        (response(503, "Service Unavailable"), ["HTTP 503", "overloaded"]),
    ],
    ids=range(18),
)
def test_each_failure_says_what_to_do(found, expected):
    works, why = verdict(account(), found)
    assert not works
    assert [text for text in expected if text not in why] == []

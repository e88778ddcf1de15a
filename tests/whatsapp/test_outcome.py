from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_kaleyra.whatsapp.outcome import (
    Accepted,
    NotSent,
    Outcome,
    Rejected,
    Unknown,
    decode,
    redacted,
    undelivered,
)

UNAUTHORISED = "Incorrect SID or API key."
NO_NUMBER = "Phone number is not present or does not belong to the account."
LOW_BALANCE = "Please check your balance, You have a low balance!"
NO_API = "API is not available for given customer.Please contact support for more info"
OTHER_VERSION = (
    "The phone number you're using is associated with different Version of our WA API. "
    "Please use the appropriate endpoint."
)
# Status, code, message, the one entry of "error", and whether a retry can help: the seven failures of the page,
# and the daily limit of the page of error codes.
DOCUMENTED = [
    (401, "RBC001", UNAUTHORISED, ("error", UNAUTHORISED), False),
    (401, "WA401", NO_NUMBER, ("phone_number", NO_NUMBER), False),
    (400, "WA400", "Refer to correct payload format", ("payload", "Incorrect payload format"), False),
    (500, "WA500", "Please try again later", ("error", "Internal server error"), True),
    (400, "E110", LOW_BALANCE, ("balance", LOW_BALANCE), True),
    (401, "WA-401", NO_API, ("account", NO_API), False),
    (401, "WA-401", OTHER_VERSION, ("phone_number", OTHER_VERSION), False),
    (400, "WAV2101", "Account daily limit reached", ("account", "Account daily limit reached"), False),
]


def envelope(code: object, message: object = "m", data: object = (), error: object = ()) -> bytes:
    return json.dumps({"code": code, "message": message, "data": data or {}, "error": error or {}}).encode()


@pytest.mark.parametrize("code", ["WA202", "WA200", "UNHEARD-OF", "WA400"])
@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_2xx_with_a_message_id_is_accepted_whatever_its_code(status, code):
    assert decode(status, {}, envelope(code, data={"message_id": "AX1"}, error={"e": "x"})) == Accepted("AX1")


@pytest.mark.parametrize(
    "body",
    [
        {"data": {"message_id": "AX1"}, "messages": [{"id": "other"}], "id": "another"},
        {"data": [], "messages": [{"id": " AX1 "}], "id": "another"},
        {"data": {"message_id": ""}, "messages": [], "id": "AX1"},
        {"messages": "AX2", "id": "AX1"},
    ],
)
def test_the_message_id_is_looked_for_where_clients_have_read_it(body):
    assert decode(202, {}, json.dumps(body).encode()) == Accepted("AX1")


def test_a_numeric_message_id_becomes_text():
    assert decode(202, {}, b'{"data": {"message_id": 17}}') == Accepted("17")


@pytest.mark.parametrize("documented", DOCUMENTED, ids=lambda documented: documented[1])
@pytest.mark.parametrize("data", [{}, []])
def test_documented_failures_keep_all_that_kaleyra_says(documented, data):
    status, code, message, detail, retry_helps = documented
    outcome = decode(status, {}, envelope(code, message, data, dict([detail])))
    assert outcome == Rejected(code=code, message=message, details=dict([detail]), http_status=status)
    assert outcome.meaning.retry_helps is retry_helps
    assert outcome.meaning.advice


@pytest.mark.parametrize("code", ["WA400", "RBC001", "E110"])
def test_a_failing_code_in_a_2xx_is_a_rejection(code):
    outcome = decode(200, {}, envelope(code, "no"))
    assert isinstance(outcome, Rejected)
    assert outcome.code == code


def test_an_unheard_of_code_with_an_error_in_a_2xx_is_a_rejection():
    assert isinstance(decode(202, {}, envelope("WA777", error={"field": "bad"})), Rejected)


@pytest.mark.parametrize(
    "body",
    [
        # The page's own sample of a success, which lacks two commas.
        b'{\n"code":"WA202"\n"message":"Request Accepted",\n"data":{\n"message_id":"AX1"\n}\n"error":{}\n}',
        b"",
        b"   ",
        b"<html>ok</html>",
        b'{"code": "WA202", "data": {"message_id": "A',
        b'{"code": "WA202", "data": {}, "error": {}}',
        b'{"code": "WA202", "data": {}, "error": {"odd": "contradiction"}}',
        b'{"code": "WA777", "data": {}, "error": {}}',
        b'{"data": {"message_id": true}}',
        b'{"data": {"message_id": null}, "id": {"x": 1}}',
        b'["WA202"]',
        b"null",
        b"\xff\xfe\x00\xd8",
        b"[" * 200_000,
        b'{"data": {"message_id": ' + b"9" * 10_000 + b"}}",
    ],
    ids=range(15),
)
def test_a_2xx_that_cannot_be_read_may_have_been_sent(body):
    assert isinstance(decode(202, {}, body), Unknown)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_json_is_read_in_every_encoding_of_unicode(encoding):
    assert decode(202, {}, '{"data": {"message_id": "AX1"}}'.encode(encoding)) == Accepted("AX1")


@pytest.mark.parametrize("status", [500, 502, 504, 520, 100, 0, 999])
@pytest.mark.parametrize(
    "body", [b"<h1>Bad gateway</h1>", b"", b'{"message": "Internal server error"}', b'{"code": 500}']
)
def test_an_error_that_is_not_kaleyras_own_may_have_been_sent(status, body):
    assert isinstance(decode(status, {}, body), Unknown)


@pytest.mark.parametrize("status", [400, 500, 502])
def test_a_success_code_in_a_failing_answer_is_a_contradiction(status):
    assert isinstance(decode(status, {}, envelope("WA202", data={"message_id": "AX1"})), Unknown)


@pytest.mark.parametrize(
    ("status", "retry_helps"),
    [
        (301, False),
        (307, False),
        (400, False),
        (403, False),
        (404, False),
        (407, False),
        (418, False),
        (429, True),
        (503, True),
    ],
)
def test_http_refusals_need_no_envelope(status, retry_helps):
    outcome = decode(status, {}, b"<html>no</html>")
    assert isinstance(outcome, Rejected)
    assert outcome.code is None
    assert "<html>no" in outcome.message
    assert outcome.meaning.retry_helps is retry_helps


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_failure_in_kaleyras_envelope_is_certain_and_passing(status):
    outcome = decode(status, {}, envelope("WA5xx", "broken"))
    assert isinstance(outcome, Rejected)
    assert outcome.meaning.retry_helps


def test_a_documented_code_outweighs_the_status():
    outcome = decode(429, {}, envelope("WAV2101"))
    assert isinstance(outcome, Rejected)
    assert not outcome.meaning.retry_helps


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), (" 0 ", 0.0), ("soon", None), ("", None), ("-3", None), ("1e3", None), ("²", None), ("9" * 400, None)],
)
def test_retry_after_in_seconds(value, seconds):
    outcome = decode(429, {"retry-AFTER": value}, b"")
    assert isinstance(outcome, Rejected)
    assert outcome.retry_after == seconds


@pytest.mark.parametrize(
    ("until", "seconds"),
    [
        ("Mon, 23 Nov 2026 10:00:30 GMT", 30.0),
        ("Mon, 23 Nov 2026 09:00:00 GMT", 0.0),
        ("Mon, 23 Nov 2026 10:00:05", 5.0),
    ],
)
def test_retry_after_as_a_date_is_read_against_the_answers_own_clock(until, seconds):
    outcome = decode(503, {"Retry-After": until, "Date": "Mon, 23 Nov 2026 10:00:00 GMT"}, b"")
    assert isinstance(outcome, Rejected)
    assert outcome.retry_after == seconds


def test_retry_after_as_a_date_without_a_date_header_is_read_against_ours():
    until = format_datetime(datetime.now(UTC) + timedelta(minutes=5))
    outcome = decode(503, {"Retry-After": until}, b"")
    assert isinstance(outcome, Rejected)
    assert outcome.retry_after is not None
    assert 290 < outcome.retry_after <= 300


@pytest.mark.parametrize("error", ["text", ["a"], 3, {"n": {"deep": 1}}, {"n": None}, {"n": "x" * 9_000}])
def test_details_are_bounded_text_whatever_the_error_field_holds(error):
    outcome = decode(400, {}, envelope("WA400", error=error))
    assert isinstance(outcome, Rejected)
    assert all(isinstance(value, str) and len(value) <= 500 for value in outcome.details.values())
    assert outcome.details


def test_ten_megabytes_of_noise_are_an_outcome_of_bounded_size():
    noise = random.Random(1).randbytes(10_000_000)
    for status in (202, 400, 500):
        assert len(repr(decode(status, {}, noise))) < 5_000


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ENVELOPES = st.dictionaries(
    st.sampled_from(["code", "message", "data", "error", "messages", "id"]),
    JSON_VALUES | st.sampled_from(["WA202", "WA401", "E110"]) | st.fixed_dictionaries({"message_id": JSON_VALUES}),
).map(lambda value: json.dumps(value).encode())
HEADERS = st.dictionaries(st.sampled_from(["Retry-After", "date", "X"]), st.text())


@given(st.integers(-1, 1000), HEADERS, st.binary() | ENVELOPES)
@example(400, {"Retry-After": "Mon, 99 Nov 99999 10:00:00 GMT"}, b"")
@example(400, {}, b'{"code": "\\ud800", "message": "\\ud800"}')
def test_any_answer_is_one_of_the_outcomes(status, headers, body):
    outcome = decode(status, headers, body)
    assert isinstance(outcome, Outcome)
    repr(outcome).encode()
    if isinstance(outcome, Accepted):
        assert 200 <= status < 300
        assert outcome.message_id
    if isinstance(outcome, Rejected):
        assert outcome.meaning.advice
        assert outcome.retry_after is None or outcome.retry_after >= 0


def test_only_a_request_whose_body_stayed_here_was_not_sent():
    assert undelivered("refused", left=False) == NotSent("refused")
    assert undelivered("timed out", left=True) == Unknown("timed out")


def test_whatever_an_outcome_quotes_is_redacted():
    def redact(text: str) -> str:
        return text.replace("secret", "***")

    rejected = Rejected(code="E1", message="a secret", details={"secret": "my secret"}, http_status=400)
    clean = redacted(rejected, redact)
    assert "secret" not in repr(clean)
    assert redacted(Unknown("secret"), redact) == Unknown("***")
    assert redacted(NotSent("secret"), redact) == NotSent("***")
    assert redacted(Accepted("secret"), redact) == Accepted("secret")

from __future__ import annotations

import html
import json
import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import quote, unquote

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from airflow_provider_kaleyra.exceptions import error_for
from airflow_provider_kaleyra.transport.resend import SEND, can_be_resent
from airflow_provider_kaleyra.whatsapp.account import Account
from airflow_provider_kaleyra.whatsapp.error_codes import Cause, failure_for, known_code
from airflow_provider_kaleyra.whatsapp.media_upload import Uploaded, decode_upload
from airflow_provider_kaleyra.whatsapp.message import VideoMessage
from airflow_provider_kaleyra.whatsapp.outcome import (
    Accepted,
    NotSent,
    Outcome,
    Rejected,
    Unknown,
    no_response,
    redacted,
)
from airflow_provider_kaleyra.whatsapp.outcome import decode as decode_redacted
from airflow_provider_kaleyra.whatsapp.request import Request, video_request

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


def decode(status: int, headers: dict[str, str], body: bytes) -> Outcome:
    return decode_redacted(status, headers, body, str)


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
        {"data": [{"message_id": "AX1"}], "messages": [{"id": "other"}], "id": "another"},
        {"data": {"messages": [{"id": "AX1"}]}, "messages": [{"id": "other"}], "id": "another"},
        {"data": [], "messages": [{"id": " AX1 "}], "id": "another"},
        {"data": {"message_id": ""}, "messages": [], "id": "AX1"},
        {"messages": "AX2", "id": "AX1"},
    ],
)
def test_the_message_id_is_found_at_the_places_that_other_clients_read(body):
    assert decode(202, {}, json.dumps(body).encode()) == Accepted("AX1")


def test_a_numeric_message_id_becomes_text():
    assert decode(202, {}, b'{"data": {"message_id": 17}}') == Accepted("17")


@pytest.mark.parametrize("documented", DOCUMENTED, ids=lambda documented: documented[1])
@pytest.mark.parametrize("data", [{}, []])
def test_a_documented_failure_keeps_code_message_and_details(documented, data):
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


@pytest.mark.parametrize(
    "code", ["WA777", "wa400", " WA400", "WA400 ", "WA-400", "E110.1", "400", 400, ["WA400"], None]
)
@pytest.mark.parametrize("status", [200, 202, 500, 502, 503, 504, 520])
def test_an_error_without_a_documented_code_in_a_2xx_or_5xx_is_unknown(code, status):
    assert isinstance(decode(status, {}, envelope(code, error={"field": "bad"})), Unknown)


@pytest.mark.parametrize("status", [200, 202, 299])
@pytest.mark.parametrize("code", ["RBC001", "WA400", "WA429", "WA500", "E110"])
@pytest.mark.parametrize(
    "more",
    [
        {"id": "request-1"},
        {"messages": [{"id": "AX1"}]},
        {"data": [{"message_id": "AX1"}]},
        {"data": {"messages": [{"id": "AX1"}]}},
    ],
)
def test_a_documented_failure_code_in_a_2xx_overrides_every_id_but_that_of_the_page(status, code, more):
    outcome = decode(status, {}, json.dumps({"code": code, "message": "no", **more}).encode())
    assert isinstance(outcome, Rejected)
    assert outcome.code == code
    more = {"data": {"message_id": "AX1"}}
    assert decode(status, {}, json.dumps({"code": code, "message": "no", **more}).encode()) == Accepted("AX1")


@pytest.mark.parametrize(
    "more",
    [{"id": "request-1"}, {"messages": [{"id": "1"}]}, {"data": [{"message_id": "1"}]}],
)
@pytest.mark.parametrize(
    "flaw",
    [
        {"code": "SESSION_EXPIRED"},
        {"code": 401},
        {"code": ["WA202"]},
        {"error": {"reason": "no session"}},
        {"errors": [{"detail": "no session"}]},
        {"success": False},
        {"status": 403},
        {"status": "502"},
        {"status": " Error"},
    ],
)
def test_an_id_beside_a_foreign_code_or_an_error_is_unknown(flaw, more):
    assert isinstance(decode(200, {}, json.dumps(flaw | more).encode()), Unknown)
    assert decode(200, {}, json.dumps(flaw | {"data": {"message_id": "AX1"}}).encode()) == Accepted("AX1")


@pytest.mark.parametrize(
    "body",
    [
        b'[{"code": "WA500", "message": "m"}]',
        b'{"error": {"code": "WA500", "message": "m"}}',
        b'{"status": 502, "body": {"code": "WA500", "message": "m", "data": {}, "error": {}}}',
        b'{"message": "upstream said {\\"code\\": \\"WA500\\"}"}',
        b'"{\\"code\\": \\"WA500\\"}"',
        b'{"code": "WA500", "code": "GATEWAY_TIMEOUT", "message": "m"}',
        b'{"code": "GATEWAY_TIMEOUT", "code": "WA500", "message": "m"}',
        b'{"Code": "WA500", "CODE": "WA500", "message": "m"}',
        b'{"code": "WA500", "message": "m"',
        b'callback({"code": "WA500", "message": "m"})',
        b'<pre>{"code": "WA500", "message": "m"}</pre>',
    ],
)
def test_a_body_that_quotes_or_resembles_kaleyras_envelope_is_unknown(body):
    assert isinstance(decode(502, {}, body), Unknown)


@pytest.mark.parametrize("status", [100, 204, 302, 400, 408, 418, 429, 499, 500, 502, 503, 504, 520])
def test_a_documented_code_is_a_rejection_whatever_the_status(status):
    outcome = decode(status, {}, envelope("WA500"))
    assert isinstance(outcome, Rejected)
    assert (outcome.code, outcome.meaning.cause) == ("WA500", Cause.KALEYRA)


@pytest.mark.parametrize("status", [101, 302, 400, 408, 500, 504, 600])
@pytest.mark.parametrize("code", ["WA500", "RBC001"])
def test_a_message_id_beside_a_documented_failure_code_is_a_contradiction(status, code):
    outcome = decode(status, {"Retry-After": "5"}, envelope(code, data={"message_id": "AX1"}))
    assert isinstance(outcome, Unknown)
    assert "contradicts itself" in outcome.reason


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
def test_an_unreadable_2xx_is_unknown(body):
    assert isinstance(decode(202, {}, body), Unknown)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_json_is_read_in_every_encoding_of_unicode(encoding):
    assert decode(202, {}, '{"data": {"message_id": "AX1"}}'.encode(encoding)) == Accepted("AX1")


@pytest.mark.parametrize("status", [408, 499, 500, 501, 502, 503, 504, 511, 520, 599, 600, 199, 103, 100, 0, -1, 999])
@pytest.mark.parametrize(
    "body",
    [
        b"<h1>Bad gateway</h1>",
        b"",
        b'{"message": "Internal server error"}',
        b'{"code": 500}',
        b'{"code": "GATEWAY_TIMEOUT", "message": "upstream timed out"}',
        b'{"code": "502", "message": "Bad gateway", "data": null, "error": {"upstream": "reset"}}',
    ],
)
def test_an_error_that_is_not_kaleyras_own_is_unknown(status, body):
    assert isinstance(decode(status, {}, body), Unknown)


@pytest.mark.parametrize("status", [400, 500, 502])
def test_a_success_code_with_an_error_status_is_unknown(status):
    assert isinstance(decode(status, {}, envelope("WA202", data={"message_id": "AX1"})), Unknown)


@pytest.mark.parametrize(
    ("status", "retry_helps"),
    [
        (301, False),
        (307, False),
        (400, False),
        (403, False),
        (404, False),
        (406, False),
        (407, False),
        (413, False),
        (418, False),
        (421, False),
        (425, True),
        (429, True),
        (431, False),
        (503, True),
    ],
)
@pytest.mark.parametrize("code", [None, "FORBIDDEN", 403])
def test_a_status_that_means_not_processed_is_a_rejection_without_kaleyras_code(status, retry_helps, code):
    body = json.dumps({"code": code, "message": "<html>no"}).encode() if code else b"<html>no</html>"
    outcome = decode(status, {"Retry-After": "7"}, body)
    assert isinstance(outcome, Rejected)
    assert outcome.code == (code if isinstance(code, str) else None)
    assert "<html>no" in outcome.message
    assert outcome.meaning.retry_helps is retry_helps
    assert outcome.meaning.cause is not Cause.MESSAGE


@pytest.mark.parametrize("retry_after", ["", "soon", "-1", "7.5", "7, 7"])
def test_a_503_without_a_valid_retry_after_is_unknown(retry_after):
    assert isinstance(decode(503, {"Retry-After": retry_after}, b"no healthy upstream"), Unknown)


@pytest.mark.parametrize("odd", [b"line\nbreak", b"\x1b[31m", b"nul \0", b"caf\xe9", b"\xff\xfe"])
def test_odd_bytes_in_a_text_do_not_hide_the_rest(odd):
    assert decode(202, {}, b'{"message": "' + odd + b'", "data": {"message_id": "AX1"}}') == Accepted("AX1")
    rejected = decode(500, {}, b'{"code": "WA500", "message": "' + odd + b'"}')
    assert isinstance(rejected, Rejected)
    assert rejected.code == "WA500"
    assert rejected.message.isprintable()
    accepted = decode(202, {}, b'{"data": {"message_id": "AX' + odd + b'"}}')
    assert isinstance(accepted, Accepted)
    assert accepted.message_id.isprintable()


def test_a_repeated_retry_after_is_read_as_one_list():
    headers = CIMultiDict([("Retry-After", "5"), ("retry-after", "9")])  # as aiohttp has it
    assert decode(503, headers, b"x") == decode(503, {"Retry-After": "5, 9"}, b"x")


OBJECTS = st.dictionaries(st.sampled_from(["code", "id", "data"]), st.text()).map(lambda x: json.dumps(x).encode())


@given(st.binary() | OBJECTS)
@example(b'{"code": "WA202", "data": {"message_id": "AX1"}}')
def test_a_429_is_a_rejection_with_any_body(body):
    assert isinstance(decode(429, {}, body), Rejected)


def test_wa429_is_treated_as_429_whatever_its_status():
    for status in (200, 400, 429, 500):
        outcome = decode(status, {}, envelope("WA429", "Too many requests"))
        assert can_be_resent(outcome, SEND)
        assert outcome.meaning.retry_helps


@pytest.mark.parametrize("code", [code for _, code, *_ in DOCUMENTED])
def test_the_message_is_the_cause_of_wa400_only(code):
    assert (failure_for(code, 400).cause is Cause.MESSAGE) is (code == "WA400")


@given(st.integers(0, 999), st.none() | st.text())
def test_the_message_is_the_cause_of_no_status(status, code):
    assume(not known_code(code))
    assert failure_for(code, status).cause is not Cause.MESSAGE


def test_a_documented_code_overrides_the_status():
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
def test_retry_after_as_a_date_is_relative_to_the_responses_date(until, seconds):
    outcome = decode(503, {"Retry-After": until, "Date": "Mon, 23 Nov 2026 10:00:00 GMT"}, b"")
    assert isinstance(outcome, Rejected)
    assert outcome.retry_after == seconds


def test_retry_after_as_a_date_without_a_date_header_is_relative_to_now():
    until = format_datetime(datetime.now(UTC) + timedelta(minutes=5))
    outcome = decode(503, {"Retry-After": until}, b"")
    assert isinstance(outcome, Rejected)
    assert outcome.retry_after is not None
    assert 290 < outcome.retry_after <= 300


@pytest.mark.parametrize(
    "message_id", ["A\0B", "A\x1b[2JB", "A\r\nB", "A\ud800B", "A\u202eB", "A\u2028B", "A" * 300, " A\t"]
)
@pytest.mark.parametrize("place", ["data", "messages", "id"])
def test_a_message_id_is_printable_and_short(message_id, place):
    body = {"data": {"data": {"message_id": message_id}}, "messages": {"messages": [{"id": message_id}]}}
    outcome = decode(202, {}, json.dumps(body.get(place, {"id": message_id})).encode())
    assert isinstance(outcome, Accepted)
    assert outcome.message_id.startswith("A")
    assert outcome.message_id.isprintable()
    assert len(outcome.message_id) <= 255


@pytest.mark.parametrize("error", ["text", ["a"], 3, {"n": {"deep": 1}}, {"n": None}, {"n": "x" * 9_000}])
def test_details_are_short_text_whatever_the_error_field_contains(error):
    outcome = decode(400, {}, envelope("WA400", error=error))
    assert isinstance(outcome, Rejected)
    assert all(isinstance(value, str) and len(value) <= 500 for value in outcome.details.values())
    assert outcome.details


def test_ten_megabytes_of_noise_are_a_small_outcome():
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
def test_any_response_is_one_of_the_outcomes(status, headers, body):
    outcome = decode(status, headers, body)
    assert isinstance(outcome, Outcome)
    repr(outcome).encode()
    if isinstance(outcome, Accepted):
        assert 200 <= status < 300
        assert outcome.message_id
    if isinstance(outcome, Rejected):
        assert outcome.meaning.advice
        assert outcome.retry_after is None or outcome.retry_after >= 0


def test_a_request_is_not_sent_only_if_no_body_was_transmitted():
    assert no_response("refused", transmitted=False) == NotSent("refused")
    assert no_response("timed out", transmitted=True) == Unknown("timed out")


def test_all_text_in_an_outcome_is_redacted():
    def redact(text: str) -> str:
        return text.replace("secret", "***")

    rejected = Rejected(code="E1", message="a secret", details={"secret": "my secret"}, http_status=400)
    clean = redacted(rejected, redact)
    assert "secret" not in repr(clean)
    assert redacted(Unknown("secret"), redact) == Unknown("***")
    assert redacted(NotSent("secret"), redact) == NotSent("***")
    assert redacted(Accepted("secret"), redact) == Accepted("secret")


def test_the_reason_of_a_failed_connection_is_redacted_and_cannot_forge_a_line():
    reason = "BadStatusLine: HTTP/1.1 200 secret\r\n[2026-01-01] INFO - success\x1b[2J" + "x" * 9000
    for outcome in (NotSent(reason), Unknown(reason)):
        clean = redacted(outcome, lambda text: text.replace("secret", "***"))
        assert clean.reason.startswith(r"BadStatusLine: HTTP/1.1 200 ***\r\n[2026-01-01] INFO - success\x1b[2J")
        assert clean.reason.isprintable()
        assert len(clean.reason) <= 2000


FORGERY = "no\n[2026-01-01 00:00:00] INFO - accepted\r\x1b[2K\x85\u2028\u2029\u202e\0\ud800 end"


@pytest.mark.parametrize("status", [202, 400, 401, 429, 500, 503])
def test_the_text_of_a_response_cannot_forge_a_log_line(status):
    for code in ("WA400", FORGERY):
        outcome = decode(status, {"Retry-After": "1"}, envelope(code, FORGERY, error={FORGERY: FORGERY}))
        text = str(error_for("the video", outcome))
        assert text.isprintable()
        assert str(vars(outcome)).isprintable()
    assert str(error_for("the video", decode(500, {}, FORGERY.encode("utf-8", "replace")))).isprintable()


# A key in the style of Kaleyra's, and one with every character that a key may contain.
KEYS = ["Aq3x9Zt7Lk2Vb8Nw5Rj1Hs6Pf4Gd0Yc3", "".join(map(chr, range(ord("!"), ord("~") + 1)))]


def parts(text: str, key: str, length: int) -> set[str]:
    """Return the parts of *key* with that length that *text* contains."""
    return {key[i : i + length] for i in range(len(key) - length + 1)} & {
        text[i : i + length] for i in range(len(text) - length + 1)
    }


def quotes(outcome: Outcome) -> list[str]:
    """Return all text of an outcome."""
    match outcome:
        case Accepted(message_id):
            return [message_id]
        case Rejected(code=code, message=message, details=details):
            return [code or "", message, *details, *details.values()]
    return [outcome.reason]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("status", [200, 403, 502])
def test_an_echoed_key_is_hidden_wherever_the_quote_is_cut(key, status):
    request = request_with(key)
    for before in range(0, 620, 3):
        page = f"<pre>{'.' * before} api-key: {key}\nhost: x</pre>"
        spelled = [key, json.dumps(key), html.escape(key), quote(key, safe=""), key.upper()]
        bodies = [f"<pre>{'.' * before} api-key: {one}\nhost: x</pre>".encode() for one in spelled]
        bodies += [page.encode("utf-16"), page.encode("utf-32-le")]
        bodies += [envelope(page, page, error={page: page}), envelope("WA400", page, data={"id": page}, error=page)]
        bodies += [json.dumps({"id": f"{'.' * before}{key}", "data": {"x": page}}).encode()]
        for body in bodies:
            outcome = decode_redacted(status, {}, body, request.redacted)
            for text in quotes(outcome):
                read = text.replace("\\\\", "\\").replace("\\'", "'").replace('\\"', '"')
                for decoded in (read, unquote(read), html.unescape(read)):
                    assert not parts(decoded.lower(), key.lower(), 4)


@pytest.mark.parametrize("key", KEYS)
def test_a_page_that_breaks_off_within_the_key_shows_no_part_of_it(key):
    page = f"<pre>api-key: {key}"
    for end in range(len(page) - len(key), len(page) + 1):
        outcome = decode_redacted(502, {}, page[:end].encode(), request_with(key).redacted)
        assert not parts(quotes(outcome)[0], key, 3)


@given(st.integers(100, 599), st.text(max_size=40), st.text(max_size=600), st.integers(0, 33), st.integers(0, 33))
def test_no_part_of_a_key_is_shown_that_is_longer_than_a_few_characters(status, code, text, start, end):
    echoed = f"{text}{KEYS[0][start:end]}{text}"
    for body in (
        envelope(code + echoed, echoed, data={"message_id": echoed}, error={echoed: echoed}),
        envelope("WA400", echoed, error=[echoed]),
        echoed.encode("utf-8", "replace"),
    ):
        for outcome in (
            decode_redacted(status, {}, body, request_with(KEYS[0]).redacted),
            decode_upload(status, {}, body, request_with(KEYS[0]).redacted),
        ):
            texts = [outcome.media_id] if isinstance(outcome, Uploaded) else quotes(outcome)
            assert not any(parts(one, KEYS[0], 8) for one in texts)
            assert all(one.isprintable() for one in texts)
            assert all(len(one) <= 2100 for one in texts)


def request_with(key: str) -> Request:
    account = Account(
        sid="HXAP2142XX", api_key=key, base_url="https://api.in.kaleyra.io", business_phone_number="+12025550100"
    )
    return video_request(account, VideoMessage(to="+12025550123", media_id="1166846181421424"))

"""The outcome of an upload."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kaleyra.whatsapp.media_upload import NoMediaId, Uploaded, UploadRejected, decode_upload
from airflow_provider_kaleyra.whatsapp.outcome import NotSent, Rejected, Unknown, redacted

WRONG_ACCOUNT = {
    "code": "WA-401",
    "message": "API is not available for given customer.Please contact support for more info",
    "data": {},
    "error": {"account": "API is not available for given customer.Please contact support for more info"},
}


def decoded(status: int, body: object):
    return decode_upload(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode(), str)


@pytest.mark.parametrize(
    "response",
    [
        {"code": "WA200", "data": {"media_id": "42"}},
        {"code": "WA200", "data": {"id": "42", "message_id": "7"}},
        {"code": "WA200", "data": [{"media_id": "42"}]},
        {"media_id": 42},
        {"id": " 42 "},
    ],
)
def test_the_media_id_is_found_wherever_it_is_assumed(response):
    assert decoded(200, response) == Uploaded("42")


@pytest.mark.parametrize("media_id", ["4\0002", "4\n2", "4\ud8002", "4\u202e2", "4" * 256, "secret-42", "", "None"])
def test_a_media_id_is_printable_short_text_without_secrets(media_id):
    body = json.dumps({"code": "WA200", "data": {"media_id": media_id}}).encode()
    outcome = decode_upload(200, {}, body, lambda text: text.replace("secret", "***"))
    assert isinstance(outcome, NoMediaId)
    body = json.dumps({"code": "WA200", "data": {"media_id": media_id}, "id": "42"}).encode()
    assert decode_upload(200, {}, body, lambda text: text.replace("secret", "***")) == Uploaded("42")


@pytest.mark.parametrize("response", [{"id": "42"}, {"media_id": "42"}, {"data": {"id": "42"}}])
def test_a_documented_failure_code_overrides_every_id_but_the_likeliest(response):
    assert isinstance(decoded(200, {"code": "WA400", "message": "no"} | response), UploadRejected)
    assert isinstance(decoded(200, {"code": "GATEWAY", "error": "no session"} | response), NoMediaId)
    response = {"data": {"media_id": "42"}}
    assert decoded(200, {"code": "WA400", "message": "no"} | response) == Uploaded("42")


@pytest.mark.parametrize("status", [413, 415])
def test_a_documented_code_overrides_the_status(status):
    outcome = decoded(status, {"code": "RBC001", "message": "Incorrect SID or API key."})
    assert "The Connection is at fault" in outcome.meaning.advice


def test_the_keys_of_a_response_are_shown_without_secrets_on_one_line():
    names = {"x" * 36 + "secret": 1, "line\nbreak": {"secret\x1b": 1}}
    outcome = decode_upload(200, {}, json.dumps(names).encode(), lambda text: text.replace("secret", "***"))
    assert "secret" not in outcome.reason
    assert outcome.reason.isprintable()
    assert r"line\nbreak.***\x1b" in outcome.reason


def test_the_likelier_place_wins():
    assert decoded(200, {"id": "request", "data": {"id": "other", "media_id": "42"}}) == Uploaded("42")


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (
            {"code": "WA200", "data": {"handle": "x", "url": {}}, "error": {}},
            "the keys code, data.handle, data.url, error",
        ),
        ({"data": {"message_id": "7"}}, "the keys data.message_id"),
        ({"data": {"media_id": True}}, "the keys data.media_id"),
        ([], "no JSON object: '[]'"),
        (b"<html>", "no JSON object: '<html>'"),
        (b"", "no JSON object: it is empty"),
    ],
)
def test_a_response_without_a_media_id_shows_its_keys_and_no_values(response, said):
    outcome = decoded(200, response)
    assert isinstance(outcome, NoMediaId)
    assert said in outcome.reason
    assert "data.media_id, data.id, media_id, id" in outcome.reason


def test_a_prepaid_account_is_explained():
    outcome = decoded(401, WRONG_ACCOUNT)
    assert isinstance(outcome, UploadRejected)
    assert (outcome.code, outcome.http_status, outcome.meaning.retry_helps) == ("WA-401", 401, False)
    assert "postpaid accounts only" in outcome.meaning.advice
    assert "media_link" in outcome.meaning.advice


@pytest.mark.parametrize(
    ("status", "response", "advice"),
    [
        (
            400,
            {"code": "WA400", "message": "Refer to correct payload format", "data": {}, "error": {}},
            "The file is at fault",
        ),
        (413, b"<html>Request Entity Too Large</html>", "too large"),
        (401, {"code": "RBC001", "message": "Incorrect SID or API key.", "data": []}, "The Connection is at fault"),
        (302, b"", "Redirects are not followed"),
        (200, {"code": "WAV2101", "message": "limit", "error": {"error": "limit"}}, "daily limit"),
    ],
)
def test_a_rejection_that_no_retry_can_fix_names_the_cause(status, response, advice):
    outcome = decoded(status, response)
    assert isinstance(outcome, UploadRejected)
    assert not outcome.meaning.retry_helps
    assert advice in outcome.meaning.advice


def test_a_502_of_a_proxy_is_unknown():
    assert type(decoded(502, b"<html>Bad Gateway</html>")) is Unknown


def test_a_redacted_rejection_keeps_its_meaning():
    outcome = decoded(401, WRONG_ACCOUNT | {"message": "key secret"})
    clean = redacted(outcome, lambda text: text.replace("secret", "***"))
    assert clean.message == "key ***"
    assert clean.meaning == outcome.meaning


@given(
    st.integers(100, 599),
    st.binary()
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["code", "data", "media_id", "id", "error", "message"]), inner, max_size=4
            )
        ),
    ).map(lambda value: json.dumps(value).encode()),
)
def test_any_response_is_one_of_the_five_outcomes(status, body):
    assert isinstance(decode_upload(status, {}, body, str), Uploaded | NoMediaId | Rejected | NotSent | Unknown)


@pytest.mark.parametrize("depth", [10, 900, 100_000])
def test_a_response_of_any_depth_has_keys_to_show(depth):
    outcome = decode_upload(200, {}, b'{"a":' * depth + b"1" + b"}" * depth, str)
    assert isinstance(outcome, NoMediaId)

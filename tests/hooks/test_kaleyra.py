from __future__ import annotations

import json
import logging
import socket

import pytest
import requests
from airflow.providers.common.compat.sdk import Connection

from airflow_provider_kaleyra.exceptions import (
    KaleyraConfigError,
    KaleyraMessageError,
    KaleyraPermanentError,
    KaleyraRejectedError,
    KaleyraUnknownOutcomeError,
    KaleyraUnreachableError,
)
from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook
from airflow_provider_kaleyra.whatsapp.message import VideoMessage
from tests.support.http_server import raw_response, raw_server
from tests.support.video import mp4

URL = "https://api.in.kaleyra.io/v2/HXAP16XXXXXX97IN/whatsapp/+12025550100/messages"
TO = "+12025550123"
ACCEPTED = {"code": "WA202", "message": "Request Accepted", "data": {"message_id": "AX1"}, "error": {}}


def failure(code: str, message: str = "no") -> dict[str, object]:
    return {"code": code, "message": message, "data": {}, "error": {"error": message}}


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> KaleyraHook:
    use_connection(monkeypatch)
    return KaleyraHook()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between quick tries, not waited for."""
    waited: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waited.append)
    return waited


def use_connection(monkeypatch: pytest.MonkeyPatch, **fields: object) -> None:
    known = {
        "conn_type": "kaleyra",
        "login": "HXAP16XXXXXX97IN",
        "password": "a-very-secret-key",
        "extra": {"business_phone_number": "+12025550100", "timeout": 7},
    }
    monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", json.dumps(known | fields))


def test_send_video_returns_the_message_id(hook, requests_mock):
    requests_mock.post(URL, status_code=202, json=ACCEPTED)
    assert hook.send_video(to=TO, media_id="42", caption="Diwali", ref="r") == "AX1"
    (sent,) = requests_mock.request_history
    assert json.loads(sent.body.getvalue()) == {
        "messaging_object": {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": TO,
            "type": "video",
            "video": {"id": "42", "caption": "Diwali"},
        },
        "extra_info": {"ref": "r"},
    }
    assert sent.headers["api-key"] == "a-very-secret-key"
    assert sent.timeout == (10, 7)


def test_the_sender_of_the_call_overrides_the_connections(hook, requests_mock):
    requests_mock.post(URL.replace("+12025550100", "+12025550199"), json=ACCEPTED)
    assert hook.send_video(to=TO, media_id="42", business_phone_number="+12025550199") == "AX1"


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "RBC001", KaleyraPermanentError),
        (401, "WA401", KaleyraPermanentError),
        (401, "WA-401", KaleyraPermanentError),
        (400, "WA400", KaleyraPermanentError),
        (400, "WAV2101", KaleyraPermanentError),
        (400, "E110", KaleyraRejectedError),
        (500, "WA500", KaleyraRejectedError),
    ],
)
def test_a_rejection_is_raised_and_not_repeated(hook, requests_mock, waits, status, code, kind):
    requests_mock.post(URL, status_code=status, json=failure(code, "Sorry"))
    with pytest.raises(KaleyraRejectedError) as error:
        hook.send_video(to=TO, media_id="42")
    assert type(error.value) is kind
    assert (error.value.code, error.value.message, error.value.http_status) == (code, "Sorry", status)
    assert TO not in str(error.value)
    assert (requests_mock.call_count, waits) == (1, [])


@pytest.mark.parametrize("error", [requests.ReadTimeout("Read timed out."), requests.ConnectionError("lost")])
def test_a_send_with_an_unknown_outcome_is_not_repeated(hook, requests_mock, waits, error):
    def take_and_fail(request, context):
        request.body.read()
        raise error

    requests_mock.post(URL, json=take_and_fail)
    with pytest.raises(KaleyraUnknownOutcomeError):
        hook.send_video(to=TO, media_id="42")
    assert (requests_mock.call_count, waits) == (1, [])


@pytest.mark.parametrize(("status", "body"), [(502, "<h1>Bad Gateway</h1>"), (504, ""), (202, "{"), (200, "")])
def test_a_send_with_an_unreadable_response_is_not_repeated(hook, requests_mock, waits, status, body):
    requests_mock.post(URL, status_code=status, text=body)
    with pytest.raises(KaleyraUnknownOutcomeError):
        hook.send_video(to=TO, media_id="42")
    assert (requests_mock.call_count, waits) == (1, [])


def test_a_send_that_was_not_transmitted_is_attempted_three_times(hook, requests_mock, waits):
    requests_mock.post(URL, exc=requests.ConnectTimeout("timed out"))
    with pytest.raises(KaleyraUnreachableError, match="was not sent"):
        hook.send_video(to=TO, media_id="42")
    assert requests_mock.call_count == 3
    assert all(0.5 < seconds < 1.2 for seconds in waits)
    assert len(set(waits)) == len(waits) == 2


def test_a_later_attempt_that_connects_sends(hook, requests_mock, waits):
    requests_mock.post(URL, [{"exc": requests.ConnectTimeout}, {"status_code": 202, "json": ACCEPTED}])
    assert hook.send_video(to=TO, media_id="42") == "AX1"


@pytest.mark.parametrize("status", [429, 503])
def test_a_short_retry_after_is_waited_for(hook, requests_mock, waits, status):
    busy = {"status_code": status, "headers": {"Retry-After": "4"}, "text": "busy"}
    requests_mock.post(URL, [busy, {"status_code": 202, "json": ACCEPTED}])
    assert hook.send_video(to=TO, media_id="42") == "AX1"
    assert len(waits) == 1
    assert 4 < waits[0] < 5


@pytest.mark.parametrize(("status", "headers"), [(429, {}), (429, {"Retry-After": "11"}), (503, {"Retry-After": "11"})])
def test_a_long_or_unknown_wait_is_not_made_within_the_task(hook, requests_mock, waits, status, headers):
    requests_mock.post(URL, status_code=status, headers=headers, text="busy")
    with pytest.raises(KaleyraRejectedError) as error:
        hook.send_video(to=TO, media_id="42")
    assert error.value.retry_after == (11 if headers else None)
    assert (requests_mock.call_count, waits) == (1, [])


def test_a_503_without_a_retry_after_is_unknown_and_not_sent_again(hook, requests_mock, waits):
    requests_mock.post(URL, status_code=503, text="upstream connect error")
    with pytest.raises(KaleyraUnknownOutcomeError, match="upstream connect error"):
        hook.send_video(to=TO, media_id="42")
    assert (requests_mock.call_count, waits) == (1, [])


def test_a_broken_rule_sends_nothing(hook, requests_mock):
    with pytest.raises(KaleyraMessageError, match="Nothing was sent: to must be"):
        hook.send_video(to="12025550123", media_id="42")
    assert requests_mock.call_count == 0


@pytest.mark.parametrize("method", ["send_message", "request_for"])
def test_a_message_whose_file_was_not_uploaded_sends_nothing(hook, requests_mock, method):
    message = VideoMessage(to=TO, media_file="/videos/diwali.mp4")
    with pytest.raises(KaleyraMessageError, match=r"Nothing was sent: .* in a file\. Upload it"):
        getattr(hook, method)(message)
    assert requests_mock.call_count == 0


def test_an_unknown_wa_source_logs_a_warning(hook, requests_mock, logged):
    requests_mock.post(URL, json=ACCEPTED)
    hook.send_video(to=TO, media_id="42", wa_source="airflow")
    assert "Kaleyra will record it as 'API'" in logged()


def test_a_missing_sender_is_an_error_of_the_connection(monkeypatch):
    use_connection(monkeypatch, extra={})
    with pytest.raises(
        KaleyraConfigError, match="Connection 'kaleyra_default' cannot be used: its extra 'business_phone"
    ):
        KaleyraHook().send_video(to=TO, media_id="42")


@pytest.mark.parametrize("given", ["12345", ["+12025550100"]])
def test_a_sender_that_cannot_be_used_is_no_error_of_the_connection(hook, requests_mock, tmp_path, given):
    video = tmp_path / "v.mp4"
    video.write_bytes(mp4())
    expected = "^Nothing was sent: the argument business_phone_number must be"
    with pytest.raises(KaleyraConfigError, match=expected) as error:
        hook.send_video(to=TO, media_id="42", business_phone_number=given)
    assert "Fix the argument" in str(error.value)
    with pytest.raises(KaleyraConfigError, match=expected):
        hook.upload_media(video, business_phone_number=given)
    assert requests_mock.call_count == 0


def test_the_connection_is_read_once_at_the_first_use(monkeypatch):
    reads = []

    def get_connection(conn_id):
        reads.append(conn_id)
        return Connection(conn_id=conn_id, conn_type="kaleyra", login="S", password="k")

    monkeypatch.setattr(KaleyraHook, "get_connection", staticmethod(get_connection))
    hook = KaleyraHook("other")
    assert reads == []
    assert hook.settings is hook.settings
    assert reads == ["other"]


def test_one_session_serves_all_sends_of_a_hook(monkeypatch):
    with raw_server(raw_response("202 Accepted", json.dumps(ACCEPTED).encode())) as server:
        use_connection(monkeypatch, host=server.url)
        hook = KaleyraHook()
        assert [hook.send_video(to=TO, media_id="42") for _ in range(3)] == ["AX1"] * 3
        hook.get_conn().close()
    assert (len(server.received), server.connections) == (3, 1)


def test_neither_key_nor_recipient_is_logged_at_debug(monkeypatch, caplog, logged):
    echo = json.dumps(failure("WA400", f"a-very-secret-key {TO}")).encode()
    with raw_server(raw_response("400 Bad Request", echo)) as server:
        use_connection(monkeypatch, host=server.url)
        with caplog.at_level(logging.DEBUG), pytest.raises(KaleyraPermanentError) as error:
            KaleyraHook().send_video(to=TO, media_id="42")
    output = f"{logged()} {error.value!r}"
    assert "POST /v2/" in output
    assert not any(secret in output for secret in ("a-very-secret-key", TO[1:]))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("REQUESTS_CA_BUNDLE", "/none.pem"),
        ("HTTPS_PROXY", "http://someone:a-proxy-password@proxy:port"),
        ("ALL_PROXY", "socks5://someone:a-proxy-password@proxy:1080"),
    ],
)
def test_certificates_or_a_proxy_that_cannot_be_used_send_nothing(monkeypatch, hook, tmp_path, variable, value):
    monkeypatch.setenv(variable, value)
    video = tmp_path / "video.mp4"
    video.write_bytes(mp4())
    for call in (lambda: hook.send_video(to=TO, media_id="42"), lambda: hook.upload_media(video)):
        with pytest.raises(KaleyraConfigError, match=f"^Nothing was sent: .*{variable}") as raised:
            call()
        assert "a-proxy-password" not in str(raised.value)
    works, why = hook.test_connection()
    assert not works
    assert variable in why
    assert "a-proxy-password" not in why


DETAILS = {"code": "WA200", "message": "ok", "data": {"status": "CONNECTED", "phone_number": "+12025550100"}}


def test_the_test_shows_kaleyras_details_of_the_number(monkeypatch):
    with raw_server(raw_response("200 OK", json.dumps(DETAILS).encode())) as server:
        use_connection(monkeypatch, host=server.url)
        works, why = KaleyraHook().test_connection()
    assert works
    assert "status: CONNECTED" in why
    assert "phone_number: +12*******00" in why
    (received,) = server.received
    assert received.request_line == ("GET /v2/HXAP16XXXXXX97IN/whatsapp/+12025550100/phone_number_details HTTP/1.1")
    assert received.headers["api-key"] == "a-very-secret-key"
    assert not {"Content-Type", "Transfer-Encoding"} & set(received.headers)


def test_the_test_works_without_a_number(monkeypatch):
    with raw_server(raw_response("200 OK", b'{"code": "RBC024", "data": []}')) as server:
        use_connection(monkeypatch, host=server.url, extra={})
        works, why = KaleyraHook().test_connection()
    assert works
    assert "none was checked" in why
    assert server.received[0].request_line.startswith("GET /v1/HXAP16XXXXXX97IN/callback/profiles?")


def pour(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 3_000_000)


@pytest.mark.parametrize(
    ("served", "expected"),
    [
        (
            raw_response("401 Unauthorized", json.dumps(failure("RBC001", "a-very-secret-key?")).encode()),
            "RBC001, ***?",
        ),
        (
            raw_response("401 Unauthorized", json.dumps(failure("WA401", "+12025550100")).encode()),
            "WA401, +12*******00",
        ),
        (raw_response("200 OK", b"<h1>a-very-secret-key</h1>"), "is not Kaleyra's own (HTTP 200): '<h1>***</h1>'"),
        (raw_response("302 Found", b"", "Location: http://127.0.0.1:1/"), "Redirects are not followed"),
        (raw_response("200 OK", b"\xff\x00" * 400), "is not Kaleyra's own"),
        (raw_response("200 OK", b"[/bold] no markup"), "(/bold) no markup"),
        (pour, "is not Kaleyra's own"),
        (lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9\r\n"), "No response came"),
        (lambda connection: None, "No response came"),
        (lambda connection: connection.recv(1), "No response came from http://127.0.0.1"),
    ],
    ids=range(10),
)
def test_the_test_reports_any_response_without_the_key(monkeypatch, served, expected):
    with raw_server(served) as server:
        use_connection(monkeypatch, host=server.url, extra={"business_phone_number": "+12025550100", "timeout": 0.5})
        works, why = KaleyraHook().test_connection()
    assert not works
    assert expected in why
    assert "a-very-secret-key" not in why
    assert "+12025550100" not in why
    assert len(server.received) == 1


def test_the_test_distinguishes_a_timeout_from_an_unreachable_host(monkeypatch):
    with raw_server(lambda connection: connection.recv(1)) as server:
        use_connection(monkeypatch, host=server.url, extra={"timeout": 0.3})
        assert "Read timed out" in KaleyraHook().test_connection()[1]
    works, why = KaleyraHook().test_connection()
    assert not works
    assert "could not be reached: " in why
    assert "refused" in why
    use_connection(monkeypatch, host="https://kaleyra.invalid")
    assert "kaleyra.invalid could not be reached: " in KaleyraHook().test_connection()[1]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"login": ""}, "This Connection cannot be used: its login (Account SID)"),
        ({"password": "***"}, "This Connection cannot be used: its password (API key)"),
        ({"password": ""}, "This Connection cannot be used: its password (API key)"),
        ({"host": "http://api.in.kaleyra.io"}, "This Connection cannot be used: its host"),
        ({"extra": {"pod": "us"}}, "This Connection cannot be used: its extra 'pod'"),
    ],
)
def test_the_test_names_the_field_to_fix_and_sends_no_request(monkeypatch, requests_mock, fields, expected):
    use_connection(monkeypatch, **fields)
    works, why = KaleyraHook().test_connection()
    assert (works, why[: len(expected)]) == (False, expected)
    assert requests_mock.call_count == 0


def test_the_test_never_raises(monkeypatch):
    def fail(*args):
        raise RuntimeError("a-very-secret-key")

    use_connection(monkeypatch)
    monkeypatch.setattr("airflow_provider_kaleyra.hooks.kaleyra.check_request", fail)
    assert KaleyraHook().test_connection() == (False, "The Connection could not be tested: RuntimeError.")


def test_the_test_reports_a_missing_connection():
    works, why = KaleyraHook("there_is_none").test_connection()
    assert (works, "Connection 'there_is_none' is missing" in why) == (False, True)


def test_the_test_reports_a_connection_that_cannot_be_read(monkeypatch):
    def get_connection(conn_id):
        raise RuntimeError("a-very-secret-key")

    monkeypatch.setattr(KaleyraHook, "get_connection", staticmethod(get_connection))
    works, why = KaleyraHook().test_connection()
    assert not works
    assert why.startswith("Connection 'kaleyra_default' could not be read: Airflow failed (RuntimeError).")
    assert "a-very-secret-key" not in why


def test_the_key_of_another_service_is_not_sent(monkeypatch, requests_mock):
    use_connection(monkeypatch, conn_type="slack")
    works, why = KaleyraHook().test_connection()
    assert (works, why) == (
        False,
        "This Connection cannot be used: its type must be 'kaleyra'; found 'slack'. Fix that field.",
    )
    with pytest.raises(KaleyraConfigError, match="its type must be 'kaleyra'; found 'slack'"):
        KaleyraHook().send_video(to=TO, media_id="42")
    assert requests_mock.call_count == 0

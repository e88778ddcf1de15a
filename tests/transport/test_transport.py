"""The outcomes of both transports over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
import ssl
import struct
import time
from collections.abc import Callable
from contextlib import closing

import pytest
import trustme

from airflow_provider_kaleyra import __version__
from airflow_provider_kaleyra.transport import aio, blocking
from airflow_provider_kaleyra.transport.content import decompressed
from airflow_provider_kaleyra.whatsapp.account import Account
from airflow_provider_kaleyra.whatsapp.message import VideoMessage
from airflow_provider_kaleyra.whatsapp.outcome import Accepted, NotSent, Outcome, Rejected, Unknown
from airflow_provider_kaleyra.whatsapp.request import Request, video_request
from tests.support.http_server import raw_response, raw_server

KEY = "a-very-secret-key"
TO = "+12025550123"
ACCEPTED = raw_response("202 Accepted", b'{"code": "WA202", "data": {"message_id": "AX1"}}')


def request_to(url: str) -> Request:
    account = Account(sid="HXAP2142XX", api_key=KEY, base_url=url, business_phone_number="+12025550100")
    return video_request(account, VideoMessage(to=TO, media_id="1166846181421424"))


def _send_blocking(url: str, *requests: Request, timeout: float) -> list[Outcome]:
    with blocking.new_session() as session:
        return [blocking.send(session, request, timeout) for request in requests]


def _send_aio(url: str, *requests: Request, timeout: float) -> list[Outcome]:
    async def send_all() -> list[Outcome]:
        async with await aio.new_session(url) as session:
            return [await aio.send(session, request, timeout) for request in requests]

    return asyncio.run(send_all())


SendAll = Callable[..., list[Outcome]]
SendTo = Callable[..., Outcome]


@pytest.fixture(params=[_send_blocking, _send_aio], ids=["blocking", "aio"])
def send_all(request: pytest.FixtureRequest) -> SendAll:
    """Send requests one after the other through one session of either transport."""
    return request.param


@pytest.fixture
def send_to(send_all: SendAll) -> SendTo:
    """Send one video to a URL."""
    return lambda url, timeout=5: send_all(url, request_to(url), timeout=timeout)[0]


def hang_up(connection: socket.socket) -> None:
    """Close the connection with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_the_pages_sample_is_sent_as_the_page_shows_it(send_all):
    message = VideoMessage(
        to="+919876543210",
        media_id="1166846181421424",
        caption="Splendid festive celebrations",
        ref="customer1",
        ref1="marketing",
        ref2="dictionary",
        wa_source="api",
    )
    with raw_server(ACCEPTED) as server:
        account = Account(sid="HXAP2142XX", api_key=KEY, base_url=server.url, business_phone_number="+918631235920")
        assert send_all(server.url, video_request(account, message), timeout=5) == [Accepted("AX1")]
    (received,) = server.received
    assert received.request_line == "POST /v2/HXAP2142XX/whatsapp/+918631235920/messages HTTP/1.1"
    assert received.body == (
        b'{"messaging_object": {"messaging_product": "whatsapp", "recipient_type": "individual", '
        b'"to": "+919876543210", "type": "video", "video": {"id": "1166846181421424", '
        b'"caption": "Splendid festive celebrations"}}, "extra_info": {"ref": "customer1", "ref1": "marketing", '
        b'"ref2": "dictionary", "wa_source": "api"}}'
    )
    assert received.headers.pop("Connection", "keep-alive") == "keep-alive"
    assert received.headers == {
        "Host": f"127.0.0.1:{server.port}",
        "User-Agent": f"airflow-provider-kaleyra/{__version__}",
        "Accept-Encoding": received.headers["Accept-Encoding"],
        "Accept": "*/*",
        "Content-Type": "application/json",
        "api-key": KEY,
        "cache-control": "no-cache",
        "Content-Length": str(len(received.body)),
    }


def test_one_connection_serves_several_sends(send_all):
    with raw_server(ACCEPTED) as server:
        assert send_all(server.url, *[request_to(server.url)] * 3, timeout=5) == [Accepted("AX1")] * 3
    assert (len(server.received), server.connections) == (3, 1)


def test_a_closed_port_is_not_sent(send_to):
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    outcome = send_to(f"http://127.0.0.1:{port}")
    assert isinstance(outcome, NotSent)
    assert "refused" in outcome.reason.lower()


def test_an_unknown_host_is_not_sent(send_to):
    outcome = send_to("https://kaleyra.invalid")
    assert isinstance(outcome, NotSent)
    assert "kaleyra.invalid" in outcome.reason


def test_an_untrusted_certificate_is_not_sent(send_to):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    with raw_server(ACCEPTED, tls=tls) as server:
        outcome = send_to(server.url)
    assert isinstance(outcome, NotSent)
    assert "certificate" in outcome.reason.lower()
    assert server.received == []


def test_a_certificate_authority_that_the_environment_names_is_trusted(send_to, monkeypatch, tmp_path):
    tls, authority = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), trustme.CA()
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    with raw_server(ACCEPTED, tls=tls) as server:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))
        assert send_to(server.url) == Accepted("AX1")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))  # in a folder, the file would need its hash as name
        assert isinstance(send_to(server.url), NotSent)


def test_a_proxy_that_rejects_the_tunnel_is_not_sent(send_to, monkeypatch):
    with raw_server(raw_response("407 Proxy Authentication Required")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        outcome = send_to("https://kaleyra.invalid")
    assert isinstance(outcome, NotSent)
    assert proxy.received[0].request_line.startswith("CONNECT kaleyra.invalid:443 ")
    assert "api-key" not in proxy.received[0].headers


def test_a_proxy_that_does_not_respond_is_not_sent(send_to, monkeypatch):
    for transport in (blocking, aio):
        monkeypatch.setattr(transport, "CONNECT_TIMEOUT", 0.3)
    with raw_server(lambda connection: connection.recv(1)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        outcome = send_to("https://kaleyra.invalid")
    assert isinstance(outcome, NotSent)


def test_the_proxys_credentials_go_only_to_the_proxy(send_to, monkeypatch):
    with raw_server(raw_response("407 Proxy Authentication Required")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("://", "://someone:a-proxy-password@"))
        outcome = send_to("https://kaleyra.invalid")
    assert proxy.received[0].headers["Proxy-Authorization"].startswith("Basic ")
    assert "a-proxy-password" not in outcome.reason


def test_a_host_that_needs_no_proxy_is_reached_without(send_to, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:3128")
    monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")
    with raw_server(ACCEPTED) as server:
        assert send_to(server.url) == Accepted("AX1")


def test_a_kept_connection_that_breaks_is_unknown_and_not_tried_again(send_all):
    with raw_server(ACCEPTED, hang_up) as server:
        first, second = send_all(server.url, *[request_to(server.url)] * 2, timeout=5)
    assert first == Accepted("AX1")
    assert isinstance(second, Unknown)
    assert (len(server.received), server.connections) == (2, 1)


def test_a_connection_lost_after_sending_is_unknown(send_to):
    with raw_server(hang_up) as server:
        assert isinstance(send_to(server.url), Unknown)
    assert len(server.received) == 1


def test_no_response_in_time_is_unknown(send_to):
    with raw_server(lambda connection: connection.recv(1)) as server:
        outcome = send_to(server.url, timeout=0.3)
    assert isinstance(outcome, Unknown)
    assert "time" in outcome.reason.lower()


@pytest.mark.parametrize(
    "noise", [b"", b"\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"SSH-2.0-OpenSSH_9\r\n", b"\0" * 100_000], ids=range(5)
)
def test_a_response_that_is_not_http_is_unknown(send_to, noise):
    with raw_server(lambda connection: connection.sendall(noise)) as server:
        assert isinstance(send_to(server.url, timeout=1), Unknown)


@pytest.mark.parametrize(("status", "kind"), [("202 Accepted", Unknown), ("401 Unauthorized", Rejected)])
def test_a_status_counts_even_if_its_body_breaks_off(send_to, status, kind):
    head = f"HTTP/1.1 {status}\r\nContent-Length: 500\r\n\r\n".encode()
    with raw_server(lambda connection: connection.sendall(head + b'{"code"')) as server:
        assert isinstance(send_to(server.url, timeout=1), kind)


def test_a_body_without_end_is_cut(send_to):
    def pour(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 202 Accepted\r\n\r\n")
        try:
            while True:
                connection.sendall(b"x" * 65_536)
        except OSError:
            return

    with raw_server(pour) as server:
        assert isinstance(send_to(server.url), Unknown)


def test_reading_a_body_that_drips_ends_in_time(send_to, monkeypatch):
    monkeypatch.setattr(aio, "CONNECT_TIMEOUT", 0.3)  # part of the total limit

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 1000\r\n\r\n")
        try:
            for _ in range(200):
                connection.sendall(b" ")
                time.sleep(0.05)
        except OSError:
            return

    with raw_server(drip) as server:
        assert isinstance(send_to(server.url, timeout=0.5), Unknown)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_compressed_response_is_read_wherever_it_is_cut(send_to, chunked):
    body = gzip.compress(b'{"data": {"message_id": "AX1"}}')
    pieces = [body[i : i + 1] for i in range(len(body))]
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"

    def dribble(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(f"HTTP/1.1 202 Accepted\r\nContent-Encoding: gzip\r\n{length}\r\n\r\n".encode())
        for piece in pieces:
            connection.sendall(b"1\r\n" + piece + b"\r\n" if chunked else piece)
        connection.sendall(b"0\r\n\r\n" if chunked else b"")

    with raw_server(dribble) as server:
        assert send_to(server.url) == Accepted("AX1")


def test_a_redirect_is_not_followed_and_does_not_get_the_key(send_to):
    with raw_server(ACCEPTED) as elsewhere:
        location = f"Location: {elsewhere.url.replace('127.0.0.1', 'localhost')}/v2/x"
        for status in ("301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"):
            with raw_server(raw_response(status, b"", location)) as server:
                outcome = send_to(server.url)
            assert isinstance(outcome, Rejected)
            assert "Redirects are not followed" in outcome.meaning.advice
    assert elsewhere.received == []


def test_credentials_of_a_netrc_file_are_not_used(send_to, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with raw_server(ACCEPTED) as server:
        send_to(server.url)
    assert "Authorization" not in server.received[0].headers


def test_a_response_that_echoes_key_and_number_is_quoted_without_them(send_to):
    echo = f'{{"code": "WA400", "message": "{KEY} sent {TO}", "error": {{"to": "{TO[1:]}", "{KEY}": 1}}}}'
    with raw_server(raw_response("400 Bad Request", echo.encode())) as server:
        outcome = send_to(server.url)
    assert isinstance(outcome, Rejected)
    assert outcome.message == "*** sent +12*******23"
    assert outcome.details == {"to": "+12*******23", "***": "1"}


@pytest.mark.parametrize(
    "line",
    ["no header, {}", "{} : x", "Set-Cookie: [{}]=x", "Content-Length: {}", "Set-Cookie: a=b; expires={}", "X: {}\0"],
)
def test_an_api_key_echoed_in_headers_is_not_logged(send_to, caplog, line):
    caplog.set_level(logging.DEBUG)
    with raw_server(raw_response("202 Accepted", b"{}", line.format(KEY))) as server:
        assert KEY not in repr(send_to(server.url))
    assert KEY not in caplog.text


def test_a_response_that_breaks_off_in_its_headers_is_unknown_with_a_readable_reason(send_to):
    with raw_server(
        lambda connection: connection.sendall(b"HTTP/1.1 202 Accepted\r\nX-Echo: " + KEY.encode())
    ) as server:
        outcome = send_to(server.url)
    assert isinstance(outcome, Unknown)
    assert "RawResponseMessage" not in outcome.reason


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "x-gzip"])
@pytest.mark.parametrize("body", [b'{\n  "message": "hello",\n  "id": "AX1"}', b"[]", b"<h1>502</h1>"])
def test_uncompressed_text_with_a_content_encoding_is_read_unchanged(encoding, body):
    assert decompressed(body, encoding) == body


@pytest.mark.parametrize(
    ("encoding", "times"),
    [("gzip, gzip", 2), ("identity, gzip", 1), ("gzip,", 1), ("X-GZIP", 1), ("aws-chunked,gzip", 1)],
)
def test_each_encoding_that_the_header_lists_is_removed(encoding, times):
    body = ACCEPTED
    for _ in range(times):
        body = gzip.compress(body)
    assert decompressed(body, encoding) == ACCEPTED


def test_an_unexpected_error_is_an_outcome(send_to, monkeypatch):
    with raw_server(ACCEPTED) as server:
        for transport in (blocking, aio):
            monkeypatch.setattr(transport, "decompressed", lambda *_: 1 / 0)
        outcome = send_to(server.url)
    assert isinstance(outcome, Unknown)
    assert "ZeroDivisionError" in outcome.reason
    assert KEY not in outcome.reason
    for module, name in ((blocking.requests.Session, "prepare_request"), (aio.aiohttp.ClientSession, "post")):
        monkeypatch.setattr(module, name, lambda *_, **__: 1 / 0)
    assert isinstance(send_to("http://127.0.0.1:9"), NotSent)

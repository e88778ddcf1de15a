"""A response is assigned only to the message whose request was transmitted before it arrived."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace

import pytest
import trustme

from airflow_provider_kaleyra.transport import LONGEST_IDLE, aio, blocking
from airflow_provider_kaleyra.whatsapp.account import Account
from airflow_provider_kaleyra.whatsapp.message import VideoMessage
from airflow_provider_kaleyra.whatsapp.outcome import Accepted, NotSent, Outcome, Rejected, Unknown
from airflow_provider_kaleyra.whatsapp.request import Request, video_request
from tests.support.hostile_server import Manner, hostile_server, read_request
from tests.support.http_server import raw_response

STRAY = raw_response("202 Accepted", b'{"data": {"message_id": "AX-of-no-message"}}')
LATE_408 = b"HTTP/1.1 408 Request Timeout\r\n\r\n"
BODY = 16 << 20  # larger than the buffers of both ends together


class Witness:
    """A server that accepts each message, with an id that names its recipient, and then misbehaves.

    :param more: bytes to send after each response.
    :param later: whether to send them a moment after the response instead of together with it.
    """

    def __init__(
        self, more: bytes = b"", *, later: bool = False, close: bool = False, status: str = "202 Accepted"
    ) -> None:
        self.more = more
        self.later = later
        self.close = close
        self.status = status
        self.connections = 0
        self.received: list[str] = []
        self.done = threading.Semaphore(0)

    def __call__(self, connection, stopped: threading.Event) -> None:
        self.connections += 1
        while True:
            to = recipient_of(read_request(connection))
            self.received.append(to)
            response = raw_response(self.status, json.dumps({"data": {"message_id": f"AX{to[-6:]}"}}).encode())
            connection.sendall(response if self.later else response + self.more)
            if self.later:
                time.sleep(0.05)
                connection.sendall(self.more)
            if self.close:
                connection.shutdown(socket.SHUT_RDWR)
            self.done.release()
            if self.close:
                return

    def wait(self) -> None:
        """Wait until the client can have all that was sent after a response."""
        assert self.done.acquire(timeout=10)
        time.sleep(0.02)


def recipient_of(request: bytes) -> str:
    found = re.search(rb'"to": "(\+\d+)"', request)
    assert found
    return found[1].decode()


@pytest.fixture(params=["blocking", "aio"])
def transport(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["http", "https"])
def serve(request: pytest.FixtureRequest, monkeypatch, tmp_path):
    """Serve in a manner, over either scheme; the value is the URL."""
    tls = None
    if request.param == "https":
        tls, authority = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), trustme.CA()
        authority.issue_cert("127.0.0.1").configure_cert(tls)
        authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))

    @contextmanager
    def served(manner: Manner):
        with hostile_server(manner, tls) as port:
            yield f"{request.param}://127.0.0.1:{port}"

    return served


def requests_to(url: str, count: int) -> list[Request]:
    account = Account(sid="HXAP2142XX", api_key="key", base_url=url, business_phone_number="+12025550100")
    return [video_request(account, VideoMessage(to=f"+1202555{n:04}", media_id="42")) for n in range(200, 200 + count)]


def send_all(
    transport: str, requests: list[Request], wait: Callable[[], None] = lambda: None, timeout: float = 2.0
) -> list[Outcome]:
    """Send requests one after the other through one session, and return their outcomes.

    :param wait: called after each request.
    """
    outcomes = []
    if transport == "blocking":
        with blocking.new_session() as session:
            for request in requests:
                outcomes.append(blocking.send(session, request, timeout))
                wait()
        return outcomes

    async def send() -> list[Outcome]:
        async with await aio.new_session(requests[0].url) as session:
            for request in requests:
                outcomes.append(await aio.send(session, request, timeout))
                await asyncio.to_thread(wait)
            return outcomes

    return asyncio.run(send())


def own(requests: list[Request]) -> list[Outcome]:
    return [Accepted(f"AX{recipient_of(request.body)[-6:]}") for request in requests]


@pytest.mark.parametrize(
    "stray",
    [STRAY, STRAY * 3, LATE_408, STRAY[:20], b"\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"],
    ids=range(6),
)
@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("close", [False, True])
def test_a_response_on_an_idle_connection_is_assigned_to_no_message(transport, serve, stray, later, close):
    with serve(witness := Witness(stray, later=later, close=close)) as url:
        requests = requests_to(url, 3)
        started = time.monotonic()
        assert send_all(transport, requests, witness.wait) == own(requests)
        assert time.monotonic() - started < 2
    assert witness.received == [recipient_of(request.body) for request in requests]


@pytest.mark.parametrize("later", [False, True])
def test_noise_on_an_idle_connection_is_assigned_to_no_message(transport, serve, later):
    with serve(witness := Witness(b"\0" * 100_000, later=later)) as url:
        requests = requests_to(url, 3)
        outcomes = send_all(transport, requests, witness.wait)
    if transport == "aio" and not later:  # it reads response and noise as one
        assert all(isinstance(outcome, Unknown) for outcome in outcomes)
    else:
        assert outcomes == own(requests)
    assert witness.received == [recipient_of(request.body) for request in requests]


def test_connections_closed_by_the_server_while_idle_lose_no_message(transport, serve):
    with serve(witness := Witness(later=True, close=True)) as url:
        requests = requests_to(url, 3)
        assert send_all(transport, requests, witness.wait) == own(requests)
    assert (len(witness.received), witness.connections) == (3, 3)


def test_a_clean_connection_is_kept(transport, serve):
    with serve(witness := Witness()) as url:
        requests = requests_to(url, 3)
        assert send_all(transport, requests, witness.wait) == own(requests)
    assert witness.connections == 1


def test_an_old_idle_connection_is_not_used_again(transport, serve, monkeypatch):
    assert 1 < LONGEST_IDLE < 5  # Apache, Node.js and uvicorn close after five seconds
    monkeypatch.setattr("airflow_provider_kaleyra.transport.deadline.LONGEST_IDLE", 0.1)
    monkeypatch.setattr(aio, "LONGEST_IDLE", 0.1)
    with serve(witness := Witness()) as url:
        requests = requests_to(url, 3)
        assert send_all(transport, requests, lambda: time.sleep(0.2)) == own(requests)
    assert witness.connections == 3


@pytest.mark.parametrize(
    ("status", "connections"),
    [("400 Bad Request", 1), ("408 Request Timeout", 2), ("500 Internal Server Error", 2), ("504 Gateway Timeout", 2)],
)
def test_a_connection_on_which_a_second_response_may_follow_is_not_used_again(transport, serve, status, connections):
    with serve(witness := Witness(status=status)) as url:
        send_all(transport, requests_to(url, 2))
    assert (len(witness.received), witness.connections) == (2, connections)


def test_a_response_before_the_request_is_no_response_to_it(transport, monkeypatch):
    connections = itertools.count()

    def talk_first(connection, stopped: threading.Event) -> None:
        next(connections)
        connection.sendall(STRAY)
        stopped.wait()

    # On a new connection, request and response race; a pause before the request makes the response first.
    is_quiet, begin = blocking.Exchange.is_quiet, aio._TrackedBody._begin

    def quiet_later(*args):
        time.sleep(0.1)
        return is_quiet(*args)

    async def begin_later(*args):
        await asyncio.sleep(0.1)
        await begin(*args)

    monkeypatch.setattr(blocking.Exchange, "is_quiet", quiet_later)
    monkeypatch.setattr(aio._TrackedBody, "_begin", begin_later)
    with hostile_server(talk_first) as port:
        (outcome,) = send_all(transport, requests_to(f"http://127.0.0.1:{port}", 1))
    assert isinstance(outcome, NotSent)
    assert "before the request was transmitted" in outcome.reason
    assert next(connections) <= 2


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        ("202 Accepted", b'{"data": {"message_id": "AX1"}}', Unknown),
        ("413 Content Too Large", b"too large", Rejected),
    ],
)
def test_no_message_is_accepted_before_it_was_transmitted_completely(transport, status, body, kind):
    def respond_early(connection, stopped: threading.Event) -> None:
        received = b""
        while b'{"to"' not in received:
            received += connection.recv(1000)
        connection.sendall(raw_response(status, body))
        stopped.wait()

    with hostile_server(respond_early) as port:
        (request,) = requests_to(f"http://127.0.0.1:{port}", 1)
        large = replace(request, body=b'{"to": "+12025550200"}' + b" " * BODY)
        (outcome,) = send_all(transport, [large], timeout=0.5)
    assert isinstance(outcome, kind)
    if kind is Unknown:
        assert "before the whole request was transmitted" in outcome.reason


def test_many_sends_at_once_never_get_anothers_response():
    with hostile_server(witness := Witness(STRAY)) as port:
        requests = requests_to(f"http://127.0.0.1:{port}", 150)

        async def send() -> list[Outcome]:
            async with await aio.new_session(requests[0].url, 10) as session:
                slots = asyncio.Semaphore(10)

                async def one(request: Request) -> Outcome:
                    async with slots:
                        return await aio.send(session, request, 5)

                return await asyncio.gather(*map(one, requests))

        outcomes = asyncio.run(send())
    assert outcomes == own(requests)
    assert sorted(witness.received) == sorted(recipient_of(request.body) for request in requests)


def test_before_a_pause_idle_connections_are_closed():
    with hostile_server(witness := Witness()) as port:
        requests = requests_to(f"http://127.0.0.1:{port}", 2)

        async def send() -> None:
            async with await aio.new_session(requests[0].url) as session:
                for request, expected in zip(requests, own(requests), strict=True):
                    assert await aio.send(session, request, 2) == expected
                    aio.close_idle(session)

        asyncio.run(send())
    assert witness.connections == 2


def test_closing_idle_connections_keeps_those_in_use():
    def late(connection, stopped: threading.Event) -> None:
        to = recipient_of(read_request(connection))
        stopped.wait(0.3)
        connection.sendall(raw_response("202 Accepted", json.dumps({"data": {"message_id": f"AX{to[-6:]}"}}).encode()))

    with hostile_server(late) as port:
        (request,) = requests_to(f"http://127.0.0.1:{port}", 1)

        async def send() -> Outcome:
            async with await aio.new_session(request.url) as session:
                sending = asyncio.create_task(aio.send(session, request, 2))
                await asyncio.sleep(0.1)
                aio.close_idle(session)
                return await sending

        assert [asyncio.run(send())] == own([request])

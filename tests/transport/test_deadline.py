"""Every call ends within its limit, wherever in the exchange the server drips, floods or hangs."""

from __future__ import annotations

import asyncio
import io
import json
import re
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import repeat

import pytest

from airflow_provider_kaleyra.campaign import runner
from airflow_provider_kaleyra.files import upload as media
from airflow_provider_kaleyra.hooks import kaleyra
from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook
from airflow_provider_kaleyra.operators.campaign import KaleyraSendVideoCampaignOperator
from airflow_provider_kaleyra.transport import aio, blocking
from airflow_provider_kaleyra.transport.multipart import MultipartFile
from airflow_provider_kaleyra.whatsapp.account import Account
from airflow_provider_kaleyra.whatsapp.outcome import Accepted, NotSent, Rejected, Unknown
from airflow_provider_kaleyra.whatsapp.request import upload_request
from tests.support.hostile_server import PLAIN, PROXY, TLS, Manner, hostile_server, read_request, seconds_of
from tests.support.http_server import raw_response, raw_server
from tests.support.video import mp4
from tests.transport.test_transport import ACCEPTED, _send_aio, _send_blocking, request_to

CONNECT, TIMEOUT, TRANSFER = 0.5, 0.6, 0.3
SIZE = 8 << 20  # larger than the buffers of both ends together
BEYOND = 2.0


@pytest.fixture(autouse=True)
def _short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for transport in (blocking, aio):
        monkeypatch.setattr(transport, "CONNECT_TIMEOUT", CONNECT)
    monkeypatch.setattr(blocking, "SLOWEST_UPLOAD", SIZE / TRANSFER)


def test_no_call_exceeds_its_limit_whatever_the_server_does(monkeypatch, tmp_path, record_property):
    # The limit is that of one attempt.
    for module, name in ((kaleyra, "SEND"), (media, "UPLOAD"), (runner, "CAMPAIGN")):
        monkeypatch.setattr(module, name, replace(getattr(module, name), attempts=1))
    video = tmp_path / "video.mp4"
    video.write_bytes(mp4(size=SIZE))
    overruns: dict[tuple[str, str], float] = {}

    def connect(name: str, url: str) -> str:
        conn_id = re.sub(r"\W", "_", name)
        ledger = json.dumps({"conn_type": "sqlite", "host": str(tmp_path / f"{conn_id}.db")})
        monkeypatch.setenv(f"AIRFLOW_CONN_LEDGER_{conn_id.upper()}", ledger)
        extra = {"business_phone_number": "+12025550100", "timeout": TIMEOUT}
        connection = {"conn_type": "kaleyra", "login": "HXAP2142XX", "password": "a-very-secret-key", "host": url}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection | {"extra": extra}))
        return conn_id

    def measure(call: str, name: str, conn_id: str) -> None:
        seconds = seconds_of(lambda: CALLS[call](conn_id, video))
        overruns[name, call] = seconds - CONNECT - TIMEOUT - (TRANSFER if call == "upload" else 0.0)

    with ExitStack() as servers, ThreadPoolExecutor(8) as pool:
        for name, manner in PROXY.items():
            port = servers.enter_context(hostile_server(manner))
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
            conn_id = connect(name, "https://kaleyra.invalid")
            list(pool.map(measure, CALLS, repeat(name), repeat(conn_id)))
        waiting = []
        for name, manner in (PLAIN | TLS).items():
            port = servers.enter_context(hostile_server(manner))
            conn_id = connect(name, f"{'https' if name in TLS else 'http'}://127.0.0.1:{port}")
            waiting += [pool.submit(measure, call, name, conn_id) for call in CALLS]
        for one in waiting:
            one.result()
    worst = max(overruns, key=overruns.__getitem__)
    record_property("largest_overrun", f"{overruns[worst]:.2f} s: {worst}")
    assert len(overruns) == (len(PLAIN) + len(TLS) + len(PROXY)) * len(CALLS)
    assert overruns[worst] < BEYOND, sorted(overruns.items(), key=lambda item: -item[1])[:10]


CALLS: dict[str, Callable[[str, object], object]] = {
    "send": lambda connection, _: KaleyraHook(connection).send_video(to="+12025550123", media_id="42"),
    "asend": lambda connection, _: asyncio.run(KaleyraHook(connection).asend_video(to="+12025550123", media_id="42")),
    "upload": lambda connection, video: KaleyraHook(connection).upload_media(video),
    "test button": lambda connection, _: KaleyraHook(connection).test_connection(),
    "campaign": lambda connection, _: KaleyraSendVideoCampaignOperator(
        task_id="send",
        campaign_id="diwali",
        recipients=["+12025550123", "+12025550124"],
        ledger_conn_id=f"ledger_{connection}",
        kaleyra_conn_id=connection,
        media_id="42",
        messages_per_second=1000,
    ).execute({}),
}


OUTCOMES = dict.fromkeys(PLAIN, Unknown) | dict.fromkeys(TLS, NotSent)
OUTCOMES |= dict.fromkeys((name for name in PLAIN if name.startswith("redirects")), Rejected)


@pytest.mark.parametrize("send_all", [_send_blocking, _send_aio], ids=["blocking", "aio"])
def test_a_response_without_end_is_an_outcome(send_all):
    def outcome_of(name: str, manner: Manner) -> object:
        with hostile_server(manner) as port:
            url = f"{'https' if name in TLS else 'http'}://127.0.0.1:{port}"
            return type(send_all(url, request_to(url), timeout=TIMEOUT)[0])

    manners = {name: manner for name, manner in (PLAIN | TLS).items() if "408" not in name}
    with ThreadPoolExecutor(8) as pool:
        found = dict(zip(manners, pool.map(outcome_of, manners, manners.values()), strict=True))
    assert found == {name: OUTCOMES[name] for name in manners}


@pytest.mark.parametrize("send_all", [_send_blocking, _send_aio], ids=["blocking", "aio"])
@pytest.mark.parametrize("name", [name for name in PLAIN if "flood" in name or "without end" in name])
def test_a_flood_of_bytes_does_not_fill_the_memory(send_all, name):
    with hostile_server(PLAIN[name]) as port:
        url = f"http://127.0.0.1:{port}"
        send_all(url, request_to(url), timeout=0.1)  # imports
        tracemalloc.start()
        try:
            send_all(url, request_to(url), timeout=TIMEOUT)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.parametrize("send_all", [_send_blocking, _send_aio], ids=["blocking", "aio"])
@pytest.mark.parametrize("interim", ["100 Continue", "102 Processing", "103 Early Hints"])
def test_interim_responses_are_skipped(send_all, interim):
    with raw_server(f"HTTP/1.1 {interim}\r\nLink: </a>\r\n\r\n".encode() * 3 + ACCEPTED) as server:
        assert send_all(server.url, *[request_to(server.url)] * 2, timeout=TIMEOUT) == [Accepted("AX1")] * 2
    assert server.connections == 1


def test_a_connection_is_kept_after_a_slow_response():
    def slow(connection: socket.socket, stopped: threading.Event) -> None:
        while read_request(connection):
            stopped.wait(0.4)
            connection.sendall(ACCEPTED)

    with hostile_server(slow) as port:
        url = f"http://127.0.0.1:{port}"
        assert _send_blocking(url, *[request_to(url)] * 4, timeout=TIMEOUT) == [Accepted("AX1")] * 4


@pytest.mark.parametrize("send_all", [_send_blocking, _send_aio], ids=["blocking", "aio"])
def test_name_resolution_that_does_not_respond_ends_with_the_time_to_connect(send_all, monkeypatch):
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: released.wait(10))
    try:
        started = time.monotonic()
        (outcome,) = send_all("https://kaleyra.invalid", request_to("https://kaleyra.invalid"), timeout=TIMEOUT)
        assert time.monotonic() - started < CONNECT + 1
    finally:
        released.set()
    assert isinstance(outcome, NotSent)


def test_many_addresses_of_one_name_share_the_time_to_connect(monkeypatch):
    # A listener whose queue is full does not respond to other clients.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        with ExitStack() as callers:
            for _ in range(4):
                caller = callers.enter_context(socket.socket())
                caller.setblocking(False)
                caller.connect_ex(("127.0.0.1", port))
            silent = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [silent] * 5)
            started = time.monotonic()
            (outcome,) = _send_blocking("http://localhost:1", request_to("http://localhost:1"), timeout=TIMEOUT)
            assert 0.9 * CONNECT < time.monotonic() - started < CONNECT + 1
            assert isinstance(outcome, NotSent)
            assert "timed out" in outcome.reason


@pytest.mark.parametrize("status", ["413 Content Too Large", "401 Unauthorized"])
def test_a_rejection_before_the_whole_file_was_read_counts(status):
    def respond_early(connection: socket.socket, stopped: threading.Event) -> None:
        connection.recv(65_536)
        connection.sendall(raw_response(status))
        stopped.wait()

    with hostile_server(respond_early) as port:
        assert isinstance(upload_to(port), Rejected)


def test_a_success_before_the_whole_file_was_read_does_not_count():
    def respond_early(connection: socket.socket, stopped: threading.Event) -> None:
        connection.recv(65_536)
        connection.sendall(raw_response("200 OK", b'{"data": {"media_id": "42"}}'))
        stopped.wait()

    with hostile_server(respond_early) as port:
        outcome = upload_to(port)
    assert isinstance(outcome, Unknown)
    assert "before the whole request was transmitted" in outcome.reason


def upload_to(port: int) -> object:
    account = Account(
        sid="HXAP2142XX", api_key="key", base_url=f"http://127.0.0.1:{port}", business_phone_number="+12025550100"
    )
    with blocking.new_session() as session:
        file = MultipartFile(io.BytesIO(bytes(SIZE)), SIZE, "v.mp4", "video/mp4")
        return blocking.upload(session, upload_request(account), TIMEOUT, file)

"""Campaigns in processes of their own: few file descriptors, signals, and what hangs when Airflow ends the task."""

from __future__ import annotations

import json
import re
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from dev.sandbox import RunningSandbox, connection_to, running_sandbox
from tests.campaign.builders import number
from tests.support.campaign_process import campaign_process

LINK = "https://example.com/v.mp4"


@pytest.fixture(scope="module")
def _running() -> Iterator[RunningSandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(_running: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> RunningSandbox:
    _running.clear()
    monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", connection_to(_running))
    return _running


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "ledger.db"
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    return path


def known(recipients: object) -> dict[str, object]:
    return {"campaign_id": "diwali", "ledger_conn_id": "ledger", "media_link": LINK, "recipients": recipients}


def states(ledger: Path) -> dict[str, str]:
    with closing(sqlite3.connect(ledger, timeout=30)) as database:
        return dict(database.execute("SELECT recipient, state FROM kaleyra_sends"))


def wait_for(holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited for nothing"
        time.sleep(0.05)


def test_few_file_descriptors_reduce_the_connections_with_a_warning(sandbox, ledger):
    recipients = [number(index) for index in range(600)]
    with campaign_process(**known(recipients), max_connections=1000, descriptors=256) as process:
        told, _ = process.communicate(timeout=120)
    assert "max_connections is reduced from 1000 to " in told
    assert "the process may open 256 files" in told
    summary = json.loads(told.partition("returned ")[2].splitlines()[0])
    assert (summary["accepted"], summary["unknown"], summary["not_sent"]) == (600, 0, 0)
    assert set(states(ledger).values()) == {"accepted"}
    assert len(sandbox.requests()) == 600


def test_no_file_descriptors_fail_the_task_before_anybody_is_claimed(sandbox, ledger):
    for left in (10, 35):
        with campaign_process(**known([number(1)]), descriptors=256, left=left) as process:
            told, _ = process.communicate(timeout=60)
        assert "raised KaleyraConfigError The campaign cannot open connections: the process may open 256 files" in told
    assert not ledger.exists()
    assert sandbox.requests() == []


def test_enough_file_descriptors_leave_the_connections_as_they_are(sandbox, ledger):
    with campaign_process(**known([number(1)]), max_connections=100, descriptors=256) as process:
        told, _ = process.communicate(timeout=60)
    assert "is reduced" not in told
    assert '"accepted": 1' in told


@contextmanager
def locked(ledger: Path) -> Iterator[None]:
    """Another process that holds the database and does not let go."""
    with closing(sqlite3.connect(ledger, timeout=30, isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        yield
        database.execute("ROLLBACK")


@pytest.mark.slow
@pytest.mark.parametrize("raises", [False, True], ids=["as Airflow 3 does", "as Airflow 2 does"])
def test_sigterm_ends_a_campaign_whose_ledger_is_locked(sandbox, ledger, raises):
    recipients = [number(index) for index in range(3000)]
    with campaign_process(**known(recipients) | {"messages_per_second": 50}, raises=raises) as process:
        wait_for(lambda: ledger.exists() and len(sandbox.requests()) > 60)
        with locked(ledger):
            before = len(sandbox.requests())
            wait_for(lambda: len(sandbox.requests()) > before)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            process.send_signal(signal.SIGTERM)  # which neither loses the first nor hurries it
            started = time.monotonic()
            told, _ = process.communicate(timeout=60)
            assert time.monotonic() - started < 30
    assert process.returncode == 0
    # The ledger gives up by itself, or the main thread does not wait for it: whichever comes first.
    assert re.search("raised Ended" if raises else "raised Kaleyra(Campaign|Ledger)Error", told)
    received, recorded = {message["to"] for message in sandbox.messages()}, states(ledger)
    unrecorded = {to for to in received if recorded.get(to) != "accepted"}
    assert unrecorded
    for message in sandbox.messages():
        if message["to"] in unrecorded:
            assert f"accepted, message id {message['message_id']}" in told
            assert message["to"] not in told
    # The next try names them all.
    with campaign_process(**known(recipients[:200]), try_number=2) as process:
        told, _ = process.communicate(timeout=60)
    summary = json.loads(told.partition("returned ")[2].splitlines()[0])
    assert summary["recipients"] == 200
    assert summary["unknown"] >= len(unrecorded & set(recipients[:200]))
    assert len(sandbox.messages()) == len({message["to"] for message in sandbox.messages()})


@dataclass
class SilentServer:
    """Where it listens, and who connected."""

    port: int
    accepted: list[socket.socket]


@contextmanager
def silent_server() -> Iterator[SilentServer]:
    """A server that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = SilentServer(listener.getsockname()[1], [])

        def accept() -> None:
            with suppress(OSError):
                while True:
                    server.accepted.append(listener.accept()[0])

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            for one in server.accepted:
                one.close()


def test_sigterm_ends_a_campaign_whose_database_is_silent(sandbox, monkeypatch):
    pytest.importorskip("psycopg2")
    with silent_server() as server:
        connection = {
            "conn_type": "postgres",
            "host": "127.0.0.1",
            "port": server.port,
            "login": "postgres",
            "schema": "x",
        }
        monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps(connection))
        with campaign_process(**known([number(1)])) as process:
            wait_for(lambda: bool(server.accepted))
            time.sleep(0.5)
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            started = time.monotonic()
            told, _ = process.communicate(timeout=60)
            assert time.monotonic() - started < 30
    assert "raised KaleyraCampaignError" in told
    assert "Airflow ended the task" in told
    assert sandbox.requests() == []


def test_sigterm_ends_a_campaign_whose_kaleyra_is_silent(sandbox, ledger, monkeypatch):
    """With what was transmitted recorded as unknown."""
    with silent_server() as server:
        connection = json.loads(connection_to(sandbox)) | {"host": f"http://127.0.0.1:{server.port}"}
        monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", json.dumps(connection))
        with campaign_process(**known([number(index) for index in range(300)])) as process:
            wait_for(lambda: bool(server.accepted))
            time.sleep(1)
            process.send_signal(signal.SIGTERM)
            started = time.monotonic()
            told, _ = process.communicate(timeout=60)
            assert time.monotonic() - started < 20
    assert "raised KaleyraCampaignError" in told
    assert set(states(ledger).values()) == {"unknown", "not_sent"}


@pytest.mark.parametrize(("moment", "raises"), [(0.0, True), (0.1, False), (0.3, True)])
def test_a_real_signal_in_the_first_moments_is_obeyed(sandbox, ledger, moment, raises):
    """From when the process has its handler on."""
    with campaign_process(
        **known([number(index) for index in range(5000)]) | {"messages_per_second": 50}, raises=raises
    ) as process:
        wait_for(lambda: catches_sigterm(process.pid))
        time.sleep(moment)
        process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        told, _ = process.communicate(timeout=60)
        assert time.monotonic() - started < 20
    assert ("raised Ended" if raises else "raised KaleyraCampaignError") in told
    assert len(sandbox.requests()) < 300


def catches_sigterm(pid: int) -> bool:
    """Whether the process has a handler for the signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)

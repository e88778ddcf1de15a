from __future__ import annotations

import errno
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from airflow_provider_kaleyra.exceptions import KaleyraLedgerError
from airflow_provider_kaleyra.ledger.database import FAST_LIMITS, NORMAL, WAITS, Database
from airflow_provider_kaleyra.ledger.database_errors import Failure


@pytest.fixture
def engine(tmp_path: Path):
    engine = sa.create_engine(f"sqlite:///{tmp_path}/ledger.db")
    yield engine
    engine.dispose()


def ledger_error(failure: Failure) -> KaleyraLedgerError:
    return KaleyraLedgerError(f"it failed ({failure.reason})", "")


def fail(connection: sa.engine.Connection) -> None:
    raise sa.exc.OperationalError("SELECT", {}, Exception("the database system is starting up"))


def test_a_database_that_fails_is_tried_again_for_about_a_minute_with_growing_waits(engine):
    waits: list[float] = []
    database = Database(engine, waits.append)
    with pytest.raises(KaleyraLedgerError, match=r"it failed \(the database system is starting up\)"):
        database.transaction(fail, ledger_error)
    assert waits == list(WAITS) == sorted(waits)
    assert 50 < sum(waits) < 70
    database.close()


def test_a_process_without_a_free_file_descriptor_tries_again(engine):
    waits: list[float] = []
    database = Database(engine, waits.append)

    def fail_once(connection: sa.engine.Connection) -> str:
        if not waits:
            raise OSError(errno.EMFILE, "Too many open files")
        return "done"

    assert database.transaction(fail_once, ledger_error) == "done"
    assert len(waits) == 1
    database.close()


def test_time_that_tries_take_counts(engine, monkeypatch):
    waits: list[float] = []
    database = Database(engine, waits.append)
    clock = iter(range(0, 10_000, 25))
    monkeypatch.setattr("airflow_provider_kaleyra.ledger.database.time.monotonic", lambda: next(clock))
    with pytest.raises(KaleyraLedgerError):
        database.transaction(fail, ledger_error)
    assert len(waits) < 3
    database.close()


def test_a_database_is_given_up_within_seconds_when_the_task_is_being_ended(engine, monkeypatch):
    monkeypatch.setattr("airflow_provider_kaleyra.ledger.database.FAST_LIMITS", replace(FAST_LIMITS, patience=1.0))
    database = Database(engine)
    database.fail_fast()
    started = time.monotonic()
    with pytest.raises(KaleyraLedgerError):
        database.transaction(fail, ledger_error)
    assert 1 < time.monotonic() - started < 4
    database.close()


def test_a_wait_that_has_begun_is_cut_short(engine):
    database = Database(engine)
    fail_fast = threading.Timer(0.2, database.fail_fast)
    fail_fast.start()
    started = time.monotonic()
    database.sleep(60)
    assert time.monotonic() - started < 10
    fail_fast.join()


def test_a_signal_that_interrupts_a_request_to_fail_fast_can_ask_again(engine):
    """A second SIGTERM, wherever in the handler of the first one it comes: a lock would never be released."""
    database = Database(engine)

    def interrupt(frame: object, event: str, argument: object) -> object:
        sys.settrace(None)
        database.fail_fast()
        sys.settrace(interrupt)
        return interrupt

    def ask() -> None:
        sys.settrace(interrupt)
        database.fail_fast()
        sys.settrace(None)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    database.close()


def test_what_a_campaign_waits_for_while_it_is_being_ended_fits_into_30_seconds():
    # 10 s for responses to messages in flight, then one attempt that began at the last moment.
    assert 10 + FAST_LIMITS.patience + FAST_LIMITS.transaction < 30
    assert FAST_LIMITS.lock < FAST_LIMITS.statement < FAST_LIMITS.transaction
    assert NORMAL.lock < NORMAL.statement < NORMAL.transaction < 30


def test_sqlite_waits_for_another_task_as_long_as_it_may(engine):
    def busy_timeout() -> int:
        return database.transaction(
            lambda connection: connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one(), ledger_error
        )

    database = Database(engine)
    assert busy_timeout() == 10_000
    database.fail_fast()
    assert busy_timeout() == 5_000
    database.close()

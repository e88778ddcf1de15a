"""From Airflow's Connection to the ledger's engine, without a server."""

from __future__ import annotations

import json
import logging
import traceback

import pytest
import sqlalchemy as sa
from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_kaleyra.connection import reading
from airflow_provider_kaleyra.exceptions import (
    KaleyraConfigError,
    KaleyraConnectionUnreadableError,
    KaleyraError,
    KaleyraLedgerError,
)
from airflow_provider_kaleyra.ledger.connection import engine_of
from airflow_provider_kaleyra.ledger.ledger import Ledger
from airflow_provider_kaleyra.ledger.values import Step
from airflow_provider_kaleyra.whatsapp.outcome import Accepted
from tests.campaign.builders import claimant, number, prepared
from tests.ledger.test_ledger import results, steps

SECRET = "a-very-secret-password"


def set_connection(monkeypatch: pytest.MonkeyPatch, **fields: object) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps(fields))


def opened(campaign_id: str = "diwali", **differences: object) -> Ledger:
    ledger = Ledger(engine_of("ledger"), campaign_id, claimant(**differences))
    ledger.prepare()
    return ledger


def test_a_connection_that_does_not_exist_is_named_and_fails_at_once():
    with pytest.raises(KaleyraConfigError, match="Connection 'nowhere' \\(ledger_conn_id\\) does not exist"):
        engine_of("nowhere")


@pytest.mark.parametrize("conn_id", [None, "", " ", 42])
def test_an_id_that_is_none_is_named(conn_id):
    with pytest.raises(KaleyraConfigError, match="ledger_conn_id must be its id; found"):
        engine_of(conn_id)


class InvalidToken(Exception):  # noqa: N818 - as cryptography names it
    pass


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (ConnectionError(SECRET), KaleyraConnectionUnreadableError),
        (InvalidToken(SECRET), KaleyraConfigError),
        (ValueError(SECRET), KaleyraConfigError),
    ],
    ids=lambda value: getattr(value, "__name__", None) or type(value).__name__,
)
def test_a_connection_that_cannot_be_read_is_retried_if_that_can_help(monkeypatch, cause, expected):
    def unreadable(conn_id: str) -> None:
        raise cause

    monkeypatch.setattr(BaseHook, "get_connection", unreadable)
    with pytest.raises(
        KaleyraError, match=rf"^Connection 'ledger' could not be read: .*{type(cause).__name__}"
    ) as error:
        engine_of("ledger")
    assert type(error.value) is expected
    assert SECRET not in "".join(traceback.format_exception(error.value))


def test_a_backend_that_failed_to_find_a_connection_can_be_retried(monkeypatch):
    class Backend:
        def get_connection(self, conn_id: str) -> None:
            raise ConnectionError

    monkeypatch.setattr(reading, "_backends", lambda: [Backend()])
    with pytest.raises(KaleyraConnectionUnreadableError, match="Backend failed"):
        engine_of("nowhere")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"conn_type": "kaleyra"}, "leads to no PostgreSQL or SQLite database"),
        ({"conn_type": "http"}, "ledger_conn_id"),
        ({"conn_type": "nothing_known"}, "Install its provider"),
    ],
    ids=str,
)
def test_a_connection_of_another_kind_is_rejected_without_its_secrets(monkeypatch, fields, told):
    set_connection(monkeypatch, password=SECRET, login="user", host="example.com", **fields)
    with pytest.raises(KaleyraConfigError, match=told) as error:
        engine_of("ledger")
    assert fields["conn_type"] in str(error.value)
    assert SECRET not in str(error.value)
    trace = error.value.__traceback__
    while trace is not None:
        if "airflow_provider_kaleyra" in trace.tb_frame.f_code.co_filename:
            held = list(trace.tb_frame.f_locals.values())
            assert not [value for value in held if type(value).__name__ == "Connection"]
        trace = trace.tb_next


@pytest.mark.parametrize("extra", [{}, {"mode": "rwc"}], ids=str)
def test_sqlite_is_connected_to_as_its_own_hook_does(monkeypatch, tmp_path, extra):
    set_connection(monkeypatch, conn_type="sqlite", host=str(tmp_path / "ledger.db"), extra=extra)
    ledger = opened()
    assert steps(ledger.claim(prepared([number(1)]))) == [Step.SEND]
    ledger.close()
    engine = sa.create_engine(f"sqlite:///{tmp_path}/ledger.db")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT recipient FROM kaleyra_sends").scalar_one() == number(1)
    engine.dispose()


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"host": "shared", "extra": {"mode": "memory", "cache": "shared"}}, "forgets"),
        ({"host": ":memory:"}, "forgets"),
        ({}, "forgets"),
        ({"host": "/no/such/folder/ledger.db"}, "unable to open database file"),
    ],
    ids=str,
)
def test_a_sqlite_database_that_keeps_nothing_is_rejected_at_once(monkeypatch, fields, told):
    set_connection(monkeypatch, conn_type="sqlite", **fields)
    with pytest.raises(KaleyraConfigError, match=told):
        opened()


def test_a_sqlite_database_that_may_only_be_read_fails_before_anybody_is_sent_to(monkeypatch, tmp_path):
    set_connection(monkeypatch, conn_type="sqlite", host=str(tmp_path / "ledger.db"))
    opened().close()
    set_connection(monkeypatch, conn_type="sqlite", host=str(tmp_path / "ledger.db"), extra={"mode": "ro"})
    ledger = opened()
    with pytest.raises(KaleyraLedgerError, match="readonly database"):
        ledger.claim(prepared([number(1)]))
    ledger.close()


def test_neither_parameters_nor_rows_are_logged(monkeypatch, tmp_path, caplog):
    set_connection(monkeypatch, conn_type="sqlite", host=str(tmp_path / "ledger.db"))
    caplog.set_level(logging.DEBUG, logger="sqlalchemy")
    caplog.set_level(logging.DEBUG, logger="sqlalchemy.engine")
    first = opened()
    first.record(results(first.claim(prepared([number(1)])), Accepted("AX1")))
    first.close()
    second = opened(try_number=2)
    assert steps(second.claim(prepared([number(1)]))) == [Step.ALREADY_ACCEPTED]
    second.close()
    assert "INSERT INTO kaleyra_sends" in caplog.text
    assert number(1) not in caplog.text


def test_other_engines_log_as_before(monkeypatch, tmp_path, caplog):
    set_connection(monkeypatch, conn_type="sqlite", host=str(tmp_path / "ledger.db"))
    engine_of("ledger")
    caplog.set_level(logging.DEBUG, logger="sqlalchemy.engine")
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 'a row of another'").fetchall()
    assert "Row ('a row of another',)" in caplog.text
    engine.dispose()

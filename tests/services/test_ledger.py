"""PostgreSQL keeps the promises that tests/ledger/test_ledger.py asks of SQLite, and some that only a server can."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from airflow_provider_kaleyra.ledger.connection import engine_of
from airflow_provider_kaleyra.ledger.ledger import Ledger, _claim_row
from airflow_provider_kaleyra.ledger.values import Step
from airflow_provider_kaleyra.whatsapp.outcome import Accepted
from tests.campaign.builders import claimant, number, prepared
from tests.ledger.test_ledger import *  # noqa: F403 - the same promises
from tests.ledger.test_ledger import new_engine, results, steps


@pytest.fixture
def database_url(postgres: str) -> str:
    return postgres


def end_all_connections(url: str) -> None:
    """What a failover does to those who are connected."""
    engine = new_engine(url)
    with engine.connect() as connection:
        connection.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    engine.dispose()


def test_a_server_that_drops_its_connections_is_connected_to_again(open_ledger, database_url, rows):
    ledger = open_ledger()
    claimed = ledger.claim(prepared([number(1)]))
    end_all_connections(database_url)
    assert ledger.record(results(claimed, Accepted("AX1"))) == []
    end_all_connections(database_url)
    assert steps(ledger.claim(prepared([number(1), number(2)]))) == [Step.DUPLICATE, Step.SEND]
    assert rows()[number(1)]["message_id"] == "AX1"


def test_a_claim_waits_for_the_one_that_holds_the_same_recipient(open_ledger, database_url):
    """The unique key decides when the other commits, not before."""
    other = new_engine(database_url)
    first, second = open_ledger(), open_ledger(claimant(run_id="another"))
    row = _claim_row(prepared([number(1)])[0], first._claimant.claim(1))
    found = []
    with other.connect() as connection, connection.begin():
        connection.execute(first._statements.claim, first._parameters([row]))
        waiting = threading.Thread(target=lambda: found.extend(steps(second.claim(prepared([number(1)])))))
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()
        assert found == []
    waiting.join(10)
    assert found == [Step.CLAIMED_ELSEWHERE]
    other.dispose()


def test_outcomes_are_recorded_on_the_page_of_their_claims_without_writing_to_the_index(open_ledger, database_url):
    ledger = open_ledger()
    claimed = [ledger.claim(prepared(number(10 * tens + one) for one in range(10))) for tens in range(20)]
    for batch in claimed:
        ledger.record(results(batch, Accepted("AX1")))
    ledger.close()  # PostgreSQL counts what a connection did when it ends
    engine = new_engine(database_url).execution_options(isolation_level="AUTOCOMMIT")
    statement = sa.text("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'kaleyra_sends'")
    updates = in_place = 0
    for _ in range(100):
        with engine.connect() as connection:
            updates, in_place = connection.execute(statement).one()
        if updates == 200:
            break
        time.sleep(0.1)
    engine.dispose()
    assert updates == 200
    assert in_place >= 40


def test_times_are_in_utc_whatever_the_server_thinks(open_ledger, rows, database_url):
    engine = new_engine(database_url)
    with engine.begin() as connection:
        name = connection.execute(sa.text("SELECT current_database()")).scalar_one()
        connection.execute(sa.text(f"ALTER DATABASE {name} SET timezone TO 'Asia/Kolkata'"))
    engine.dispose()
    open_ledger().claim(prepared([number(1)]))
    claimed_at = rows()[number(1)]["claimed_at"]
    assert abs(datetime.now(UTC) - claimed_at) < timedelta(minutes=5)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_airflows_connection_leads_to_the_ledger(monkeypatch, database_url, scheme):
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", database_url.replace("postgresql+psycopg2", scheme))
    ledger = Ledger(engine_of("ledger"), "diwali", claimant())
    ledger.prepare()
    assert steps(ledger.claim(prepared([number(1)]))) == [Step.SEND]
    ledger.close()

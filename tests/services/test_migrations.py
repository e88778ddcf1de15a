"""PostgreSQL migrates as tests/ledger/test_migrations.py asks of SQLite, with the rights and locks of a server."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import ProgrammingError

from airflow_provider_kaleyra.ledger.ledger import Ledger
from airflow_provider_kaleyra.ledger.migrations import migrate
from airflow_provider_kaleyra.ledger.values import Step
from airflow_provider_kaleyra.whatsapp.outcome import Accepted
from tests.campaign.builders import claimant, number, prepared
from tests.ledger.test_ledger import new_engine, results, steps
from tests.ledger.test_migrations import *  # noqa: F403 - the same behaviour
from tests.ledger.test_migrations import NEXT, apply, execute, fill, schema


@pytest.fixture
def database_url(postgres: str) -> str:
    return postgres


@pytest.fixture
def role(engine: sa.engine.Engine) -> Iterator[str]:
    """A role that may create nothing."""
    name = f"kaleyra_role_{secrets.token_hex(6)}"
    execute(engine, f"CREATE ROLE {name} LOGIN", "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    yield name
    execute(engine, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


@pytest.fixture
def as_role(role: str, database_url: str) -> Iterator[sa.engine.Engine]:
    engine = new_engine(database_url.replace("postgres@", f"{role}@"))
    yield engine
    engine.dispose()


def test_a_role_that_may_create_nothing_uses_tables_that_are_up_to_date(engine, role, as_role):
    apply(engine)
    execute(
        engine,
        f"GRANT SELECT ON kaleyra_sends_version TO {role}",
        f"GRANT SELECT, INSERT, UPDATE ON kaleyra_sends TO {role}",
    )
    ledger = Ledger(as_role, "diwali", claimant())
    ledger.prepare()
    claimed = ledger.claim(prepared([number(1)]))
    assert steps(claimed) == [Step.SEND]
    assert ledger.record(results(claimed, Accepted("AX1"))) == []
    ledger.close()


def test_a_role_that_may_create_nothing_changes_nothing(engine, role, as_role):
    with pytest.raises(ProgrammingError, match="permission denied"):
        apply(as_role)
    assert schema(engine) == {}
    apply(engine)
    execute(engine, f"GRANT SELECT ON kaleyra_sends_version TO {role}")
    with pytest.raises(ProgrammingError, match="must be owner"):
        apply(as_role, NEXT)
    assert "kaleyra_receipts" not in schema(engine)


_WAITING = """
    SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()
"""


def _waits_for_a_lock(engine: sa.engine.Engine) -> bool:
    with engine.connect() as connection:
        return bool(connection.execute(sa.text(_WAITING)).scalar_one())


def _until_it_waits(engine: sa.engine.Engine) -> None:
    pause = threading.Event()
    for _ in range(200):
        if _waits_for_a_lock(engine):
            return
        pause.wait(0.05)
    raise AssertionError("nobody waits for a lock")


@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
def test_a_task_that_waited_for_another_sees_what_that_one_migrated(engine, database_url, level):
    """Whatever isolation level the role, or the database, has as its default."""
    execute(engine, f"ALTER DATABASE {engine.url.database} SET default_transaction_isolation TO '{level}'")
    ledger, failures = Ledger(new_engine(database_url), "diwali", claimant()), []

    def work() -> None:
        try:
            ledger.prepare()
        except Exception as error:  # noqa: BLE001 - the test shows whatever it was
            failures.append(error)
        ledger.close()

    waiting = threading.Thread(target=work)
    with engine.begin() as connection:
        migrate(connection)
        waiting.start()
        _until_it_waits(engine)
    waiting.join(20)
    assert not waiting.is_alive()
    assert failures == []


def test_a_migration_waits_for_a_claim_that_is_not_committed_and_keeps_it(engine, database_url, open_ledger):
    fill(open_ledger())
    other = new_engine(database_url)
    migrating = threading.Thread(target=apply, args=(other, NEXT))
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE kaleyra_sends SET detail = 'checked' WHERE state = 'claimed'"))
        migrating.start()
        _until_it_waits(engine)
    migrating.join(20)
    other.dispose()
    with engine.connect() as connection:
        found = (
            connection.execute(sa.text("SELECT delivery FROM kaleyra_sends WHERE detail = 'checked'")).scalars().all()
        )
    assert found == ["none of claimed"]

"""Versions of the ledger's tables; tests/services holds PostgreSQL to the same behaviour."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from airflow_provider_kaleyra.exceptions import KaleyraConfigError
from airflow_provider_kaleyra.ledger.ledger import Ledger
from airflow_provider_kaleyra.ledger.migrations import MIGRATIONS, Migration, migrate, statements
from airflow_provider_kaleyra.ledger.schema import KEY, SENDS
from airflow_provider_kaleyra.ledger.values import Step
from airflow_provider_kaleyra.whatsapp.outcome import Accepted
from tests.campaign.builders import claimant, number, prepared
from tests.ledger.test_ledger import new_engine, results, steps

LATEST = len(MIGRATIONS)
AT_ONCE = 4


def add_delivery(connection: Any) -> None:
    """What a later release could do: a column with values, an index and a table."""
    connection.execute(sa.text("ALTER TABLE kaleyra_sends ADD COLUMN delivery VARCHAR(16)"))
    connection.execute(sa.text("UPDATE kaleyra_sends SET delivery = 'none of ' || state"))
    connection.execute(sa.text("CREATE INDEX kaleyra_sends_ref ON kaleyra_sends (ref)"))
    connection.execute(sa.text("CREATE TABLE kaleyra_receipts (message_id VARCHAR(255) PRIMARY KEY)"))


def fail_half_way(connection: Any) -> None:
    """A migration with an error in its last statement."""
    add_delivery(connection)
    connection.execute(sa.text("UPDATE kaleyra_sends SET no_such_column = 1"))


NEXT: tuple[Migration, ...] = (*MIGRATIONS, add_delivery)


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.engine.Engine]:
    engine = new_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def open_ledger(database_url: str) -> Iterator[Callable[..., Ledger]]:
    ledgers = []

    def open_one(**who: Any) -> Ledger:
        ledger = Ledger(new_engine(database_url), "diwali", claimant(**who))
        ledgers.append(ledger)
        ledger.prepare()
        return ledger

    yield open_one
    for ledger in ledgers:
        ledger.close()


def apply(engine: sa.engine.Engine, migrations: tuple[Migration, ...] = MIGRATIONS) -> None:
    with engine.begin() as connection:
        migrate(connection, migrations)


def execute(engine: sa.engine.Engine, *texts: str) -> None:
    with engine.begin() as connection:
        for text in texts:
            connection.execute(sa.text(text))


def schema(engine: sa.engine.Engine) -> dict[str, Any]:
    """All that a migration can change, but the rows."""
    inspector = sa.inspect(engine)
    return {
        table: (
            [(column["name"], str(column["type"]), column["nullable"]) for column in inspector.get_columns(table)],
            inspector.get_pk_constraint(table)["constrained_columns"],
            sorted((index["name"], index["column_names"]) for index in inspector.get_indexes(table)),
        )
        for table in inspector.get_table_names()
    }


def versions(engine: sa.engine.Engine) -> list[int]:
    with engine.connect() as connection:
        return sorted(connection.execute(sa.text("SELECT version FROM kaleyra_sends_version")).scalars())


def sends(engine: sa.engine.Engine) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        found = connection.execute(sa.text("SELECT * FROM kaleyra_sends ORDER BY send_key"))
        return [dict(row) for row in found.mappings()]


def fill(ledger: Ledger) -> None:
    """A row in each of two states."""
    ledger.record(results(ledger.claim(prepared([number(1)], ref="a")), Accepted("AX1")))
    ledger.claim(prepared([number(2)]))


def insert(engine: sa.engine.Engine, **row: Any) -> None:
    """Insert a row as a later release might."""
    values = dict.fromkeys((column.name for column in SENDS.c), "") | {
        "retryable": False,
        "line": 1,
        "map_index": -1,
        "try_number": 1,
        "claimed_at": sa.func.current_timestamp(),
        "updated_at": sa.func.current_timestamp(),
    }
    with engine.begin() as connection:
        connection.execute(sa.insert(SENDS).values(**values | row))


def test_the_statements_know_the_columns_that_the_migrations_create(engine):
    apply(engine)
    created = {column["name"]: column["type"] for column in sa.inspect(engine).get_columns("kaleyra_sends")}
    assert list(created) == [column.name for column in SENDS.c]
    assert {name: created[name].python_type for name in created} == {
        column.name: column.type.python_type for column in SENDS.c
    }
    assert sa.inspect(engine).get_pk_constraint("kaleyra_sends")["constrained_columns"] == KEY


def test_a_recipient_has_one_row_in_a_campaign_and_more_in_several(engine):
    apply(engine)
    insert(engine, campaign_id="diwali", send_key=number(1), recipient=number(1))
    insert(engine, campaign_id="holi", send_key=number(1), recipient=number(1))
    with pytest.raises(IntegrityError):
        insert(engine, campaign_id="diwali", send_key=number(1), recipient=number(1))


def test_a_single_message_is_identified_by_its_key_whoever_the_recipient_is(engine):
    apply(engine)
    insert(engine, campaign_id="", send_key="order-1", recipient=number(1))
    insert(engine, campaign_id="", send_key="order-2", recipient=number(1))
    with pytest.raises(IntegrityError):
        insert(engine, campaign_id="", send_key="order-1", recipient=number(2))


def test_a_later_release_migrates_the_table_and_keeps_its_rows(engine, open_ledger):
    fill(open_ledger())
    before = sends(engine)
    apply(engine, NEXT)
    assert sends(engine) == [row | {"delivery": f"none of {row['state']}"} for row in before]
    assert versions(engine) == [*range(1, LATEST + 1), LATEST + 1]
    assert "kaleyra_receipts" in schema(engine)


def test_a_migration_is_applied_once(engine):
    apply(engine, NEXT)
    made = schema(engine)
    apply(engine, NEXT)
    assert schema(engine) == made


def test_a_new_database_gets_the_same_tables_as_an_old_one(engine, database_url, tmp_path):
    apply(engine)
    apply(engine, NEXT)
    in_two_steps = schema(engine)
    execute(engine, *(f"DROP TABLE {table}" for table in in_two_steps))
    apply(engine, NEXT)
    assert schema(engine) == in_two_steps


@pytest.mark.parametrize("failing", [(fail_half_way,), (add_delivery, fail_half_way)], ids=["first", "second"])
def test_a_migration_that_fails_leaves_the_earlier_version_whole(engine, open_ledger, failing):
    ledger = open_ledger()
    fill(ledger)
    made, rows = schema(engine), sends(engine)
    with pytest.raises(SQLAlchemyError):
        apply(engine, (*MIGRATIONS, *failing))
    assert (schema(engine), sends(engine), versions(engine)) == (made, rows, list(range(1, LATEST + 1)))
    assert steps(ledger.claim(prepared([number(3)]))) == [Step.SEND]
    apply(engine, NEXT)
    assert versions(engine)[-1] == LATEST + 1


def test_a_first_migration_that_fails_leaves_nothing_behind(engine):
    with pytest.raises(SQLAlchemyError):
        apply(engine, (*MIGRATIONS, fail_half_way))
    assert schema(engine) == {}


def test_a_task_of_the_earlier_release_that_runs_goes_on_and_a_new_one_is_rejected(engine, open_ledger):
    running = open_ledger()
    claimed = running.claim(prepared([number(1)]))
    apply(engine, NEXT)
    assert running.record(results(claimed, Accepted("AX1"))) == []
    assert steps(running.claim(prepared([number(1), number(2)]))) == [Step.DUPLICATE, Step.SEND]
    with pytest.raises(KaleyraConfigError, match=f"has version {LATEST + 1}, which a later release .* Upgrade"):
        open_ledger()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("DROP TABLE kaleyra_sends_version", "no known version"),
        ("DELETE FROM kaleyra_sends_version", "no known version"),
        ("UPDATE kaleyra_sends_version SET version = 0", "no known version"),
        ("UPDATE kaleyra_sends_version SET version = -1", "no known version"),
        ("DROP TABLE kaleyra_sends", "kaleyra_sends is missing, but kaleyra_sends_version is there"),
    ],
)
def test_a_table_without_its_version_or_a_version_without_its_table_is_rejected(engine, open_ledger, damage, reason):
    fill(open_ledger())
    execute(engine, damage)
    left = schema(engine)
    with pytest.raises(KaleyraConfigError, match=reason):
        open_ledger()
    assert schema(engine) == left


@pytest.mark.parametrize("installed", [0, LATEST])
def test_tasks_that_start_at_the_same_moment_migrate_once(engine, database_url, installed):
    if installed:
        apply(engine)
        insert(engine, campaign_id="diwali", send_key=number(1), recipient=number(1), state="accepted")
    start = threading.Barrier(AT_ONCE)

    def work(_: int) -> None:
        own = new_engine(database_url)
        start.wait(20)
        apply(own, NEXT)
        own.dispose()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(work, range(AT_ONCE)))
    assert versions(engine) == [*range(1, LATEST + 1), LATEST + 1]
    assert [row["delivery"] for row in sends(engine)] == ["none of accepted"] * min(installed, 1)


def test_processes_that_start_at_the_same_moment_migrate_once(engine, database_url):
    first = multiprocessing.get_context("spawn").Process(target=_migrate_in_processes, args=(database_url,))
    first.start()
    try:
        first.join(90)
        assert first.exitcode == 0
    finally:
        first.kill()
    assert versions(engine) == [*range(1, LATEST + 1), LATEST + 1]


def _migrate_in_processes(url: str) -> None:
    """Fork, in a process without other threads, so that the imports are paid for once."""
    context = multiprocessing.get_context("fork")
    start = context.Barrier(AT_ONCE)
    processes = [context.Process(target=_migrate_at, args=(url, start), daemon=True) for _ in range(AT_ONCE)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0] * AT_ONCE


def _migrate_at(url: str, start: Any) -> None:
    engine = new_engine(url)
    start.wait(20)
    apply(engine, NEXT)
    engine.dispose()


def test_tables_that_are_up_to_date_are_read_and_not_locked(engine, database_url):
    """Another task that migrates, or claims, does not hold up one that finds its tables."""
    apply(engine)
    other = new_engine(database_url)
    lock = "BEGIN IMMEDIATE" if engine.dialect.name == "sqlite" else "LOCK TABLE kaleyra_sends IN ROW EXCLUSIVE MODE"
    with other.connect() as connection, connection.begin():
        connection.execute(sa.text(lock))
        done = threading.Thread(target=apply, args=(engine,))
        done.start()
        done.join(5)
        assert not done.is_alive()
    done.join(30)
    other.dispose()


def run_script(engine: sa.engine.Engine, script: str) -> None:
    """Execute a script as a database's command line does."""
    connection = engine.raw_connection()
    if engine.dialect.name == "sqlite":
        connection.executescript(script)
    else:
        connection.autocommit = True
        connection.cursor().execute(script)
    connection.close()


def test_the_statements_as_text_create_what_a_migration_creates(engine):
    apply(engine, NEXT)
    migrated = schema(engine)
    execute(engine, *(f"DROP TABLE {table}" for table in migrated))
    run_script(engine, statements(engine.dialect.name))
    run_script(engine, statements(engine.dialect.name, LATEST, NEXT))
    assert schema(engine) == migrated
    assert versions(engine) == [*range(1, LATEST + 1), LATEST + 1]
    apply(engine, NEXT)


def test_an_up_to_date_version_has_nothing_to_print(engine):
    assert statements(engine.dialect.name, LATEST) == "BEGIN;\n\nCOMMIT;\n"

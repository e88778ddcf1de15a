"""The ledger connects as its Connection's own hook does: TLS, search path, pgbouncer, rights, failover, silence."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest
import sqlalchemy as sa
import trustme

from airflow_provider_kaleyra.exceptions import KaleyraConfigError, KaleyraError, KaleyraLedgerError
from airflow_provider_kaleyra.ledger import database as database_module
from airflow_provider_kaleyra.ledger import tables as tables_module
from airflow_provider_kaleyra.ledger.connection import engine_of
from airflow_provider_kaleyra.ledger.database import Limits
from airflow_provider_kaleyra.ledger.ddl import ddl
from airflow_provider_kaleyra.ledger.ledger import Ledger
from airflow_provider_kaleyra.ledger.migrations import MIGRATIONS, migrate
from airflow_provider_kaleyra.ledger.values import Step
from airflow_provider_kaleyra.operators.campaign import KaleyraSendVideoCampaignOperator
from airflow_provider_kaleyra.whatsapp.outcome import Accepted, NotSent
from dev.sandbox import RunningSandbox, connection_to, running_sandbox
from tests.campaign.builders import claimant, number, prepared, rejected
from tests.ledger.test_ledger import results, steps
from tests.ledger.test_migrations import add_delivery
from tests.support.postgres import Cluster, losing_commits

LINK = "https://example.com/v.mp4"
AT_ONCE = 4.0  # seconds; the next try would be later


@pytest.fixture(scope="module", autouse=True)
def _providers(without_tls: Cluster) -> None:
    """Load Airflow's providers and the campaign before the tests measure time: it takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_LEDGER", without_tls.connection("postgres"))
        engine_of("ledger").dispose()
        with pytest.raises(KaleyraError):
            campaign([], kaleyra_conn_id="nowhere").execute({})


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
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Ledger]]:
    """Opens ledgers of an Airflow Connection; they are closed afterwards."""
    with ExitStack() as opened:

        def open_one(connection: str, *, prepare: bool = True, **differences: object) -> Ledger:
            monkeypatch.setenv("AIRFLOW_CONN_LEDGER", connection)
            ledger = Ledger(engine_of("ledger"), "diwali", claimant(**differences))
            opened.callback(ledger.close)
            if prepare:
                ledger.prepare()
            return ledger

        yield open_one


def setting(ledger: Ledger, name: str) -> str:
    """What a setting is while the ledger works."""
    return ledger._database.transaction(
        lambda connection: connection.exec_driver_sql(f"SHOW {name}").scalar_one(),
        lambda failure: KaleyraLedgerError(failure.reason, ""),
    )


def tables(cluster: Cluster, name: str) -> list[str]:
    found = cluster.run("SELECT relname FROM pg_class WHERE relname LIKE 'kaleyra%' AND relkind = 'r' ORDER BY 1", name)
    return [row[0] for row in found]


def campaign(recipients: list[str], **fields: object) -> KaleyraSendVideoCampaignOperator:
    known = {"task_id": "send", "campaign_id": "diwali", "ledger_conn_id": "ledger", "media_link": LINK}
    return KaleyraSendVideoCampaignOperator(
        **known | {"recipients": recipients, "messages_per_second": 1000, "max_failures": None} | fields
    )


@contextmanager
def at_once() -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < AT_ONCE


# TLS


def test_a_server_without_tls_gets_nothing_where_tls_is_required(sandbox, without_tls, database, monkeypatch):
    connection = without_tls.connection(database, extra={"sslmode": "require"})
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", connection)
    with (
        at_once(),
        pytest.raises(KaleyraConfigError, match="server does not support SSL, but SSL was required") as error,
    ):
        campaign([number(1)]).execute({})
    assert "Check sslmode" in str(error.value)
    assert sandbox.requests() == []
    assert tables(without_tls, database) == []


def test_a_certificate_of_another_authority_is_rejected(sandbox, with_tls, database_with_tls, monkeypatch, tmp_path):
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    extra = {"sslmode": "verify-full", "sslrootcert": str(tmp_path / "ca.pem")}
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", with_tls.connection(database_with_tls, extra=extra))
    with at_once(), pytest.raises(KaleyraConfigError, match="certificate verify failed"):
        campaign([number(1)]).execute({})
    assert sandbox.requests() == []
    assert tables(with_tls, database_with_tls) == []


def test_a_certificate_for_another_name_is_rejected(connect, with_tls, database_with_tls, authority, tmp_path):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    extra = {"sslmode": "verify-full", "sslrootcert": str(tmp_path / "ca.pem")}
    with at_once(), pytest.raises(KaleyraConfigError, match="does not match host name"):
        connect(with_tls.connection(database_with_tls, host="localhost", extra=extra))


@pytest.mark.parametrize(
    ("sslmode", "is_encrypted"), [("verify-full", True), ("require", True), ("disable", False), (None, True)]
)
def test_sslmode_is_obeyed(
    sandbox, with_tls, database_with_tls, authority, tmp_path, monkeypatch, sslmode, is_encrypted
):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    extra = {"sslmode": sslmode, "sslrootcert": str(tmp_path / "ca.pem"), "application_name": f"with {sslmode}"}
    extra = {name: value for name, value in extra.items() if sslmode or name == "application_name"}
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", with_tls.connection(database_with_tls, extra=extra))
    used = []

    def claim(*arguments: object) -> object:
        used.extend(
            with_tls.run(
                f"SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
                f"WHERE application_name = 'with {sslmode}'"
            )
        )
        return original(*arguments)

    original = Ledger.claim
    monkeypatch.setattr(Ledger, "claim", claim)
    assert campaign([number(1)]).execute({})["accepted"] == 1
    assert used == [(is_encrypted,)]


# The other extras


def test_the_connections_extras_are_those_of_its_own_hook(connect, without_tls, database):
    without_tls.run("CREATE SCHEMA marketing", database)
    extra = {"options": "-c search_path=marketing -c work_mem=5MB", "application_name": "ours", "connect_timeout": 7}
    ledger = connect(without_tls.connection(database, extra=extra))
    assert steps(ledger.claim(prepared([number(1)]))) == [Step.SEND]
    assert without_tls.run("SELECT schemaname FROM pg_tables WHERE tablename = 'kaleyra_sends'", database) == [
        ("marketing",)
    ]
    assert [setting(ledger, name) for name in ("search_path", "application_name", "work_mem")] == [
        "marketing",
        "ours",
        "5MB",
    ]


@pytest.mark.parametrize("extra", [{}, {"connect_timeout": 7, "keepalives_idle": 60}], ids=str)
def test_what_the_extras_leave_open_is_bounded(connect, without_tls, database, extra):
    ledger = connect(without_tls.connection(database, extra=extra))
    driver = ledger._database._connection.connection.dbapi_connection
    used = driver.info.dsn_parameters if hasattr(driver.info, "dsn_parameters") else driver.info.get_parameters()
    expected = {"connect_timeout": 10, "tcp_user_timeout": 20_000, "keepalives_idle": 10} | extra
    assert {name: int(used[name]) for name in expected} == expected


@pytest.mark.parametrize("extra", [{"cursor": "dictcursor"}, {"cursor": "namedtuplecursor"}], ids=str)
def test_the_hooks_kind_of_cursor_changes_nothing(connect, without_tls, database, extra):
    connection = without_tls.connection(database, extra=extra)
    ledger = connect(connection)
    ledger.record(results(ledger.claim(prepared([number(1), number(2)])), Accepted("AX1")))
    again = connect(connection, try_number=2)
    assert steps(again.claim(prepared([number(1), number(2), number(3)]))) == [
        Step.ALREADY_ACCEPTED,
        Step.ALREADY_ACCEPTED,
        Step.SEND,
    ]


@pytest.mark.parametrize(
    ("options", "lock", "statement"),
    [(None, "10s", "15s"), ("-c lock_timeout=300ms", "300ms", "15s"), ("-c statement_timeout=1min", "10s", "1min")],
)
def test_timeouts_are_the_users_own_or_bounded(connect, without_tls, database, options, lock, statement):
    ledger = connect(without_tls.connection(database, extra={"options": options} if options else {}))
    assert (setting(ledger, "lock_timeout"), setting(ledger, "statement_timeout")) == (lock, statement)


@pytest.mark.parametrize(
    ("fields", "told", "advice"),
    [
        ({"schema": "nowhere"}, 'database "nowhere" does not exist', "schema"),
        ({"login": "nobody_known"}, 'role "nobody_known" does not exist', "login"),
        ({"login": "with_password", "password": "wrong"}, "password authentication failed", "password"),
        ({"login": "with_password"}, "no password supplied", "password"),
        ({"extra": {"sslmode": "perhaps"}}, "invalid sslmode value", "sslmode"),
        ({"extra": {"unknown_extra": "1"}}, "unknown_extra", "extras"),
        ({"extra": {"options": "-c no_such_setting=1"}}, "no_such_setting", "extras"),
        ({"extra": {"cursor": "nothing"}}, "Invalid cursor", "extras"),
    ],
    ids=str,
)
def test_what_does_not_pass_is_reported_at_once(connect, without_tls, database, fields, told, advice):
    without_tls.run("DROP ROLE IF EXISTS with_password")
    without_tls.run("CREATE ROLE with_password LOGIN PASSWORD 'right'")
    with at_once(), pytest.raises(KaleyraError, match=told) as error:
        connect(without_tls.connection(database, **fields))
    assert advice in str(error.value)
    assert "wrong" not in str(error.value)


# pgbouncer


def test_pgbouncer_in_transaction_mode(connect, without_tls, pgbouncer, database):
    """Several tasks share two of the server's connections, transaction by transaction."""
    connection = without_tls.connection(database, port=pgbouncer)
    ledgers = [connect(connection, map_index=index) for index in range(4)]
    recipients = prepared(number(index) for index in range(160))
    found: list[Step] = []

    def work(ledger: Ledger) -> None:
        for first in range(0, 160, 20):
            claimed = ledger.claim(recipients[first : first + 20])
            ledger.record(results([one for one in claimed if one.step is Step.SEND], Accepted("AX1")))
            found.extend(steps(claimed))

    threads = [threading.Thread(target=work, args=(ledger,)) for ledger in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found.count(Step.SEND) == 160
    assert len(found) == 640
    assert without_tls.run("SELECT count(*) FROM kaleyra_sends WHERE state = 'accepted'", database) == [(160,)]
    # What holds for the ledger's transaction holds for nobody else's.
    assert without_tls.run("SHOW lock_timeout", database) == [("0",)]
    assert setting(ledgers[0], "lock_timeout") == "10s"


def test_options_that_pgbouncer_does_not_take_are_reported_at_once(connect, without_tls, pgbouncer, database):
    connection = without_tls.connection(database, port=pgbouncer, extra={"options": "-c search_path=public"})
    with at_once(), pytest.raises(KaleyraConfigError, match="unsupported startup parameter") as error:
        connect(connection)
    assert "ignore_startup_parameters" in str(error.value)


# Failover


def test_a_server_that_crashes_and_recovers_is_waited_for(connect, without_tls, database):
    ledger = connect(without_tls.connection(database))
    claimed = ledger.claim(prepared([number(1)]))
    without_tls.restart()
    assert ledger.record(results(claimed, Accepted("AX1"))) == []
    without_tls.stop()
    start = threading.Timer(1.0, without_tls.start)
    start.start()
    try:
        assert steps(ledger.claim(prepared([number(1), number(2)]))) == [Step.DUPLICATE, Step.SEND]
    finally:
        start.join()


def test_a_campaign_goes_on_after_a_crash(sandbox, without_tls, database, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", without_tls.connection(database))
    recipients = [number(index) for index in range(150)]
    crash = threading.Timer(1.0, without_tls.restart)
    crash.start()
    try:
        summary = campaign(recipients, messages_per_second=60, checkpoint_every=10).execute({})
    finally:
        crash.join()
    assert (summary["accepted"], summary["stopped"]) == (150, None)
    assert sorted(message["to"] for message in sandbox.messages()) == recipients
    assert len(sandbox.requests()) == 150
    assert without_tls.run("SELECT state, count(*) FROM kaleyra_sends GROUP BY 1", database) == [("accepted", 150)]


def test_a_server_that_is_read_only_for_a_while_is_waited_for(connect, without_tls, database):
    ledger = connect(without_tls.connection(database))
    claimed = ledger.claim(prepared([number(1)]))
    _set_read_only(without_tls, "on")
    writable = threading.Timer(1.5, _set_read_only, (without_tls, "off"))
    writable.start()
    try:
        assert ledger.record(results(claimed, Accepted("AX1"))) == []
    finally:
        writable.join()
        _set_read_only(without_tls, "off")
    assert without_tls.run("SELECT state FROM kaleyra_sends", database) == [("accepted",)]


def _set_read_only(cluster: Cluster, value: str) -> None:
    cluster.run(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
    cluster.run("SELECT pg_reload_conf()")


def test_a_task_that_is_being_ended_waits_seconds_for_a_server_that_is_away(connect, without_tls, database):
    ledger = connect(without_tls.connection(database))
    claimed = ledger.claim(prepared([number(1)]))
    without_tls.stop()
    fail_fast = threading.Timer(1.0, ledger.fail_fast)
    fail_fast.start()
    started = time.monotonic()
    try:
        with pytest.raises(KaleyraLedgerError, match="Connection refused"):
            ledger.record(results(claimed, Accepted("AX1")))
    finally:
        fail_fast.join()
        without_tls.start()
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("forwards", [True, False], ids=["committed", "not committed"])
@pytest.mark.parametrize("resend", [False, True], ids=["new", "taken over"])
def test_a_commit_whose_response_is_lost_sends_nothing_twice(without_tls, database, monkeypatch, forwards, resend):
    with losing_commits(without_tls.port, forwards=forwards) as proxy:
        monkeypatch.setenv("AIRFLOW_CONN_LEDGER", without_tls.connection(database, port=proxy.port))
        people = prepared([number(1), number(2)])
        if resend:
            first = Ledger(engine_of("ledger"), "diwali", claimant())
            first.prepare()
            first.record(results(first.claim(people), NotSent("refused"), retryable=True))
            first.close()
        ledger = Ledger(engine_of("ledger"), "diwali", claimant(try_number=2), sleep=lambda _: None)
        other = Ledger(engine_of("ledger"), "diwali", claimant(run_id="another"))
        try:
            ledger.prepare()
            proxy.armed = True
            claimed = ledger.claim(people)
            assert steps(claimed) == [Step.SEND, Step.SEND]
            assert steps(other.claim(people)) == [Step.CLAIMED_ELSEWHERE, Step.CLAIMED_ELSEWHERE]
            proxy.armed = True
            assert ledger.record(results(claimed, Accepted("AX1"))) == []
            assert proxy.cuts == 2
            assert steps(other.claim(people)) == [Step.ALREADY_ACCEPTED, Step.ALREADY_ACCEPTED]
        finally:
            ledger.close()
            other.close()


# Silence


SHORT = Limits(patience=1.0, transaction=2.0, statement=1.0, lock=1.0)


def test_a_connection_that_stays_silent_is_replaced(connect, without_tls, database, monkeypatch):
    """As after a failover behind a proxy that keeps the old server's connections open."""
    monkeypatch.setattr(database_module, "NORMAL", replace(SHORT, patience=60.0))
    ledger = connect(without_tls.connection(database, extra={"application_name": "frozen"}))
    [(frozen,)] = without_tls.run("SELECT pid FROM pg_stat_activity WHERE application_name = 'frozen'")
    os.kill(frozen, signal.SIGSTOP)
    try:
        with at_once():
            assert steps(ledger.claim(prepared([number(1)]))) == [Step.SEND]
    finally:
        os.kill(frozen, signal.SIGCONT)


def test_a_task_that_is_being_ended_leaves_a_silent_server(connect, without_tls, database, monkeypatch):
    monkeypatch.setattr(database_module, "FAST_LIMITS", SHORT)
    ledger = connect(without_tls.connection(database, extra={"connect_timeout": 2}))
    claimed = ledger.claim(prepared([number(1)]))
    frozen = without_tls.processes()
    fail_fast = threading.Timer(0.5, ledger.fail_fast)
    started = time.monotonic()
    for process in frozen:
        process.suspend()
    try:
        fail_fast.start()
        with pytest.raises(KaleyraLedgerError, match="could not be recorded"):
            ledger.record(results(claimed, Accepted("AX1")))
    finally:
        for process in frozen:
            process.resume()
        fail_fast.join()
    assert time.monotonic() - started < 10


def test_a_server_that_accepts_and_says_nothing_is_left(connect, without_tls, database, monkeypatch):
    monkeypatch.setattr(database_module, "FAST_LIMITS", SHORT)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        connection = without_tls.connection(database, port=silent.getsockname()[1], extra={"connect_timeout": 2})
        ledger = connect(connection, prepare=False)
        ledger.fail_fast()
        started = time.monotonic()
        with pytest.raises(KaleyraLedgerError, match="timeout"):
            ledger.prepare()
        assert time.monotonic() - started < 10


def test_a_locked_table_is_waited_for_and_then_left(connect, without_tls, database, monkeypatch):
    monkeypatch.setattr(database_module, "FAST_LIMITS", Limits(patience=0.5, transaction=5.0, statement=4.0, lock=1.0))
    ledger = connect(without_tls.connection(database))
    engine = sa.create_engine(f"postgresql+psycopg2://postgres@127.0.0.1:{without_tls.port}/{database}")
    with engine.connect() as other, other.begin():
        other.exec_driver_sql("LOCK TABLE kaleyra_sends")
        ledger.fail_fast()
        with at_once(), pytest.raises(KaleyraLedgerError, match="lock timeout"):
            ledger.claim(prepared([number(1)]))
    engine.dispose()
    assert steps(ledger.claim(prepared([number(1)]))) == [Step.SEND]


# Rights


@pytest.fixture
def role(without_tls: Cluster, database: str) -> Iterator[str]:
    """A role that may connect, and create nothing."""
    yield from _role(without_tls, database, "sender")


@pytest.fixture
def role_with_a_hyphen(without_tls: Cluster, database: str) -> Iterator[str]:
    """A role whose name SQL takes in quotes only."""
    yield from _role(without_tls, database, "Airflow-sender")


def _role(cluster: Cluster, database: str, name: str) -> Iterator[str]:
    cluster.run(f'CREATE ROLE "{name}" LOGIN')
    yield name
    cluster.run(f'DROP OWNED BY "{name}"', database)
    cluster.run(f'DROP ROLE "{name}"')


def test_a_role_that_may_not_create_the_table_learns_what_is_missing(connect, without_tls, database, role):
    with at_once(), pytest.raises(KaleyraConfigError) as error:
        connect(without_tls.connection(database, login=role))
    assert f"role '{role}' lacks CREATE on schema 'public'" in str(error.value)
    assert "python -m airflow_provider_kaleyra.ledger.ddl postgresql" in str(error.value)


def test_a_role_that_may_not_use_the_schema_learns_it(connect, without_tls, database, role):
    without_tls.run("REVOKE USAGE ON SCHEMA public FROM public", database)
    with at_once(), pytest.raises(KaleyraConfigError, match="'sender' lacks USAGE on a schema of its search_path"):
        connect(without_tls.connection(database, login=role))


def test_a_role_that_may_not_migrate_learns_the_command(connect, without_tls, database, role, monkeypatch):
    without_tls.run(ddl("postgresql"), database)
    without_tls.run(tables_module.grants(role), database)
    connect(without_tls.connection(database, login=role)).close()

    def next_release(connection: sa.engine.Connection) -> None:
        migrate(connection, (*MIGRATIONS, add_delivery))

    monkeypatch.setattr(tables_module, "migrate", next_release)
    with at_once(), pytest.raises(KaleyraConfigError, match=r"right to migrate .* \(must be owner of") as error:
        connect(without_tls.connection(database, login=role))
    assert f"ledger.ddl postgresql --installed {len(MIGRATIONS)}`" in str(error.value)


def test_what_the_command_prints_and_grants_is_enough(connect, without_tls, database, role):
    printed = ddl("postgresql")
    without_tls.run(printed, database)
    grants = next(line for line in printed.splitlines() if line.startswith("-- GRANT")).removeprefix("-- ")
    without_tls.run(grants.replace("<role>", role), database)
    connection = without_tls.connection(database, login=role)
    ledger = connect(connection)
    claimed = ledger.claim(prepared([number(1), number(2)]))
    assert ledger.record(results(claimed[:1], Accepted("AX1"))) == []
    assert steps(connect(connection, try_number=2).claim(prepared([number(1), number(2)]))) == [
        Step.ALREADY_ACCEPTED,
        Step.RECORD_KILLED,
    ]


def test_what_the_command_prints_is_what_a_campaign_creates(
    connect, without_tls, database, database_with_tls, with_tls
):
    connect(without_tls.connection(database))
    with_tls.run(ddl("postgresql"), database_with_tls)
    columns = (
        "SELECT table_name, column_name, data_type, character_maximum_length, is_nullable "
        "FROM information_schema.columns WHERE table_name LIKE 'kaleyra%' ORDER BY 1, ordinal_position"
    )
    indexes = "SELECT indexdef FROM pg_indexes WHERE tablename LIKE 'kaleyra%' ORDER BY 1"
    for query in (columns, indexes, "SELECT version FROM kaleyra_sends_version"):
        assert without_tls.run(query, database) == with_tls.run(query, database_with_tls) != []


@pytest.mark.parametrize(
    ("granted", "lacking"),
    [
        ("SELECT", "lacks INSERT on kaleyra_sends and UPDATE on kaleyra_sends"),
        ("SELECT, INSERT", "lacks UPDATE on kaleyra_sends"),
        ("INSERT, UPDATE", "lacks SELECT on kaleyra_sends"),
    ],
)
def test_a_right_that_is_missing_is_named_before_anybody_is_sent_to(
    sandbox, without_tls, database, role, monkeypatch, granted, lacking
):
    without_tls.run(ddl("postgresql"), database)
    without_tls.run(
        f"GRANT {granted} ON kaleyra_sends TO {role}; GRANT SELECT ON kaleyra_sends_version TO {role}", database
    )
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", without_tls.connection(database, login=role))
    with at_once(), pytest.raises(KaleyraConfigError, match=lacking):
        campaign([number(1)]).execute({})
    assert sandbox.requests() == []


@pytest.mark.parametrize("granted", ["INSERT ON kaleyra_sends", "SELECT ON kaleyra_sends_version"])
def test_the_grants_in_the_error_can_be_executed(connect, without_tls, database, role_with_a_hyphen, granted):
    without_tls.run(f'{ddl("postgresql")}; GRANT {granted} TO "{role_with_a_hyphen}"', database)
    connection = without_tls.connection(database, login=role_with_a_hyphen)
    with pytest.raises(KaleyraConfigError) as error:
        connect(connection)
    without_tls.run(str(error.value)[str(error.value).index("GRANT SELECT, INSERT, UPDATE ON") :], database)
    assert steps(connect(connection).claim(prepared([number(1)]))) == [Step.SEND]


def test_a_right_that_is_taken_away_meanwhile_is_reported_at_once(connect, without_tls, database, role):
    without_tls.run(ddl("postgresql"), database)
    without_tls.run(f"GRANT ALL ON kaleyra_sends, kaleyra_sends_version TO {role}", database)
    ledger = connect(without_tls.connection(database, login=role))
    claimed = ledger.claim(prepared([number(1)]))
    without_tls.run(f"REVOKE UPDATE ON kaleyra_sends FROM {role}", database)
    with at_once(), pytest.raises(KaleyraLedgerError, match="permission denied for table kaleyra_sends"):
        ledger.record(results(claimed, Accepted("AX1")))


# What is logged


def test_no_parameter_and_no_row_is_logged_or_quoted(connect, without_tls, database, caplog):
    connection = without_tls.connection(database)
    with caplog.at_level(logging.DEBUG):
        for name in ("sqlalchemy", "sqlalchemy.engine", "psycopg", "psycopg2"):
            caplog.set_level(logging.DEBUG, logger=name)
        ledger = connect(connection)
        ledger.record(results(ledger.claim(prepared([number(1)])), Accepted("AX1")))
        assert steps(connect(connection, try_number=2).claim(prepared([number(1)]))) == [Step.ALREADY_ACCEPTED]
        without_tls.run("ALTER TABLE kaleyra_sends ADD CHECK (state <> 'claimed')", database)
        with pytest.raises(KaleyraLedgerError, match="violates check constraint") as error:
            ledger.claim(prepared([number(2)]))
    shown = caplog.text + "".join(traceback.format_exception(error.value))
    assert "INSERT INTO kaleyra_sends" in caplog.text
    for index in (1, 2):
        assert number(index).removeprefix("+") not in shown


def test_a_notice_of_a_trigger_is_not_logged(connect, without_tls, database, caplog):
    """SQLAlchemy logs notices at INFO, and they may quote the row."""
    for name in ("sqlalchemy.engine", "sqlalchemy.dialects.postgresql"):
        caplog.set_level(logging.INFO, logger=name)
    ledger = connect(without_tls.connection(database))
    without_tls.run(
        "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE WARNING 'new row %', NEW; RETURN NEW; END $$; "
        "CREATE TRIGGER tell BEFORE INSERT ON kaleyra_sends FOR EACH ROW EXECUTE FUNCTION tell()",
        database,
    )
    ledger.record(results(ledger.claim(prepared([number(1)])), Accepted("AX1")))
    assert "INSERT INTO kaleyra_sends" in caplog.text
    assert number(1) not in caplog.text


# Encodings


@pytest.mark.parametrize("client_encoding", ["LATIN1", "SQL_ASCII"])
def test_the_connections_client_encoding_keeps_no_text_out_of_the_ledger(
    connect, without_tls, database, client_encoding
):
    connection = without_tls.connection(database, extra={"client_encoding": client_encoding})
    rows = [{"to": number(1), "ref": "\u0926\u093f\u0935\u093e\u0932\u0940 \U0001f389"}]
    ledger = connect(connection)
    ledger.record(results(ledger.claim(prepared(rows)), rejected("WA400", details={"why": "\u2026"})))
    assert steps(connect(connection, try_number=2).claim(prepared(rows))) == [Step.ALREADY_REJECTED]


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_hold_every_text_is_rejected_before_anybody_is_sent_to(
    sandbox, without_tls, monkeypatch, encoding
):
    """It would take the claims, and then not the reason that Kaleyra gave."""
    name = f"in_{encoding.lower()}"
    options = f"ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    without_tls.run(f"CREATE DATABASE {name} {options}")
    try:
        monkeypatch.setenv("AIRFLOW_CONN_LEDGER", without_tls.connection(name))
        with pytest.raises(KaleyraConfigError, match=f"encoding {encoding}, and the ledger needs UTF8"):
            campaign([number(1)]).execute({})
        assert sandbox.requests() == []
        assert tables(without_tls, name) == []
    finally:
        without_tls.run(f"DROP DATABASE {name}")

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy.exc import DatabaseError, InterfaceError, OperationalError, ProgrammingError, ResourceClosedError

from airflow_provider_kaleyra.ledger.database_errors import failure_of, quoted


class StateError(Exception):
    def __init__(self, text: str, state: str) -> None:
        super().__init__(text)
        self.pgcode = state


def failed(original: Exception, kind: type[DatabaseError] = OperationalError):
    return failure_of(kind("INSERT", {"rows": "+919876543210"}, original))


AT = 'connection to server at "10.0.0.5", port 5432 failed: '


@pytest.mark.parametrize(
    ("state", "passes"),
    [
        ("57P01", True),  # terminating connection due to administrator command
        ("57P03", True),  # the database system is starting up
        ("25006", True),  # cannot execute INSERT in a read-only transaction
        ("40001", True),  # could not serialize access
        ("40P01", True),  # deadlock detected
        ("53300", True),  # too many connections
        ("55P03", True),  # lock timeout
        ("57014", True),  # statement timeout
        ("08006", True),  # connection failure
        ("58030", True),  # I/O error
        ("28P01", False),  # password authentication failed
        ("3D000", False),  # no such database
        ("3F000", False),  # no schema selected
        ("42501", False),  # permission denied
        ("42P01", False),  # no such table
        ("23514", False),  # check constraint
        ("22023", False),  # invalid parameter value
    ],
)
def test_a_state_tells_whether_it_passes(state, passes):
    assert failed(StateError("reason", state), DatabaseError).passes is passes


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        (f'{AT}FATAL:  password authentication failed for user "x"', "password"),
        (f"{AT}fe_sendauth: no password supplied", "password"),
        (f'{AT}FATAL:  no pg_hba.conf entry for host "10.0.0.9", user "x", database "y", no encryption', "pg_hba.conf"),
        (f'{AT}FATAL:  role "x" does not exist', "login"),
        (f'{AT}FATAL:  role "x" is not permitted to log in', "login"),
        (f'{AT}FATAL:  database "y" does not exist', "schema"),
        (f'{AT}FATAL:  permission denied for database "y"', "ledger.ddl"),
        (f"{AT}server does not support SSL, but SSL was required", "sslmode"),
        (f"{AT}SSL error: certificate verify failed", "sslrootcert"),
        (f'{AT}server certificate for "db" does not match host name "10.0.0.5"', "sslrootcert"),
        (f'{AT}root certificate file "/none" does not exist', "sslrootcert"),
        (f"{AT}SSL error: tlsv13 alert certificate required", "sslcert"),
        (f"{AT}FATAL:  unsupported startup parameter: options", "ignore_startup_parameters"),
        ('invalid sslmode value: "perhaps"', "sslmode"),
        ('invalid dsn: invalid connection option "nothing"', "extras"),
        (f'{AT}FATAL:  password authentication failed for user "x"\n{AT}FATAL:  no pg_hba.conf entry', "password"),
    ],
)
def test_what_libpq_says_of_a_wrong_connection_does_not_pass(text, advice):
    failure = failed(Exception(text))
    assert not failure.passes
    assert advice in failure.advice


@pytest.mark.parametrize(
    "text",
    [
        f"{AT}Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?",
        f"{AT}FATAL:  the database system is starting up",
        f"{AT}FATAL:  the database system is in recovery mode",
        f"{AT}FATAL:  sorry, too many clients already",
        f"{AT}timeout expired",
        f"{AT}server closed the connection unexpectedly",
        f"{AT}session is read-only",
        f"{AT}SSL SYSCALL error: EOF detected",
        f"{AT}FATAL:  pgbouncer cannot connect to server",
        "terminating connection due to administrator command\nSSL connection has been closed unexpectedly",
        'could not translate host name "db" to address: Temporary failure in name resolution',
        "something that nobody has seen before",
        # One host of a failover pair rejects the role, the other is away.
        f'{AT}Connection refused\nconnection to server at "10.0.0.6" failed: FATAL:  role "x" does not exist',
    ],
)
@pytest.mark.parametrize("kind", [OperationalError, InterfaceError, DatabaseError])
def test_what_is_not_known_to_last_may_pass(text, kind):
    assert failed(Exception(text), kind).passes


def test_pgbouncers_one_state_is_told_by_its_words():
    assert failed(StateError("FATAL: query_wait_timeout", "08P01")).passes
    assert not failed(StateError('FATAL: no such database: "y"', "08P01")).passes
    mode = failed(StateError("transaction blocks not allowed in statement pooling mode", "08P01"))
    assert (mode.passes, mode.advice) == (False, "Set pool_mode of pgbouncer to transaction or session.")


def test_a_mistake_in_a_statement_does_not_pass():
    assert not failed(Exception("syntax error"), ProgrammingError).passes
    assert failure_of(ResourceClosedError("closed")).reason == "ResourceClosedError"


@pytest.mark.parametrize(
    ("statement", "passes"), [("BEGIN IMMEDIATE", True), ("INSERT INTO nowhere VALUES (1)", False)], ids=["busy", "sql"]
)
def test_sqlite_passes_where_another_task_holds_it(tmp_path, statement, passes):
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    connection = sqlite3.connect(tmp_path / "ledger.db", timeout=0, isolation_level=None)
    with pytest.raises(sqlite3.OperationalError) as error:
        connection.execute(statement)
    assert failed(error.value).passes is passes
    connection.close()
    other.close()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("duplicate key\nDETAIL:  Key (recipient)=(+919876543210) already exists.", "duplicate key"),
        ('syntax error at or near "+919876543210"', 'syntax error at or near "+91********10"'),
        ("number 919876543210.", "number **********10".replace("**********", "*" * 10)),
        ("\n  indented  \nmore", "indented"),
        ("", "no reason given"),
        ("\x1b[31mred\x00", "?[31mred?"),
        ('server at "10.0.0.5", port 65432', 'server at "10.0.0.5", port 65432'),
        ("x" * 1000, "x" * 300),
    ],
)
def test_what_is_quoted_shows_no_phone_number(text, shown):
    assert quoted(text) == shown

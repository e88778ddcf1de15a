"""Builds SQLAlchemy's engine from Airflow's Connection of a database."""

from __future__ import annotations

import json
import logging
import sys
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_kaleyra.connection.reading import read_error, require_conn_id
from airflow_provider_kaleyra.exceptions import KaleyraConfigError, KaleyraLedgerError
from airflow_provider_kaleyra.ledger.database_errors import quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Engine

_POSTGRES = "airflow.providers.postgres.hooks.postgres"
_SQLITE = "airflow.providers.sqlite.hooks.sqlite"

# libpq's parameters, for a server that does not respond; the Connection's extras override them. They are numbers,
# because Airflow masks every text of an extra in logs.
_TIMEOUTS = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
_USER_TIMEOUT = {"tcp_user_timeout": 20_000}
_LIBPQ_WITH_USER_TIMEOUT = 120_000


@dataclass(frozen=True, slots=True)
class _Found:
    """What a Connection leads to.

    :param kind: module of the hook that connects; None if the hook is neither PostgreSQL's nor SQLite's.
    :param problem: why there is no hook; None if there is one.
    """

    conn_type: str
    kind: str | None = None
    hook: Any = None
    problem: str | None = None


def engine_of(conn_id: str) -> Engine:
    """Return an engine whose connections are those that the Connection's own hook makes.

    :raises KaleyraConfigError: there is no such Connection, or it leads to no PostgreSQL or SQLite database.
    :raises KaleyraConnectionUnreadableError: Airflow could not read the Connection; a retry can help.
    """
    conn_id = require_conn_id("ledger_conn_id", conn_id, "Name a Connection of type postgres or sqlite.")
    found = _hook_of(conn_id)
    subject = f"Connection {conn_id!r} of type {found.conn_type!r} (ledger_conn_id)"
    if found.problem is not None:
        raise KaleyraConfigError(
            f"{subject} cannot be used: {found.problem}. Install its provider, such as "
            "apache-airflow-providers-postgres, or choose a Connection of type 'postgres' or 'sqlite'."
        )
    if found.kind is None:
        raise KaleyraConfigError(f"{subject} leads to no PostgreSQL or SQLite database. Choose one that does.")
    try:
        return _engine(found.hook) if found.kind == _SQLITE else _postgres_engine(found.hook)
    except ImportError as error:
        raise KaleyraConfigError(
            f"{subject} needs a module that is not installed: {error}. Install "
            "apache-airflow-providers-postgres[psycopg2]."
        ) from None


def _hook_of(conn_id: str) -> _Found:
    """Return the Connection's hook.

    Nothing is raised while a variable here holds Airflow's Connection: a crash reporter would show its password.
    """
    connection = _read(conn_id)
    conn_type = str(connection.conn_type)
    try:
        hook: Any = connection.get_hook()  # type: ignore[no-untyped-call,unused-ignore]
        kind = next((cls.__module__ for cls in type(hook).mro() if cls.__module__ in {_POSTGRES, _SQLITE}), None)
        if kind is not None:
            # A copy, because Airflow may keep the original.
            connection = deepcopy(connection)
            extra = connection.extra_dejson
            if kind == _POSTGRES and isinstance(extra, dict):
                connection.extra = json.dumps(_timeouts() | extra)
            hook = type(hook)(**{hook.conn_name_attr: conn_id, "connection": connection})
            # SQLite's hook reads the Connection each time, which would ask Airflow from another thread.
            hook.get_connection = lambda _: connection
    except Exception as error:  # noqa: BLE001 - whatever importing a hook raises
        return _Found(conn_type, problem=f"{type(error).__name__}: {quoted(str(error))}")
    return _Found(conn_type, kind, hook)


def _read(conn_id: str) -> Any:
    """Return Airflow's Connection."""
    try:
        return BaseHook.get_connection(conn_id)
    except Exception as cause:  # noqa: BLE001 - a secrets backend may raise anything
        error = read_error(conn_id, cause) or KaleyraConfigError(
            f"Connection {conn_id!r} (ledger_conn_id) does not exist. Create it with type 'postgres' or 'sqlite', or "
            "correct ledger_conn_id."
        )
    # Outside of the handler: the cause's text may quote the Connection's password.
    raise error


def _uses_psycopg3() -> bool:
    """Return whether PostgreSQL's hook connects with psycopg 3; otherwise it does with psycopg2."""
    return bool(getattr(sys.modules[_POSTGRES], "USE_PSYCOPG3", False))


def _timeouts() -> dict[str, int]:
    if _uses_psycopg3():
        from psycopg import pq

        version = pq.version()
    else:
        from psycopg2.extensions import libpq_version  # type: ignore[import-untyped]  # it has no types

        version = libpq_version()
    return _TIMEOUTS | (_USER_TIMEOUT if version >= _LIBPQ_WITH_USER_TIMEOUT else {})


def _postgres_engine(hook: Any) -> Engine:
    if not _uses_psycopg3():
        return _engine(hook, "postgresql+psycopg2://", _prepare_psycopg2)
    return _engine(hook, "postgresql+psycopg://", _prepare_psycopg3)


def _prepare_psycopg2(connection: Any) -> None:
    """Reset the settings of the hook's own queries."""
    from psycopg2.extensions import cursor

    connection.cursor_factory = cursor
    connection.autocommit = False
    connection.set_client_encoding("UTF8")  # without a query, where it is UTF8 already


def _prepare_psycopg3(connection: Any) -> None:
    """Reset the settings of the hook's own queries, and prepare no statement."""
    from psycopg.rows import tuple_row

    connection.row_factory = tuple_row
    connection.autocommit = False
    if connection.info.encoding != "utf-8":
        connection.execute("SET client_encoding = 'UTF8'")
        connection.commit()
    # In transaction mode, pgbouncer may run each transaction over another connection to the server.
    connection.prepare_threshold = None


def _engine(hook: Any, url: str = "sqlite://", prepare: Callable[[Any], None] = lambda _: None) -> Engine:
    import sqlalchemy as sa

    def connect() -> Any:
        try:
            connection = hook.get_conn()
        except driver_error:
            raise
        except Exception as error:  # noqa: BLE001 - a token that AWS does not give, an extra that cannot be used
            raise KaleyraLedgerError(
                f"its Connection's hook cannot connect: {type(error).__name__}: {quoted(str(error))}",
                "Check the Connection's extras.",
            ) from None
        prepare(connection)
        return connection

    engine = sa.create_engine(
        url,
        creator=connect,
        poolclass=sa.pool.NullPool,
        hide_parameters=True,
        logging_name="kaleyra-ledger",  # a logger of its own
    )
    driver_error = engine.dialect.dbapi.Error  # type: ignore[union-attr]  # an engine's dialect has a driver
    logger: logging.Logger = engine.logger  # type: ignore[assignment]  # without echo, it is Python's own
    logger.addFilter(_shows_no_row)
    return engine


def _shows_no_row(record: logging.LogRecord) -> bool:
    """Filter out what SQLAlchemy logs at DEBUG: the rows that it reads, which have phone numbers."""
    return record.levelno > logging.DEBUG

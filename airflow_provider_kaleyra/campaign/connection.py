"""From Airflow's Connection of a database to SQLAlchemy's engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_kaleyra.exceptions import KaleyraConfigError

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

_LOCK_SECONDS = 30


def engine_of(conn_id: str) -> Engine:
    """Build the engine by the Connection's own hook.

    :raises KaleyraConfigError: the Connection leads to no SQL database.
    """
    connection = BaseHook.get_connection(conn_id)
    try:
        hook: Any = connection.get_hook()  # type: ignore[no-untyped-call,unused-ignore]
    except Exception as error:  # noqa: BLE001 - whatever importing a hook raises
        raise KaleyraConfigError(
            f"Mend ledger_conn_id: Connection {conn_id!r} of type {connection.conn_type!r} has no hook here "
            f"({type(error).__name__}: {error}). Install its provider, such as apache-airflow-providers-postgres."
        ) from None
    if not hasattr(hook, "get_sqlalchemy_engine"):
        raise KaleyraConfigError(
            f"Mend ledger_conn_id: Connection {conn_id!r} of type {connection.conn_type!r} leads to no SQL database; "
            "the ledger needs PostgreSQL or SQLite."
        )
    # SQLite lets one write at a time; the others wait.
    waiting = {"connect_args": {"timeout": _LOCK_SECONDS}} if connection.conn_type == "sqlite" else {}
    engine: Engine = hook.get_sqlalchemy_engine(engine_kwargs=waiting)
    return engine

"""Makes the ledger's tables ready for a campaign: creates or migrates them, and checks the role's rights."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from airflow_provider_kaleyra.exceptions import KaleyraConfigError
from airflow_provider_kaleyra.ledger.database_errors import PRINT_DDL, lacks_right, quoted
from airflow_provider_kaleyra.ledger.migrations import migrate, recorded_version

#: What a role needs once the tables exist.
RIGHTS = {"kaleyra_sends": ("SELECT", "INSERT", "UPDATE"), "kaleyra_sends_version": ("SELECT",)}


def require_tables(connection: sa.engine.Connection) -> None:
    """Create the tables, or migrate those of an earlier release, in a transaction that is open.

    :raises KaleyraConfigError: the role lacks a right, a later release made the tables, or the database is in memory or
        cannot hold every text.
    """
    if connection.dialect.name != "postgresql":
        _require_file(connection)
        migrate(connection)
        return
    _require_utf8(connection)
    try:
        migrate(connection)
    except DBAPIError as error:
        if not lacks_right(error):
            raise
        lacks, advice = _missing(connection) or _missing_for_migration(connection)
        raise _rights_error(connection, f"{lacks} ({quoted(str(error.orig))})", advice) from None
    # Checked now, because UPDATE is first used when there is an outcome to record.
    if missing := _missing(connection):
        raise _rights_error(connection, *missing)


def grants(role: str) -> str:
    """Return the statements that grant a role its rights."""
    return " ".join(f"GRANT {', '.join(rights)} ON {table} TO {role};" for table, rights in RIGHTS.items())


def _rights_error(connection: sa.engine.Connection, lacks: str, advice: str) -> KaleyraConfigError:
    role = connection.exec_driver_sql("SELECT current_user").scalar_one()
    # Quoted for SQL, because a role's name may have capitals or a hyphen.
    advice = advice.format(grants=grants(connection.dialect.identifier_preparer.quote(role)))
    return KaleyraConfigError(f"The ledger's tables cannot be used: role {role!r} lacks {lacks}. {advice}")


def _missing(connection: sa.engine.Connection) -> tuple[str, str] | None:
    """Return what the role needs and does not have, with what to do; None if it has the rights of every campaign."""
    schema = connection.exec_driver_sql("SELECT current_schema()").scalar_one()
    if schema is None:
        return "USAGE on a schema of its search_path", "Grant it, or correct the role's search_path."
    if not all(sa.inspect(connection).has_table(table) for table in RIGHTS):
        run = f"Grant it, or let an administrator run what `{PRINT_DDL} postgresql` prints, and then: {{grants}}"
        return f"CREATE on schema {schema!r}", run
    needed = [(table, right) for table, rights in RIGHTS.items() for right in rights]
    checks = [sa.func.has_table_privilege(table, right) for table, right in needed]
    granted = connection.execute(sa.select(*checks)).one()
    lacks = [f"{right} on {table}" for (table, right), has in zip(needed, granted, strict=True) if not has]
    return (" and ".join(lacks), "Let an administrator run: {grants}") if lacks else None


def _missing_for_migration(connection: sa.engine.Connection) -> tuple[str, str]:
    command = f"{PRINT_DDL} postgresql --installed {recorded_version(connection)}"
    return "the right to migrate them to this release", f"Let an administrator run what `{command}` prints."


def _require_utf8(connection: sa.engine.Connection) -> None:
    """Check the encoding before anybody is sent to, because Kaleyra's texts may be in any script."""
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    if encoding != "UTF8":
        raise KaleyraConfigError(
            f"ledger_conn_id cannot be used: its database has the encoding {encoding}, and the ledger needs UTF8. "
            "Create a database: CREATE DATABASE kaleyra ENCODING 'UTF8' TEMPLATE template0;"
        )


def _require_file(connection: sa.engine.Connection) -> None:
    files = {row[1]: row[2] for row in connection.exec_driver_sql("PRAGMA database_list")}
    if not files.get("main"):
        raise KaleyraConfigError(
            "ledger_conn_id leads to a SQLite database in memory, which forgets what was sent. Put the path of a file "
            "into the Connection's host."
        )

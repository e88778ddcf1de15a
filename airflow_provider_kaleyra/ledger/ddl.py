"""The ledger's tables in a database: printed, created, and checked for the rights that a campaign needs.

Run ``python -m airflow_provider_kaleyra.ledger.ddl postgresql`` to print what creates them.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from airflow_provider_kaleyra.exceptions import KaleyraConfigError
from airflow_provider_kaleyra.ledger.database_errors import PRINT_DDL, quoted, state_of
from airflow_provider_kaleyra.ledger.migrations import migrate, statements
from airflow_provider_kaleyra.ledger.schema import INSERTS

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What a role needs once the tables exist.
RIGHTS = {"kaleyra_sends": ("SELECT", "INSERT", "UPDATE"), "kaleyra_sends_version": ("SELECT",)}
#: PostgreSQL's codes of insufficient_privilege and invalid_schema_name.
_LACKS_RIGHT = {"42501", "3F000"}


def ddl(dialect: str, installed: int = 0) -> str:
    """Return the statements that create the ledger's tables, or migrate those of an earlier release.

    :param dialect: ``postgresql`` or ``sqlite``.
    :param installed: version of the tables that are there, as ``kaleyra_sends_version`` says; 0 if there are none.
    """
    return statements(dialect, installed) + (f"\n-- {_grants('<role>')}\n" if dialect == "postgresql" else "")


def require_tables(connection: sa.engine.Connection) -> None:
    """Create the tables, or migrate those of an earlier release, in a transaction that is open.

    :raises KaleyraConfigError: the role lacks a right, the tables are a later release's, or the database forgets or
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
        if state_of(error) in _LACKS_RIGHT:
            raise _lacks_right(connection, quoted(str(error.orig))) from None
        raise
    _require_rights(connection)


def _lacks_right(connection: sa.engine.Connection, reason: str) -> KaleyraConfigError:
    role, schema = connection.exec_driver_sql("SELECT current_user, current_schema()").one()
    if all(sa.inspect(connection).has_table(table) for table in RIGHTS):
        lacks = "a right on them"
    else:
        lacks = f"CREATE on schema {schema!r}" if schema else "USAGE on a schema of its search_path"
    return KaleyraConfigError(
        f"The ledger's tables cannot be created or read: role {role!r} lacks {lacks} ({reason}). Grant it, or "
        f"let an administrator run what `{PRINT_DDL} postgresql` prints, then: {_grants(_quoted(connection, role))}"
    )


def _require_rights(connection: sa.engine.Connection) -> None:
    """Check the rights before anybody is sent to: UPDATE is needed only once there is an outcome to record."""
    needed = [(table, right) for table, rights in RIGHTS.items() for right in rights]
    has = [sa.func.has_table_privilege(table, right) for table, right in needed]
    role, *held = connection.execute(sa.select(sa.func.current_user(), *has)).one()
    lacks = " and ".join(f"{right} on {table}" for (table, right), holds in zip(needed, held, strict=True) if not holds)
    if lacks:
        raise KaleyraConfigError(
            f"The ledger's tables cannot be used: role {role!r} lacks {lacks}. {_grants(_quoted(connection, role))}"
        )


def _require_utf8(connection: sa.engine.Connection) -> None:
    """Check the encoding before anybody is sent to: what Kaleyra responds may be in any script."""
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


def _quoted(connection: sa.engine.Connection, role: str) -> str:
    """Return a role's name as SQL takes it, for example with capitals or a hyphen."""
    return connection.dialect.identifier_preparer.quote(role)


def _grants(role: str) -> str:
    return " ".join(f"GRANT {', '.join(rights)} ON {table} TO {role};" for table, rights in RIGHTS.items())


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the statements for the database that the command line names."""
    parser = argparse.ArgumentParser(
        prog=PRINT_DDL, description="Print the statements that create the tables of a campaign's ledger."
    )
    parser.add_argument("database", choices=sorted(INSERTS))
    parser.add_argument(
        "--installed",
        type=int,
        default=0,
        metavar="VERSION",
        help="print what migrates tables of this version, which is the largest in kaleyra_sends_version",
    )
    given = parser.parse_args(arguments)
    sys.stdout.write(ddl(given.database, given.installed))


if __name__ == "__main__":
    main()

"""The ledger's tables in a database: printed, created, and checked for the rights that a campaign needs.

Run ``python -m airflow_provider_kaleyra.campaign.ddl postgresql`` to print what creates them.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateIndex, CreateTable

from airflow_provider_kaleyra.campaign.database_errors import PRINT_DDL, quoted, state_of
from airflow_provider_kaleyra.campaign.table import INSERTS, SCHEMA_VERSION, VERSION, metadata
from airflow_provider_kaleyra.exceptions import KaleyraConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What a role needs once the tables exist.
RIGHTS = {"kaleyra_sends": ("SELECT", "INSERT", "UPDATE"), "kaleyra_sends_version": ("SELECT",)}
_INSUFFICIENT_PRIVILEGE = "42501"
_NO_SCHEMA = "3F000"


def ddl(dialect: str) -> str:
    """Return the statements that create the ledger's tables.

    :param dialect: ``postgresql`` or ``sqlite``.
    """
    engine = sa.create_mock_engine(f"{dialect}://", lambda *_: None)
    creates: list[sa.schema.DDLElement] = []
    for table in metadata.sorted_tables:
        creates.append(CreateTable(table, if_not_exists=True))
        creates += [CreateIndex(index, if_not_exists=True) for index in table.indexes]
    statements = [str(create.compile(dialect=engine.dialect)).strip() for create in creates]
    version = "INSERT INTO kaleyra_sends_version (version) VALUES ({}) ON CONFLICT DO NOTHING"
    statements.append(version.format(SCHEMA_VERSION))
    text = ";\n\n".join(statements).replace(" \n", "\n") + ";\n"
    return text + (f"\n-- {_grants('<role>')}\n" if dialect == "postgresql" else "")


def require_tables(connection: sa.engine.Connection) -> None:
    """Create the tables where they are missing, in a transaction that is open.

    :raises KaleyraConfigError: the role lacks a right, the tables are a later release's, or the database forgets.
    """
    is_postgresql = connection.dialect.name == "postgresql"
    if not is_postgresql:
        _require_file(connection)
    _create(connection)
    if is_postgresql:
        _require_rights(connection)
    versions = [row.version for row in connection.execute(sa.select(VERSION.c.version))]
    if not versions:
        insert = INSERTS[connection.dialect.name](VERSION).values(version=SCHEMA_VERSION)
        connection.execute(insert.on_conflict_do_nothing(index_elements=["version"]))
    if max(versions, default=SCHEMA_VERSION) > SCHEMA_VERSION:
        raise KaleyraConfigError(
            f"The ledger's table kaleyra_sends has version {max(versions)}, which a later release of "
            f"airflow-provider-kaleyra made; this one knows version {SCHEMA_VERSION}. Upgrade the package."
        )


def _create(connection: sa.engine.Connection) -> None:
    try:
        with connection.begin_nested():
            metadata.create_all(connection)
    except DBAPIError as error:
        state, reason = state_of(error), quoted(str(error.orig))
        if state not in {_INSUFFICIENT_PRIVILEGE, _NO_SCHEMA}:
            # Another task may have created them at the same moment.
            with connection.begin_nested():
                if all(sa.inspect(connection).has_table(name) for name in RIGHTS):
                    return
            raise
    else:
        return
    role, schema = connection.exec_driver_sql("SELECT current_user, current_schema()").one()
    lacks = f"CREATE on schema {schema!r}" if schema else "USAGE on a schema of its search_path"
    raise KaleyraConfigError(
        f"The ledger's tables do not exist, and role {role!r} lacks {lacks} to create them ({reason}). Grant it, or "
        f"let an administrator run what `{PRINT_DDL} postgresql` prints, then: {_grants(role)}"
    )


def _require_rights(connection: sa.engine.Connection) -> None:
    """Check the rights before anybody is sent to: UPDATE is needed only once there is an outcome to record."""
    needed = [(table, right) for table, rights in RIGHTS.items() for right in rights]
    has = [sa.func.has_table_privilege(table, right) for table, right in needed]
    role, *held = connection.execute(sa.select(sa.func.current_user(), *has)).one()
    lacks = " and ".join(f"{right} on {table}" for (table, right), holds in zip(needed, held, strict=True) if not holds)
    if lacks:
        raise KaleyraConfigError(f"The ledger's tables cannot be used: role {role!r} lacks {lacks}. {_grants(role)}")


def _require_file(connection: sa.engine.Connection) -> None:
    files = {row[1]: row[2] for row in connection.exec_driver_sql("PRAGMA database_list")}
    if not files.get("main"):
        raise KaleyraConfigError(
            "ledger_conn_id leads to a SQLite database in memory, which forgets what was sent. Put the path of a file "
            "into the Connection's host."
        )


def _grants(role: str) -> str:
    return " ".join(f"GRANT {', '.join(rights)} ON {table} TO {role};" for table, rights in RIGHTS.items())


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the statements for the database that the command line names."""
    parser = argparse.ArgumentParser(
        prog=PRINT_DDL, description="Print the statements that create the tables of a campaign's ledger."
    )
    parser.add_argument("database", choices=sorted(INSERTS))
    sys.stdout.write(ddl(parser.parse_args(arguments).database))


if __name__ == "__main__":
    main()

"""Versions of the ledger's tables, and the migrations from one to the next.

Rules for a new version:

- Append a function to :data:`MIGRATIONS`; never change one that was released.
- Add tables, indexes and columns that may be NULL; rename and drop nothing. Then tasks of the earlier release that run
  during the migration can continue.
- Execute statements and read nothing, so that an administrator can be given them as text.
- Be quick: a migration runs within the time limits of any transaction of the ledger.
- Add the new columns to ``schema.py``, if statements use them. No index on a column that recording an outcome changes:
  PostgreSQL would then write to every index of the table again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateTable

from airflow_provider_kaleyra.exceptions import KaleyraConfigError

#: A connection of SQLAlchemy, in a transaction, or one that only collects what it is given.
Migration = Callable[[Any], object]

_TABLE, _VERSION_TABLE = "kaleyra_sends", "kaleyra_sends_version"
#: One row for each migration that was applied.
_VERSION = sa.Table(
    _VERSION_TABLE, sa.MetaData(), sa.Column("version", sa.Integer, primary_key=True, autoincrement=False)
)
#: Number of PostgreSQL's advisory lock: "kaleyra" in ASCII.
_LOCK = int.from_bytes(b"kaleyra", "big")


def create_sends(connection: Any) -> None:
    """Create the table of the first release: a row for each message, of a campaign or single.

    A message is found by ``campaign_id`` and ``send_key``. In a campaign the key is the recipient; a single message has
    the campaign '' and a key of its own, whoever the recipient is. There is no other index: on ``recipient``, one would
    cost each claim a quarter of the database's time.
    """
    sends = sa.Table(
        _TABLE,
        sa.MetaData(),
        sa.Column("campaign_id", sa.String(250), primary_key=True),
        sa.Column("send_key", sa.String(1000), primary_key=True),
        sa.Column("recipient", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("message_id", sa.Text),
        sa.Column("code", sa.Text),
        sa.Column("detail", sa.Text),
        sa.Column("retryable", sa.Boolean, nullable=False),
        sa.Column("ref", sa.Text),
        sa.Column("ref1", sa.Text),
        sa.Column("ref2", sa.Text),
        sa.Column("line", sa.Integer),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("claim", sa.String(64), nullable=False),
        sa.Column("dag_id", sa.String(250), nullable=False),
        sa.Column("run_id", sa.String(250), nullable=False),
        sa.Column("task_id", sa.String(250), nullable=False),
        sa.Column("map_index", sa.Integer, nullable=False),
        sa.Column("try_number", sa.Integer, nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    )
    connection.execute(CreateTable(sends))
    if connection.dialect.name == "postgresql":
        # Space for outcomes on the page of their claims: then PostgreSQL need not write to the index again.
        connection.execute(sa.text("ALTER TABLE kaleyra_sends SET (fillfactor = 80)"))


#: The first leads to version 1, the second to version 2, and so on.
MIGRATIONS: tuple[Migration, ...] = (create_sends,)


def migrate(connection: sa.engine.Connection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Create the ledger's tables, or bring those of an earlier release to this release's version.

    Many tasks may do so at the same time: one of them migrates, the others wait. Tables that are up to date are only
    read, and need no other right.

    :param connection: in a transaction of the isolation level READ COMMITTED, so that it sees what a task committed for
        which it waited. If the transaction is rolled back, nothing has changed.
    :raises KaleyraConfigError: the tables are of a later release, or only one of them is there.
    """
    is_postgresql = connection.dialect.name == "postgresql"
    lock = f"SELECT pg_advisory_xact_lock({_LOCK})" if is_postgresql else "BEGIN IMMEDIATE"
    # After an error, PostgreSQL takes further statements only outside of the savepoint.
    with connection.begin_nested() if is_postgresql else nullcontext():
        if recorded_version(connection) == len(migrations) and _has(connection, _TABLE):
            return
        connection.execute(sa.text(lock))
        _apply(connection, migrations, _installed(connection, len(migrations)))


def statements(dialect: str, installed: int = 0, migrations: Sequence[Migration] = MIGRATIONS) -> str:
    """Return what :func:`migrate` would execute, as a script for an administrator.

    :param dialect: ``postgresql`` or ``sqlite``.
    :param installed: version of the tables that are there; 0 if there are none.
    """
    script: list[str] = []

    def write(statement: Any, *_: Any, **__: Any) -> None:
        compiled = statement.compile(dialect=recorder.dialect, compile_kwargs={"literal_binds": True})
        script.append("\n".join(line.rstrip() for line in str(compiled).strip().splitlines()))

    recorder = sa.create_mock_engine(f"{dialect}://", write)
    _apply(recorder, migrations, installed)
    return ";\n\n".join(["BEGIN", *script, "COMMIT"]) + ";\n"


def _apply(connection: Any, migrations: Sequence[Migration], installed: int) -> None:
    if installed == 0:
        connection.execute(CreateTable(_VERSION, if_not_exists=True))
    for version, migration in enumerate(migrations[installed:], installed + 1):
        migration(connection)
        connection.execute(sa.insert(_VERSION).values(version=version))


def _installed(connection: sa.engine.Connection, known: int) -> int:
    """Return the version of the tables that are there, 0 if there are none."""
    recorded, is_there = recorded_version(connection), _has(connection, _TABLE)
    if recorded is None and not is_there:
        return 0
    if recorded is not None and recorded > known:
        raise KaleyraConfigError(
            f"The ledger's table {_TABLE} has version {recorded}, which a later release of airflow-provider-kaleyra "
            f"made; this one knows version {known}. Upgrade the package."
        )
    if recorded is None or recorded < 1:
        raise KaleyraConfigError(
            f"The ledger's table {_TABLE} has no known version: {_VERSION_TABLE} is missing, empty or wrong. Restore "
            f"both from a backup; or drop both, which forgets what was sent."
        )
    if not is_there:
        raise KaleyraConfigError(
            f"The ledger's table {_TABLE} is missing, but {_VERSION_TABLE} is there. Restore {_TABLE} from a "
            f"backup; or drop {_VERSION_TABLE}, too, which forgets what was sent."
        )
    return recorded


def recorded_version(connection: sa.engine.Connection) -> int | None:
    """Return the version that the database records, None if there is none."""
    if not _has(connection, _VERSION_TABLE):
        return None
    version: int | None = connection.execute(sa.select(sa.func.max(_VERSION.c.version))).scalar_one()
    return version


def _has(connection: sa.engine.Connection, table: str) -> bool:
    return sa.inspect(connection).has_table(table)

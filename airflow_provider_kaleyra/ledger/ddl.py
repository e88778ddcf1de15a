"""Command that prints the statements which create the ledger's tables, or migrate those of an earlier release.

Run ``python -m airflow_provider_kaleyra.ledger.ddl postgresql``.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from airflow_provider_kaleyra.ledger.database_errors import PRINT_DDL
from airflow_provider_kaleyra.ledger.migrations import MIGRATIONS, statements
from airflow_provider_kaleyra.ledger.tables import grants

if TYPE_CHECKING:
    from collections.abc import Sequence


def ddl(dialect: str, installed: int = 0) -> str:
    """Return the statements as a script, for PostgreSQL with the GRANT that a campaign's role needs, as a comment.

    :param dialect: ``postgresql`` or ``sqlite``.
    :param installed: version of the tables that are there, as ``kaleyra_sends_version`` says; 0 if there are none.
    """
    return statements(dialect, installed) + (f"\n-- {grants('<role>')}\n" if dialect == "postgresql" else "")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the statements for the database that the command line names."""
    parser = argparse.ArgumentParser(
        prog=PRINT_DDL,
        description="Print the statements that create the tables of a campaign's ledger, or migrate them.",
    )
    parser.add_argument("database", choices=["postgresql", "sqlite"])
    parser.add_argument(
        "--installed",
        type=int,
        default=0,
        choices=range(len(MIGRATIONS) + 1),
        metavar="VERSION",
        help="version of the tables that are there, the largest in kaleyra_sends_version; the default 0 is for none",
    )
    given = parser.parse_args(arguments)
    sys.stdout.write(ddl(given.database, given.installed))


if __name__ == "__main__":
    main()

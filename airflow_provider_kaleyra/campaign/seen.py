"""Which recipients came before in a list of any length."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Seen:
    """Set of recipients in a temporary database of SQLite's own, which grows on the disk and not in memory."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("PRAGMA cache_size = -4000")
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("CREATE TABLE seen (recipient TEXT PRIMARY KEY) WITHOUT ROWID")

    def add(self, recipients: Iterable[str]) -> list[bool]:
        """Add recipients, and return for each of them whether it is new."""
        insert = "INSERT OR IGNORE INTO seen VALUES (?)"
        self._database.execute("BEGIN")
        are_new = [self._database.execute(insert, [recipient]).rowcount == 1 for recipient in recipients]
        self._database.execute("COMMIT")
        return are_new

    def close(self) -> None:
        """Delete the database."""
        self._database.close()

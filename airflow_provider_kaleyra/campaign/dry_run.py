"""Reads all recipients without sending: what a dry run, or a strict one, wants to know first."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING

from airflow_provider_kaleyra.campaign.message_builder import Invalid
from airflow_provider_kaleyra.campaign.tally import Tally
from airflow_provider_kaleyra.ledger.values import PreparedMessage

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger(__name__)

_LOGGED_INVALID = 1000
_BATCH = 1000


def check(recipients: Iterable[PreparedMessage | Invalid]) -> tuple[Tally, int]:
    """Go through the recipients.

    :return: the counts of what nothing would be sent for, and how many messages would be.
    """
    tally, valid = Tally(), 0
    rows = iter(recipients)
    # A temporary database of SQLite's own, which grows on the disk and not in memory.
    with closing(sqlite3.connect("", isolation_level=None)) as seen:
        seen.execute("PRAGMA cache_size = -4000")
        seen.execute("PRAGMA journal_mode = OFF")
        seen.execute("CREATE TABLE seen (recipient TEXT PRIMARY KEY) WITHOUT ROWID")
        while batch := list(islice(rows, _BATCH)):
            for row in batch:
                if isinstance(row, Invalid):
                    report_invalid(tally, row)
            numbers = [(row.to,) for row in batch if isinstance(row, PreparedMessage)]
            before = seen.total_changes
            seen.execute("BEGIN")
            seen.executemany("INSERT OR IGNORE INTO seen VALUES (?)", numbers)
            seen.execute("COMMIT")
            new = seen.total_changes - before
            valid += new
            tally.duplicates += len(numbers) - new
    return tally, valid


def report_invalid(tally: Tally, invalid: Invalid) -> None:
    """Count an invalid row, and log it unless there were very many."""
    tally.count_invalid(invalid)
    if tally.invalid <= _LOGGED_INVALID:
        log.warning("Line %d is invalid, nothing is sent for it: %s", invalid.line, invalid.reason)
    if tally.invalid == _LOGGED_INVALID:
        log.warning("Further invalid lines are counted, not logged.")

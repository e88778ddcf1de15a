"""Reads all recipients without sending: what a dry run, or a strict one, wants to know first."""

from __future__ import annotations

import logging
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING

from airflow_provider_kaleyra.campaign.message_builder import Invalid
from airflow_provider_kaleyra.campaign.seen import Seen
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
    with closing(Seen()) as seen:
        while batch := list(islice(rows, _BATCH)):
            for row in batch:
                if isinstance(row, Invalid):
                    report_invalid(tally, row)
            are_new = seen.add(row.to for row in batch if isinstance(row, PreparedMessage))
            valid += are_new.count(True)
            tally.duplicates += are_new.count(False)
    return tally, valid


def report_invalid(tally: Tally, invalid: Invalid) -> None:
    """Count an invalid row, and log it unless there were very many."""
    tally.count_invalid(invalid)
    if tally.invalid <= _LOGGED_INVALID:
        log.warning("Line %d is invalid, nothing is sent for it: %s", invalid.line, invalid.reason)
    if tally.invalid == _LOGGED_INVALID:
        log.warning("Further invalid lines are counted, not logged.")

"""Reads all recipients without sending: for a dry run, and before a strict campaign sends."""

from __future__ import annotations

from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING

from airflow_provider_kaleyra.campaign.message_builder import Invalid
from airflow_provider_kaleyra.campaign.seen import Seen
from airflow_provider_kaleyra.campaign.tally import Tally, report_invalid
from airflow_provider_kaleyra.ledger.values import PreparedMessage

if TYPE_CHECKING:
    from collections.abc import Iterable

_BATCH = 1000


def dry_run(recipients: Iterable[PreparedMessage | Invalid]) -> tuple[Tally, int]:
    """Read and check all recipients.

    :return: the counts of the rows that nothing would be sent for, and the number of messages that would be sent.
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

"""How a campaign fails.

::

    KaleyraError
    ├── KaleyraCampaignError           the campaign is not done; a retry goes on where it stopped
    │   └── KaleyraCampaignFailedError ×   the same, but somebody has to mend something first
    └── KaleyraLedgerError             the ledger's database failed; a retry is safe
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kaleyra.exceptions import KaleyraError


class KaleyraCampaignError(KaleyraError):
    """The campaign is not done.

    :param why: what stopped it.
    :param summary: what the task would have returned.
    """

    def __init__(self, why: str, summary: dict[str, Any]) -> None:
        super().__init__(f"Campaign {summary['campaign_id']!r}: {why.rstrip('.')}. So far: {summary}")
        #: What the task would have returned.
        self.summary = summary


class KaleyraCampaignFailedError(KaleyraCampaignError, AirflowFailException):
    """The campaign is not done, and Airflow's retries would not help: mend the cause, then clear the task."""


class KaleyraLedgerError(KaleyraError):
    """The ledger's database failed.

    :param what: what could not be done.
    :param advice: what it means, what to do next.
    """

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(f"The ledger's database failed: {what}. {advice}")

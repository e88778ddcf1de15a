"""Reports a campaign: log lines for what happened to recipients, and the error of a campaign that is not complete."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow_provider_kaleyra.campaign.stop_rules import StopReason
from airflow_provider_kaleyra.campaign.tally import Tally
from airflow_provider_kaleyra.exceptions import KaleyraCampaignError, KaleyraCampaignFailedError
from airflow_provider_kaleyra.ledger.values import State

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from airflow_provider_kaleyra.campaign.runner import Runner
    from airflow_provider_kaleyra.campaign.thread import StopRequest

log = logging.getLogger(__name__)


def error_of(stop: StopReason, summary: Mapping[str, Any]) -> KaleyraCampaignError:
    """Return the error that says why a campaign is not complete."""
    kind = KaleyraCampaignError if stop.retry_helps else KaleyraCampaignFailedError
    return kind(stop.why, dict(summary))


def require_no_stop(stop: StopRequest, campaign_id: str) -> None:
    """Check that the task has not been asked to stop; called before anything is sent.

    :raises KaleyraCampaignError: it has.
    """
    if stop.why is not None:
        why = f"{stop.why} before anything was sent"
        raise error_of(StopReason(why), Tally().summary(campaign_id, 0.0, why))


def unfinished_error(stop: StopRequest, runner: Runner | None, campaign_id: str) -> KaleyraCampaignError:
    """Log what is unfinished in a campaign that did not end in time, and return the error.

    :param runner: the campaign's runner; None if the task did not come so far.
    """
    why = f"{stop.why}, and the campaign did not end within {stop.seconds:.0f} s"
    log.error("%s: the ledger's database, a file or the network hangs.", why)
    tally, seconds = Tally(), 0.0
    if runner is not None:
        runner.unfinished.log()
        tally, seconds = runner.tally, runner.seconds
    summary = tally.summary(campaign_id, seconds, why)
    log.info("Campaign %r: %s", campaign_id, summary)
    warn_of_skipped(tally, campaign_id)
    return error_of(StopReason(why), summary)


def warn_of_skipped(tally: Tally, campaign_id: str) -> None:
    """Log a warning for recipients to whom this task did not send, with the SQL query that lists them."""
    if tally.changed:
        log.warning(
            "%d recipients are skipped: their messages were accepted before, and are different now. Use a new "
            "campaign_id to send a new message.",
            tally.changed,
        )
    if rejected := tally.already_rejected.total():
        log.warning(
            "%d recipients are skipped and count as failures: an earlier try or run sent the same message, and it was "
            "rejected (%s). Change the message or the list. This query lists them: %s",
            rejected,
            ", ".join(f"{code}: {count}" for code, count in tally.already_rejected.items()),
            _query(campaign_id, State.REJECTED, "code, detail", " AND NOT retryable"),
        )
    if unknown := tally.skipped_unknown + tally.skipped_killed:
        log.warning(
            "%d recipients are skipped: the outcome of an earlier try or run is unknown, Kaleyra may have accepted "
            "their messages. Search for them in Kaleyra's report. This query lists them: %s",
            unknown,
            _query(campaign_id, State.UNKNOWN, "ref, claimed_at, detail"),
        )
    if tally.claimed_elsewhere:
        log.warning(
            "%d recipients are skipped: other tasks have claimed them. If such a task was killed, release its claims "
            "as docs/campaigns.md shows. This query lists them: %s",
            tally.claimed_elsewhere,
            _query(campaign_id, State.CLAIMED, "dag_id, run_id, task_id, map_index, try_number"),
        )


def _query(campaign_id: str, state: State, columns: str, more: str = "") -> str:
    quoted = campaign_id.replace("'", "''")
    rows = f"kaleyra_sends WHERE campaign_id = '{quoted}' AND state = '{state}'{more}"
    return f"SELECT recipient, line, {columns} FROM {rows};"  # noqa: S608 - for the log

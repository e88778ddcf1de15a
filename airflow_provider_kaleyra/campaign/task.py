"""Runs a campaign from one Airflow task: checks it, opens recipients and ledger, sends over HTTP, and reports."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_kaleyra.campaign.daemon_executor import DaemonExecutor
from airflow_provider_kaleyra.campaign.dry_run import dry_run
from airflow_provider_kaleyra.campaign.recipients import count_of, require_rereadable
from airflow_provider_kaleyra.campaign.report import error_of, require_no_stop, unfinished_error, warn_of_skipped
from airflow_provider_kaleyra.campaign.requirements import (
    affordable_connections,
    require_campaign_id,
    require_extra,
)
from airflow_provider_kaleyra.campaign.runner import Runner
from airflow_provider_kaleyra.campaign.settings import Settings
from airflow_provider_kaleyra.campaign.stop_rules import StopReason, stop_at_end
from airflow_provider_kaleyra.campaign.thread import StopRequest
from airflow_provider_kaleyra.files.upload import opened
from airflow_provider_kaleyra.ledger.claim_rules import Claimant
from airflow_provider_kaleyra.once.store import TaskStateStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_kaleyra.campaign.message_builder import Invalid
    from airflow_provider_kaleyra.campaign.messages import CampaignMessages
    from airflow_provider_kaleyra.connection.settings import ConnectionSettings
    from airflow_provider_kaleyra.ledger.values import OnUnknown, PreparedMessage

# For DNS and certificates, either of which may hang.
_OTHER_THREADS = 4

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class CampaignTask:
    """One task's run of a campaign.

    :param campaign_id: the id, as the operator has it.
    :param messages: the recipients and their messages.
    :param ledger_conn_id: the Connection of the ledger's database.
    :param on_unknown_outcome: what to do with recipients whose outcome is unknown.
    :param messages_per_second: the maximum number of messages sent in any second.
    :param max_connections: the maximum number of messages in flight.
    :param checkpoint_every: the maximum number of recipients claimed, or outcomes recorded, in one transaction.
    :param max_failures: the number of failures, or their share of the recipients, above which the campaign stops.
    :param strict: whether to send nothing if a row is invalid.
    :param stop: the request to stop, which the run obeys.
    """

    campaign_id: Any
    messages: CampaignMessages
    ledger_conn_id: str
    on_unknown_outcome: OnUnknown
    messages_per_second: float
    max_connections: int
    checkpoint_every: int
    max_failures: float | None
    strict: bool
    stop: StopRequest = field(default_factory=StopRequest)
    _runner: Runner | None = None

    def check(self) -> dict[str, Any]:
        """Check all rows, send nothing, and return the summary.

        :raises BrokenRule: the recipients or a field cannot be used.
        :raises KaleyraCampaignError: Airflow ended the task.
        """
        return self._check(self._require_start())

    def send(self, context: Context, task_id: str) -> dict[str, Any]:
        """Send to all recipients whose message the ledger does not know as accepted or rejected; return the summary.

        :raises BrokenRule: the recipients or a field cannot be used; nothing was sent.
        :raises KaleyraCampaignError: the campaign is not complete.
        """
        campaign_id = self._require_start()
        require_extra()
        from airflow_provider_kaleyra.ledger.connection import engine_of
        from airflow_provider_kaleyra.ledger.ledger import Ledger

        connection = self.messages.connection
        claimant = Claimant.of(context.get("ti"), task_id)
        ledger = Ledger(engine_of(self.ledger_conn_id), campaign_id, claimant, self.on_unknown_outcome)
        settings = Settings(
            per_second=self.messages_per_second,
            max_connections=affordable_connections(self.max_connections),
            checkpoint_every=self.checkpoint_every,
            max_failures=self.max_failures,
            total=self._require_valid(campaign_id) if self.strict else count_of(self.messages.recipients),
        )
        require_no_stop(self.stop, campaign_id)
        upload = self.messages.upload(TaskStateStore.of(context))
        with self.messages.opened(upload) as recipients:
            runner = self._runner = Runner(recipients, ledger, settings)
            self.stop.call(runner.request_stop)
            try:
                _run_over_http(runner, connection, settings.max_connections)
            finally:
                why = runner.stopped.why if runner.stopped else None
                summary = runner.tally.summary(campaign_id, runner.seconds, why)
                log.info("Campaign %r: %s", campaign_id, summary)
                warn_of_skipped(runner.tally, campaign_id)
        resend = self.on_unknown_outcome == "resend"
        stopped = runner.stopped or stop_at_end(runner.tally, self.max_failures, resend_unknown=resend)
        if stopped is not None:
            raise error_of(stopped, summary)
        return summary

    def unfinished_error(self) -> Exception:
        """Log what is unfinished when the run did not end in time after a request to stop, and return the error."""
        return unfinished_error(self.stop, self._runner, str(self.campaign_id).strip())

    def _require_start(self) -> str:
        """Return the campaign's id, unless the task has to stop."""
        campaign_id = require_campaign_id(self.campaign_id)
        require_no_stop(self.stop, campaign_id)
        return campaign_id

    def _require_valid(self, campaign_id: str) -> int:
        """Check all rows before the first message is sent, and count them."""
        require_rereadable(self.messages.recipients)
        summary = self._check(campaign_id)
        if summary["invalid"]:
            why = f"nothing was sent: {summary['invalid']} of {summary['recipients']} rows are invalid, and strict=True"
            raise error_of(StopReason(why, retry_helps=False), summary)
        total: int = summary["recipients"]
        return total

    def _check(self, campaign_id: str) -> dict[str, Any]:
        def until_stopped(rows: Iterator[PreparedMessage | Invalid]) -> Iterator[PreparedMessage | Invalid]:
            for row in rows:
                require_no_stop(self.stop, campaign_id)
                yield row

        started = time.monotonic()
        if self.messages.media_file is not None:
            with opened(self.messages.media_file) as video:
                log.info("Campaign %r: %s can be uploaded.", campaign_id, video.shown)
        with self.messages.opened() as recipients:
            tally, valid = dry_run(until_stopped(recipients))
        summary = tally.summary(campaign_id, time.monotonic() - started, "nothing was sent: rows were checked")
        summary |= {"recipients": tally.handled + valid, "would_send": valid}
        log.info("Campaign %r: %s", campaign_id, summary)
        return summary


def _run_over_http(runner: Runner, connection: ConnectionSettings, max_connections: int) -> None:
    """Run the campaign to its end in a new event loop.

    :raises KaleyraLedgerError: the ledger's database failed.
    """
    from airflow_provider_kaleyra.transport import aio

    async def run() -> None:
        asyncio.get_running_loop().set_default_executor(DaemonExecutor(_OTHER_THREADS, "kaleyra"))
        async with await aio.new_session(connection.account.base_url, max_connections) as session:
            await runner.run(
                lambda request: aio.send(session, request, connection.timeout),
                on_pause=lambda: aio.close_idle(session),
            )

    asyncio.run(run())

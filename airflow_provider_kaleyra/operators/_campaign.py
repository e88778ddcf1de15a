"""The base of the operators that send a campaign."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_kaleyra.exceptions import KaleyraConfigError, KaleyraMessageError
from airflow_provider_kaleyra.message_fields import MessageFields
from airflow_provider_kaleyra.whatsapp.validation import BrokenRule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_kaleyra.campaign.task import CampaignTask
    from airflow_provider_kaleyra.campaign.thread import StopRequest

#: The template fields of every campaign, beside those of its message.
CAMPAIGN_FIELDS = ("campaign_id", "recipients", "ledger_conn_id")
_TASK_FIELDS = (
    "campaign_id",
    "ledger_conn_id",
    "on_unknown_outcome",
    "messages_per_second",
    "max_connections",
    "checkpoint_every",
    "max_failures",
    "strict",
)


# BaseOperator first, for the defaults of mapped tasks: see SendMessageOperator.
class SendCampaignOperator(BaseOperator, MessageFields):
    """Base of the operators that send messages of one type to many recipients, and return a summary.

    A subclass names its message type and fields, and has a constructor that lists them together with the campaign's
    settings and calls ``self._set_fields(locals())``.
    """

    recipients: Any
    ui_color = "#d5f5dd"

    def _set_fields(self, given: Mapping[str, Any]) -> None:
        from airflow_provider_kaleyra.campaign.settings import broken_setting
        from airflow_provider_kaleyra.campaign.thread import StopRequest

        super()._set_fields(given)
        for name in ("recipients", *_TASK_FIELDS):
            setattr(self, name, given[name])
        self.check_only = given["dry_run"]  # dry_run is a method of every operator
        # From the start, because Airflow may end the task before it executes.
        self._stop: StopRequest | None = StopRequest()
        if broken := broken_setting(given):
            raise KaleyraConfigError(self._unusable(broken))

    def execute(self, context: Context) -> dict[str, Any]:
        """Send to all recipients whose message the ledger does not know as accepted or rejected."""
        from airflow_provider_kaleyra.campaign.thread import StopRequest, run_in_thread

        # A stop request of its own: copies of the operator share the first one, and a copy may have executed before.
        earlier, stop = self._stop, StopRequest()
        self._stop = stop
        if earlier is not None and earlier.why is not None:
            stop.set(earlier.why)
        try:
            with self._rules():
                task = self._task(stop)
                work = task.check if self.check_only else lambda: task.send(context, self.task_id)
                return run_in_thread(work, stop, task.unfinished_error)
        finally:
            self._stop = None

    def dry_run(self) -> None:
        """Check every row and log the invalid ones, for ``airflow tasks test --dry-run``."""
        from airflow_provider_kaleyra.campaign.thread import StopRequest

        with self._rules():
            self._task(StopRequest()).check()

    def on_kill(self) -> None:
        """Request the campaign to stop; called from a signal handler, perhaps before the task executes or after it."""
        if self._stop is not None:
            self._stop.set("Airflow ended the task")

    def _task(self, stop: StopRequest) -> CampaignTask:
        from airflow_provider_kaleyra.campaign.messages import CampaignMessages
        from airflow_provider_kaleyra.campaign.task import CampaignTask

        messages = CampaignMessages(
            message_type=self.message_type,
            recipients=self.recipients,
            given={name: getattr(self, name) for name in self.message_fields},
            business_phone_number=self.business_phone_number,
            kaleyra_conn_id=self.kaleyra_conn_id,
        )
        return CampaignTask(messages=messages, stop=stop, **{name: getattr(self, name) for name in _TASK_FIELDS})

    @contextmanager
    def _rules(self) -> Iterator[None]:
        try:
            yield
        except BrokenRule as broken:
            raise KaleyraMessageError(f"{self._unusable(broken)} Nothing was sent.") from None

    def _unusable(self, broken: BrokenRule) -> str:
        """Return an error that starts with the field and the reason."""
        rule = f"it must be {broken.rule}; found {broken.found}"
        return f"{broken.field} of task {self.task_id!r} cannot be used: {rule}."

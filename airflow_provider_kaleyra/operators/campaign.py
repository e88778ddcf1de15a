"""The operator that sends one WhatsApp video to many people, each of them once."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_kaleyra.exceptions import KaleyraConfigError, KaleyraMessageError
from airflow_provider_kaleyra.whatsapp.message import SHARED_FIELDS
from airflow_provider_kaleyra.whatsapp.validation import BrokenRule

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_kaleyra.campaign.message_builder import Invalid
    from airflow_provider_kaleyra.campaign.messages import Messages
    from airflow_provider_kaleyra.campaign.runner import Runner
    from airflow_provider_kaleyra.campaign.thread import StopRequest
    from airflow_provider_kaleyra.ledger.values import OnUnknown, PreparedMessage

_ON_UNKNOWN_OUTCOME = ("skip", "resend")
_MOST_PER_SECOND = 10_000
_MOST_AT_ONCE = 500


class KaleyraSendVideoCampaignOperator(BaseOperator):
    """
    Send one WhatsApp video to many people, each of them once, and return a summary.

    Who was sent what is kept in a table of your own database, the ledger: a recipient is claimed there before the
    video leaves, so that neither a retry, a Clear, a backfill, a second worker nor a killed process sends it again
    within the same *campaign_id*; see ``docs/campaigns.md``.

    :param campaign_id: names the campaign; a new video to the same people needs a new one. At most 250 characters,
        none of them a control character; blanks around it are removed.
    :param recipients: a list of numbers, a list of dicts, an XCom of either, or the path or URL of a CSV
        (``.csv``, its first line names the columns) or JSON Lines file (``.jsonl``, ``.ndjson``), read as a stream. A
        row's ``to`` is required; any other field of the message in it overrides the operator's.
    :param ledger_conn_id: the Connection of a PostgreSQL or SQLite database.
    :param media_id: the id of media uploaded to Kaleyra; one of this, *media_link* and *media_file*, unless every row
        names its own.
    :param media_link: the absolute http(s) URL of a public video.
    :param media_file: a path that the worker can read, or a URL that Airflow's ``ObjectStoragePath`` opens: a video
        that is uploaded once, before anybody is claimed; see ``docs/media.md``.
    :param caption: text below the video; ``$column`` stands for a value of the recipient's row, ``$$`` for a dollar.
    :param ref: anything to find the message by in Kaleyra's reports and callbacks, at most 255 characters.
    :param ref1: as *ref*.
    :param ref2: as *ref*.
    :param wa_source: what triggered the message, one of Kaleyra's 13 values; any other is recorded as "API".
    :param business_phone_number: the sender, where it is not the Connection's.
    :param kaleyra_conn_id: the Connection, of type ``kaleyra``.
    :param on_unknown_outcome: what to do with a recipient of whom nobody knows whether an earlier try reached
        Kaleyra: ``skip`` leaves and reports it, ``resend`` sends, perhaps for the second time.
    :param messages_per_second: the most that leave in any second, by this task alone.
    :param max_connections: the most messages in flight at once; fewer, with a warning, where the process may not open
        so many files and connections.
    :param checkpoint_every: the most recipients claimed, or outcomes recorded, in one transaction.
    :param max_failures: how many failures end the campaign: a number, a share of the recipients such as 0.05, or None
        for any. Rejected and unknown messages of earlier tries are failures, too. A share is checked from 100
        recipients on, and at the end.
    :param strict: read all rows first, and send nothing if one of them is invalid.
    :param dry_run: check every row and report; neither Kaleyra nor the ledger is touched.
    :raises KaleyraMessageError: the recipients or a field cannot be used; fails at once, nothing was sent.
    :raises KaleyraConfigError: a Connection cannot be used; fails at once, nothing was sent.
    :raises KaleyraUnusableFileError: a file is missing or may not be read; fails at once, nothing was sent.
    :raises KaleyraFileError: reading the recipients or *media_file* failed; Airflow's retry goes on where it stopped.
    :raises KaleyraUploadError: *media_file* has no media id yet, nothing was sent; Airflow retries.
    :raises KaleyraRejectedError: Kaleyra refused the upload of *media_file*, nothing was sent.
    :raises KaleyraCampaignError: the campaign is not done; Airflow's retry goes on where it stopped.
    :raises KaleyraCampaignFailedError: the campaign is not done, and somebody has to fix something first.
    :raises KaleyraLedgerError: the ledger's database failed; Airflow retries.
    """

    template_fields: Sequence[str] = (
        "campaign_id",
        "recipients",
        *SHARED_FIELDS,
        "media_file",
        "business_phone_number",
        "kaleyra_conn_id",
        "ledger_conn_id",
    )
    ui_color = "#d5f5dd"

    def __init__(
        self,
        *,
        campaign_id: str,
        recipients: Any,
        ledger_conn_id: str,
        media_id: str | None = None,
        media_link: str | None = None,
        media_file: str | os.PathLike[str] | None = None,
        caption: str | None = None,
        ref: str | None = None,
        ref1: str | None = None,
        ref2: str | None = None,
        wa_source: str | None = None,
        business_phone_number: str | None = None,
        kaleyra_conn_id: str = "kaleyra_default",
        on_unknown_outcome: OnUnknown = "skip",
        messages_per_second: float = 20.0,
        max_connections: int = 100,
        checkpoint_every: int = 100,
        max_failures: float | None = 0.05,
        strict: bool = False,
        dry_run: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.campaign_id = campaign_id
        self.recipients = recipients
        self.ledger_conn_id = ledger_conn_id
        self.media_id = media_id
        self.media_link = media_link
        self.media_file = media_file
        self.caption = caption
        self.ref = ref
        self.ref1 = ref1
        self.ref2 = ref2
        self.wa_source = wa_source
        self.business_phone_number = business_phone_number
        self.kaleyra_conn_id = kaleyra_conn_id
        self.on_unknown_outcome = on_unknown_outcome
        self.messages_per_second = messages_per_second
        self.max_connections = max_connections
        self.checkpoint_every = checkpoint_every
        self.max_failures = max_failures
        self.strict = strict
        self.check_only = dry_run  # dry_run is a method of every operator
        # From the start, because Airflow may end the task before it executes.
        self._stop: StopRequest | None = _new_stop_request()
        self._runner: Runner | None = None
        self._require_usable_settings()

    def execute(self, context: Context) -> dict[str, Any]:
        """Send to all recipients whom the ledger does not know as accepted or rejected."""
        from airflow_provider_kaleyra.campaign.report import abandoned
        from airflow_provider_kaleyra.campaign.thread import run_in_thread

        stop = self._stop = self._stop or _new_stop_request()
        try:
            with self._rules():
                return run_in_thread(
                    lambda: self._work(context, stop),
                    stop,
                    lambda: abandoned(stop, self._runner, str(self.campaign_id).strip()),
                )
        finally:
            self._stop = self._runner = None

    def dry_run(self) -> None:
        """Check every row and log what is wrong, as ``airflow tasks test --dry-run`` asks."""
        from airflow_provider_kaleyra.campaign.campaign_id import require_campaign_id

        with self._rules():
            self._check(require_campaign_id(self.campaign_id), _new_stop_request())

    def on_kill(self) -> None:
        """Stop sending; called from a signal handler, perhaps before the task executes or after it has."""
        if self._stop is not None:
            self._stop.set("Airflow ended the task")

    @contextmanager
    def _rules(self) -> Iterator[None]:
        try:
            yield
        except BrokenRule as broken:
            raise KaleyraMessageError(f"Nothing was sent, fix task {self.task_id!r}: {broken}") from None

    def _work(self, context: Context, stop: StopRequest) -> dict[str, Any]:
        """Do what the task is for, in a thread that obeys *stop*."""
        from airflow_provider_kaleyra.campaign.campaign_id import require_campaign_id
        from airflow_provider_kaleyra.campaign.report import require_no_stop

        campaign_id = require_campaign_id(self.campaign_id)
        require_no_stop(stop, campaign_id)
        if self.check_only:
            return self._check(campaign_id, stop)
        return self._send(context, campaign_id, stop)

    def _send(self, context: Context, campaign_id: str, stop: StopRequest) -> dict[str, Any]:
        from airflow_provider_kaleyra.campaign.extras import require_extra

        require_extra()
        from airflow_provider_kaleyra.campaign.descriptors import affordable_connections
        from airflow_provider_kaleyra.campaign.recipients import count_of
        from airflow_provider_kaleyra.campaign.report import error_of, require_no_stop, warn_of_skipped
        from airflow_provider_kaleyra.campaign.runner import Runner, Settings
        from airflow_provider_kaleyra.campaign.sending import send_all
        from airflow_provider_kaleyra.campaign.stop_rules import stop_at_end
        from airflow_provider_kaleyra.ledger.claim_rules import Claimant
        from airflow_provider_kaleyra.ledger.connection import engine_of
        from airflow_provider_kaleyra.ledger.ledger import Ledger
        from airflow_provider_kaleyra.once.store import TaskStateStore

        messages = self._messages()
        connection = messages.connection
        claimant = Claimant.of(context.get("ti"), self.task_id)
        ledger = Ledger(engine_of(self.ledger_conn_id), campaign_id, claimant, self.on_unknown_outcome)
        settings = Settings(
            per_second=self.messages_per_second,
            max_connections=affordable_connections(self.max_connections),
            checkpoint_every=self.checkpoint_every,
            max_failures=self.max_failures,
            total=self._require_valid(campaign_id, stop) if self.strict else count_of(self.recipients),
        )
        require_no_stop(stop, campaign_id)
        upload = messages.upload(TaskStateStore.of(context))
        with messages.prepared(upload) as recipients:
            runner = self._runner = Runner(recipients, ledger, settings)
            stop.call(runner.request_stop)
            try:
                send_all(runner, connection, settings.max_connections)
            finally:
                why = runner.stopped.why if runner.stopped else None
                summary = runner.tally.summary(campaign_id, runner.seconds, why)
                self.log.info("Campaign %r: %s", campaign_id, summary)
                warn_of_skipped(runner.tally, campaign_id)
        resend = self.on_unknown_outcome == "resend"
        stopped = runner.stopped or stop_at_end(runner.tally, self.max_failures, resend_unknown=resend)
        if stopped is not None:
            raise error_of(stopped, summary)
        return summary

    def _messages(self) -> Messages:
        from airflow_provider_kaleyra.campaign.messages import Messages

        return Messages(
            recipients=self.recipients,
            given={name: getattr(self, name) for name in SHARED_FIELDS},
            media_file=self.media_file,
            business_phone_number=self.business_phone_number,
            kaleyra_conn_id=self.kaleyra_conn_id,
        )

    def _require_valid(self, campaign_id: str, stop: StopRequest) -> int:
        """Read all rows before the first is sent, and count them."""
        from airflow_provider_kaleyra.campaign.report import error_of
        from airflow_provider_kaleyra.campaign.stop_rules import StopReason

        summary = self._check(campaign_id, stop)
        if summary["invalid"]:
            raise error_of(
                StopReason("nothing was sent: a row is invalid, and strict=True", retry_helps=False), summary
            )
        total: int = summary["recipients"]
        return total

    def _check(self, campaign_id: str, stop: StopRequest) -> dict[str, Any]:
        """Read all rows and send nothing."""
        from airflow_provider_kaleyra.campaign.dry_run import check
        from airflow_provider_kaleyra.campaign.report import require_no_stop

        def until_stopped(rows: Iterator[PreparedMessage | Invalid]) -> Iterator[PreparedMessage | Invalid]:
            for row in rows:
                require_no_stop(stop, campaign_id)
                yield row

        started = time.monotonic()
        messages = self._messages()
        if messages.sends_file:
            from airflow_provider_kaleyra.files.upload import opened

            with opened(self.media_file or "") as video:
                self.log.info("Campaign %r: %s can be uploaded.", campaign_id, video.shown)
        with messages.prepared() as recipients:
            tally, valid = check(until_stopped(recipients))
        summary = tally.summary(campaign_id, time.monotonic() - started, "nothing was sent: rows were checked")
        summary |= {"recipients": tally.handled + valid, "would_send": valid}
        self.log.info("Campaign %r: %s", campaign_id, summary)
        return summary

    def _require_usable_settings(self) -> None:
        rules: dict[str, Callable[[], bool]] = {
            f"on_unknown_outcome must be one of {', '.join(map(repr, _ON_UNKNOWN_OUTCOME))}": lambda: (
                self.on_unknown_outcome in _ON_UNKNOWN_OUTCOME
            ),
            f"messages_per_second must be above 0, at most {_MOST_PER_SECOND}": lambda: (
                0 < self.messages_per_second <= _MOST_PER_SECOND
            ),
            "max_connections must be at least 1": lambda: self.max_connections >= 1,
            f"checkpoint_every must be from 1 to {_MOST_AT_ONCE}": lambda: 1 <= self.checkpoint_every <= _MOST_AT_ONCE,
            "max_failures must be a whole number, a share between 0 and 1, or None": lambda: (
                self.max_failures is None
                or (0 < self.max_failures < 1 if isinstance(self.max_failures, float) else self.max_failures >= 0)
            ),
        }
        for rule, is_kept in rules.items():
            try:
                kept = is_kept()
            except TypeError:  # text, for example
                kept = False
            if not kept:
                raise KaleyraConfigError(f"Fix task {self.task_id!r}: {rule}.")


def _new_stop_request() -> StopRequest:
    from airflow_provider_kaleyra.campaign.thread import StopRequest

    return StopRequest()

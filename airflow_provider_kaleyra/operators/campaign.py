"""The operator that sends one WhatsApp video to many people, each of them once."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_kaleyra.exceptions import KaleyraConfigError, KaleyraMessageError
from airflow_provider_kaleyra.whatsapp.message import SHARED_FIELDS
from airflow_provider_kaleyra.whatsapp.rules import BrokenRule, text_or_none

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_kaleyra.campaign.claims import OnUnknown
    from airflow_provider_kaleyra.campaign.judgement import Stop
    from airflow_provider_kaleyra.campaign.recipients import Addressed, Invalid
    from airflow_provider_kaleyra.campaign.runner import Runner
    from airflow_provider_kaleyra.campaign.tally import Tally
    from airflow_provider_kaleyra.exceptions import KaleyraError
    from airflow_provider_kaleyra.hooks.connection import ConnectionSettings
    from airflow_provider_kaleyra.once.upload import UploadOnce
    from airflow_provider_kaleyra.whatsapp.account import Account
    from airflow_provider_kaleyra.whatsapp.message import VideoMessage
    from airflow_provider_kaleyra.whatsapp.request import Request

_ON_UNKNOWN_OUTCOME = ("skip", "resend")
_MOST_WARNINGS = 20
_MOST_PER_SECOND = 10_000
_MOST_AT_ONCE = 500


class KaleyraSendVideoCampaignOperator(BaseOperator):
    """
    Send one WhatsApp video to many people, each of them once, and return a summary.

    Who was sent what is kept in a table of your own database, the ledger: a recipient is claimed there before the
    video leaves, so that neither a retry, a Clear, a backfill, a second worker nor a killed process sends it again
    within the same *campaign_id*; see ``docs/campaigns.md``.

    :param campaign_id: names the campaign; a new video to the same people needs a new one. At most 250 characters.
    :param recipients: a list of numbers, a list of dicts, an XCom of either, or the path or URL of a CSV
        (``.csv``, its first line names the columns) or JSON Lines file (``.jsonl``, ``.ndjson``), read as a stream. A
        row's ``to`` is required; any other field of the message in it outweighs the operator's.
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
    :param max_connections: the most messages on their way at once.
    :param checkpoint_every: the most recipients claimed, or outcomes recorded, in one transaction.
    :param max_failures: how many failures end the campaign: a number, a share of the recipients such as 0.05, or None
        for any. A share is judged from 100 recipients on, and at the end.
    :param strict: read all rows first, and send nothing if one of them is invalid.
    :param dry_run: check every row and report; neither Kaleyra nor the ledger is touched.
    :raises KaleyraMessageError: the recipients or a field cannot be used; fails at once, nothing was sent.
    :raises KaleyraConfigError: a Connection cannot be used; fails at once, nothing was sent.
    :raises KaleyraUnusableFileError: a file is missing or may not be read; fails at once, nothing was sent.
    :raises KaleyraFileError: reading the recipients or *media_file* failed; Airflow's retry goes on where it stopped.
    :raises KaleyraUploadError: *media_file* has no media id yet, nothing was sent; Airflow retries.
    :raises KaleyraRejectedError: Kaleyra refused the upload of *media_file*, nothing was sent.
    :raises KaleyraCampaignError: the campaign is not done; Airflow's retry goes on where it stopped.
    :raises KaleyraCampaignFailedError: the campaign is not done, and somebody has to mend something first.
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
        self._runner: Runner | None = None
        self._warned: set[str] = set()
        self._require_usable_settings()

    def execute(self, context: Context) -> dict[str, Any]:
        """Send to all recipients that the ledger does not know as done."""
        try:
            return self._check() if self.check_only else self._send(context)
        except BrokenRule as broken:
            raise KaleyraMessageError(f"Nothing was sent, mend task {self.task_id!r}: {broken}") from None

    def dry_run(self) -> None:
        """Check every row and log what is wrong, as ``airflow tasks test --dry-run`` asks."""
        self._check()

    def on_kill(self) -> None:
        """Stop sending; called from a signal handler, while the task waits for the campaign to end."""
        if self._runner is not None:
            self._runner.stop_soon("Airflow ended the task")

    def _send(self, context: Context) -> dict[str, Any]:
        from airflow_provider_kaleyra.campaign.apart import run_apart
        from airflow_provider_kaleyra.campaign.claims import Claimant
        from airflow_provider_kaleyra.campaign.connection import engine_of
        from airflow_provider_kaleyra.campaign.judgement import ending_of
        from airflow_provider_kaleyra.campaign.ledger import Ledger
        from airflow_provider_kaleyra.campaign.runner import Runner, Settings
        from airflow_provider_kaleyra.campaign.sources import count_of

        connection = self._connection()
        claimant = Claimant.of(context.get("ti"), self.task_id)
        ledger = Ledger(engine_of(self.ledger_conn_id), self.campaign_id, claimant, self.on_unknown_outcome)
        settings = Settings(
            per_second=self.messages_per_second,
            max_connections=self.max_connections,
            checkpoint_every=self.checkpoint_every,
            max_failures=self.max_failures,
            total=self._require_valid() if self.strict else count_of(self.recipients),
        )
        upload = self._upload(context)
        with self._addressed(connection.account, upload) as recipients:
            runner = self._runner = Runner(recipients, ledger, settings)

            async def campaign() -> None:
                from airflow_provider_kaleyra.transport import aio

                async with await aio.new_session(connection.account.base_url, self.max_connections) as session:
                    await runner.run(lambda request: aio.send(session, request, connection.timeout))

            try:
                run_apart(campaign, runner.stop_soon)
            finally:
                self._runner = None
                why = runner.stopped.why if runner.stopped else None
                summary = runner.tally.summary(self.campaign_id, runner.seconds, why)
                self.log.info("Campaign %r: %s", self.campaign_id, summary)
        self._tell_of_those_left(runner.tally)
        resend = self.on_unknown_outcome == "resend"
        stop = runner.stopped or ending_of(runner.tally, self.max_failures, resend_unknown=resend)
        if stop is not None:
            raise error_of(stop, summary)
        return summary

    def _require_valid(self) -> int:
        """Read all rows before the first is sent, and count them."""
        from airflow_provider_kaleyra.campaign.judgement import Ending, Stop

        summary = self._check()
        if summary["invalid"]:
            raise error_of(Stop(Ending.FAIL, "nothing was sent: a row is invalid, and strict=True"), summary)
        total: int = summary["recipients"]
        return total

    def _check(self) -> dict[str, Any]:
        from airflow_provider_kaleyra.campaign.check import check

        started = time.monotonic()
        if self._stand_in:
            from airflow_provider_kaleyra.hooks.media import opened

            with opened(self.media_file or "") as video:
                self.log.info("Campaign %r: %s can be uploaded.", self.campaign_id, video.shown)
        with self._addressed(self._connection().account) as recipients:
            tally, valid = check(recipients)
        summary = tally.summary(self.campaign_id, time.monotonic() - started, "nothing was sent: rows were checked")
        summary |= {"recipients": tally.handled + valid, "would_send": valid}
        self.log.info("Campaign %r: %s", self.campaign_id, summary)
        return summary

    @property
    def _stand_in(self) -> str | None:
        """What a message has for a media id until *media_file* is uploaded; the same for every upload of the file."""
        text = str(self.media_file or "").strip()
        return f"<id of the uploaded {text.partition('?')[0]}>" if text else None

    def _fields(self) -> dict[str, str | None]:
        """The message's fields for all recipients."""
        fields = {name: text_or_none(name, getattr(self, name)) for name in SHARED_FIELDS}
        if not self._stand_in:
            return fields
        if fields["media_id"] or fields["media_link"]:
            rule = "given, exactly one of them"
            raise BrokenRule("media_id, media_link or media_file", rule, "media_file with another")
        return fields | {"media_id": self._stand_in}

    def _upload(self, context: Context) -> UploadOnce | None:
        """Upload *media_file*, unless an earlier try did."""
        from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook
        from airflow_provider_kaleyra.once.store import TaskStateStore
        from airflow_provider_kaleyra.once.upload import UploadOnce

        if not self._stand_in:
            return None
        self._fields()  # which a wrong one need not cost an upload
        hook, store = KaleyraHook(self.kaleyra_conn_id), TaskStateStore.of(context)
        upload = UploadOnce(hook, self.media_file or "", store, self.business_phone_number or None)
        upload.media_id()
        return upload

    @contextmanager
    def _addressed(self, account: Account, upload: UploadOnce | None = None) -> Iterator[Iterator[Addressed | Invalid]]:
        """The recipients as messages, while their file is open."""
        from airflow_provider_kaleyra.campaign.recipients import Addressing
        from airflow_provider_kaleyra.campaign.sources import rows_of
        from airflow_provider_kaleyra.whatsapp.request import video_request

        fields, stand_in = self._fields(), self._stand_in

        def request_for(message: VideoMessage) -> Request:
            for warning in message.warnings:
                if warning not in self._warned and len(self._warned) < _MOST_WARNINGS:
                    self._warned.add(warning)
                    self.log.warning(warning)
            if upload and message.media_id == stand_in:
                message = replace(message, media_id=upload.media_id())
            return video_request(account, message, self.business_phone_number or None)

        def fingerprint_of(message: VideoMessage) -> str:
            return video_request(account, message, self.business_phone_number or None).fingerprint

        with rows_of(self.recipients) as rows:
            yield Addressing(fields, request_for, fingerprint_of if upload else None).address(rows)

    def _connection(self) -> ConnectionSettings:
        """Read the Connection, and refuse what would make every row invalid."""
        from airflow_provider_kaleyra.hooks.connection import config_error
        from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook

        settings = KaleyraHook(self.kaleyra_conn_id).settings
        if not (self.business_phone_number or settings.account.business_phone_number):
            raise config_error(
                self.kaleyra_conn_id, BrokenRule("business_phone_number", "given: it is the sender", "none")
            )
        return settings

    def _tell_of_those_left(self, tally: Tally) -> None:
        if tally.changed:
            self.log.warning(
                "%d recipients were done before, with another message than now. A new video needs a new campaign_id.",
                tally.changed,
            )
        if tally.left_unknown:
            self.log.warning(
                "%d recipients are left alone, because nobody knows whether an earlier try reached them: they are the "
                "rows of kaleyra_sends whose state is 'unknown'. Look for them in Kaleyra's report.",
                tally.left_unknown,
            )
        if tally.claimed_elsewhere:
            self.log.warning(
                "%d recipients are left to other tasks, which have claimed them: the rows of kaleyra_sends whose state "
                "is 'claimed' tell which. docs/campaigns.md shows how to release those of a task that has died.",
                tally.claimed_elsewhere,
            )

    def _require_usable_settings(self) -> None:
        share = isinstance(self.max_failures, float)
        rules = {
            f"on_unknown_outcome must be one of {', '.join(map(repr, _ON_UNKNOWN_OUTCOME))}": self.on_unknown_outcome
            in _ON_UNKNOWN_OUTCOME,
            f"messages_per_second must be above 0, at most {_MOST_PER_SECOND}": 0
            < self.messages_per_second
            <= _MOST_PER_SECOND,
            "max_connections must be at least 1": self.max_connections >= 1,
            f"checkpoint_every must be from 1 to {_MOST_AT_ONCE}": 1 <= self.checkpoint_every <= _MOST_AT_ONCE,
            "max_failures must be a whole number, a share between 0 and 1, or None": self.max_failures is None
            or (0 < self.max_failures < 1 if share else self.max_failures >= 0),
        }
        for rule, kept in rules.items():
            if not kept:
                raise KaleyraConfigError(f"Mend task {self.task_id!r}: {rule}.")


def error_of(stop: Stop, summary: Mapping[str, Any]) -> KaleyraError:
    """The error that tells why a campaign is not done."""
    from airflow_provider_kaleyra.campaign.judgement import Ending
    from airflow_provider_kaleyra.exceptions import KaleyraCampaignError, KaleyraCampaignFailedError

    kind = KaleyraCampaignError if stop.ending is Ending.RETRY else KaleyraCampaignFailedError
    return kind(stop.why, dict(summary))

"""The base of the operators that send one message."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_kaleyra.exceptions import (
    ON_UNKNOWN_OUTCOME,
    KaleyraConfigError,
    KaleyraStateStoreError,
    error_for,
    unknown_outcome,
)
from airflow_provider_kaleyra.message_fields import SENDER_FIELDS, MessageFields, fingerprint
from airflow_provider_kaleyra.whatsapp.media import MediaFile
from airflow_provider_kaleyra.whatsapp.validation import shown_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_kaleyra.exceptions import OnUnknownOutcome
    from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook
    from airflow_provider_kaleyra.once.decisions import SendRecord
    from airflow_provider_kaleyra.once.store import RecordStore, SendRecordStore
    from airflow_provider_kaleyra.whatsapp.message import Message
    from airflow_provider_kaleyra.whatsapp.request import Request


# BaseOperator first: if the first base had another constructor, Airflow would wrap BaseOperator's as this class's own,
# and give mapped tasks its bare defaults (inlets=None).
class SendMessageOperator(BaseOperator, MessageFields):
    """Base of the operators that send one message and return Kaleyra's message id.

    This class reads the record of an earlier send, decides whether to send, sends, records the outcome and handles an
    unknown one. A subclass names its message type and fields, and has a constructor that lists them and calls
    ``self._set_fields(locals())``.
    """

    ui_color = "#d5f5dd"

    on_unknown_outcome: OnUnknownOutcome

    def _set_fields(self, given: Mapping[str, Any]) -> None:
        super()._set_fields(given)
        self.on_unknown_outcome = given["on_unknown_outcome"]
        # Before rendering, to distinguish an edited field from a template that renders differently on every try.
        self._fields_sha256 = fingerprint({name: given[name] for name in (*self.message_fields, *SENDER_FIELDS)})
        chosen: Any = given["on_unknown_outcome"]
        if type(chosen) is not str or chosen not in ON_UNKNOWN_OUTCOME:
            raise KaleyraConfigError(
                f"Task {self.task_id!r} is invalid: on_unknown_outcome must be one of "
                f"{', '.join(map(repr, ON_UNKNOWN_OUTCOME))}; found {shown_value(chosen)}. Fix this argument."
            )

    @cached_property
    def hook(self) -> KaleyraHook:
        """The hook that uses the rendered Connection id."""
        from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook

        return KaleyraHook(self.kaleyra_conn_id)

    def execute(self, context: Context) -> str:
        """Send the message of the rendered fields, unless an earlier try sent it or may have sent it."""
        from airflow_provider_kaleyra.once.decisions import SendRecord
        from airflow_provider_kaleyra.once.store import SendRecordStore, TaskStateStore

        store = TaskStateStore.of(context)
        records = SendRecordStore(store)
        earlier = records.read()
        this = SendRecord.of_try(context.get("ti"))
        # Before all other checks: an invalid field or Connection must not hide that id.
        if earlier and (message_id := earlier.settles(this)):
            self.log.info("Nothing is sent, because an earlier try sent it: %s.", earlier)
            return message_id

        # Before the upload, so that an invalid field costs no upload.
        message = self._message()
        if isinstance(message.media, MediaFile):
            message = message.uploaded(self._upload(message.media, store))
        request = self.hook.request_for(message, self.business_phone_number)
        this = this.with_message(message, request, self._fields_sha256)
        if earlier and (message_id := self._recalled(earlier, this, message, records)):
            return message_id
        records.write(this)
        return self._send(message, request, this, records)

    def dry_run(self) -> None:
        """Log the request that would be sent, with the API key hidden and the recipient masked."""
        message = self._message()
        if isinstance(message.media, MediaFile):
            from airflow_provider_kaleyra.files.upload import opened

            with opened(message.media.media_file) as video:
                self.log.info("Dry run, %s would be uploaded first: %s", video.shown, video.video)
            message = message.uploaded("<media id of the upload>")
        request = self.hook.request_for(message, self.business_phone_number)
        self.log.info("Dry run, this would be sent:\n%s", request)

    def _upload(self, media: MediaFile, store: RecordStore) -> str:
        """Return the file's media id; upload the file unless an earlier try did."""
        from airflow_provider_kaleyra.once.upload import UploadOnce

        return UploadOnce(self.hook, media.media_file, store, self.business_phone_number).media_id()

    def _recalled(
        self, earlier: SendRecord, this: SendRecord, message: Message, records: SendRecordStore
    ) -> str | None:
        """Return the id of an earlier send that this try does not repeat, or None if this try sends.

        :raises KaleyraUnknownOutcomeError: the outcome of the earlier send is unknown.
        :raises AirflowSkipException: the same, with ``on_unknown_outcome="skip"``.
        """
        from airflow_provider_kaleyra.once.decisions import SEND_KEY, Step, decide

        step = decide(earlier, this, self.on_unknown_outcome)
        self.log.info("Recorded: %s. This try will %s.", earlier, step.value)
        if step is Step.RETURN_ID and earlier.message_id:
            self.log.warning(
                "The task was cleared, but the %s is not sent again. To send it again on purpose, delete %r from the "
                "task instance's state store, then clear the task again; docs/send-once.md shows how.",
                message.noun,
                SEND_KEY,
            )
            return earlier.message_id
        if step in {Step.SEND, Step.RESEND}:
            return None
        reported = earlier.reported_by(this)
        self._write_if_possible(records, reported)
        raise self._unknown(message, reported)

    def _send(self, message: Message, request: Request, this: SendRecord, records: SendRecordStore) -> str:
        from airflow_provider_kaleyra.whatsapp.outcome import Accepted, NotSent, Unknown

        try:
            outcome = self.hook.send(request)
        except KaleyraConfigError as error:  # the environment cannot be used, so nothing was transmitted
            self._write_if_possible(records, this.with_outcome(NotSent(str(error))))
            raise
        sent = this.with_outcome(outcome)
        subject = f"the {message.noun} to {sent.to}"
        # Before anything else can fail, so that the log has the outcome even if the state store does not.
        if isinstance(outcome, Accepted):
            self.log.info("Kaleyra accepted %s: message id %s%s.", subject, outcome.message_id, _shown_refs(sent))
        if isinstance(outcome, Unknown):
            self.log.warning("Outcome unknown: %s. Kaleyra may have accepted %s.", outcome.reason, subject)
        self._write_if_possible(records, sent)
        if isinstance(outcome, Accepted):
            return outcome.message_id
        if isinstance(outcome, Unknown):
            raise self._unknown(message, sent)
        raise error_for(subject, outcome)

    def _write_if_possible(self, records: SendRecordStore, record: SendRecord) -> None:
        """Record the outcome of a send. An error of the state store is logged, so that it does not hide the outcome."""
        try:
            records.write(record)
        except KaleyraStateStoreError as error:
            self.log.warning(
                "Airflow's task state store failed after the send (%s). If this task tries again, it reports the "
                "outcome as unknown.",
                error.__cause__,
            )

    def _unknown(self, message: Message, sent: SendRecord) -> Exception:
        """Return the exception to raise for a send whose outcome is unknown."""
        subject = f"the {message.noun} to {sent.to} (sent at {sent.sent_at}{_shown_refs(sent)})"
        return unknown_outcome(subject, str(sent.reason), self.on_unknown_outcome)


def _shown_refs(record: SendRecord) -> str:
    return "".join(f", {name} {value!r}" for name, value in record.refs.items())

"""The operator that sends one WhatsApp video."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_kaleyra.exceptions import (
    ON_UNKNOWN_OUTCOME,
    KaleyraConfigError,
    KaleyraMessageError,
    KaleyraStateStoreError,
    error_for,
    unknown_outcome,
)
from airflow_provider_kaleyra.send_once import SENDING_ON_PURPOSE, Memory, Send, Step, decide, fingerprint
from airflow_provider_kaleyra.whatsapp.media import flaw_of_sources
from airflow_provider_kaleyra.whatsapp.message import MESSAGE_FIELDS

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_kaleyra.exceptions import OnUnknownOutcome
    from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook
    from airflow_provider_kaleyra.whatsapp.message import VideoMessage

_ID_TO_COME = "<id of the uploaded media_file>"


class KaleyraSendVideoOperator(BaseOperator):
    """
    Send one WhatsApp video through Kaleyra, and return Kaleyra's message id.

    All fields are templated; one that renders to blank text counts as not given. The limits are those of Kaleyra's
    page "Send Video Messages". An accepted message is not a delivered one: a video reaches only those who wrote to
    the business within the last 24 hours.

    From Airflow 3.3 on, the task remembers its send across its tries, so that neither a retry, a killed process nor
    a Clear sends the video a second time unasked; see ``docs/send-once.md``.

    :param to: the recipient's WhatsApp number, in E.164 with its ``+``.
    :param media_id: the id of media uploaded to Kaleyra; exactly one of this, *media_link* and *media_file*.
    :param media_link: the absolute http(s) URL of a public video.
    :param media_file: a path that the worker can read, or a URL that Airflow's ``ObjectStoragePath`` opens: a video
        that is uploaded first; see ``docs/media.md``.
    :param caption: text below the video, at most 1024 characters.
    :param ref: anything to find the message by in Kaleyra's reports and callbacks, at most 255 characters.
    :param ref1: as *ref*.
    :param ref2: as *ref*.
    :param wa_source: what triggered the message, one of Kaleyra's 13 values; any other is recorded as "API".
    :param business_phone_number: the sender, where it is not the Connection's.
    :param kaleyra_conn_id: the Connection, of type ``kaleyra``.
    :param on_unknown_outcome: what to do when nobody knows whether Kaleyra took the message: ``fail`` at once and
        leave it to you, ``skip`` the task, or ``resend`` through Airflow's retries, perhaps for the second time.
    :raises KaleyraMessageError: a field breaks a rule; fails at once, nothing was sent.
    :raises KaleyraConfigError: the Connection cannot be used; fails at once, nothing was sent.
    :raises KaleyraRejectedError: Kaleyra refused the message; Airflow retries.
    :raises KaleyraPermanentError: Kaleyra refused the message and would again; fails at once.
    :raises KaleyraUnreachableError: no connection came about, nothing was sent; Airflow retries.
    :raises KaleyraUnusableFileError: *media_file* is missing or may not be read; fails at once, nothing was sent.
    :raises KaleyraFileError: reading *media_file* failed, nothing was sent; Airflow retries.
    :raises KaleyraUploadError: the video has no media id yet, nothing was sent; Airflow retries.
    :raises KaleyraStateStoreError: what earlier tries sent cannot be told, nothing was sent; Airflow retries.
    :raises KaleyraNoResendError: the outcome is unknown; fails at once.
    :raises KaleyraResendError: the same, with ``on_unknown_outcome="resend"``; Airflow retries.
    :raises AirflowSkipException: the same, with ``on_unknown_outcome="skip"``.
    """

    template_fields: Sequence[str] = (*MESSAGE_FIELDS, "media_file", "business_phone_number", "kaleyra_conn_id")
    ui_color = "#d5f5dd"

    def __init__(
        self,
        *,
        to: str,
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
        on_unknown_outcome: OnUnknownOutcome = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.to = to
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
        # Taken before rendering, to tell a field that somebody mended from one that renders differently on every try.
        self._written = fingerprint({name: getattr(self, name) for name in KaleyraSendVideoOperator.template_fields})
        self._require_one_source()
        self._require_known_on_unknown_outcome()

    @cached_property
    def hook(self) -> KaleyraHook:
        """The hook of the rendered Connection id."""
        from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook

        return KaleyraHook(self.kaleyra_conn_id)

    def execute(self, context: Context) -> str:
        """Send the video of the rendered fields, unless an earlier try did, or may have done."""
        from airflow_provider_kaleyra.whatsapp.outcome import Accepted, Unknown

        memory = Memory(context.get("task_state_store"))
        earlier = memory.recall()
        this = Send.now(context.get("ti"))
        # First of all, because neither a broken field nor a broken Connection may hide that id.
        if earlier and (message_id := earlier.settles(this)):
            self.log.info("Nothing is sent, because it was before: %s.", earlier)
            return message_id

        # Checked before the upload, which a wrong recipient need not cost.
        message = self._message()
        if self._sends_file:
            message = replace(message, media_id=self._upload(context))
        request = self.hook.request_for(message, self.business_phone_number)
        this = this.of(message, request, self._written)
        if earlier:
            step = decide(earlier, this, self.on_unknown_outcome)
            self.log.info("Remembered: %s. So this try will %s.", earlier, step.value)
            if step is Step.RETURN_ID and earlier.message_id:
                self.log.warning("The task was cleared, but the video is not sent again. %s", SENDING_ON_PURPOSE)
                return earlier.message_id
            if step not in {Step.SEND, Step.RESEND}:
                told = earlier.told_by(this)
                self._keep_if_possible(memory, told)
                raise self._unknown(told)

        memory.keep(this)
        outcome = self.hook.send(request)
        sent = this.became(outcome)
        # Logged before anything else can fail, so that the log knows what the store may not.
        if isinstance(outcome, Unknown):
            self.log.warning("Nobody knows whether Kaleyra took the video to %s: %s", sent.to, outcome.reason)
        if isinstance(outcome, Accepted):
            refs = "".join(f", {name} {value!r}" for name, value in message.refs.items())
            self.log.info("Kaleyra accepted the video to %s: message id %s%s.", sent.to, outcome.message_id, refs)
        self._keep_if_possible(memory, sent)
        if isinstance(outcome, Accepted):
            return outcome.message_id
        if isinstance(outcome, Unknown):
            raise self._unknown(sent)
        raise error_for(f"the video to {sent.to}", outcome)

    def dry_run(self) -> None:
        """Log the request that would be sent: API key hidden, recipient masked."""
        request = self.hook.request_for(self._message(), self.business_phone_number)
        if self._sends_file:
            from airflow_provider_kaleyra.hooks.media import opened

            with opened(self.media_file or "") as video:
                self.log.info("Dry run, %s would be uploaded first: %s", video.shown, video.video)
        self.log.info("Dry run, this would be sent:\n%s", request)

    def _message(self) -> VideoMessage:
        from airflow_provider_kaleyra.hooks.kaleyra import build_message

        fields = {name: getattr(self, name) for name in MESSAGE_FIELDS}
        if self._sends_file:
            if any(str(fields[name] or "").strip() for name in ("media_id", "media_link")):
                raise KaleyraMessageError(
                    "Nothing was sent, mend the message: exactly one of media_id, media_link and media_file must be "
                    "given; found media_file with another."
                )
            fields["media_id"] = _ID_TO_COME
        return build_message(**fields)

    @property
    def _sends_file(self) -> bool:
        return bool(str(self.media_file or "").strip())

    def _upload(self, context: Context) -> str:
        """Upload the file, unless an earlier try did."""
        from airflow_provider_kaleyra.hooks.upload_once import UploadOnce

        store = context.get("task_state_store")
        return UploadOnce(self.hook, self.media_file or "", store, self.business_phone_number or None).media_id()

    def _keep_if_possible(self, memory: Memory, send: Send) -> None:
        """Remember what became of a send; a store that fails now must not hide it."""
        try:
            memory.keep(send)
        except KaleyraStateStoreError as error:
            self.log.warning(
                "Airflow's task state store failed after the send (%s). Should this task try again, it will say that "
                "nobody knows whether the video was accepted.",
                error.__cause__,
            )

    def _unknown(self, send: Send) -> Exception:
        """What to raise when nobody knows whether a send was accepted."""
        refs = "".join(f", {name} {value!r}" for name, value in send.refs.items())
        return unknown_outcome(
            f"the video to {send.to} (sent at {send.at}{refs})", str(send.reason), self.on_unknown_outcome
        )

    def _require_known_on_unknown_outcome(self) -> None:
        if self.on_unknown_outcome not in ON_UNKNOWN_OUTCOME:
            raise KaleyraConfigError(
                f"Mend task {self.task_id!r}: on_unknown_outcome must be one of "
                f"{', '.join(map(repr, ON_UNKNOWN_OUTCOME))}; found {self.on_unknown_outcome!r}."
            )

    def _require_one_source(self) -> None:
        """Refuse what no rendering can mend, so that the DAG's author learns of it at import."""
        flaw = flaw_of_sources(self.media_id, self.media_link, self.media_file)
        if flaw is not None:
            raise KaleyraMessageError(
                f"Task {self.task_id!r} needs one of media_id, media_link and media_file; it has {flaw}."
            )

"""The operator that sends one WhatsApp video."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_kaleyra.message_fields import SENDER_FIELDS, VideoFields
from airflow_provider_kaleyra.operators._send import SendMessageOperator
from airflow_provider_kaleyra.whatsapp.message import MESSAGE_FIELDS

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from airflow_provider_kaleyra.exceptions import OnUnknownOutcome


class KaleyraSendVideoOperator(VideoFields, SendMessageOperator):
    """
    Send one WhatsApp video through Kaleyra, and return Kaleyra's message id.

    All fields except the last are templates; a field that renders to blank text is ignored. The limits are those of
    https://developers.kaleyra.io/docs/whatsapp_api_v2_send-video-messages. An accepted message is not a delivered
    one: a video reaches only people who wrote to the business within the last 24 hours.

    From Airflow 3.3 on, the task records its send across its tries, so that neither a retry, a killed process nor a
    Clear sends the video a second time unless you choose so; see ``docs/send-once.md``.

    :param to: the recipient's WhatsApp number, in E.164 with its ``+``. Airflow's UI shows it in full under Rendered
        Templates, also if it comes from an XCom; ``docs/connection.md`` shows how to hide it.
    :param media_id: the id of media uploaded to Kaleyra; exactly one of this, *media_link* and *media_file*.
    :param media_link: the absolute http(s) URL of a public video.
    :param media_file: a path that the worker can read, or a URL that Airflow's ``ObjectStoragePath`` opens: a video
        that is uploaded first; see ``docs/media.md``.
    :param caption: text below the video, at most 1024 characters.
    :param ref: any text that identifies the message in Kaleyra's reports and callbacks, at most 255 characters.
    :param ref1: a second text like *ref*.
    :param ref2: a third text like *ref*.
    :param wa_source: what triggered the message, one of Kaleyra's 13 values; any other is recorded as "API".
    :param business_phone_number: the sender; overrides the Connection's.
    :param kaleyra_conn_id: the id of the Connection, of type ``kaleyra``.
    :param on_unknown_outcome: what to do if the message was transmitted, and Kaleyra may or may not have accepted it:
        ``fail`` without a retry, ``skip`` the task, or ``resend``, which lets Airflow's retry send it, possibly for the
        second time.
    :raises KaleyraMessageError: a field breaks a rule; nothing was sent, no retry.
    :raises KaleyraConfigError: the Connection cannot be used; nothing was sent, no retry.
    :raises KaleyraConnectionUnreadableError: Airflow could not read a Connection; nothing was sent, Airflow retries.
    :raises KaleyraUnusableFileError: *media_file* is missing, or Airflow has no permission to read it; nothing was
        sent, no retry.
    :raises KaleyraFileError: reading *media_file* failed; nothing was sent, Airflow retries.
    :raises KaleyraUploadError: the upload returned no media id; nothing was sent, Airflow retries.
    :raises KaleyraStateStoreError: the record of earlier tries cannot be read; nothing was sent, Airflow retries.
    :raises KaleyraUnreachableError: no connection could be opened; nothing was sent, Airflow retries.
    :raises KaleyraRejectedError: Kaleyra rejected the message; Airflow retries.
    :raises KaleyraPermanentError: Kaleyra rejected the message and would reject it again; no retry.
    :raises KaleyraNoResendError: the outcome is unknown; no retry.
    :raises KaleyraResendError: the outcome is unknown, with ``on_unknown_outcome="resend"``; Airflow retries.
    :raises AirflowSkipException: the outcome is unknown, with ``on_unknown_outcome="skip"``.
    """

    message_fields: ClassVar[tuple[str, ...]] = (*MESSAGE_FIELDS, "media_file")
    template_fields: Sequence[str] = (*message_fields, *SENDER_FIELDS)

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
        self._set_fields(locals())

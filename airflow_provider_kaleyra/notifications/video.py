"""The notifier that sends one WhatsApp video."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_kaleyra.message_fields import SENDER_FIELDS, VideoFields
from airflow_provider_kaleyra.notifications._send import SendMessageNotifier

if TYPE_CHECKING:
    from collections.abc import Sequence


class KaleyraVideoNotifier(VideoFields, SendMessageNotifier):
    """
    Send one WhatsApp video through Kaleyra from a callback of a task, a DAG or a deadline.

    All fields are templates; a field that renders to blank text is ignored. A notification that fails raises a
    :class:`~airflow_provider_kaleyra.exceptions.KaleyraError`, which Airflow logs; it does not change the task's state.
    It is sent again only if the earlier attempt was certainly not accepted.

    :param to: the recipient's WhatsApp number, in E.164 with its ``+``.
    :param media_id: the id of media uploaded to Kaleyra; exactly one of this and *media_link*.
    :param media_link: the absolute http(s) URL of a public video.
    :param caption: text below the video, at most 1024 characters.
    :param ref: any text that identifies the message in Kaleyra's reports and callbacks, at most 255 characters.
    :param ref1: a second text like *ref*.
    :param ref2: a third text like *ref*.
    :param wa_source: what triggered the message, one of Kaleyra's 13 values; any other is recorded as "API".
    :param business_phone_number: the sender; overrides the Connection's.
    :param kaleyra_conn_id: the id of the Connection, of type ``kaleyra``.
    :param kwargs: the arguments of Airflow's own notifier: from Airflow 3.1 on, the context of a deadline.
    :raises KaleyraMessageError: neither *media_id* nor *media_link* is given, or both are.
    """

    template_fields: Sequence[str] = (*VideoFields.message_fields, *SENDER_FIELDS)

    def __init__(
        self,
        *,
        to: str,
        media_id: str | None = None,
        media_link: str | None = None,
        caption: str | None = None,
        ref: str | None = None,
        ref1: str | None = None,
        ref2: str | None = None,
        wa_source: str | None = None,
        business_phone_number: str | None = None,
        kaleyra_conn_id: str = "kaleyra_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_fields(locals())

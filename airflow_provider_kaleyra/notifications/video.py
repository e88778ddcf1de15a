"""The notifier that sends one WhatsApp video."""

from __future__ import annotations

import asyncio
from copy import copy
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseNotifier

from airflow_provider_kaleyra.exceptions import KaleyraError, KaleyraMessageError
from airflow_provider_kaleyra.whatsapp.media import flaw_of_sources
from airflow_provider_kaleyra.whatsapp.message import MESSAGE_FIELDS
from airflow_provider_kaleyra.whatsapp.phone_number import masked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context


class KaleyraVideoNotifier(BaseNotifier):
    """
    Send one WhatsApp video through Kaleyra when something happens to a task, a DAG or a deadline.

    All fields are templated; one that renders to blank text counts as not given. A notification that fails raises
    a :class:`~airflow_provider_kaleyra.exceptions.KaleyraError`, which Airflow logs; the task keeps its own result.
    It is sent again only where it is certain that nothing was sent before.

    :param to: the recipient's WhatsApp number, in E.164 with its ``+``.
    :param media_id: the id of media uploaded to Kaleyra; exactly one of this and *media_link*.
    :param media_link: the absolute http(s) URL of a public video.
    :param caption: text below the video, at most 1024 characters.
    :param ref: anything to find the message by in Kaleyra's reports and callbacks, at most 255 characters.
    :param ref1: as *ref*.
    :param ref2: as *ref*.
    :param wa_source: what triggered the message, one of Kaleyra's 13 values; any other is recorded as "API".
    :param business_phone_number: the sender, where it is not the Connection's.
    :param kaleyra_conn_id: the Connection, of type ``kaleyra``.
    :param kwargs: what Airflow's own notifier takes: from Airflow 3.1 on, the context of a deadline.
    :raises KaleyraMessageError: there is neither a media id nor a link, or both, whatever is rendered.
    """

    template_fields: Sequence[str] = (*MESSAGE_FIELDS, "business_phone_number", "kaleyra_conn_id")

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
        self.to = to
        self.media_id = media_id
        self.media_link = media_link
        self.caption = caption
        self.ref = ref
        self.ref1 = ref1
        self.ref2 = ref2
        self.wa_source = wa_source
        self.business_phone_number = business_phone_number
        self.kaleyra_conn_id = kaleyra_conn_id
        if flaw := flaw_of_sources(media_id, media_link):
            raise KaleyraMessageError(f"KaleyraVideoNotifier needs one of media_id and media_link; it has {flaw}.")

    def __call__(self, *args: Any) -> None:
        """Notify, as Airflow asks for it; the templates stay as they are for the next time."""
        # Airflow renders the fields in place, so that the next task to use this notifier would get this one's.
        super(KaleyraVideoNotifier, copy(self)).__call__(*args)

    def notify(self, context: Context) -> None:  # noqa: ARG002 - Airflow calls it so
        """Send the video of the rendered fields."""
        # Imported here, because importing the hook takes longer than parsing a DAG or an event loop should wait.
        from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook

        hook = KaleyraHook(self.kaleyra_conn_id)
        with hook.get_conn():
            message_id = hook.send_video(**self._fields())
        self.log.info("Kaleyra accepted the video to %s: message id %s.", masked(self.to.strip()), message_id)

    async def async_notify(self, context: Context) -> None:
        """Send the video of the rendered fields in a thread, so that the event loop is not blocked.

        If the coroutine is cancelled, because the triggerer stops, a message that is being sent is not interrupted:
        the thread finishes within the Connection's time limits and logs the outcome. What had not started is not sent.
        """
        from asgiref.sync import sync_to_async

        cancelled = False

        def notify() -> None:
            try:
                self.notify(context)
            except KaleyraError as error:
                if cancelled:
                    self.log.error("The notification was cancelled while it was sent: %s", error)  # noqa: TRY400 - its text says all
                raise

        try:
            # In any free thread, so that one notification does not wait for another. A thread of asgiref's can ask
            # Airflow's supervisor for the Connection.
            await sync_to_async(notify, thread_sensitive=False)()
        except asyncio.CancelledError:
            cancelled = True
            raise

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in (*MESSAGE_FIELDS, "business_phone_number")}

"""The base of the notifiers that send one message."""

from __future__ import annotations

import asyncio
from copy import copy
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseNotifier

from airflow_provider_kaleyra.exceptions import KaleyraError
from airflow_provider_kaleyra.message_fields import MessageFields
from airflow_provider_kaleyra.whatsapp.phone_number import masked

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class SendMessageNotifier(MessageFields, BaseNotifier):
    """Base of the notifiers that send one message.

    A subclass names its message type and fields, and has a constructor that lists them and calls
    ``self._set_fields(locals())``.
    """

    def __call__(self, *args: Any) -> None:
        """Render the templates and notify. Airflow calls this method; the notifier itself stays unrendered."""
        # Airflow renders the fields in place: without a copy, the next call would use the rendered ones.
        super(SendMessageNotifier, copy(self)).__call__(*args)

    def notify(self, context: Context) -> None:  # noqa: ARG002 - Airflow's interface
        """Send the message that is built from the rendered fields."""
        # Imported here, because importing the hook would block an event loop, or the parsing of a DAG, for too long.
        from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook

        message = self._message()
        hook = KaleyraHook(self.kaleyra_conn_id)
        with hook.get_conn():
            message_id = hook.send_message(message, self.business_phone_number)
        self.log.info("Kaleyra accepted the %s to %s: message id %s.", message.noun, masked(message.to), message_id)

    async def async_notify(self, context: Context) -> None:
        """Call :meth:`notify` in a thread, so that the event loop is not blocked.

        If the coroutine is cancelled, because the triggerer stops, a message that is being sent is not interrupted:
        the thread finishes within the Connection's time limits and logs the outcome. A message whose thread has not
        started is not sent.
        """
        from asgiref.sync import sync_to_async

        cancelled = False

        def notify() -> None:
            try:
                self.notify(context)
            except KaleyraError as error:
                if cancelled:  # the error is no longer awaited
                    self.log.error("The notification was cancelled while it was sent: %s", error)  # noqa: TRY400 - no traceback is needed
                raise

        try:
            # Not thread_sensitive, or notifications would wait for each other in one thread. From a thread that
            # asgiref started, Airflow's supervisor can be asked for the Connection.
            await sync_to_async(notify, thread_sensitive=False)()
        except asyncio.CancelledError:
            cancelled = True
            raise

"""The operator that sends one WhatsApp video."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_kaleyra.exceptions import KaleyraMessageError, error_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook
    from airflow_provider_kaleyra.whatsapp.message import VideoMessage

MESSAGE_FIELDS = ("to", "media_id", "media_link", "caption", "ref", "ref1", "ref2", "wa_source")


class KaleyraSendVideoOperator(BaseOperator):
    """
    Send one WhatsApp video through Kaleyra, and return Kaleyra's message id.

    All fields are templated; one that renders to blank text counts as not given. The limits are those of Kaleyra's
    page "Send Video Messages". An accepted message is not a delivered one: a video reaches only those who wrote to
    the business within the last 24 hours.

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
    :raises KaleyraMessageError: a field breaks a rule; fails at once, nothing was sent.
    :raises KaleyraConfigError: the Connection cannot be used; fails at once, nothing was sent.
    :raises KaleyraRejectedError: Kaleyra refused the message; Airflow retries.
    :raises KaleyraPermanentError: Kaleyra refused the message and would again; fails at once.
    :raises KaleyraUnreachableError: no connection came about, nothing was sent; Airflow retries.
    :raises KaleyraUnknownOutcomeError: nothing tells whether Kaleyra took the message; fails at once.
    """

    template_fields: Sequence[str] = (*MESSAGE_FIELDS, "business_phone_number", "kaleyra_conn_id")
    ui_color = "#d5f5dd"

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
        self._require_one_source()

    @cached_property
    def hook(self) -> KaleyraHook:
        """The hook of the rendered Connection id."""
        from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook

        return KaleyraHook(self.kaleyra_conn_id)

    def execute(self, context: Context) -> str:  # noqa: ARG002 - Airflow calls it so
        """Send the video of the rendered fields."""
        from airflow_provider_kaleyra.whatsapp.outcome import Accepted
        from airflow_provider_kaleyra.whatsapp.phone_number import masked

        message = self._message()
        recipient = masked(message.to)
        outcome = self.hook.send(self.hook.request_for(message, self.business_phone_number))
        if not isinstance(outcome, Accepted):
            raise error_for(f"the video to {recipient}", outcome)
        refs = "".join(f", {name} {value!r}" for name, value in message.refs.items())
        self.log.info("Kaleyra accepted the video to %s: message id %s%s.", recipient, outcome.message_id, refs)
        return outcome.message_id

    def dry_run(self) -> None:
        """Log the request that would be sent: API key hidden, recipient masked."""
        request = self.hook.request_for(self._message(), self.business_phone_number)
        self.log.info("Dry run, this would be sent:\n%s", request)

    def _message(self) -> VideoMessage:
        from airflow_provider_kaleyra.hooks.kaleyra import build_message

        return build_message(**{name: getattr(self, name) for name in MESSAGE_FIELDS})

    def _require_one_source(self) -> None:
        """Refuse what no rendering can mend, so that the DAG's author learns of it at import."""
        sources = (self.media_id, self.media_link)
        if all(source is None or source == "" for source in sources):
            raise KaleyraMessageError(f"Task {self.task_id!r} needs a media_id or a media_link; it has neither.")
        if all(_is_literal(source) for source in sources):
            raise KaleyraMessageError(f"Task {self.task_id!r} needs one of media_id and media_link; it has both.")


def _is_literal(value: object) -> bool:
    """Whether the value is text that no template can change."""
    return isinstance(value, str) and value.strip() != "" and "{{" not in value and "{%" not in value

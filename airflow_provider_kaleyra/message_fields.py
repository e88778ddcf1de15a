"""The fields of messages, for the operators and notifiers that have them as arguments."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from airflow_provider_kaleyra.exceptions import KaleyraMessageError
from airflow_provider_kaleyra.whatsapp.media import SOURCE_FIELDS, flaw_of_sources
from airflow_provider_kaleyra.whatsapp.message import MESSAGE_FIELDS, Message, VideoMessage
from airflow_provider_kaleyra.whatsapp.validation import BrokenRule

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

_M = TypeVar("_M", bound=Message)

#: The fields of the sender. Every operator and notifier has them as template fields.
SENDER_FIELDS = ("business_phone_number", "kaleyra_conn_id")


class MessageFields:
    """Base of the operators and notifiers that have a message's fields as arguments.

    Airflow reads the signature of each constructor, so each class lists its parameters itself and then calls
    ``self._set_fields(locals())``, which picks the fields by name. This class assigns them, checks them when the DAG is
    parsed, and builds the message from the rendered fields.
    """

    message_type: ClassVar[type[Message]]
    """The class of the message that is built from the fields."""

    message_fields: ClassVar[tuple[str, ...]]
    """The names of the fields that the message is built from."""

    business_phone_number: str | None
    kaleyra_conn_id: str

    def _set_fields(self, given: Mapping[str, Any]) -> None:
        """Assign the fields.

        :param given: the constructor's arguments by name; arguments that are not fields are ignored.
        :raises KaleyraMessageError: no message can be built from the fields, whatever their templates render to.
        """
        for name in (*self.message_fields, *SENDER_FIELDS):
            setattr(self, name, given[name])
        if flaw := self._flaw():
            task_id = getattr(self, "task_id", None)
            name = f"Task {task_id!r}" if task_id else type(self).__name__
            raise KaleyraMessageError(f"{name} needs {flaw}. Fix the arguments.")

    def _flaw(self) -> str | None:
        """Return which fields are missing or too many, whatever their templates render to; None if none is."""
        return None

    def _message(self) -> Message:
        """Return the message that is built from the rendered fields.

        :raises KaleyraMessageError: names the field that breaks a rule.
        """
        return build_message(self.message_type, {name: getattr(self, name) for name in self.message_fields})


class VideoFields(MessageFields):
    """The fields of a :class:`~airflow_provider_kaleyra.whatsapp.message.VideoMessage`."""

    message_type = VideoMessage
    message_fields: ClassVar[tuple[str, ...]] = MESSAGE_FIELDS

    to: str
    media_id: str | None
    media_link: str | None
    media_file: str | os.PathLike[str] | None
    caption: str | None
    ref: str | None
    ref1: str | None
    ref2: str | None
    wa_source: str | None

    def _flaw(self) -> str | None:
        sources = [name for name in SOURCE_FIELDS if name in self.message_fields]
        flaw = flaw_of_sources(*(getattr(self, name) for name in sources))
        return flaw and f"one of {', '.join(sources[:-1])} and {sources[-1]}; it has {flaw}"


def build_message(message_type: type[_M], fields: Mapping[str, Any]) -> _M:
    """Return the message that is built from these fields.

    :raises KaleyraMessageError: names the field that breaks a rule.
    """
    try:
        return message_type(**fields)
    except BrokenRule as broken:
        raise KaleyraMessageError(f"Nothing was sent: {broken} Fix that field of the message.") from None


def fingerprint(values: Mapping[str, object]) -> str:
    """Return a SHA-256 of the values that are not None; a value that is neither text nor number adds its type only."""
    identities = {name: _identity(value) for name, value in values.items() if value is not None}
    return hashlib.sha256(json.dumps(identities, sort_keys=True).encode()).hexdigest()


def _identity(value: object) -> list[str]:
    kind = type(value).__name__
    if isinstance(value, str):
        return [kind, str.__str__(value)]
    return [kind, hex(value)] if isinstance(value, int) else [kind]

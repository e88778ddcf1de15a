"""Builds the message of each row of the recipients, or says why the row is invalid."""

from __future__ import annotations

from dataclasses import dataclass, fields
from string import Template
from typing import TYPE_CHECKING, Any

from airflow_provider_kaleyra.ledger.values import PreparedMessage
from airflow_provider_kaleyra.whatsapp.media import SOURCE_FIELDS
from airflow_provider_kaleyra.whatsapp.validation import BrokenRule, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from airflow_provider_kaleyra.campaign.readers import Row
    from airflow_provider_kaleyra.whatsapp.message import Message
    from airflow_provider_kaleyra.whatsapp.request import Request


@dataclass(frozen=True, slots=True)
class Invalid:
    """A row that breaks a rule; nothing is sent for it."""

    line: int
    reason: str


class MessageBuilder:
    """Builder of messages from rows.

    :param message_type: the class of the messages; a row can have a column for each of its fields, except for a file.
    :param given: the fields that the messages share; a row's own override them.
    :param request_for: builds the request that sends a message.
    :param fingerprint_of: identifies a message. Used where the request does not identify it, because its media are
        uploaded again now and then.
    :raises BrokenRule: the placeholders of the caption cannot be read.
    """

    def __init__(
        self,
        message_type: type[Message],
        given: Mapping[str, str | None],
        request_for: Callable[[Message], Request],
        fingerprint_of: Callable[[Message], str] | None = None,
    ) -> None:
        self._message_type = message_type
        self._columns = {field.name for field in fields(message_type) if field.init} - {"to", "media_file"}
        self._fields = {name: value for name, value in given.items() if value}
        self._request_for = request_for
        self._fingerprint_of = fingerprint_of
        self._caption = _placeholders(self._fields.pop("caption", None))

    def build(self, rows: Iterable[Row]) -> Iterator[PreparedMessage | Invalid]:
        """Yield the message of each row."""
        for row in rows:
            yield self._prepared(row)

    def _prepared(self, row: Row) -> PreparedMessage | Invalid:
        if row.flaw:
            return Invalid(row.line, row.flaw)
        try:
            to: Any = row.columns.get("to")  # the message checks it
            message = self._message_type(to=to, **self._fields_for(row.columns))
            request = self._request_for(message)
            fingerprint = self._fingerprint_of(message) if self._fingerprint_of else request.fingerprint
        except BrokenRule as broken:
            return Invalid(row.line, str(broken))
        return PreparedMessage(row.line, message, request, fingerprint)

    def _fields_for(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        own = {name: value for name in self._columns if _is_given(value := columns.get(name))}
        shared = self._fields
        if any(name in own for name in SOURCE_FIELDS):
            # A row's source replaces the shared one, which can be another field.
            shared = {name: value for name, value in shared.items() if name not in SOURCE_FIELDS}
        if self._caption is not None and "caption" not in own:
            own["caption"] = self._filled(columns)
        return shared | own

    def _filled(self, columns: Mapping[str, Any]) -> str:
        """Return the shared caption with the row's values; their text is never read as a placeholder."""
        assert self._caption is not None  # noqa: S101 - checked by the caller
        try:
            return self._caption.substitute({name: value for name, value in columns.items() if _is_given(value)})
        except KeyError as missing:
            raise BrokenRule("caption", "filled from the row", f"no value in column {missing}") from None
        except Exception as error:  # noqa: BLE001 - turning a value of any class into text may raise anything
            raise BrokenRule(
                "caption", "filled from the row", f"a value without a text ({type(error).__name__})"
            ) from None


def _is_given(value: object) -> bool:
    return value is not None and not (isinstance(value, str) and not str.__str__(value).strip())


def _placeholders(caption: str | None) -> Template | None:
    if caption is None:
        return None
    template = Template(caption)
    if not template.is_valid():
        raise BrokenRule(
            "caption", "text whose $ starts a column's name, such as $name; write $$ for a dollar sign", shown(caption)
        )
    return template

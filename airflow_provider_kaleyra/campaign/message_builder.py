"""From a row of the recipients to its message, or to the reason why it has none."""

from __future__ import annotations

from dataclasses import dataclass
from string import Template
from typing import TYPE_CHECKING, Any

from airflow_provider_kaleyra.ledger.values import PreparedMessage
from airflow_provider_kaleyra.whatsapp.media import SOURCE_FIELDS
from airflow_provider_kaleyra.whatsapp.message import SHARED_FIELDS, VideoMessage
from airflow_provider_kaleyra.whatsapp.validation import BrokenRule, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from airflow_provider_kaleyra.campaign.readers import Row
    from airflow_provider_kaleyra.whatsapp.request import Request


@dataclass(frozen=True, slots=True)
class Invalid:
    """A row that nothing is sent for: it breaks a rule."""

    line: int
    reason: str


class MessageBuilder:
    """Turns rows into messages.

    :param fields: the message's fields but its recipient; a row's own outweigh them.
    :param request_for: builds the request that sends a message.
    :param fingerprint_of: tells one message from another, where the request does not, because its media are uploaded
        anew now and then.
    :raises BrokenRule: the caption's placeholders cannot be read.
    """

    def __init__(
        self,
        fields: Mapping[str, str | None],
        request_for: Callable[[VideoMessage], Request],
        fingerprint_of: Callable[[VideoMessage], str] | None = None,
    ) -> None:
        self._fields = {name: value for name, value in fields.items() if value}
        self._request_for = request_for
        self._fingerprint_of = fingerprint_of
        self._caption = _placeholders(self._fields.pop("caption", None))

    def build(self, rows: Iterable[Row]) -> Iterator[PreparedMessage | Invalid]:
        """Build each row's message."""
        for row in rows:
            yield self._prepared(row)

    def _prepared(self, row: Row) -> PreparedMessage | Invalid:
        if row.flaw:
            return Invalid(row.line, row.flaw)
        try:
            to: Any = row.columns.get("to")  # the message checks it
            message = VideoMessage(to=to, **self._fields_for(row.columns))
            request = self._request_for(message)
            fingerprint = self._fingerprint_of(message) if self._fingerprint_of else request.fingerprint
        except BrokenRule as broken:
            return Invalid(row.line, str(broken))
        return PreparedMessage(row.line, message, request, fingerprint)

    def _fields_for(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        own = {name: value for name in SHARED_FIELDS if _is_given(value := columns.get(name))}
        fields = self._fields
        if any(name in own for name in SOURCE_FIELDS):
            # The row's one source stands for both, or every row that names the other would have two.
            fields = {name: value for name, value in fields.items() if name not in SOURCE_FIELDS}
        if self._caption is not None and "caption" not in own:
            own["caption"] = self._filled(columns)
        return fields | own

    def _filled(self, columns: Mapping[str, Any]) -> str:
        """The operator's caption with the row's values; what those hold is never read as a placeholder."""
        assert self._caption is not None  # noqa: S101 - asked by the caller
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

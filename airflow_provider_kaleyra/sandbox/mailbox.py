"""What the sandbox remembers, until it is emptied or stopped."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from airflow_provider_kaleyra.sandbox.contract import recorded_extra_info

if TYPE_CHECKING:
    from airflow_provider_kaleyra.sandbox.scenarios import Scenario


@dataclass
class Mailbox:
    """Messages accepted, beside requests received whatever became of them; both in the order they came."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    _positions: dict[str, int] = field(default_factory=dict)
    _put_off: set[str] = field(default_factory=set)

    def accept(self, sender: str, payload: dict[str, Any], scenario: Scenario, media_url: str | None = None) -> str:
        """Keep a message.

        :param media_url: where the page finds the message's media, if they were uploaded.
        :return: its id.
        """
        message = payload["messaging_object"]
        message_id = str(uuid4())
        self._positions[message_id] = len(self.messages)
        self.messages.append(
            {
                "message_id": message_id,
                "received_at": now(),
                "sender": sender,
                "to": message["to"],
                "type": message["type"],
                "content": message[message["type"]],
                "extra_info": recorded_extra_info(payload.get("extra_info", {})),
                "scenario": scenario.name or None,
                **({"media_url": media_url} if media_url else {}),
            }
        )
        return message_id

    def note(
        self, payload: dict[str, Any] | None, status: int | str, message_id: str | None, user_agent: str | None
    ) -> None:
        """Keep a request, as far as it says whom it was for.

        :param status: the HTTP status it is answered with, or how it ends without one.
        """
        self.requests.append(
            {
                "received_at": now(),
                "to": _texts(payload, "messaging_object").get("to"),
                "extra_info": _texts(payload, "extra_info"),
                "accepted": message_id is not None,
                "message_id": message_id,
                "status": status,
                "user_agent": user_agent,
            }
        )

    def after(self, message_id: str) -> list[dict[str, Any]] | None:
        """Messages accepted after that one, or None if it is not here (any more)."""
        position = self._positions.get(message_id)
        return None if position is None else self.messages[position + 1 :]

    def put_off(self, payload: dict[str, Any]) -> bool:
        """Whether to refuse a message that is to be refused once: yes at first, no when the same one comes again."""
        key = json.dumps(payload, sort_keys=True)
        if key in self._put_off:
            self._put_off.remove(key)
            return False
        self._put_off.add(key)
        return True

    def clear(self) -> None:
        """Forget everything."""
        self.messages.clear()
        self.requests.clear()
        self._positions.clear()
        self._put_off.clear()


def now() -> str:
    """The time as it is told."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _texts(payload: dict[str, Any] | None, name: str) -> dict[str, str]:
    """The texts of one object in a payload that may not have passed any check."""
    found = (payload or {}).get(name)
    return {key: value for key, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}

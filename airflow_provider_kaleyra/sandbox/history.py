"""What the sandbox has accepted and received, kept in memory until it is cleared or stopped."""

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
class History:
    """Accepted messages, and requests to send a message whatever their result; both in order of arrival."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    _positions: dict[str, int] = field(default_factory=dict)
    _rejected_once: set[str] = field(default_factory=set)

    def add_message(
        self, sender: str, payload: dict[str, Any], scenario: Scenario, media_url: str | None = None
    ) -> str:
        """Store an accepted message and return its new id.

        :param sender: business phone number of the account.
        :param payload: checked body of the request.
        :param scenario: scenario of the recipient's number.
        :param media_url: URL of the message's video on this server, if it was uploaded.
        """
        message = payload["messaging_object"]
        message_id = str(uuid4())
        self._positions[message_id] = len(self.messages)
        self.messages.append(
            {
                "message_id": message_id,
                "received_at": timestamp(),
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

    def add_request(
        self, payload: dict[str, Any] | None, status: int | str, message_id: str | None, user_agent: str | None
    ) -> None:
        """Store a request, with its recipient and extra_info where it has valid ones.

        :param payload: body of the request, unchecked; None if it is not a JSON object.
        :param status: HTTP status of the response; ``closed`` or ``hung`` where there is no response.
        :param message_id: id of the accepted message; None if the request was rejected.
        :param user_agent: the request's User-Agent header.
        """
        self.requests.append(
            {
                "received_at": timestamp(),
                "to": _texts(payload, "messaging_object").get("to"),
                "extra_info": _texts(payload, "extra_info"),
                "accepted": message_id is not None,
                "message_id": message_id,
                "status": status,
                "user_agent": user_agent,
            }
        )

    def messages_after(self, message_id: str) -> list[dict[str, Any]] | None:
        """Return the messages accepted after that one, or None if that one is not stored."""
        position = self._positions.get(message_id)
        return None if position is None else self.messages[position + 1 :]

    def reject_this_time(self, payload: dict[str, Any]) -> bool:
        """Return whether to reject a payload that is rejected every other time: True the first time, then False."""
        key = json.dumps(payload, sort_keys=True)
        if key in self._rejected_once:
            self._rejected_once.remove(key)
            return False
        self._rejected_once.add(key)
        return True

    def clear(self) -> None:
        """Delete everything."""
        self.messages.clear()
        self.requests.clear()
        self._positions.clear()
        self._rejected_once.clear()


def timestamp() -> str:
    """Return the current time in UTC, in ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _texts(payload: dict[str, Any] | None, name: str) -> dict[str, str]:
    """Return the strings of one object in an unchecked payload."""
    found = (payload or {}).get(name)
    return {key: value for key, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}

"""What a task instance remembers of its send across its tries, and what a later try makes of that.

Airflow 3.3 and later keep it in the task state store, one JSON value under :data:`KEY` for each task instance: it
outlives a killed process, a retry and a Clear. Older Airflows have no such store, so there nothing is remembered.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_kaleyra.exceptions import KaleyraStateStoreError
from airflow_provider_kaleyra.whatsapp.outcome import Accepted, NotSent, Outcome, Rejected, Unknown
from airflow_provider_kaleyra.whatsapp.phone_number import masked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_kaleyra.exceptions import OnUnknownOutcome
    from airflow_provider_kaleyra.whatsapp.message import VideoMessage
    from airflow_provider_kaleyra.whatsapp.request import Request

KEY = "kaleyra_send"

SENDING_ON_PURPOSE = (
    f"To send it once more on purpose, delete {KEY!r} from the task instance's state store, then clear the task again; "
    "docs/send-once.md shows how."
)


class State(Enum):
    """What is known of a send."""

    SENDING = "sending"
    """About to leave. If that is still stored when the next try begins, the one before was killed, and nobody told."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    NOT_SENT = "not sent"

    UNKNOWN = "unknown"
    """Perhaps accepted, and the task said so."""


class Step(Enum):
    """What a try does."""

    SEND = "send"
    RESEND = "send again, although nobody knows whether Kaleyra took that one"
    RETURN_ID = "send nothing and return that message id"
    FAIL = "send nothing and fail"
    SKIP = "send nothing and be skipped"


class Change(Enum):
    """How the request of a later try differs from the one remembered."""

    NONE = "none"
    RENDERED = "its templates render to another text, which says nothing: they may hold now() or a signed link"
    MENDED = "somebody wrote a field anew, or the recipient is another"
    REMAPPED = "the map index has another recipient: mended, or a list in another order"


@dataclass(frozen=True, kw_only=True)
class Send:
    """One send, as it is remembered.

    :param message_id: Kaleyra's id, once accepted.
    :param reason: why it failed, or why nobody knows.
    :param at: when, in UTC.
    :param to: the recipient, masked.
    :param refs: what to look for in Kaleyra's report.
    :param try_number: the try that sent.
    :param max_tries: Airflow's own count, which changes with every Clear and never between.
    :param mapped: whether the task is mapped, so that an earlier task may have made its fields.
    :param request: fingerprint of the request.
    :param recipient: fingerprint of the recipient, because masked numbers can be alike.
    :param written: fingerprint of the fields as they are written in the DAG.
    """

    state: State
    message_id: str | None = None
    reason: str | None = None
    at: str = "an unknown time"
    to: str = "an unknown recipient"
    refs: dict[str, str] = field(default_factory=dict)
    try_number: int
    max_tries: int
    mapped: bool = False
    request: str | None = None
    recipient: str | None = None
    written: str | None = None

    @classmethod
    def now(cls, ti: Any) -> Send:
        """The send that the running task instance may be about to make."""
        return cls(
            state=State.SENDING,
            try_number=getattr(ti, "try_number", 1),
            max_tries=getattr(ti, "max_tries", 0),
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            mapped=getattr(ti, "map_index", None) not in (None, -1),
        )

    def of(self, message: VideoMessage, request: Request, written: str) -> Send:
        """The send, with what it sends."""
        return replace(
            self,
            to=masked(message.to),
            refs=message.refs,
            request=request.fingerprint,
            recipient=fingerprint({"to": message.to}),
            written=written,
        )

    def became(self, outcome: Outcome) -> Send:
        """The send, with what became of it."""
        match outcome:
            case Accepted(message_id):
                return replace(self, state=State.ACCEPTED, message_id=message_id)
            case Rejected(code=code, message=message):
                return replace(self, state=State.REJECTED, reason=f"{code or 'no code'}, {message}")
            case NotSent(reason):
                return replace(self, state=State.NOT_SENT, reason=reason)
            case Unknown(reason):
                return replace(self, state=State.UNKNOWN, reason=reason)

    def told_by(self, this: Send) -> Send:
        """The send, once the try *this* has told that nobody knows: from then on a Clear means to send."""
        if self.state is State.ACCEPTED:
            reason = (
                f"this map index sent to {self.to} before (message id {self.message_id}); if the list came in another "
                f"order, {this.to} was served under another index"
            )
            return replace(this, state=State.UNKNOWN, reason=reason)
        reason = self.reason or "its try was ended from outside; if Kaleyra answered, that try's log has the message id"
        return replace(self, state=State.UNKNOWN, reason=reason, max_tries=this.max_tries)

    def cleared_before(self, this: Send) -> bool:
        """Whether somebody cleared the task between this send and the try *this*."""
        return self.max_tries != this.max_tries

    def settles(self, this: Send) -> str | None:
        """The message id, if it settles the try *this* whatever it would send: accepted, and not cleared since."""
        return None if self.cleared_before(this) else self.message_id

    def change_to(self, this: Send) -> Change:
        """How the request of the try *this* differs."""
        if this.request == self.request:
            return Change.NONE
        if this.recipient != self.recipient:
            return Change.REMAPPED if this.mapped else Change.MENDED
        return Change.RENDERED if this.mapped or this.written == self.written else Change.MENDED

    def to_json(self) -> dict[str, Any]:
        """A small JSON object that people can read."""
        stored = asdict(self) | {"state": self.state.value}
        return {name: value for name, value in stored.items() if value is not None}

    @classmethod
    def from_json(cls, value: Any) -> Send:
        """Read what :meth:`to_json` wrote; of what cannot be read, nobody knows what became."""
        try:
            known = {name: value[name] for name in _FIELDS if name in value}
            send = cls(**known | {"state": State(known["state"])})
            readable = isinstance(send.max_tries, int) and isinstance(send.refs, dict)
            if readable and isinstance(send.message_id, str) == (send.state is State.ACCEPTED):
                return send
        except (KeyError, TypeError, ValueError):
            pass
        return cls(state=State.SENDING, try_number=0, max_tries=0, reason=f"what is stored as {KEY!r} cannot be read")

    def __str__(self) -> str:
        known = [self.state.value, self.message_id and f"message id {self.message_id}", self.reason]
        return f"try {self.try_number} to {self.to} at {self.at}: {', '.join(filter(None, known))}"


_FIELDS = tuple(one.name for one in fields(Send))


def decide(remembered: Send | None, this: Send, on_unknown_outcome: OnUnknownOutcome) -> Step:
    """What the try *this* does, given the send that is remembered.

    A Clear allows to send again only what the task told to be unknown: whoever cleared it could know. Where nobody
    was told yet, because the process was killed, the task tells first.
    """
    if remembered is None:
        return Step.SEND
    cleared = remembered.cleared_before(this)
    in_doubt = {"fail": Step.FAIL, "resend": Step.RESEND, "skip": Step.SKIP}[on_unknown_outcome]
    match remembered.state, cleared, remembered.change_to(this):
        case (State.REJECTED | State.NOT_SENT, _, _) | (State.UNKNOWN, True, _) | (State.ACCEPTED, True, Change.MENDED):
            return Step.SEND
        case (
            (State.SENDING, _, _)
            | (State.UNKNOWN, False, _)
            | (State.ACCEPTED, True, Change.REMAPPED)
        ):  # fmt: skip
            return in_doubt
    return Step.RETURN_ID


def fingerprint(values: Mapping[str, object]) -> str:
    """A SHA-256 of the values that are given; of what is neither text nor number, its type alone counts."""
    known = {
        name: value if isinstance(value, str | int) else type(value).__name__
        for name, value in values.items()
        if value is not None
    }
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


class Store(Protocol):
    """What is used of Airflow's task state store."""

    def get(self, key: str) -> Any:
        """Read a value, None if there is none."""

    def set(self, key: str, value: Any) -> None:
        """Write a value."""


class Memory:
    """What one task instance remembers.

    :param store: the ``task_state_store`` of Airflow's context; without one, nothing is remembered.
    """

    def __init__(self, store: Store | None) -> None:
        self._store = store

    def recall(self) -> Send | None:
        """Read the send that is remembered.

        :raises KaleyraStateStoreError: the store failed.
        """
        if self._store is None:
            return None
        try:
            value = self._store.get(KEY)
        except Exception as error:  # any store may be behind it
            raise KaleyraStateStoreError("read", error) from error
        return None if value is None else Send.from_json(value)

    def keep(self, send: Send) -> None:
        """Remember a send in the place of the one before.

        :raises KaleyraStateStoreError: the store failed.
        """
        if self._store is None:
            return
        try:
            self._store.set(KEY, send.to_json())
        except Exception as error:  # as above
            raise KaleyraStateStoreError("written", error) from error

"""Record of a task's send, and the decision of the next try whether to send. No I/O."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any

from airflow_provider_kaleyra.message_fields import fingerprint
from airflow_provider_kaleyra.whatsapp.outcome import Accepted, NotSent, Outcome, Rejected, Unknown
from airflow_provider_kaleyra.whatsapp.phone_number import masked

if TYPE_CHECKING:
    from airflow_provider_kaleyra.exceptions import OnUnknownOutcome
    from airflow_provider_kaleyra.whatsapp.message import Message
    from airflow_provider_kaleyra.whatsapp.request import Request


SEND_KEY = "kaleyra_send"
"""The key that a record is stored under."""


class State(StrEnum):
    """State of a send, as it is stored."""

    SENDING = "sending"
    """About to be transmitted. If the next try finds this, the one before was killed and reported nothing."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    NOT_SENT = "not_sent"

    UNKNOWN = "unknown"
    """Accepted or not: the outcome is unknown, and the task reported that."""


class Step(Enum):
    """Action of a try."""

    SEND = "send"
    RESEND = "send again, although Kaleyra may have accepted that one"
    RETURN_ID = "send nothing and return that message id"
    FAIL = "send nothing and fail"
    SKIP = "send nothing and be skipped"


class Change(Enum):
    """How the request of a later try differs from the recorded one."""

    NONE = "none"
    RENDERED = "its templates render to another text, which is ignored: they may contain now() or a signed link"
    EDITED = "a field was edited in the DAG, or the recipient is another"
    REMAPPED = "the map index has another recipient: it was edited, or the list has another order"


@dataclass(frozen=True, kw_only=True)
class SendRecord:
    """Record of one send.

    :param state: the state of the send.
    :param message_id: Kaleyra's id, once accepted.
    :param reason: why the send failed, or why its outcome is unknown.
    :param sent_at: the time of the send, in UTC.
    :param to: the recipient, masked.
    :param refs: the texts that identify the message in Kaleyra's report.
    :param try_number: the number of the try that sent.
    :param max_tries: Airflow's own count, which every Clear changes, and nothing else.
    :param mapped: whether the task is mapped, so that an earlier task may have made its fields.
    :param request_sha256: fingerprint of the request.
    :param recipient_sha256: fingerprint of the recipient, because two masked numbers can be equal.
    :param fields_sha256: fingerprint of the operator's fields as the DAG file contains them.
    """

    state: State
    message_id: str | None = None
    reason: str | None = None
    sent_at: str = "an unknown time"
    to: str = "an unknown recipient"
    refs: dict[str, str] = field(default_factory=dict)
    try_number: int
    max_tries: int
    mapped: bool = False
    request_sha256: str | None = None
    recipient_sha256: str | None = None
    fields_sha256: str | None = None

    @classmethod
    def of_try(cls, ti: Any) -> SendRecord:
        """Return the record of the send that the running task instance may make.

        :param ti: Airflow's task instance; None outside of Airflow.
        """
        return cls(
            state=State.SENDING,
            try_number=getattr(ti, "try_number", 1),
            max_tries=getattr(ti, "max_tries", 0),
            sent_at=datetime.now(UTC).isoformat(timespec="seconds"),
            mapped=getattr(ti, "map_index", None) not in (None, -1),
        )

    def with_message(self, message: Message, request: Request, fields_sha256: str) -> SendRecord:
        """Return the record with the message and the request that are sent."""
        return replace(
            self,
            to=masked(message.to),
            refs=message.refs,
            request_sha256=request.fingerprint,
            recipient_sha256=fingerprint({"to": message.to}),
            fields_sha256=fields_sha256,
        )

    def with_outcome(self, outcome: Outcome) -> SendRecord:
        """Return the record with the outcome of the send."""
        match outcome:
            case Accepted(message_id):
                return replace(self, state=State.ACCEPTED, message_id=message_id)
            case Rejected(code=code, message=message):
                return replace(self, state=State.REJECTED, reason=f"{code or 'no code'}, {message}")
            case NotSent(reason):
                return replace(self, state=State.NOT_SENT, reason=reason)
            case Unknown(reason):
                return replace(self, state=State.UNKNOWN, reason=reason)

    def reported_by(self, this: SendRecord) -> SendRecord:
        """Return the record after the try *this* reports the outcome as unknown; from then on, a Clear sends."""
        if self.state is State.ACCEPTED:
            reason = (
                f"this map index sent to {self.to} before (message id {self.message_id}); if the list has another "
                f"order now, {this.to} received the video from another index"
            )
            return replace(this, state=State.UNKNOWN, reason=reason)
        reason = self.reason or "its try was killed or timed out; if Kaleyra responded, that try's log has the id"
        return replace(self, state=State.UNKNOWN, reason=reason, max_tries=this.max_tries)

    def cleared_before(self, this: SendRecord) -> bool:
        """Return whether the task was cleared between this send and the try *this*."""
        return self.max_tries != this.max_tries

    def settles(self, this: SendRecord) -> str | None:
        """Return the message id if the try *this* returns it whatever its fields are: accepted, and no Clear since."""
        return None if self.cleared_before(this) else self.message_id

    def change_to(self, this: SendRecord) -> Change:
        """Return how the request of the try *this* differs."""
        if this.request_sha256 == self.request_sha256:
            return Change.NONE
        if this.recipient_sha256 != self.recipient_sha256:
            return Change.REMAPPED if this.mapped else Change.EDITED
        return Change.RENDERED if this.mapped or this.fields_sha256 == self.fields_sha256 else Change.EDITED

    def to_json(self) -> dict[str, Any]:
        """Return a small JSON object that a person can read."""
        stored = asdict(self) | {"state": self.state.value}
        return {name: value for name, value in stored.items() if value is not None}

    @classmethod
    def from_json(cls, value: Any) -> SendRecord:
        """Return the record that :meth:`to_json` made; the outcome of one that cannot be read is unknown."""
        try:
            stored = {name: value[name] for name in _FIELDS if name in value}
            record = cls(**stored | {"state": State(stored["state"])})
            str(record).encode()  # raises a ValueError for text that no log can hold
            readable = (
                isinstance(record.max_tries, int)
                and isinstance(record.refs, dict)
                and isinstance(record.to, str)
                and isinstance(record.sent_at, str)
                and isinstance(record.reason, str | None)
            )
            if readable and isinstance(record.message_id, str) == (record.state is State.ACCEPTED):
                return record
        except (KeyError, TypeError, ValueError):
            pass
        return cls(
            state=State.SENDING, try_number=0, max_tries=0, reason=f"what is stored as {SEND_KEY!r} cannot be read"
        )

    def __str__(self) -> str:
        facts = [self.state.value, self.message_id and f"message id {self.message_id}", self.reason]
        return f"try {self.try_number} to {self.to} at {self.sent_at}: {', '.join(filter(None, facts))}"


_FIELDS = tuple(one.name for one in fields(SendRecord))


def decide(recorded: SendRecord | None, this: SendRecord, on_unknown_outcome: OnUnknownOutcome) -> Step:
    """Return the action of the try *this*, given the recorded send.

    After a Clear, a send whose outcome is unknown is repeated only if the task had reported that before the Clear. If a
    try was killed before it could report, the next one reports first.

    :param recorded: the record of the last send; None if there is none.
    :param this: the record of the send that this try may make.
    :param on_unknown_outcome: the user's choice for a send whose outcome is unknown.
    """
    if recorded is None:
        return Step.SEND
    cleared = recorded.cleared_before(this)
    if_unknown = {"fail": Step.FAIL, "resend": Step.RESEND, "skip": Step.SKIP}[on_unknown_outcome]
    match recorded.state, cleared, recorded.change_to(this):
        case (State.REJECTED | State.NOT_SENT, _, _) | (State.UNKNOWN, True, _) | (State.ACCEPTED, True, Change.EDITED):
            return Step.SEND
        case (
            (State.SENDING, _, _)
            | (State.UNKNOWN, False, _)
            | (State.ACCEPTED, True, Change.REMAPPED)
        ):  # fmt: skip
            return if_unknown
    return Step.RETURN_ID

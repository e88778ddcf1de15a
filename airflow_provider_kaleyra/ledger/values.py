"""What the ledger is given and what it returns, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from airflow_provider_kaleyra.whatsapp.message import Message
    from airflow_provider_kaleyra.whatsapp.outcome import Outcome
    from airflow_provider_kaleyra.whatsapp.request import Request

OnUnknown = Literal["skip", "resend"]
"""A campaign's ``on_unknown_outcome``."""


class State(StrEnum):
    """Column ``state`` of the ledger."""

    CLAIMED = "claimed"
    """About to be sent, or in flight, unless the task that claimed it was killed."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    NOT_SENT = "not_sent"


class Step(Enum):
    """What a task does with a recipient."""

    SEND = "send"
    RECLAIM = "claim the row again, then send"
    ALREADY_ACCEPTED = "nothing: an earlier task sent it, and Kaleyra accepted it"
    ALREADY_REJECTED = "nothing: an earlier task sent the same message, and Kaleyra rejected it"
    DUPLICATE = "nothing: this task has already claimed the number"
    SKIP_UNKNOWN = "nothing: an earlier task recorded its outcome as unknown, and on_unknown_outcome is skip"
    SKIP_KILLED = "nothing: an earlier task was killed before it recorded an outcome, and on_unknown_outcome is skip"
    RECORD_KILLED = "as SKIP_KILLED, and record that the try which claimed it was killed"
    CLAIMED_ELSEWHERE = "nothing: another task has claimed it"


@dataclass(frozen=True, slots=True)
class PreparedMessage:
    """A row's message, with the request that would send it.

    :param line: line of the row in the recipients' file, or place in their list.
    :param fingerprint: of the message; another one means that the message has changed.
    """

    line: int
    message: Message
    request: Request
    fingerprint: str

    @property
    def to(self) -> str:
        """The recipient."""
        return self.message.to


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """A recipient whom a task tried to claim, and what the task does with them.

    :param claim: name of the claim, which the row has while it belongs to this task.
    :param changed: whether the message is another one than the ledger's.
    :param code: code with which an earlier task's message was rejected.
    """

    prepared: PreparedMessage
    step: Step
    claim: str
    changed: bool = False
    code: str | None = None


@dataclass(frozen=True, slots=True)
class SendResult:
    """A message that this task claimed, and its outcome.

    :param retryable: whether a later try sends it again, because the message is not the cause of the failure.
    """

    claimed: ClaimResult
    outcome: Outcome
    retryable: bool

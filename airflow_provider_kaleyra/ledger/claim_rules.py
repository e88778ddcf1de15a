"""What a task does with a recipient whom the ledger already holds: pure decisions."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any, Literal
from uuid import uuid4

OnUnknown = Literal["skip", "resend"]

KILLED = "killed"
"""The ``code`` of a recipient in state ``unknown`` whose task was killed before it recorded an outcome."""


class State(StrEnum):
    """What the ledger knows of a recipient."""

    CLAIMED = "claimed"
    """About to be sent, or in flight, unless the task that claimed it was killed."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    NOT_SENT = "not_sent"


class Step(Enum):
    """What to do with a recipient."""

    SEND = "send"
    TAKE_OVER = "claim the row again, then send"
    ALREADY_ACCEPTED = "nothing: an earlier task sent it, and Kaleyra accepted it"
    ALREADY_REJECTED = "nothing: an earlier task sent the same message, and Kaleyra rejected it"
    DUPLICATE = "nothing: this task has seen the number before"
    LEAVE_UNKNOWN = "nothing: an earlier task recorded its outcome as unknown, and on_unknown_outcome is skip"
    LEAVE_KILLED = "nothing: an earlier task was killed before it recorded an outcome, and on_unknown_outcome is skip"
    MARK_UNKNOWN = "the same, and record that the try which claimed it was killed"
    ELSEWHERE = "nothing: another task has claimed it"


@dataclass(frozen=True)
class Claimant:
    """Who claims: one process of one try of one task instance.

    :param token: tells two processes of the same try apart, which a broker that delivers twice can start.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    token: str = field(default_factory=lambda: uuid4().hex)

    @classmethod
    def of(cls, ti: Any, task_id: str) -> Claimant:
        """The running task instance; outside of Airflow, one of no DAG."""
        map_index = getattr(ti, "map_index", None)
        return cls(
            dag_id=getattr(ti, "dag_id", ""),
            run_id=getattr(ti, "run_id", ""),
            task_id=getattr(ti, "task_id", task_id),
            map_index=-1 if map_index is None else map_index,
            try_number=getattr(ti, "try_number", 1),
        )

    def claim(self, window: int) -> str:
        """Name the claim of one window of recipients."""
        return f"{self.token}/{window}"

    def is_a_later_try_of(self, held: Held) -> bool:
        """Whether *held* was claimed by an earlier try of this task instance, which Airflow has ended."""
        ours = (self.dag_id, self.run_id, self.task_id, self.map_index)
        return ours == (held.dag_id, held.run_id, held.task_id, held.map_index) and held.try_number < self.try_number


@dataclass(frozen=True)
class Held:
    """A row of the ledger, as far as decisions need it.

    :param code: Kaleyra's code of a rejection, or :data:`KILLED`.
    :param retryable: whether a rejection had another cause than the message.
    """

    state: State
    code: str | None
    claim: str
    fingerprint: str
    retryable: bool
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int


def decide(held: Held, claimant: Claimant, claim: str, fingerprint: str, on_unknown: OnUnknown) -> Step:
    """What *claimant* does with a recipient.

    :param claim: the claim it has just tried to insert.
    :param fingerprint: of the request it would send.
    """
    if held.claim == claim:
        return Step.SEND
    if held.claim.startswith(claimant.claim(0)[:-1]):
        return Step.DUPLICATE
    resend = on_unknown == "resend"
    unknown = Step.LEAVE_KILLED if held.code == KILLED else Step.LEAVE_UNKNOWN
    killed = Step.TAKE_OVER if resend else Step.MARK_UNKNOWN
    # A rejected message was not accepted, so one that was changed since can be sent.
    can_succeed = held.retryable or held.fingerprint != fingerprint
    return {
        State.ACCEPTED: Step.ALREADY_ACCEPTED,
        State.REJECTED: Step.TAKE_OVER if can_succeed else Step.ALREADY_REJECTED,
        State.NOT_SENT: Step.TAKE_OVER,
        State.UNKNOWN: Step.TAKE_OVER if resend else unknown,
        State.CLAIMED: killed if claimant.is_a_later_try_of(held) else Step.ELSEWHERE,
    }[held.state]

"""What a task does with a recipient who already has a row in the ledger: pure decisions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from airflow_provider_kaleyra.ledger.values import OnUnknown, State, Step

KILLED = "killed"
"""The ``code`` of a recipient in state ``unknown`` whose task was killed before it recorded an outcome."""


@dataclass(frozen=True)
class Claimant:
    """Who claims: one process of one try of one task instance.

    :param token: random text; a broker that delivers a task twice starts two processes of the same try, and each has
        its own token.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    token: str = field(default_factory=lambda: uuid4().hex)

    @classmethod
    def of(cls, ti: Any, task_id: str) -> Claimant:
        """Return the claimant for a running task instance; outside of Airflow, one without a DAG."""
        map_index = getattr(ti, "map_index", None)
        return cls(
            dag_id=getattr(ti, "dag_id", ""),
            run_id=getattr(ti, "run_id", ""),
            task_id=getattr(ti, "task_id", task_id),
            map_index=-1 if map_index is None else map_index,
            try_number=getattr(ti, "try_number", 1),
        )

    def claim(self, window: int) -> str:
        """Return the name of the claim for one window of recipients."""
        return f"{self._prefix}{window}"

    def has_made(self, claim: str) -> bool:
        """Return whether this process made the claim."""
        return claim.startswith(self._prefix)

    def is_later_try_of(self, row: ExistingRow) -> bool:
        """Return whether an earlier try of this task instance claimed the row; Airflow has ended that try."""
        own = (self.dag_id, self.run_id, self.task_id, self.map_index)
        return own == (row.dag_id, row.run_id, row.task_id, row.map_index) and row.try_number < self.try_number

    @property
    def _prefix(self) -> str:
        return f"{self.token}/"


@dataclass(frozen=True)
class ExistingRow:
    """A row of the ledger: the columns that decisions need.

    :param code: Kaleyra's code of a rejection, or :data:`KILLED`.
    :param claim: name of the claim that the row belongs to.
    :param retryable: whether the message was rejected for a cause other than the message.
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


def decide(row: ExistingRow, claimant: Claimant, claim: str, fingerprint: str, on_unknown: OnUnknown) -> Step:
    """Return what *claimant* does with the row's recipient.

    :param claim: name of the claim that has just been inserted where there was no row.
    :param fingerprint: of the message that it would send.
    """
    if row.claim == claim:
        return Step.SEND
    if claimant.has_made(row.claim):
        return Step.DUPLICATE
    resend = on_unknown == "resend"
    unknown = Step.SKIP_KILLED if row.code == KILLED else Step.SKIP_UNKNOWN
    killed = Step.RECLAIM if resend else Step.RECORD_KILLED
    # A rejected message was not accepted, so it can be sent once it was changed.
    can_succeed = row.retryable or row.fingerprint != fingerprint
    return {
        State.ACCEPTED: Step.ALREADY_ACCEPTED,
        State.REJECTED: Step.RECLAIM if can_succeed else Step.ALREADY_REJECTED,
        State.NOT_SENT: Step.RECLAIM,
        State.UNKNOWN: Step.RECLAIM if resend else unknown,
        State.CLAIMED: killed if claimant.is_later_try_of(row) else Step.CLAIMED_ELSEWHERE,
    }[row.state]

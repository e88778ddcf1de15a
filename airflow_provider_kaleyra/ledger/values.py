"""What the ledger is given and what it returns, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_kaleyra.ledger.claim_rules import Step
    from airflow_provider_kaleyra.whatsapp.message import Message
    from airflow_provider_kaleyra.whatsapp.outcome import Outcome
    from airflow_provider_kaleyra.whatsapp.request import Request


@dataclass(frozen=True, slots=True)
class Addressed:
    """A row's message, with the request that would send it."""

    line: int
    message: Message
    request: Request
    fingerprint: str

    @property
    def to(self) -> str:
        """The recipient."""
        return self.message.to


@dataclass(frozen=True, slots=True)
class Claimed:
    """A recipient, with what to do about it.

    :param claim: what proves that the row is this task's.
    :param changed: whether the message is another one than the ledger's.
    :param code: the ledger's code of an earlier task's rejection.
    """

    addressed: Addressed
    step: Step
    claim: str
    changed: bool = False
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """A message that this task claimed, with what became of it.

    :param is_open: whether a later try sends it again.
    """

    claimed: Claimed
    outcome: Outcome
    is_open: bool

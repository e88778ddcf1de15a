"""Counts of what became of a campaign's recipients."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_kaleyra.ledger.values import Step
from airflow_provider_kaleyra.whatsapp.outcome import Accepted, NotSent, Rejected

if TYPE_CHECKING:
    from airflow_provider_kaleyra.campaign.message_builder import Invalid
    from airflow_provider_kaleyra.whatsapp.outcome import Outcome

_SHOWN_INVALID = 20


@dataclass
class Tally:
    """Counts of one task's run; each recipient's row is in exactly one of them.

    :param accepted: accepted in this try.
    :param rejected: rejected in this try, by code.
    :param unknown: sent in this try, with an unknown outcome.
    :param not_sent: certainly not sent in this try.
    :param already_accepted: accepted in an earlier try or run.
    :param already_rejected: rejected in an earlier try or run, by code, and not sent again.
    :param skipped_unknown: recorded as unknown by an earlier try or run, and not sent again.
    :param skipped_killed: claimed by a try that was killed before it recorded an outcome, and not sent again.
    :param claimed_elsewhere: claimed by another task.
    :param changed: how many of *already_accepted* have another message now.
    :param retryable_failures: how many failures of this try a later try sends again.
    """

    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    unknown: int = 0
    not_sent: int = 0
    invalid: int = 0
    duplicates: int = 0
    already_accepted: int = 0
    already_rejected: Counter[str] = field(default_factory=Counter)
    skipped_unknown: int = 0
    skipped_killed: int = 0
    claimed_elsewhere: int = 0
    changed: int = 0
    retryable_failures: int = 0
    shown_invalid: list[Invalid] = field(default_factory=list)

    @property
    def handled(self) -> int:
        """Rows so far."""
        return (
            self.sent
            + self.not_sent
            + self.invalid
            + self.duplicates
            + self.already_accepted
            + self.already_rejected.total()
            + self.skipped_unknown
            + self.skipped_killed
            + self.claimed_elsewhere
        )

    @property
    def sent(self) -> int:
        """Messages that were sent in this try."""
        return self.accepted + self.rejected.total() + self.unknown

    @property
    def failures(self) -> int:
        """Messages that were not accepted, in this try or an earlier one, so that each try counts the same.

        A recipient of a killed try is none of them: the try's worker failed, and the campaign shall go on.
        """
        return (
            self.rejected.total() + self.unknown + self.not_sent + self.already_rejected.total() + self.skipped_unknown
        )

    def count(self, outcome: Outcome, *, retryable: bool) -> None:
        """Count what became of a message.

        :param retryable: whether a later try sends it again.
        """
        match outcome:
            case Accepted():
                self.accepted += 1
            case Rejected(code=code, http_status=status):
                self.rejected[code or f"HTTP {status}"] += 1
            case NotSent():
                self.not_sent += 1
            case _:
                self.unknown += 1
        self.retryable_failures += retryable

    def count_skipped(self, step: Step, code: str | None = None, *, changed: bool = False) -> None:
        """Count a recipient whom this task does not send to.

        :param code: the code with which an earlier task's message was rejected.
        :param changed: whether the message is another one than the ledger's.
        """
        match step:
            case Step.DUPLICATE:
                self.duplicates += 1
            case Step.ALREADY_ACCEPTED:
                self.already_accepted += 1
                self.changed += changed
            case Step.ALREADY_REJECTED:
                self.already_rejected[code or "no code"] += 1
            case Step.SKIP_UNKNOWN:
                self.skipped_unknown += 1
            case Step.SKIP_KILLED | Step.RECORD_KILLED:
                self.skipped_killed += 1
            case Step.CLAIMED_ELSEWHERE:
                self.claimed_elsewhere += 1
            case Step.SEND | Step.RECLAIM:
                raise ValueError(f"{step} is counted by its outcome")

    def count_invalid(self, invalid: Invalid) -> None:
        """Count a row that breaks a rule; the first ones are kept for the summary."""
        self.invalid += 1
        if len(self.shown_invalid) < _SHOWN_INVALID:
            self.shown_invalid.append(invalid)

    def summary(self, campaign_id: str, seconds: float, stopped: str | None = None) -> dict[str, Any]:
        """Return the counts as JSON, for XCom.

        :param stopped: why the task did not go through all rows.
        """
        return {
            "campaign_id": campaign_id,
            "recipients": self.handled,
            "accepted": self.accepted,
            "rejected": dict(self.rejected),
            "unknown": self.unknown + self.skipped_unknown + self.skipped_killed,
            "not_sent": self.not_sent,
            "invalid": self.invalid,
            "duplicates": self.duplicates,
            "already_accepted": self.already_accepted,
            "already_rejected": dict(self.already_rejected),
            "claimed_elsewhere": self.claimed_elsewhere,
            "seconds": round(seconds, 1),
            "rate": round(self.sent / seconds, 1) if seconds else 0.0,
            "invalid_rows": [{"line": row.line, "reason": row.reason} for row in self.shown_invalid],
            "stopped": stopped,
        }

    def progress(self, seconds: float, total: int | None, rate: float) -> str:
        """Return one line for the log.

        :param rate: messages a second, of late.
        """
        done = f"{self.handled} of {total}" if total is not None else str(self.handled)
        failures = self.rejected | Counter(unknown=self.unknown, not_sent=self.not_sent, invalid=self.invalid)
        failed = ", ".join(f"{code}: {count}" for code, count in failures.items() if count) or "none"
        left = f", about {(total - self.handled) / rate:.0f} s left" if total is not None and rate else ""
        return f"{done} done in {seconds:.0f} s, {rate:.1f} messages/s, failures: {failed}{left}"

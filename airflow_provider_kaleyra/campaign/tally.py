"""What became of a campaign's recipients, counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_kaleyra.whatsapp.outcome import Accepted, NotSent, Rejected

if TYPE_CHECKING:
    from airflow_provider_kaleyra.campaign.recipients import Invalid
    from airflow_provider_kaleyra.whatsapp.outcome import Outcome

_SHOWN_INVALID = 20


@dataclass
class Tally:
    """Counts of one task's run; each recipient's row is in one of them.

    :param left_unknown: those that earlier tries left in doubt, and this one left alone.
    :param changed: those already done whose message is another one now.
    :param open_failures: failures that a later try sends again.
    """

    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    unknown: int = 0
    left_unknown: int = 0
    not_sent: int = 0
    invalid: int = 0
    duplicates: int = 0
    already_done: int = 0
    claimed_elsewhere: int = 0
    changed: int = 0
    open_failures: int = 0
    shown_invalid: list[Invalid] = field(default_factory=list)

    @property
    def handled(self) -> int:
        """Rows so far."""
        return (
            self.sent
            + self.left_unknown
            + self.not_sent
            + self.invalid
            + self.duplicates
            + self.already_done
            + self.claimed_elsewhere
        )

    @property
    def sent(self) -> int:
        """Messages that left."""
        return self.accepted + self.rejected.total() + self.unknown

    @property
    def failures(self) -> int:
        """Messages of this run that were not accepted."""
        return self.rejected.total() + self.unknown + self.not_sent

    def count(self, outcome: Outcome, *, is_open: bool) -> None:
        """Count what became of a message.

        :param is_open: whether a later try sends it again.
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
        self.open_failures += is_open

    def count_invalid(self, invalid: Invalid) -> None:
        """Count a row that breaks a rule; the first ones are kept to be shown."""
        self.invalid += 1
        if len(self.shown_invalid) < _SHOWN_INVALID:
            self.shown_invalid.append(invalid)

    def summary(self, campaign_id: str, seconds: float, stopped: str | None = None) -> dict[str, Any]:
        """The counts as JSON, for XCom.

        :param stopped: why the task did not go through all rows.
        """
        return {
            "campaign_id": campaign_id,
            "recipients": self.handled,
            "accepted": self.accepted,
            "rejected": dict(self.rejected),
            "unknown": self.unknown + self.left_unknown,
            "not_sent": self.not_sent,
            "invalid": self.invalid,
            "duplicates": self.duplicates,
            "already_done": self.already_done,
            "claimed_elsewhere": self.claimed_elsewhere,
            "seconds": round(seconds, 1),
            "rate": round(self.sent / seconds, 1) if seconds else 0.0,
            "invalid_rows": [{"line": row.line, "reason": row.reason} for row in self.shown_invalid],
            "stopped": stopped,
        }

    def progress(self, seconds: float, total: int | None, rate: float) -> str:
        """One line for the log.

        :param rate: messages a second, of late.
        """
        done = f"{self.handled} of {total}" if total is not None else str(self.handled)
        failures = self.rejected | Counter(unknown=self.unknown, not_sent=self.not_sent, invalid=self.invalid)
        failed = ", ".join(f"{code}: {count}" for code, count in failures.items() if count) or "none"
        left = f", about {(total - self.handled) / rate:.0f} s left" if total is not None and rate else ""
        return f"{done} done in {seconds:.0f} s, {rate:.1f} messages/s, failures: {failed}{left}"

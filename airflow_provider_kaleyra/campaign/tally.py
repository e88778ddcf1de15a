"""Counts a campaign's recipients by what happened to them."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_kaleyra.ledger.values import Step
from airflow_provider_kaleyra.whatsapp.outcome import Accepted, NotSent, Rejected

if TYPE_CHECKING:
    from airflow_provider_kaleyra.campaign.message_builder import Invalid
    from airflow_provider_kaleyra.whatsapp.outcome import Outcome

_SHOWN_INVALID = 20
_LOGGED_INVALID = 1000

log = logging.getLogger(__name__)


@dataclass
class Tally:
    """Counts of one task's run; each row is counted in exactly one field, except for the last two counts.

    :param accepted: accepted in this try.
    :param rejected: rejected in this try, by code; without a code, by HTTP status.
    :param unknown: sent in this try, with an unknown outcome.
    :param not_sent: certainly not sent in this try.
    :param already_accepted: accepted in an earlier try or run.
    :param already_rejected: rejected in an earlier try or run, by code, and not sent again.
    :param skipped_unknown: recorded as unknown by an earlier try or run, and not sent again.
    :param skipped_killed: claimed by a try that was killed before it recorded an outcome, and not sent again.
    :param claimed_elsewhere: claimed by another task.
    :param invalid: rows that break a rule.
    :param duplicates: rows with a number that an earlier row of this task has.
    :param changed: the number of *already_accepted* whose message is different now.
    :param retryable_failures: the number of failures of this try that a later try sends again.
    :param shown_invalid: the first invalid rows, for the summary.
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
        """The number of rows so far."""
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
        """The number of messages sent in this try."""
        return self.accepted + self.rejected.total() + self.unknown

    @property
    def failures(self) -> int:
        """The number of messages not accepted, in this try or an earlier one, so that each try counts the same.

        Recipients whose outcome a killed try left unknown are not counted: the worker failed, and a retry continues.
        """
        return (
            self.rejected.total() + self.unknown + self.not_sent + self.already_rejected.total() + self.skipped_unknown
        )

    def count(self, outcome: Outcome, *, retryable: bool) -> None:
        """Count the outcome of a message.

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
        """Count a recipient to whom this task does not send.

        :param code: the code with which an earlier message was rejected.
        :param changed: whether the message differs from the one in the ledger.
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
        """Count a row that breaks a rule, and keep the first ones for the summary."""
        self.invalid += 1
        if len(self.shown_invalid) < _SHOWN_INVALID:
            self.shown_invalid.append(invalid)

    def summary(self, campaign_id: str, seconds: float, stopped: str | None = None) -> dict[str, Any]:
        """Return the counts as the task returns them: a dict that JSON can hold.

        :param stopped: why the task did not handle all rows.
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

        :param rate: messages per second since the last such line.
        """
        done = f"{self.handled} of {total}" if total is not None else str(self.handled)
        failures = self.rejected | Counter(unknown=self.unknown, not_sent=self.not_sent, invalid=self.invalid)
        failed = ", ".join(f"{code}: {count}" for code, count in failures.items() if count) or "none"
        left = f", about {(total - self.handled) / rate:.0f} s left" if total is not None and rate else ""
        return f"{done} done in {seconds:.0f} s, {rate:.1f} messages/s, failures: {failed}{left}"


def report_invalid(tally: Tally, invalid: Invalid) -> None:
    """Count an invalid row, and log the first 1,000 of them."""
    tally.count_invalid(invalid)
    if tally.invalid <= _LOGGED_INVALID:
        log.warning("Line %d is invalid, nothing is sent for it: %s", invalid.line, invalid.reason)
    if tally.invalid == _LOGGED_INVALID:
        log.warning("Further invalid lines are counted, not logged.")

"""Decides when a campaign stops, and whether a retry helps: pure decisions on outcomes and counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_kaleyra.transport.resend import CAMPAIGN, can_be_resent
from airflow_provider_kaleyra.whatsapp.error_codes import Cause
from airflow_provider_kaleyra.whatsapp.outcome import NotSent, Rejected, Unknown

if TYPE_CHECKING:
    from airflow_provider_kaleyra.campaign.tally import Tally
    from airflow_provider_kaleyra.whatsapp.outcome import Outcome

UNREACHABLE_IN_A_ROW = 20
_SMALLEST_SAMPLE = 100


@dataclass(frozen=True)
class StopReason:
    """Why a campaign sends no further message, or is not complete.

    :param why: one sentence or more for the log and the error.
    :param retry_helps: whether Airflow's retry can continue; otherwise somebody has to fix something first.
    """

    why: str
    retry_helps: bool = True


def is_retryable(outcome: Outcome) -> bool:
    """Return whether a later try sends the message again: it was not accepted, and the message is not the cause."""
    match outcome:
        case NotSent():
            return True
        case Rejected():
            return outcome.meaning.cause is not Cause.MESSAGE
    return False


def stop_after_outcome(
    outcome: Outcome, tally: Tally, max_failures: float | None, unreachable_in_a_row: int = 0
) -> StopReason | None:
    """Return why the campaign stops after an outcome, or None if it continues.

    :param tally: the counts so far, this outcome included.
    :param unreachable_in_a_row: how many messages in a row got no connection.
    """
    match outcome:
        case Rejected() if outcome.meaning.of_the_account:
            words = f"{outcome.code or f'HTTP {outcome.http_status}'}, {outcome.message}"
            why = f"every message is rejected: {words}. {outcome.meaning.advice}"
            return StopReason(why, outcome.meaning.retry_helps)
        case Rejected(retry_after=float(seconds)) if seconds > CAMPAIGN.longest_wait and can_be_resent(
            outcome, CAMPAIGN
        ):
            return StopReason(f"Kaleyra asks for a pause of {seconds:.0f} s. Airflow's retry continues after it.")
        case NotSent(reason) if unreachable_in_a_row >= UNREACHABLE_IN_A_ROW:
            return StopReason(
                f"Kaleyra cannot be reached, {unreachable_in_a_row} messages in a row were not sent: {reason}. "
                "Compare the Connection's pod or host with Kaleyra's console, and check the worker's network."
            )
    if isinstance(outcome, NotSent | Rejected | Unknown) and _exceeds(
        max_failures, tally.failures, tally.handled, _SMALLEST_SAMPLE
    ):
        return _too_many_failures(tally, tally.failures, max_failures)
    return None


def stop_before_sending(tally: Tally, max_failures: float | None) -> StopReason | None:
    """Return why the rejections of earlier tries stop this try before it sends a message, or None.

    Only a change of the message, the list or the limit ends such rejections, so a campaign that they stopped stops
    again. Unknown outcomes do not count here: the network may have caused them, and a Clear then continues.
    """
    if _exceeds(max_failures, tally.already_rejected.total(), tally.handled, _SMALLEST_SAMPLE):
        return _too_many_failures(tally, tally.failures, max_failures)
    return None


def stop_at_end(tally: Tally, max_failures: float | None, *, resend_unknown: bool) -> StopReason | None:
    """Return why a campaign is not complete although all its rows were handled, or None if it is.

    :param resend_unknown: whether the next try sends again to recipients with an unknown outcome.
    """
    failures = tally.failures + tally.invalid
    if tally.invalid and tally.invalid == tally.handled:
        return StopReason("not one row of the recipients is valid", retry_helps=False)
    if _exceeds(max_failures, failures, tally.handled, 0):
        return _too_many_failures(tally, failures, max_failures)
    open_ = tally.retryable_failures + (tally.unknown if resend_unknown else 0)
    if open_:
        return StopReason(f"{open_} of the messages failed for a cause that can pass; a retry sends only those")
    return None


def _exceeds(max_failures: float | None, failures: int, handled: int, sample: int) -> bool:
    if max_failures is None:
        return False
    if isinstance(max_failures, int):
        return failures > max_failures
    return handled >= sample and failures > max_failures * handled


def _too_many_failures(tally: Tally, failures: int, max_failures: float | None) -> StopReason:
    """Return the reason; a retry helps if it sends again to every recipient that failed."""
    return StopReason(
        f"{failures} failures among {tally.handled} recipients are more than max_failures={max_failures}",
        retry_helps=tally.retryable_failures == failures,
    )

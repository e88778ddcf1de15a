"""What an outcome, or a whole campaign's result, means: pure decisions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from airflow_provider_kaleyra.transport.resend import CAMPAIGN, can_be_resent
from airflow_provider_kaleyra.whatsapp.error_codes import Cause
from airflow_provider_kaleyra.whatsapp.outcome import NotSent, Rejected, Unknown

if TYPE_CHECKING:
    from airflow_provider_kaleyra.campaign.tally import Tally
    from airflow_provider_kaleyra.whatsapp.outcome import Outcome

UNREACHABLE_IN_A_ROW = 20
_SMALLEST_SAMPLE = 100


class Ending(Enum):
    """How a task ends."""

    RETRY = "retry"
    """A retry helps: it goes on where this one stopped."""

    FAIL = "fail"
    """Somebody has to mend something first."""


@dataclass(frozen=True)
class Stop:
    """Why no further message is sent."""

    ending: Ending
    why: str


def is_retryable(outcome: Outcome) -> bool:
    """Return whether a later try sends the message again: it was not accepted, and the message is not the cause."""
    match outcome:
        case NotSent():
            return True
        case Rejected():
            return outcome.meaning.cause is not Cause.MESSAGE
    return False


def stop_after(
    outcome: Outcome, tally: Tally, max_failures: float | None, unreachable_in_a_row: int = 0
) -> Stop | None:
    """Return why an outcome ends the campaign; None if it does not.

    :param tally: the campaign so far, this outcome included.
    :param unreachable_in_a_row: how many messages, one after the other, got no connection.
    """
    match outcome:
        case Rejected() if outcome.meaning.of_the_account:
            ending = Ending.RETRY if outcome.meaning.retry_helps else Ending.FAIL
            words = f"{outcome.code or f'HTTP {outcome.http_status}'}, {outcome.message}"
            return Stop(ending, f"every message is rejected: {words}. {outcome.meaning.advice}")
        case Rejected(retry_after=float(seconds)) if seconds > CAMPAIGN.longest_wait and can_be_resent(
            outcome, CAMPAIGN
        ):
            return Stop(Ending.RETRY, f"Kaleyra asks to wait for {seconds:.0f} s, which is left to Airflow's retry.")
        case NotSent(reason) if unreachable_in_a_row >= UNREACHABLE_IN_A_ROW:
            return Stop(
                Ending.RETRY,
                f"Kaleyra cannot be reached, {unreachable_in_a_row} messages in a row were not sent: {reason}. "
                "Compare the Connection's pod or host with Kaleyra's console, and check the worker's network.",
            )
    if isinstance(outcome, NotSent | Rejected | Unknown) and _is_beyond(
        max_failures, tally.failures, tally.handled, _SMALLEST_SAMPLE
    ):
        return _too_many_failures(tally, tally.failures, max_failures)
    return None


def ending_of(tally: Tally, max_failures: float | None, *, resend_unknown: bool) -> Stop | None:
    """What is wrong with a campaign all of whose rows were handled; None if nothing is."""
    failures = tally.failures + tally.invalid
    if tally.invalid and tally.invalid == tally.handled:
        return Stop(Ending.FAIL, "not one row of the recipients is valid")
    if _is_beyond(max_failures, failures, tally.handled, 0):
        return _too_many_failures(tally, failures, max_failures)
    leftover = tally.retryable_failures + (tally.unknown if resend_unknown else 0)
    if leftover:
        return Stop(
            Ending.RETRY, f"{leftover} of the messages failed for a cause that can pass; a retry sends only those"
        )
    return None


def stop_before_sending(tally: Tally, max_failures: float | None) -> Stop | None:
    """Whether the rejections of earlier tries end the campaign before this one sends a message.

    They only pass when somebody changes the message, the list or the limit, so a campaign that they stopped stops
    again. An unknown outcome may have been the network's: then a Clear sends on.
    """
    if _is_beyond(max_failures, tally.already_rejected.total(), tally.handled, _SMALLEST_SAMPLE):
        return _too_many_failures(tally, tally.failures, max_failures)
    return None


def _is_beyond(max_failures: float | None, failures: int, handled: int, sample: int) -> bool:
    if max_failures is None:
        return False
    if isinstance(max_failures, int):
        return failures > max_failures
    return handled >= sample and failures > max_failures * handled


def _too_many_failures(tally: Tally, failures: int, max_failures: float | None) -> Stop:
    ending = Ending.RETRY if tally.retryable_failures == failures else Ending.FAIL
    return Stop(
        ending, f"{failures} failures among {tally.handled} recipients are more than max_failures={max_failures}"
    )

"""The one rule for sending a request again within a task: after which outcome, after how long, how often.

Airflow's retries have a table of their own: :mod:`~airflow_provider_kaleyra.retry_policy`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_kaleyra.whatsapp.outcome import NotSent, Rejected, Unknown

if TYPE_CHECKING:
    from airflow_provider_kaleyra.whatsapp.media_upload import UploadOutcome
    from airflow_provider_kaleyra.whatsapp.outcome import Outcome

#: The least and the most seconds that are added to a wait at random, so that many tasks do not send at one moment.
JITTER = (0.1, 0.6)


@dataclass(frozen=True, kw_only=True)
class ResendRule:
    """When, and how often, one kind of request is sent again.

    :param attempts: the most attempts, the first one included.
    :param first_wait: seconds before the second attempt, unless the response has a ``Retry-After``.
    :param growth: factor by which that wait grows from one attempt to the next.
    :param longest_wait: the longest ``Retry-After`` that is waited for, in seconds; a longer one ends the attempts.
    :param needs_retry_after: whether a rejection without a ``Retry-After`` ends the attempts.
    :param resends_unknown: whether processing the request twice does no harm. If so, it is sent again after an
        unknown outcome, and after a 429, a 5xx or any ``Retry-After`` if a retry can help. If not, it is sent again
        only if it was not transmitted or was rejected by 429, 503 or WA429.
    """

    attempts: int
    first_wait: float
    growth: float = 1.0
    longest_wait: float
    needs_retry_after: bool = False
    resends_unknown: bool = False


#: A message of the hook, an operator or the notifier.
SEND = ResendRule(attempts=3, first_wait=0.5, longest_wait=10.0, needs_retry_after=True)
#: The upload of a file: a second upload only makes a second media id.
UPLOAD = ResendRule(attempts=4, first_wait=1.0, growth=2.0, longest_wait=10.0, resends_unknown=True)
#: A message of a campaign, whose rate limiter pauses all messages after a rejection.
CAMPAIGN = ResendRule(attempts=3, first_wait=0.5, longest_wait=600.0)


def can_be_resent(outcome: Outcome | UploadOutcome, rule: ResendRule) -> bool:
    """Return whether the request may be sent again after *outcome*, whatever wait the response asks for."""
    match outcome:
        case NotSent():
            return True
        case Unknown():
            return rule.resends_unknown
        case Rejected(code=code, http_status=status) if outcome.meaning.retry_helps:
            if rule.resends_unknown:
                return outcome.retry_after is not None or status == 429 or status >= 500
            return (status in {429, 503} or code == "WA429") and not outcome.meaning.of_the_account
    return False


def wait_before_resend(outcome: Outcome | UploadOutcome, attempt: int, rule: ResendRule) -> float | None:
    """Return the seconds to wait before the request is sent again, or None if it is not sent again.

    :param outcome: the outcome of the latest attempt, of a send or an upload.
    :param attempt: the number of that attempt, from 1.
    :param rule: the rule for this kind of request.
    """
    if attempt >= rule.attempts or not can_be_resent(outcome, rule):
        return None
    if isinstance(outcome, Rejected):
        if outcome.retry_after is not None:
            return outcome.retry_after if outcome.retry_after <= rule.longest_wait else None
        if rule.needs_retry_after:
            return None
    return rule.first_wait * rule.growth ** (attempt - 1)

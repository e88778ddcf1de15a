"""Retry policy that chooses the wait before Airflow's retry by the error (Airflow 3.3 and later)."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_kaleyra.exceptions import KaleyraRejectedError, KaleyraUnreachableError

try:
    from airflow.sdk import RetryDecision, RetryPolicy
except ImportError:
    from airflow import __version__ as _version

    raise ImportError(
        f"KaleyraRetryPolicy cannot be imported: it needs Airflow 3.3 or later; this is Airflow {_version}. "
        "Remove retry_policy from the task, and set retries, retry_delay and retry_exponential_backoff instead."
    ) from None

if TYPE_CHECKING:
    from airflow.sdk import Context

LONGEST_WAIT = timedelta(minutes=15)
AFTER_LOW_BALANCE = timedelta(minutes=30)
_FIRST_WAIT = timedelta(seconds=30)


class KaleyraRetryPolicy(RetryPolicy):
    """
    Choose the wait before a retry by the error. The number of retries is the task's ``retries``.

    ========================== =========================================================
    WA429, WA500               5, 10, then 15 minutes, as Kaleyra asks
    429, 503                   ``Retry-After``, at most 15 minutes; without it, growing
    E110 (low balance)         30 minutes, time for a top-up
    Kaleyra is not reachable   growing
    any other error            the task's ``retry_delay``
    ========================== =========================================================

    A growing wait starts at 30 seconds and doubles up to 15 minutes. Each is varied by up to a quarter at random, so
    that many tasks do not retry at the same moment.
    """

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Context | None = None,
    ) -> RetryDecision:
        """Return how long to wait after *exception*."""
        task = context.get("task") if context else None
        # A Clear restarts the count of tries, as in Airflow itself.
        earlier = max(0, try_number - 1 - max(0, max_tries - (task.retries or 0))) if task else try_number - 1
        match exception:
            case KaleyraRejectedError(code="WA429" | "WA500" as code):
                wait, reason = min(timedelta(minutes=5) * (earlier + 1), LONGEST_WAIT), f"{code}, Kaleyra asks to wait"
            case KaleyraRejectedError(code="E110"):
                wait, reason = AFTER_LOW_BALANCE, "E110, time to top the balance up"
            case KaleyraRejectedError(http_status=429 | 503 as status, retry_after=float(seconds)):
                wait, reason = (
                    min(timedelta(seconds=seconds), LONGEST_WAIT),
                    f"HTTP {status}, Retry-After {seconds:.0f} s",
                )
            case KaleyraRejectedError(http_status=429 | 503 as status):
                wait, reason = _growing(earlier), f"HTTP {status} without a Retry-After"
            case KaleyraUnreachableError():
                wait, reason = _growing(earlier), "Kaleyra could not be reached"
            case _:
                return RetryDecision.default()
        return RetryDecision.retry(wait, f"{reason}: try again after {wait.total_seconds():.0f} s")

    def serialize(self) -> dict[str, Any]:
        """Return the policy as Airflow stores it; it has no settings."""
        return {"__type": type(self).__name__}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> KaleyraRetryPolicy:  # noqa: ARG003 - it has no settings
        """Return the policy that :meth:`serialize` stored."""
        return cls()


def _growing(earlier: int) -> timedelta:
    doubled = min(_FIRST_WAIT * (1 << min(earlier, 10)), LONGEST_WAIT)
    return doubled * random.uniform(0.75, 1.25)  # noqa: S311 - no secret

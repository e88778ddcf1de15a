"""The limits and times of a campaign's run, and the rules that an operator's settings have to keep."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_kaleyra.whatsapp.validation import BrokenRule, shown_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MAX_PER_SECOND = 10_000
_MAX_CONNECTIONS = 10_000
_MAX_CHECKPOINT = 500  # rows in one statement


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Limits and times of a campaign's run.

    :param per_second: the maximum number of messages sent in any second.
    :param max_connections: the maximum number of messages in flight.
    :param checkpoint_every: the maximum number of recipients claimed, or outcomes recorded, in one transaction.
    :param max_failures: the number of failures, or their share of the recipients, above which the campaign stops.
    :param total: the number of recipients, if it is known.
    :param response_seconds: how long a campaign that is stopping waits for responses. Less than the task waits for
        the campaign, so that their outcomes are recorded.
    :param record_seconds: the longest time for which an outcome waits for others to be recorded with it.
    :param close_seconds: the longest wait for the database to close.
    :param progress_seconds: the time between two lines on the progress in the log.
    """

    per_second: float = 20.0
    max_connections: int = 100
    checkpoint_every: int = 100
    max_failures: float | None = None
    total: int | None = None
    response_seconds: float = 10.0
    record_seconds: float = 1.0
    close_seconds: float = 2.0
    progress_seconds: float = 10.0

    @property
    def window(self) -> int:
        """How many are claimed at once: those sent in half a second, so that a kill leaves few outcomes unknown."""
        return max(1, min(self.checkpoint_every, math.ceil(self.per_second / 2)))

    @property
    def max_unrecorded(self) -> int:
        """The maximum number of recipients claimed and not recorded.

        They wait to be sent (one window), are being claimed (another), are in flight, or have an outcome that waits
        to be recorded (two batches).
        """
        return 2 * self.window + self.max_connections + 2 * self.checkpoint_every


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_whole(value) or isinstance(value, float)


_RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "on_unknown_outcome": ("'skip' or 'resend'", lambda value: isinstance(value, str) and value in {"skip", "resend"}),
    "messages_per_second": (
        f"a number above 0, at most {_MAX_PER_SECOND}",
        lambda value: _is_number(value) and 0 < value <= _MAX_PER_SECOND,
    ),
    "max_connections": (
        f"a whole number from 1 to {_MAX_CONNECTIONS}",
        lambda value: _is_whole(value) and 1 <= value <= _MAX_CONNECTIONS,
    ),
    "checkpoint_every": (
        f"a whole number from 1 to {_MAX_CHECKPOINT}",
        lambda value: _is_whole(value) and 1 <= value <= _MAX_CHECKPOINT,
    ),
    "max_failures": (
        "a whole number, a share between 0 and 1, or None",
        lambda value: (
            value is None or (_is_whole(value) and value >= 0) or (isinstance(value, float) and 0 < value < 1)
        ),
    ),
    "strict": ("True or False", lambda value: isinstance(value, bool)),
    "dry_run": ("True or False", lambda value: isinstance(value, bool)),
}


def broken_setting(values: Mapping[str, Any]) -> BrokenRule | None:
    """Return the first rule that an operator's settings break, or None.

    :param values: the settings by the names of the operator's parameters; others are ignored.
    """
    for name, (rule, keeps) in _RULES.items():
        if not keeps(values[name]):
            return BrokenRule(name, rule, shown_value(values[name]))
    return None

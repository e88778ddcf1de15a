"""When the next message may leave."""

from __future__ import annotations

import math
from collections import deque

# What leaves evenly may arrive closer together; and what is late by then shall not meet the window at once.
_SLOWER = 1.013
_SPAN = 1.011
_CATCH_UP = 0.05
_LEAST_SHARE = 1 / 16
_CLIMB_SECONDS = 20.0
_LONGEST_GUESS = 60.0


class RateLimit:
    """Spreads messages evenly, never more than *per_second* in any second.

    A leaky bucket lets twice its size through in its first second, or loses the rate to late wake-ups where its size
    is one. Here lateness is made up for, but the last messages are counted, too.

    :param per_second: the most that may leave in a second; where it is no whole number, the next one counts.
    """

    def __init__(self, per_second: float) -> None:
        self._interval = _SLOWER / per_second
        size = math.ceil(per_second)
        self._span = _SPAN * size / per_second
        self._last: deque[float] = deque(maxlen=size)
        self._due = 0.0
        self._resume_at = 0.0
        self._share_then = 1.0
        self._guesses = 0

    def take(self, now: float) -> float:
        """Take a turn, or tell how many seconds to wait before asking again: 0 means that it was taken."""
        wait = max(self._resume_at, self._due) - now
        if len(self._last) == self._last.maxlen:
            wait = max(wait, self._last[0] + self._span - now)
        if wait > 0:
            return wait
        late_by_at_most = _CATCH_UP if self._last else 0.0
        self._due = max(self._due, now - late_by_at_most) + self._interval / self.share(now)
        self._last.append(now)
        return 0.0

    def pause(self, now: float, seconds: float | None) -> float:
        """Let nothing leave for a while, then go on at half the rate and climb back.

        :param seconds: as Kaleyra asked; without that, a second at first and twice as long each time.
        :return: seconds until the pause ends.
        """
        paused = now < self._resume_at
        if not paused:
            if self.share(now) == 1.0:
                self._guesses = 0
            self._share_then = max(self.share(now) / 2, _LEAST_SHARE)
        if seconds is None:
            seconds = 0.0 if paused else min(2.0**self._guesses, _LONGEST_GUESS)
            self._guesses += not paused
        # Refusals of what left before the pause may make it longer, not the limit slower.
        self._resume_at = max(self._resume_at, now + seconds)
        self._due = max(self._due, self._resume_at)
        return self._resume_at - now

    def share(self, now: float) -> float:
        """How much of the full rate is in use."""
        return min(1.0, self._share_then + max(0.0, now - self._resume_at) / _CLIMB_SECONDS)

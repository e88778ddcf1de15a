"""Decides when the next message may be sent."""

from __future__ import annotations

import math
from collections import deque

# Sends that start evenly can arrive closer together: a window 1.1 % longer than a second allows for 11 ms. The even
# interval is 0.2 % longer still, so that messages sent late and made up for rarely have to wait for the window.
_INTERVAL_FACTOR = 1.013
_WINDOW_FACTOR = 1.011
# Late wake-ups of the event loop are made up for, longer stalls are not: 50 ms are one message at 20 a second.
_MAX_CATCH_UP = 0.05
# Each pause halves the rate; it is lowest after four.
_MIN_FRACTION = 1 / 2**4
# The climb from 0 to the full rate would take 20 s: from half the rate 10 s, from the lowest 18.75 s.
_FULL_CLIMB_SECONDS = 20.0
# Without Retry-After, the pauses double from 1 s: 1, 2, 4, 8, 16, 32, then a minute each.
_MAX_GUESS = 60.0


class RateLimit:
    """Rate limiter that spreads messages evenly, with a maximum in any second.

    A leaky bucket would let twice its size through in its first second or, if its size is one, lose rate to late
    wake-ups. This one makes up for lateness, and also counts the last messages.

    :param per_second: the maximum number of messages in any second. If it is not a whole number, the time for the next
        whole number of messages is longer accordingly: 2.5 means at most 3 messages in 1.2 seconds.
    """

    def __init__(self, per_second: float) -> None:
        self._interval = _INTERVAL_FACTOR / per_second
        size = math.ceil(per_second)
        self._window = _WINDOW_FACTOR * size / per_second
        self._last: deque[float] = deque(maxlen=size)
        self._due = 0.0
        self._resume_at = 0.0
        self._fraction_at_resume = 1.0
        self._guesses = 0

    def take(self, now: float) -> float:
        """Count a message as sent *now* and return 0, or return the seconds to wait before the next call."""
        wait = max(self._resume_at, self._due) - now
        if len(self._last) == self._last.maxlen:
            wait = max(wait, self._last[0] + self._window - now)
        if wait > 0:
            return wait
        catch_up = _MAX_CATCH_UP if self._last else 0.0
        self._due = max(self._due, now - catch_up) + self._interval / self.fraction(now)
        self._last.append(now)
        return 0.0

    def pause(self, now: float, seconds: float | None) -> float:
        """Allow no message for a while, then half the rate, which climbs back to the full one.

        :param seconds: the pause that Kaleyra asks for; None for one second, doubled with each further pause.
        :return: seconds until the pause ends.
        """
        paused = now < self._resume_at
        if not paused:
            if self.fraction(now) == 1.0:
                self._guesses = 0
            self._fraction_at_resume = max(self.fraction(now) / 2, _MIN_FRACTION)
        if seconds is None:
            seconds = 0.0 if paused else min(2.0**self._guesses, _MAX_GUESS)
            self._guesses += not paused
        # Rejections of messages sent before the pause can make it longer, but not the rate lower.
        self._resume_at = max(self._resume_at, now + seconds)
        self._due = max(self._due, self._resume_at)
        return self._resume_at - now

    def fraction(self, now: float) -> float:
        """Return the share of the full rate that is in use, from 1/16 to 1."""
        return min(1.0, self._fraction_at_resume + max(0.0, now - self._resume_at) / _FULL_CLIMB_SECONDS)

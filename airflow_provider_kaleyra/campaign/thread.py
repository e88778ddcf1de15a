"""Runs a task's work in a thread of its own, so that it ends in order when Airflow ends the task.

Airflow ends a task by a signal: from 3.0 on it calls ``on_kill`` and goes on, before it raises
``AirflowTaskTerminated``, and an ``execution_timeout`` raises ``AirflowTaskTimeout`` everywhere. Raised inside an event
loop, such an exception vanishes in whatever callback was running. So the main thread, the one that signals interrupt,
only waits: for the work to end, or after a request to stop for a limited time.
"""

from __future__ import annotations

import contextvars
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    _T = TypeVar("_T")

PATIENCE_SECONDS = 25.0
"""How long the work may take to end after a request to stop; with what follows, the task ends within 30 seconds."""

_POLL_SECONDS = 0.5


class StopRequest:
    """A request to stop, which may come at any time: from a signal handler or another thread, before the work begins.

    It takes no lock, because a signal handler may interrupt the very call that holds it.
    """

    def __init__(self) -> None:
        #: Why the work shall stop; None until then. The first reason stays.
        self.why: str | None = None
        self._since: float | None = None
        self._listeners: list[Callable[[str], None]] = []

    @property
    def seconds(self) -> float:
        """Seconds since the request; 0 before it."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    def set(self, why: str) -> None:
        """Ask the work to stop."""
        if self.why is None:
            self._since, self.why = time.monotonic(), why
        for listener in tuple(self._listeners):
            listener(self.why)

    def call(self, listener: Callable[[str], None]) -> None:
        """Call *listener* with the reason on each request, and at once if there was one; it may be called twice."""
        self._listeners.append(listener)
        if self.why is not None:
            listener(self.why)


def run_apart(work: Callable[[], _T], stop: StopRequest, abandoned: Callable[[], BaseException]) -> _T:
    """Run *work* to its end in a thread of its own.

    What interrupts this thread becomes a request to stop, and is raised once the work has ended.

    :param stop: the request that the work obeys; it may be set before this call.
    :param abandoned: called when the work has not ended :data:`PATIENCE_SECONDS` after the request: reports what it
        leaves behind, and returns what to raise if nothing interrupted this thread.
    :raises BaseException: what the work raised, or what interrupted this thread.
    """
    results: list[_T] = []
    errors: list[BaseException] = []
    interruptions: list[BaseException] = []
    ended = threading.Event()

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - it is raised in the other thread
            errors.append(error)
        finally:
            ended.set()

    def interrupted(error: BaseException) -> None:
        interruptions.append(error)
        stop.set(f"Airflow ended the task ({type(error).__name__})")

    # A daemon, so that the process can end while the work hangs.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name="kaleyra-campaign", daemon=True)
    try:
        thread.start()
    except BaseException as error:
        interrupted(error)  # so that a thread which did start does nothing
        raise

    def wait() -> None:
        while not ended.wait(_POLL_SECONDS) and (stop.why is None or stop.seconds < PATIENCE_SECONDS):
            pass

    # Twice, because a further signal may arrive while an earlier one is handled.
    _uninterrupted(lambda: _uninterrupted(wait, interrupted), interrupted)
    if not ended.is_set():
        left_behind = abandoned()
        raise interruptions[0] if interruptions else left_behind
    if interruptions:
        raise interruptions[0]
    if errors:
        raise errors[0]
    return results[0]


def _uninterrupted(wait: Callable[[], None], interrupted: Callable[[BaseException], None]) -> None:
    while True:
        try:
            return wait()
        except BaseException as error:  # noqa: BLE001 - it is raised once the wait is over
            interrupted(error)

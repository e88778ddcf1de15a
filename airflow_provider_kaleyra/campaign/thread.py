"""Runs a task's work in its own thread, so that it ends in order when Airflow ends the task.

Airflow ends a task with a signal. From Airflow 3.0 on, the signal handler calls ``on_kill`` and lets the task go on; in
Airflow 2 it then raises an exception, and an ``execution_timeout`` raises ``AirflowTaskTimeout`` in both. Inside an
event loop such an exception is lost in the callback that happens to run. So the main thread, which receives the
signals, only waits: for the work to end or, after a request to stop, for a limited time.
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
"""How long the work may take to end after a request to stop; the task itself then ends within 30 seconds."""

_POLL_SECONDS = 0.5


class StopRequest:
    """A request to stop, made at any time by a signal handler or another thread, also before the work begins.

    It takes no lock, because a signal handler may interrupt the very call that holds it.
    """

    def __init__(self) -> None:
        #: Why the work has to stop; None until a request is made. The first reason stays.
        self.why: str | None = None
        self._since: float | None = None
        self._listeners: list[Callable[[str], None]] = []

    @property
    def seconds(self) -> float:
        """Seconds since the request; 0 before it."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    def set(self, why: str) -> None:
        """Request the work to stop."""
        if self.why is None:
            self._since, self.why = time.monotonic(), why
        for listener in tuple(self._listeners):
            listener(self.why)

    def call(self, listener: Callable[[str], None]) -> None:
        """Call *listener* with the reason on each request, and at once if there was one; it may be called twice."""
        self._listeners.append(listener)
        if self.why is not None:
            listener(self.why)


def run_in_thread(
    work: Callable[[], _T],
    stop: StopRequest,
    on_timeout: Callable[[], BaseException],
    patience: float = PATIENCE_SECONDS,
) -> _T:
    """Run *work* in its own thread, wait for its end and return its result.

    An exception that a signal handler raises in this thread becomes a request to stop. It is raised again once the
    work has ended.

    :param stop: the request that the work obeys; it may be set before this call.
    :param on_timeout: called when the work has not ended in time: logs what is unfinished, and returns the error to
        raise unless a signal handler raised one.
    :param patience: seconds that the work may take to end after a request to stop.
    :raises BaseException: what a signal handler raised in this thread, else what the work raised.
    """
    results: list[_T] = []
    errors: list[BaseException] = []
    interruptions: list[BaseException] = []
    # Neither an Event nor a Condition: both are Python code, which an exception of a signal handler can leave locked.
    running = threading.Lock()
    running.acquire()

    def has_ended() -> bool:
        return bool(results or errors)

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - it is raised in the other thread
            errors.append(error)
        finally:
            running.release()

    def request_stop() -> None:
        stop.set(f"Airflow ended the task ({type(interruptions[0]).__name__})")

    # A daemon, so that the process can end while the work hangs.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name="kaleyra-campaign", daemon=True)
    try:
        thread.start()
    except BaseException as error:
        interruptions.append(error)
        request_stop()  # so that the work does nothing if the thread did start
        raise

    def wait() -> None:
        if interruptions:
            request_stop()
        while not has_ended() and (stop.why is None or stop.seconds < patience):
            running.acquire(timeout=_POLL_SECONDS)

    # Twice, because another signal may arrive while the first one is handled.
    _collect_interruptions(lambda: _collect_interruptions(wait, interruptions), interruptions)
    if not has_ended():
        timeout = on_timeout()
        raise interruptions[0] if interruptions else timeout
    if interruptions:
        raise interruptions[0]
    if errors:
        raise errors[0]
    return results[0]


def _collect_interruptions(wait: Callable[[], None], interruptions: list[BaseException]) -> None:
    """Wait again after each exception that a signal handler raises meanwhile."""
    while True:
        try:
            return wait()
        except BaseException as error:  # noqa: BLE001 - it is raised once the wait is over
            interruptions.append(error)

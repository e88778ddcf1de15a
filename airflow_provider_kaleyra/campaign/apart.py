"""Runs a campaign in a thread of its own, so that the task's signals reach it in order.

Airflow ends a task by a signal: from 3.0 on it calls ``on_kill`` and goes on, before it raises
``AirflowTaskTerminated``, and an ``execution_timeout`` raises ``AirflowTaskTimeout`` everywhere. Raised inside an event
loop, such an exception vanishes in whatever callback was running. So the main thread, the one that signals interrupt,
does nothing but wait.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, TypeVar

    _T = TypeVar("_T")


def run_apart(work: Callable[[], Coroutine[Any, Any, _T]], stop_soon: Callable[[str], None]) -> _T:
    """Run *work* to its end, in an event loop of a thread of its own.

    :param stop_soon: asks the work to end; called when this thread is interrupted, with the reason.
    :raises BaseException: what the work raised, or what interrupted it, once the work has ended.
    """
    results: list[_T] = []
    errors: list[BaseException] = []
    ended = threading.Event()

    def run() -> None:
        try:
            results.append(asyncio.run(work()))
        except BaseException as error:  # noqa: BLE001 - it is raised in the other thread
            errors.append(error)
        finally:
            ended.set()

    # A daemon, so that whatever ends the process by force need not wait for it.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name="kaleyra-campaign", daemon=True)
    thread.start()
    interruption: BaseException | None = None
    while True:
        try:
            while not ended.wait(60):
                pass
            break
        except BaseException as signal:  # noqa: BLE001 - raised again below
            interruption = interruption or signal
            stop_soon(f"Airflow ended the task ({type(signal).__name__})")
    if interruption is not None:
        raise interruption
    if errors:
        raise errors[0]
    return results[0]

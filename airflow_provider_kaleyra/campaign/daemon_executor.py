"""Threads that do not keep the process from ending."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")
_Call = tuple[Future[Any], "Callable[[], Any]"]


class DaemonExecutor(ThreadPoolExecutor):
    """Executor of daemon threads; with one of them, calls run in the order of their submission.

    Python's exit waits for the threads of any other executor, and a call may hang: in a database that is silent, in
    DNS, in a file system. Derived from ThreadPoolExecutor because asyncio takes no other default executor; none of its
    threads is ever started.

    :param max_workers: the most threads.
    :param name: what the threads' names start with.
    """

    def __init__(self, max_workers: int, name: str) -> None:
        super().__init__(max_workers, name)
        self._name = name
        self._most = max_workers
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._workers: list[threading.Thread] = []

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
        """Schedule a call."""
        future: Future[_T] = Future()
        self._calls.put((future, partial(fn, *args, **kwargs)))
        if len(self._workers) < self._most:
            name = f"{self._name}_{len(self._workers)}"
            worker = threading.Thread(target=_work, args=(self._calls,), name=name, daemon=True)
            self._workers.append(worker)
            worker.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002 - as the base class declares it
        """Let the threads end after the calls that were submitted; it never waits, because a call may hang."""
        for _ in self._workers:
            self._calls.put(None)


def _work(calls: SimpleQueue[_Call | None]) -> None:
    while call := calls.get():
        future, work = call
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - it is raised where the result is awaited
                future.set_exception(error)
        del call, future, work  # or an idle thread would keep the last result alive

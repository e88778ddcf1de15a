"""Faults for a task's own process: it is killed at a point, or its task state store fails."""

from __future__ import annotations

import itertools
import json
import logging
import os
import signal
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Imported with the DAG, so that no execution_timeout runs while it is.
from airflow_provider_kaleyra.transport import blocking

BeforeTask = Callable[[dict[str, Any]], None]
_log = logging.getLogger(__name__)


def at_first_try(kill: str | None = None, store: int | None = None, *, leave: Path | None = None) -> BeforeTask:
    """What to do before a task executes, so that its first try meets a fault.

    :param kill: the point at which its process is killed.
    :param store: the number of the write that its store fails.
    :param leave: a file to write just before the process is killed.
    """

    def prepare(context: dict[str, Any]) -> None:
        first = context["ti"].try_number == 1
        deadly_write = {"a": 0, "d": 1}.get(str(kill)) if first else None
        failing_write = store if first else None
        if first and kill == "b":
            blocking.send = lambda *_: _kill(leave)
        if first and kill == "c":
            threading.Thread(target=_kill_once_received, args=(context["task"].ref, leave), daemon=True).start()

        def before_write(number: int) -> None:
            if number == deadly_write:
                _kill(leave)
            if number == failing_write:
                raise OSError("the store is down")

        if "task_state_store" in context:
            _watch_writes(type(context["task_state_store"]), before_write)

    return prepare


def after_first_try(kill: str | None) -> Callable[[dict[str, Any], Any], None]:
    """What to do after a task executed: point (e)."""

    def end(context: dict[str, Any], result: Any) -> None:
        if kill == "e" and context["ti"].try_number == 1:
            _kill()

    return end


def _kill(leave: Path | None = None) -> None:
    if leave is not None:
        leave.touch()
    os.kill(os.getpid(), signal.SIGKILL)


def _kill_once_received(ref: str, leave: Path | None) -> None:
    """Kill as soon as the sandbox has the request; its slow answer leaves time for that."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        with opener.open(os.environ["SANDBOX_URL"] + "/sandbox/requests", timeout=10) as answer:
            if any(request["extra_info"].get("ref") == ref for request in json.load(answer)):
                _kill(leave)
        time.sleep(0.05)


def _watch_writes(kind: Any, before_write: Callable[[int], None]) -> None:
    """Note each write of the task state store in the task's log."""
    write, count = kind.set, itertools.count()

    def watched(*given: Any, **named: Any) -> None:
        number, start = next(count), time.monotonic()
        before_write(number)
        write(*given, **named)
        _log.info("store write %d took %.1f ms", number, 1000 * (time.monotonic() - start))

    kind.set = watched

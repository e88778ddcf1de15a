"""Faults in the process of a task: it is killed at a chosen point, or its task state store fails."""

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

# Imported with the DAG file, so that the import is not part of the execution_timeout.
from airflow_provider_kaleyra.transport import blocking

BeforeTask = Callable[[dict[str, Any]], None]
_log = logging.getLogger(__name__)


def at_first_try(kill: str | None = None, store: int | None = None, *, marker: Path | None = None) -> BeforeTask:
    """Return a pre_execute hook that causes a fault in the first try of a task.

    :param kill: point at which the process is killed, ``a`` to ``d`` as in docs/failures.md.
    :param store: number of the write to the task state store that fails.
    :param marker: file to create just before the process is killed.
    """

    def prepare(context: dict[str, Any]) -> None:
        first_try = context["ti"].try_number == 1
        fatal_write = {"a": 0, "d": 1}.get(str(kill)) if first_try else None
        failing_write = store if first_try else None
        if first_try and kill == "b":
            blocking.send = lambda *_: _kill(marker)
        if first_try and kill == "c":
            threading.Thread(target=_kill_once_received, args=(context["task"].ref, marker), daemon=True).start()

        def before_write(number: int) -> None:
            if number == fatal_write:
                _kill(marker)
            if number == failing_write:
                raise OSError("the store is down")

        if "task_state_store" in context:
            _watch_writes(type(context["task_state_store"]), before_write)

    return prepare


def after_first_try(kill: str | None) -> Callable[[dict[str, Any], Any], None]:
    """Return a post_execute hook that kills the first try at point (e)."""

    def end(context: dict[str, Any], result: Any) -> None:
        if kill == "e" and context["ti"].try_number == 1:
            _kill()

    return end


def _kill(marker: Path | None = None) -> None:
    if marker is not None:
        marker.touch()
    os.kill(os.getpid(), signal.SIGKILL)


def _kill_once_received(ref: str, marker: Path | None) -> None:
    """Kill the process as soon as the sandbox has the request; the scenario responds slowly enough for that."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        with opener.open(os.environ["SANDBOX_URL"] + "/sandbox/requests", timeout=10) as response:
            if any(request["extra_info"].get("ref") == ref for request in json.load(response)):
                _kill(marker)
        time.sleep(0.05)


def _watch_writes(kind: Any, before_write: Callable[[int], None]) -> None:
    """Call *before_write* before each write to the task state store, and log the duration of the write."""
    write, count = kind.set, itertools.count()

    def watched(*args: Any, **kwargs: Any) -> None:
        number, start = next(count), time.monotonic()
        before_write(number)
        write(*args, **kwargs)
        _log.info("store write %d took %.1f ms", number, 1000 * (time.monotonic() - start))

    kind.set = watched

"""A campaign in a process of its own, which tests stop by signals or keep from opening files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_PROGRAM = """
import json, os, resource, signal, sys
from types import SimpleNamespace

settings = json.loads(sys.argv[1])
from airflow_provider_kaleyra.operators.campaign import KaleyraSendVideoCampaignOperator

class Ended(BaseException):
    "What Airflow raises from a signal handler."

task = KaleyraSendVideoCampaignOperator(task_id="send", **settings["fields"])

def on_sigterm(signum, frame):
    task.on_kill()
    if settings["raises"]:
        raise Ended

signal.signal(signal.SIGTERM, on_sigterm)
opened = []
if limit := settings["descriptors"]:
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    while limit - len(os.listdir("/dev/fd")) > settings["left"]:
        opened.append(os.open(os.devnull, os.O_RDONLY))
ti = SimpleNamespace(dag_id="dag", run_id="run", task_id="send", map_index=-1, try_number=settings["try_number"])
try:
    result = task.execute({"ti": ti})
except BaseException as error:
    for descriptor in opened:
        os.close(descriptor)
    print("raised", type(error).__name__, error, flush=True)
else:
    print("returned", json.dumps(result), flush=True)
"""


@contextmanager
def campaign_process(
    *, try_number: int = 1, raises: bool = False, descriptors: int = 0, left: int = 1 << 20, **fields: Any
) -> Iterator[subprocess.Popen[str]]:
    """Start a campaign; its output says how it ended, and what it logged.

    :param raises: whether its SIGTERM handler raises after ``on_kill``, as Airflow 2's does.
    :param descriptors: the limit of file descriptors; 0 leaves it.
    :param left: the most descriptors that are free when the task executes.
    """
    settings = {
        "fields": {"messages_per_second": 1000, "max_failures": None} | fields,
        "raises": raises,
        "try_number": try_number,
        "descriptors": descriptors,
        "left": left,
    }
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, json.dumps(settings)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()

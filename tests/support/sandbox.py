"""The sandbox as a process of its own."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_LISTENING = re.compile(
    r"Sandbox of Kaleyra at (?P<url>http://\S+) "
    r"\(SID (?P<sid>.+), API key (?P<api_key>.+), business phone number (?P<number>\S+)\)\n"
)
# Whatever proxy the environment names, the sandbox is on loopback.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass
class RunningSandbox:
    """Where the sandbox listens, which account it plays, what came to it."""

    url: str
    sid: str
    api_key: str
    business_phone_number: str
    process: subprocess.Popen[str]
    _stderr: IO[bytes]

    @property
    def messages_url(self) -> str:
        """The endpoint that takes messages."""
        return f"{self.url}/v2/{self.sid}/whatsapp/{self.business_phone_number}/messages"

    def messages(self) -> list[dict[str, Any]]:
        """What it accepted."""
        return self.get("/sandbox/messages")

    def requests(self) -> list[dict[str, Any]]:
        """What it received, accepted or not."""
        return self.get("/sandbox/requests")

    def clear(self) -> None:
        """Empty both."""
        self._open("/sandbox/messages", "DELETE")

    def get(self, path: str) -> Any:
        """Read one of its JSON documents."""
        return json.loads(self._open(path, "GET"))

    def stderr(self) -> str:
        """What it complained about so far."""
        self._stderr.seek(0)
        return self._stderr.read().decode()

    def _open(self, path: str, method: str) -> bytes:
        request = urllib.request.Request(self.url + path, method=method)
        with _OPENER.open(request, timeout=30) as response:
            return response.read()


@contextmanager
def running_sandbox(*options: str, port: int = 0) -> Iterator[RunningSandbox]:
    """Start the sandbox with *options*, wait until it listens, end it afterwards."""
    command = [sys.executable, "-m", "airflow_provider_kaleyra.sandbox", "--port", str(port), *options]
    with (
        tempfile.TemporaryFile() as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True) as process,
    ):
        try:
            ready, _, _ = select.select([process.stdout], [], [], 60)
            line = process.stdout.readline() if ready else ""
            listening = _LISTENING.fullmatch(line)
            if not listening:
                stderr.seek(0)
                raise RuntimeError(f"The sandbox does not listen; it said {line!r} and {stderr.read().decode()!r}.")
            yield RunningSandbox(
                listening["url"], listening["sid"], listening["api_key"], listening["number"], process, stderr
            )
        finally:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)

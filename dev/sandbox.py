"""Run the sandbox as a process."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from requests import Response, Session

if TYPE_CHECKING:
    from collections.abc import Iterator

_LISTENING = re.compile(
    r"Sandbox of Kaleyra at (?P<url>http://\S+) "
    r"\(SID (?P<sid>.+), API key (?P<api_key>.+), business phone number (?P<number>\S+)\)\n"
)


@dataclass
class RunningSandbox:
    """A running sandbox: its address, its account, and what it has received."""

    url: str
    sid: str
    api_key: str
    business_phone_number: str
    process: subprocess.Popen[str]
    _stderr: IO[bytes]

    @property
    def messages_url(self) -> str:
        """Return the URL that accepts messages."""
        return f"{self.url}/v2/{self.sid}/whatsapp/{self.business_phone_number}/messages"

    def messages(self) -> list[dict[str, Any]]:
        """Return the accepted messages."""
        messages: list[dict[str, Any]] = self.get("/sandbox/messages")
        return messages

    def requests(self) -> list[dict[str, Any]]:
        """Return the requests to send a message, accepted or rejected."""
        received: list[dict[str, Any]] = self.get("/sandbox/requests")
        return received

    def clear(self) -> None:
        """Delete the messages and the requests."""
        self._call("DELETE", "/sandbox/messages")

    def get(self, path: str) -> Any:
        """Return the JSON at *path*."""
        return self._call("GET", path).json()

    def stderr(self) -> str:
        """Return what it has written to stderr so far."""
        self._stderr.seek(0)
        return self._stderr.read().decode()

    def _call(self, method: str, path: str) -> Response:
        # The sandbox is on loopback, so proxies in the environment are ignored.
        with Session() as session:
            session.trust_env = False
            response = session.request(method, self.url + path, timeout=30)
        response.raise_for_status()
        return response


@contextmanager
def running_sandbox(*options: str, port: int = 0) -> Iterator[RunningSandbox]:
    """Start the sandbox with *options*, yield it when it listens, and end it afterwards."""
    command = [sys.executable, "-m", "airflow_provider_kaleyra.sandbox", "--port", str(port), *options]
    with (
        tempfile.TemporaryFile() as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True) as process,
    ):
        try:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            ready, _, _ = select.select([process.stdout], [], [], 60)
            line = process.stdout.readline() if ready else ""
            listening = _LISTENING.fullmatch(line)
            if not listening:
                stderr.seek(0)
                raise RuntimeError(f"The sandbox did not start: it printed {line!r} and {stderr.read().decode()!r}.")
            yield RunningSandbox(
                listening["url"], listening["sid"], listening["api_key"], listening["number"], process, stderr
            )
        finally:
            _end(process)


def connection_to(sandbox: RunningSandbox, **fields: object) -> str:
    """Return a Connection to the sandbox, in the JSON form of an environment variable.

    :param fields: fields of the Connection that override the sandbox's own.
    """
    defaults = {
        "conn_type": "kaleyra",
        "host": sandbox.url,
        "login": sandbox.sid,
        "password": sandbox.api_key,
        "extra": {"business_phone_number": sandbox.business_phone_number},
    }
    return json.dumps(defaults | fields)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)

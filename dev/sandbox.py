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
        messages: list[dict[str, Any]] = self.get("/sandbox/messages")
        return messages

    def requests(self) -> list[dict[str, Any]]:
        """What it received, accepted or not."""
        received: list[dict[str, Any]] = self.get("/sandbox/requests")
        return received

    def clear(self) -> None:
        """Empty both."""
        self._call("DELETE", "/sandbox/messages")

    def get(self, path: str) -> Any:
        """Read one of its JSON documents."""
        return self._call("GET", path).json()

    def stderr(self) -> str:
        """What it complained about so far."""
        self._stderr.seek(0)
        return self._stderr.read().decode()

    def _call(self, method: str, path: str) -> Response:
        # Whatever proxy the environment names, the sandbox is on loopback.
        with Session() as session:
            session.trust_env = False
            answer = session.request(method, self.url + path, timeout=30)
        answer.raise_for_status()
        return answer


@contextmanager
def running_sandbox(*options: str, port: int = 0) -> Iterator[RunningSandbox]:
    """Start the sandbox with *options*, wait until it listens, end it afterwards."""
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
                raise RuntimeError(f"The sandbox does not listen; it said {line!r} and {stderr.read().decode()!r}.")
            yield RunningSandbox(
                listening["url"], listening["sid"], listening["api_key"], listening["number"], process, stderr
            )
        finally:
            _end(process)


def connection_to(sandbox: RunningSandbox, **fields: object) -> str:
    """A Connection to it, as Airflow reads it from an environment variable.

    :param fields: what to say otherwise.
    """
    known = {
        "conn_type": "kaleyra",
        "host": sandbox.url,
        "login": sandbox.sid,
        "password": sandbox.api_key,
        "extra": {"business_phone_number": sandbox.business_phone_number},
    }
    return json.dumps(known | fields)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)

"""Answers every POST as Kaleyra does, faster than any client asks, and remembers when each arrived."""

# ruff: noqa: S101, S603, T201 - it runs itself, and prints for a person
from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_BODY = json.dumps(
    {"code": "WA202", "message": "Request Accepted", "data": {"message_id": "AX1234567890"}, "error": {}}
).encode()
_ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(_BODY),
    _BODY,
)
_END_OF_HEADERS = b"\r\n\r\n"


class _Connection(asyncio.Protocol):
    arrivals: list[float]

    def __init__(self, arrivals: list[float]) -> None:
        self.arrivals = arrivals
        self.pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.pending += data
        while (end := self.pending.find(_END_OF_HEADERS)) >= 0:
            headers = self.pending[:end].lower()
            if headers.startswith(b"get /arrivals"):
                body = json.dumps(self.arrivals).encode()
                self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                self.arrivals.clear()
                self.pending = b""
                return
            start = headers.find(b"content-length:")
            length = int(headers[start + 15 :].split(b"\r\n", 1)[0]) if start >= 0 else 0
            if len(self.pending) < end + 4 + length:
                return
            self.pending = self.pending[end + 4 + length :]
            self.arrivals.append(time.monotonic())
            self.transport.write(_ACCEPTED)


@dataclass(frozen=True)
class Server:
    """A running one."""

    url: str

    def arrivals(self) -> list[float]:
        """When requests arrived since this was last asked, in seconds."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.url}/arrivals", timeout=30) as answer:
            found: list[float] = json.loads(answer.read())
        return found


@contextmanager
def running_server() -> Iterator[Server]:
    """Start it as a process of its own, and end it afterwards."""
    command = [sys.executable, "-m", "benchmarks.server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Server(f"http://127.0.0.1:{int(process.stdout.readline())}")
        finally:
            process.terminate()


async def _serve() -> None:
    arrivals: list[float] = []
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(arrivals), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())

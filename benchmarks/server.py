"""A minimal stand-in for Kaleyra: accepts every POST at once, and records the time of each."""

# ruff: noqa: S101, S603, T201 - it starts itself as a subprocess, and prints its port
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
    """A running stand-in."""

    url: str

    def arrivals(self) -> list[float]:
        """Return the arrival times of the requests since the last call, in seconds of a monotonic clock."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.url}/arrivals", timeout=30) as response:
            times: list[float] = json.loads(response.read())
        return times


@contextmanager
def running_server() -> Iterator[Server]:
    """Start the stand-in as a separate process, and end it afterwards."""
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

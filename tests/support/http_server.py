"""A raw HTTP server on loopback that records what it receives, byte for byte."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

RawResponse = bytes | Callable[[socket.socket], None]


@dataclass
class Received:
    """One request as received."""

    request_line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class RawServer:
    """The server's address, and the requests that it has received so far."""

    port: int
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"


def raw_response(status: str, body: bytes = b"", *headers: str) -> bytes:
    """Return the bytes of one HTTP response, with its Content-Length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@contextmanager
def raw_server(*responses: RawResponse, tls: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    """Yield a server that sends the responses in turn, and then repeats the last one.

    :param responses: bytes to send, or a function that takes over the connection, which is closed afterwards.
    :param tls: context with the server's certificate; without one, the server speaks plain HTTP.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = RawServer(listener.getsockname()[1], scheme="https" if tls else "http")
        stopped = threading.Event()
        remaining = list(responses)
        open_connections: list[socket.socket] = []

        def serve() -> None:
            while not stopped.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                if stopped.is_set():
                    connection.close()
                    return
                server.connections += 1
                open_connections.append(connection)
                with connection, suppress(OSError):
                    stream = tls.wrap_socket(connection, server_side=True) if tls else connection
                    _serve_connection(stream, server, remaining)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server
        finally:
            stopped.set()
            for connection in open_connections:
                with suppress(OSError):  # closed already
                    connection.shutdown(socket.SHUT_RDWR)
            socket.create_connection(("127.0.0.1", server.port)).close()
            thread.join(10)


def _serve_connection(connection: socket.socket, server: RawServer, remaining: list[RawResponse]) -> None:
    connection.settimeout(10)
    stream = connection.makefile("rb")
    while True:
        request_line = stream.readline().decode("latin-1").strip()
        if not request_line:
            return
        headers = {}
        while line := stream.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers[name] = value.strip()
        body = stream.read(int(headers.get("Content-Length", 0)))
        server.received.append(Received(request_line, headers, body))
        current = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        if callable(current):
            current(connection)
            return
        connection.sendall(current)

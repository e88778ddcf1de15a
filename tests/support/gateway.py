"""An HTTP gateway on loopback that responds to some messages itself, before or after it forwarded them."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Interception:
    """What the gateway does with one message.

    :param response: the bytes of the response.
    :param forwards: whether the message reaches the server; the server's own response is dropped.
    :param closes: whether the connection is closed after the response.
    """

    response: bytes
    forwards: bool
    closes: bool = False


class Gateway(ThreadingHTTPServer):
    """The gateway, which listens as soon as it is made.

    :param target: the server's URL.
    :param intercept: returns what to do with a message, by its payload; None forwards it and the server's response.
    """

    daemon_threads = False  # so that closing waits for them

    def __init__(self, target: str, intercept: Callable[[dict[str, Any]], Interception | None]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = target
        self.intercept = intercept
        self.clients: set[socket.socket] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        self.clients.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.clients.discard(request)
        super().shutdown_request(request)

    def disconnect(self) -> None:
        """End all connections, and with them the threads that serve them."""
        for client in list(self.clients):
            with suppress(OSError):  # closed already
                client.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    server: Gateway

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        interception = self.server.intercept(json.loads(body))
        if interception is None:
            self.wfile.write(self._forward(body))
            return
        if interception.forwards:
            self._forward(body)
        self.wfile.write(interception.response)
        self.close_connection = interception.closes

    def _forward(self, body: bytes) -> bytes:
        target = urlsplit(self.server.target)
        server = HTTPConnection(target.hostname or "", target.port, timeout=30)
        try:
            server.request("POST", self.path, body, {name: self.headers[name] for name in ("Content-Type", "api-key")})
            response = server.getresponse()
            content = response.read()
        finally:
            server.close()
        head = f"HTTP/1.1 {response.status} {response.reason}\r\nContent-Length: {len(content)}\r\n"
        return f"{head}Content-Type: {response.headers['Content-Type']}\r\n\r\n".encode() + content

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Log nothing: the tests read what the sandbox received."""


@contextmanager
def running_gateway(target: str, intercept: Callable[[dict[str, Any]], Interception | None]) -> Iterator[Gateway]:
    with Gateway(target, intercept) as gateway:
        thread = threading.Thread(target=gateway.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield gateway
        finally:
            gateway.shutdown()
            thread.join(10)
            gateway.disconnect()

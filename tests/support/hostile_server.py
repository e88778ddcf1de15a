"""Servers on loopback that never come to an end: each drips, floods or hangs at another point of an exchange."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

# What a hostile server does with one connection, until the client or the test ends it.
Manner = Callable[[socket.socket, threading.Event], None]

_PAUSE = 0.05
_HEAD = b"HTTP/1.1 202 Accepted\r\n"


def read_request(connection: socket.socket) -> bytes:
    """Read one request that has a Content-Length, or no body."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += _received(connection)
    head, _, body = request.partition(b"\r\n\r\n")
    lengths = [int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while len(body) < sum(lengths):
        body += _received(connection)
    return head + b"\r\n\r\n" + body


def _received(connection: socket.socket) -> bytes:
    piece = connection.recv(65_536)
    if not piece:
        raise ConnectionError("the client closed")
    return piece


def sends(start: bytes, again: bytes, pause: float = _PAUSE) -> Manner:
    """Read the request; then send *start*, and *again* without end."""

    def manner(connection: socket.socket, stopped: threading.Event) -> None:
        read_request(connection)
        connection.sendall(start)
        while not stopped.wait(pause):
            connection.sendall(again)

    return manner


def reads_nothing(connection: socket.socket, stopped: threading.Event) -> None:
    stopped.wait()


def reads_slowly(connection: socket.socket, stopped: threading.Event) -> None:
    while not stopped.wait(_PAUSE):
        connection.recv(1)


def drips_before_the_request(start: bytes) -> Manner:
    """Send *start* at once and zeros one by one: a TLS handshake, or a proxy's response."""

    def manner(connection: socket.socket, stopped: threading.Event) -> None:
        connection.recv(65_536)
        connection.sendall(start)
        while not stopped.wait(_PAUSE):
            connection.sendall(b"0")

    return manner


_ZEROS = gzip.compress(bytes(1 << 20))
_CHUNKED = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

#: By name. Those of ``TLS`` are reached by https, those of ``PROXY`` as a proxy.
PLAIN: dict[str, Manner] = {
    "drips the status line": sends(b"HTTP/1.1 202 A", b"c"),
    "drips a header": sends(_HEAD + b"X: ", b"x"),
    "drips headers": sends(_HEAD, b"X: x\r\n"),
    "floods 100 Continue": sends(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100, 0.001),
    "drips 102 Processing": sends(b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "drips 103 Early Hints": sends(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
    "drips a chunk's extension": sends(_CHUNKED + b"5;a=", b"b"),
    "floods a chunk's extension": sends(_CHUNKED + b"5;a=", b"b" * 60_000, 0.001),
    "drips chunks": sends(_CHUNKED, b"1\r\n \r\n"),
    "drips trailers": sends(_CHUNKED + b"2\r\n{}\r\n0\r\n", b"X: x\r\n"),
    "drips the body": sends(_HEAD + b"Content-Length: 100000\r\n\r\n", b" "),
    "has a body without end": sends(_HEAD + b"\r\n", bytes(60_000), 0.001),
    "has a compressed body without end": sends(_HEAD + b"Content-Encoding: gzip\r\n\r\n", _ZEROS, 0.001),
    "redirects with a body without end": sends(
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", bytes(60_000), 0.001
    ),
    "redirects to no URL, dripping": sends(b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\n\r\n", b" "),
    "responds 408 and does not end": sends(b"HTTP/1.1 408 Request Timeout\r\n\r\n", b""),
    "reads nothing": reads_nothing,
    "reads a byte now and then": reads_slowly,
}
TLS: dict[str, Manner] = {
    "drips the TLS handshake": drips_before_the_request(b"\x16\x03\x03\x3f\xff\x02\x00\x3f\xf0"),
    "does not respond to the TLS handshake": reads_nothing,
}
PROXY: dict[str, Manner] = {
    "drips the response to CONNECT": drips_before_the_request(b"HTTP/1.1 200 "),
    "drips TLS through a proxy": drips_before_the_request(
        b"HTTP/1.1 200 OK\r\n\r\n\x16\x03\x03\x3f\xff\x02\x00\x3f\xf0"
    ),
}


@contextmanager
def hostile_server(manner: Manner, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve any number of connections at once in that manner; the value is the port."""
    stopped = threading.Event()
    connections: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def handle(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            manner(tls.wrap_socket(connection, server_side=True) if tls else connection, stopped)

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                connection, _ = listener.accept()
                if stopped.is_set():
                    connection.close()
                    return
                connections.append(connection)
                threads.append(threading.Thread(target=handle, args=(connection,)))
                threads[-1].start()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stopped.set()
            socket.create_connection(listener.getsockname()).close()
            thread.join(10)
            for connection in connections:
                with suppress(OSError):  # closed already
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(10)
            assert not any(thread.is_alive() for thread in threads)


def seconds_of(call: Callable[[], object]) -> float:
    """How long a call takes, whatever it raises."""
    started = time.monotonic()
    with suppress(Exception):
        call()
    return time.monotonic() - started

"""A TCP proxy on loopback that drops, delays and cuts connections at random."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from urllib.parse import urlsplit


class Fault(Enum):
    """What the proxy does to one connection."""

    NONE = "none"
    DELAY = "delay"
    CUT_AT_ONCE = "cut at once"
    CUT_AFTER_THE_REQUEST = "cut after the request, which is not forwarded"
    CUT_BEFORE_THE_RESPONSE = "cut before the response"
    CUT_IN_THE_RESPONSE = "cut in the middle of the response"
    REFUSE_CONNECTIONS_FOR_A_WHILE = "cut at once, then refuse new connections for a while"


WEIGHTS = dict(zip(Fault, (50, 12, 8, 8, 10, 6, 6), strict=True))


class FaultyProxy:
    """A proxy in front of an HTTP server.

    :param target: URL of the server.
    :param seed: seed of the random faults; the faults follow the order of the connections.
    """

    def __init__(self, target: str, seed: int) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname, parts.port)
        self._random = random.Random(seed)
        self._listener = self._listen(0)
        self.port: int = self._listener.getsockname()[1]
        self.faults: Counter[Fault] = Counter()
        self.faulty = True
        self._stopped = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def serve(self) -> None:
        while not self._stopped.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            fault = self._random.choices(list(Fault), list(WEIGHTS.values()))[0] if self.faulty else Fault.NONE
            self.faults[fault] += 1
            if fault is Fault.REFUSE_CONNECTIONS_FOR_A_WHILE:
                self._listener.close()
                _reset(client)
                time.sleep(self._random.uniform(0.2, 1.0))
                self._listener = self._listen(self.port)
            else:
                delay = self._random.uniform(0.1, 1.5)
                threading.Thread(target=self._relay, args=(client, fault, delay), daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _relay(self, client: socket.socket, fault: Fault, delay: float) -> None:
        if fault is Fault.DELAY:
            time.sleep(delay)
        with client, suppress(OSError):
            client.settimeout(30)
            while fault is not Fault.CUT_AT_ONCE and (request := _read_message(client)):
                if fault is Fault.CUT_AFTER_THE_REQUEST:
                    break
                with socket.create_connection(self._target, 30) as server:
                    server.sendall(request)
                    response = _read_message(server)
                if fault is Fault.CUT_IN_THE_RESPONSE:
                    client.sendall(response[:20])
                if fault in {Fault.CUT_BEFORE_THE_RESPONSE, Fault.CUT_IN_THE_RESPONSE}:
                    break
                client.sendall(response)
            if fault not in {Fault.NONE, Fault.DELAY}:
                _reset(client)

    @staticmethod
    def _listen(port: int) -> socket.socket:
        return socket.create_server(("127.0.0.1", port), backlog=64)


@contextmanager
def faulty_proxy(target: str, seed: int) -> Iterator[FaultyProxy]:
    proxy = FaultyProxy(target, seed)
    thread = threading.Thread(target=proxy.serve)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.stop()
        thread.join(10)


def _read_message(stream: socket.socket) -> bytes:
    """Return one HTTP message with a Content-Length, or nothing if the other side closed the connection."""
    message = b""
    while b"\r\n\r\n" not in message:
        chunk = stream.recv(65536)
        if not chunk:
            return b""
        message += chunk
    head, _, body = message.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length:
        chunk = stream.recv(65536)
        if not chunk:
            return b""
        body += chunk
    return head + b"\r\n\r\n" + body


def _reset(connection: socket.socket) -> None:
    """Close the connection with a TCP reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()

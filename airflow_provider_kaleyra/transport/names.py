"""Name resolution with a time limit.

``getaddrinfo`` cannot be interrupted, and waits half a minute for a name server that does not respond. So it runs in a
daemon thread, which delays neither a request nor the end of the process.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
from concurrent.futures import Future
from typing import Any

AddressInfo = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]


def resolving(host: str, port: int, family: int = socket.AF_UNSPEC) -> Future[list[AddressInfo]]:
    """Start resolving the TCP addresses of *host*; the future raises the errors of ``socket.getaddrinfo``."""
    future: Future[list[AddressInfo]] = Future()

    def resolve() -> None:
        if future.set_running_or_notify_cancel():
            try:
                future.set_result([*socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)])
            except Exception as error:  # noqa: BLE001 - the future raises it
                future.set_exception(error)

    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        resolve()  # in this thread: an IP address needs no name server
        return future
    threading.Thread(target=resolve, name="kaleyra-resolver", daemon=True).start()
    return future

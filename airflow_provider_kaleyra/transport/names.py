"""Name resolution that a deadline can end.

``getaddrinfo`` cannot be interrupted, and a resolver that does not respond holds it for half a minute. So it runs in a
daemon thread, for which neither a request nor the end of the process waits.
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
    """Start to look up the addresses of *host* for TCP; the future raises what ``socket.getaddrinfo`` raises."""
    future: Future[list[AddressInfo]] = Future()

    def look_up() -> None:
        if future.set_running_or_notify_cancel():
            try:
                future.set_result([*socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)])
            except Exception as error:  # noqa: BLE001 - whoever waits for the future gets it
                future.set_exception(error)

    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        look_up()  # at once: nobody is asked
        return future
    threading.Thread(target=look_up, name="kaleyra-resolver", daemon=True).start()
    return future

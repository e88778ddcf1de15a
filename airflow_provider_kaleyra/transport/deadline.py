"""Connections for urllib3 that end every exchange at its deadline.

A timeout of requests or urllib3 limits a single wait: a server that sends a byte now and then is waited for without
end. Here every wait of an exchange (to connect, for the proxy, for TLS, to send, to receive) is limited to the time
until the deadline, which each socket reads before it waits.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from contextvars import ContextVar
from typing import IO, TYPE_CHECKING, Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError, ProtocolError

from airflow_provider_kaleyra.transport import LONGEST_IDLE, keeps_connection
from airflow_provider_kaleyra.transport.names import resolving

if TYPE_CHECKING:
    from types import TracebackType

    from urllib3.response import HTTPResponse

# Seconds to receive a response that a server may have sent without reading the whole request.
_EARLY_RESPONSE = 0.5


class Exchange:
    """The deadline and the progress of one request and its response.

    The sockets of this module follow the exchange that is entered (``with``) in their thread.

    :param connect: seconds to connect, proxy and TLS included.
    :param read: seconds from a ready connection to the end of the response, and the limit of each wait for the server.
    :param transfer: seconds added to the deadline for a large request.
    """

    def __init__(self, connect: float, read: float, transfer: float = 0.0) -> None:
        self._read = read
        #: The timeouts for requests, which limit a single wait.
        self.timeouts = (connect, read)
        self._transfer = transfer
        self._until = time.monotonic() + connect
        self._late = f"Connecting timed out after {connect:g} s"
        self._waits = True
        self._connection: _Connection | None = None
        self._reusable = True
        #: Whether the connection was ready, so that the request may have been transmitted.
        self.started = False
        #: Whether the request was transmitted only in part.
        self.cut = False

    def __enter__(self) -> Exchange:
        self._token = _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _current.reset(self._token)
        if self._connection is not None and not self._reusable:
            self._connection.close()

    @property
    def late(self) -> str | None:
        """Return what timed out; None before the deadline."""
        return self._late if time.monotonic() >= self._until else None

    def remaining(self) -> float:
        """Return the limit of the next wait, in seconds.

        :raises TimeoutError: the deadline has passed.
        """
        if not self._waits:
            return 0.0
        seconds = self._until - time.monotonic()
        if seconds <= 0:
            raise TimeoutError(self._late)
        return min(seconds, self._read) if self.started else seconds

    def start(self, connection: _Connection) -> None:
        """Record that the connection is ready and transmission starts."""
        self._connection = connection
        self._expect(self._read + self._transfer)
        self.started = True

    def end_request(self) -> None:
        """Record that the whole request was transmitted."""
        self._expect(min(self._read, self._until - time.monotonic()))

    def cut_request(self, to_receive: float) -> None:
        """Record that the rest of the request cannot be transmitted.

        :param to_receive: seconds to wait for a response nevertheless; 0 keeps the deadline.
        """
        self.cut = True
        self._reusable = False
        if to_receive:
            self._expect(to_receive)
            self._late = f"Write timed out: the server read nothing for {self._read:g} s"

    def receive(self, status: int) -> None:
        """Record the status of the response."""
        self._reusable = self._reusable and keeps_connection(status)

    def record_surplus(self, stream: IO[bytes]) -> None:
        """Record whether bytes follow the response; if so, the connection is not used again."""
        self._waits = False
        try:
            self._reusable = self._reusable and not stream.peek(1)  # type: ignore[attr-defined]  # a BufferedReader
        except OSError:  # TLS without further bytes
            pass
        finally:
            self._waits = True

    def is_quiet(self, sock: socket.socket) -> bool:
        """Return whether the server has neither sent anything nor closed before the request is transmitted."""
        self._waits = False
        try:
            sock.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            return False
        finally:
            self._waits = True
        return False

    def _expect(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._late = f"Read timed out: no complete response within {self._read + self._transfer:g} s"


_current: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


def _limit_wait(sock: socket.socket) -> None:
    if (exchange := _current.get()) is not None:
        sock.settimeout(exchange.remaining())


class _Socket(socket.socket):
    def recv(self, *args: Any) -> bytes:
        _limit_wait(self)
        return super().recv(*args)

    def recv_into(self, *args: Any) -> int:
        _limit_wait(self)
        return super().recv_into(*args)

    def sendall(self, *args: Any) -> None:
        _limit_wait(self)
        super().sendall(*args)


class TlsSocket(ssl.SSLSocket):
    """A TLS socket whose waits end at the deadline of the current exchange."""

    def do_handshake(self, *args: Any) -> None:
        """Shake hands before the deadline."""
        _limit_wait(self)
        super().do_handshake(*args)

    def read(self, *args: Any) -> Any:
        """Read before the deadline; every method that receives calls this one."""
        _limit_wait(self)
        return super().read(*args)

    def send(self, *args: Any) -> int:
        """Send before the deadline; ``sendall`` calls this method."""
        _limit_wait(self)
        return super().send(*args)


class _Response(http.client.HTTPResponse):
    """A response parser that skips every interim response; http.client returns 102 and 103 as the response."""

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]  # not in the stubs
            if status == http.HTTPStatus.SWITCHING_PROTOCOLS or not 100 <= status < 200:
                return version, status, reason
            http.client.parse_headers(self.fp)

    def begin(self) -> None:
        super().begin()
        # urllib3 would log text that cannot be parsed as a header, and a server may echo the API key there.
        self.msg.defects.clear()
        self.msg.set_payload("")

    def _close_conn(self) -> None:
        exchange = _current.get()
        if exchange is not None and exchange.started:  # before that, it is the proxy's response, and TLS follows it
            exchange.record_surplus(self.fp)
        super()._close_conn()  # type: ignore[misc]  # not in the stubs


class _Connection(HTTPConnection):
    response_class = _Response
    _used = 0.0

    def _new_conn(self) -> socket.socket:
        try:
            return self._connected()
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"Connecting to {self.host} timed out") from error
        except OSError as error:
            raise NewConnectionError(self, f"Failed to establish a new connection: {error}") from error

    def _connected(self) -> socket.socket:
        """Return a socket to the first address that accepts; the addresses share the remaining time equally."""
        until = time.monotonic() + (self.timeout if isinstance(self.timeout, int | float) else 60.0)
        if (exchange := _current.get()) is not None:
            until = time.monotonic() + exchange.remaining()
        addresses = resolving(self._dns_host.strip("[]"), self.port).result(until - time.monotonic())
        failure = OSError("the name has no address")
        for index, (family, kind, protocol, _, address) in enumerate(addresses):
            sock = _Socket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    sock.setsockopt(*option)
                sock.settimeout(max(until - time.monotonic(), 0.001) / (len(addresses) - index))
                sock.connect(address)
            except OSError as error:
                sock.close()
                failure = error
            else:
                return sock
        raise failure

    def request(self, *args: Any, **kwargs: Any) -> None:
        if (exchange := _current.get()) is None:
            super().request(*args, **kwargs)
            return
        if self.sock is None:
            self.connect()
        if not exchange.is_quiet(self.sock):
            raise ProtocolError("The server closed, or sent something, before the request was transmitted")
        exchange.start(self)
        try:
            super().request(*args, **kwargs)
        except TimeoutError:  # the server does not read
            exchange.cut_request(_EARLY_RESPONSE)
            raise BrokenPipeError from None  # after this error, urllib3 reads a response that may be there
        except OSError:
            exchange.cut_request(0.0)
            raise
        exchange.end_request()

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # urllib3's own signature
        response = super().getresponse()
        self._used = time.monotonic()
        if (exchange := _current.get()) is not None:
            exchange.receive(response.status)
        return response

    @property
    def is_connected(self) -> bool:
        """Return whether the pool may use the connection again."""
        exchange = _current.get()
        if exchange is None or self.sock is None:
            return super().is_connected
        return time.monotonic() - self._used < LONGEST_IDLE and exchange.is_quiet(self.sock)


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


POOL_CLASSES: dict[str, type[HTTPConnectionPool]] = {"http": _Pool, "https": _TlsPool}

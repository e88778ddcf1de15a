"""Asynchronous transport over aiohttp, for campaigns."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.payload import BytesPayload
from yarl import URL

from airflow_provider_kaleyra.transport import (
    CONNECT_TIMEOUT,
    HEADERS,
    LONGEST_IDLE,
    MAX_RESPONSE_BYTES,
    keeps_connection,
)
from airflow_provider_kaleyra.transport.certificates import verifying_context
from airflow_provider_kaleyra.transport.content import decompressed
from airflow_provider_kaleyra.transport.names import resolving
from airflow_provider_kaleyra.transport.proxies import proxy_for, without_passwords
from airflow_provider_kaleyra.whatsapp.outcome import (
    Accepted,
    NotSent,
    Outcome,
    Unknown,
    decode,
    no_response,
    redacted,
)

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.connector import Connection

    from airflow_provider_kaleyra.whatsapp.request import Request

_TOO_EARLY = "the server closed, or sent something, before the request was transmitted"


async def new_session(url: str, max_connections: int = 100) -> aiohttp.ClientSession:
    """Open a session for requests to the host of *url*; proxies and certificates are those of ``blocking``.

    A wait for a free connection counts as time to connect, so the caller has to queue requests beyond
    *max_connections* itself.

    :param max_connections: the most connections that are open at once.
    :raises KaleyraConfigError: the environment names a certificate bundle or a proxy that cannot be used.
    """
    proxy = proxy_for(url, os.environ)
    # Reading some hundred certificates would block the event loop for too long.
    context = await asyncio.to_thread(verifying_context)
    return aiohttp.ClientSession(
        connector=_Connector(limit=max_connections, ssl=context, keepalive_timeout=LONGEST_IDLE, resolver=_Resolver()),
        # aiohttp's trust_env would also read credentials from netrc, and run in a thread twice for each request.
        proxy=proxy,
        headers=HEADERS,
        cookie_jar=_NoCookies(),
        response_class=_Response,
        auto_decompress=False,
    )


def close_idle(session: aiohttp.ClientSession) -> None:
    """Close the idle connections, before a pause in which the server may close them."""
    if isinstance(session.connector, _Connector):
        session.connector.close_idle()


async def send(session: aiohttp.ClientSession, request: Request, timeout: float) -> Outcome:
    """Post the request once, within ``CONNECT_TIMEOUT`` plus *timeout* seconds.

    :param timeout: seconds to wait for a response once connected.
    """
    deadline = asyncio.get_running_loop().time() + CONNECT_TIMEOUT + timeout
    body = _TrackedBody(request.body)
    outcome = await _send(session, request, body, timeout, deadline)
    if body.unusable:
        # The server closed a kept connection, so it may have closed others, too. Nothing was transmitted.
        close_idle(session)
        outcome = await _send(session, request, _TrackedBody(request.body), timeout, deadline)
    return redacted(outcome, request.redacted)


async def _send(
    session: aiohttp.ClientSession, request: Request, body: _TrackedBody, timeout: float, deadline: float
) -> Outcome:
    response: aiohttp.ClientResponse | None = None
    reusable = False
    try:
        async with asyncio.timeout_at(deadline):
            response = await session.post(
                _parsed(request.url),
                data=body,
                headers=request.headers,
                timeout=_limits(CONNECT_TIMEOUT, timeout),
                allow_redirects=False,
            )
        if not body.started:
            body.unusable = True
            return NotSent(_TOO_EARLY)
        cut = not body.complete
        content = decompressed(await _content(response, deadline), response.headers.get("Content-Encoding"))
        outcome = decode(response.status, response.headers, content, request.redacted)
        reusable = not cut and keeps_connection(response.status)
    except Exception as error:  # noqa: BLE001 - any error is an outcome
        return no_response(without_passwords(_reason(error), os.environ), transmitted=body.started)
    else:
        if cut and isinstance(outcome, Accepted):
            return Unknown(f"HTTP {response.status} came before the whole request was transmitted")
        return outcome
    finally:
        if response is not None:
            response.release()
            if not reusable and isinstance(response, _Response):
                response.drop()


class _TrackedBody(BytesPayload):
    """A request body that records how much of it was transmitted.

    aiohttp writes the body only once it is connected, TLS and proxy included. If anything fails before that, Kaleyra
    cannot have the message.
    """

    #: Whether transmission started, so that Kaleyra may have the message.
    started = False
    #: Whether the connection was closed, or received a response, before the request was transmitted.
    unusable = False
    _complete = False
    _transport: asyncio.Transport | None = None

    @property
    def complete(self) -> bool:
        """Return whether the whole body was passed to the operating system."""
        transport = self._transport
        if self._complete or transport is None or transport.is_closing():  # its buffer is discarded
            return self._complete
        return not transport.get_write_buffer_size()

    async def write(self, writer: AbstractStreamWriter) -> None:  # aiohttp up to 3.11
        transport = await self._begin(writer)
        await super().write(writer)
        self._complete = not transport.get_write_buffer_size()

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        transport = await self._begin(writer)
        await super().write_with_length(writer, content_length)
        self._complete = not transport.get_write_buffer_size()

    async def _begin(self, writer: Any) -> asyncio.Transport:
        """Reject a connection that has already received something, otherwise return its transport.

        Without this check, a stray response, such as a late 408, would be read as the response to this message.
        """
        for _ in range(2):  # in the first cycle the event loop notices received bytes, in the second it reads them
            await asyncio.sleep(0)
        protocol = writer.protocol
        if protocol.should_close or not protocol.is_connected():
            self.unusable = True
            raise ConnectionError(_TOO_EARLY)
        self.started = True
        transport: asyncio.Transport = protocol.transport
        self._transport = transport
        return transport


class _Response(aiohttp.ClientResponse):
    """A response that keeps its connection's transport after aiohttp has returned the connection to the pool."""

    _transport: asyncio.Transport | None = None

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        self._transport = connection.transport
        return await super().start(connection)

    def drop(self) -> None:
        """Close the connection at once, so that it carries no other request."""
        self.close()
        if self._transport is not None:
            self._transport.abort()


class _NoCookies(aiohttp.DummyCookieJar):
    def update_cookies_from_headers(self, headers: Any, response_url: Any) -> None:
        """Do nothing: before 3.14, aiohttp logs rejected cookie names, and a server may echo the API key in one."""


class _Connector(aiohttp.TCPConnector):
    def close_idle(self) -> None:
        for connections in self._conns.values():
            for protocol, _ in connections:
                protocol.close()  # the pool drops a closed connection when it would use it


class _Resolver(AbstractResolver):
    """Name resolution that does not delay the end of the event loop."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
        return [
            ResolveResult(
                hostname=host,
                host=socket.getnameinfo(address, numeric)[0],  # with the zone of a link-local address
                port=port,
                family=address_family,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address_family, _, protocol, _, address in await asyncio.wrap_future(resolving(host, port, family))
        ]

    async def close(self) -> None:
        """Do nothing, because nothing is open."""


async def _content(response: aiohttp.ClientResponse, deadline: float) -> bytes:
    """Return the body as far as it arrives in time, cut at ``MAX_RESPONSE_BYTES``."""
    content = bytearray()
    with contextlib.suppress(aiohttp.ClientError, OSError):  # a TimeoutError is one
        async with asyncio.timeout_at(deadline):
            while len(content) < MAX_RESPONSE_BYTES and (piece := await response.content.readany()):
                content += piece
    return bytes(content[:MAX_RESPONSE_BYTES])


@cache  # the same for all messages of a campaign
def _limits(connect: float, read: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=connect, sock_read=read)


@lru_cache(maxsize=16)  # the same for most messages
def _parsed(url: str) -> URL:
    return URL(url, encoded=True)  # keeps the + of the sender


def _reason(error: Exception) -> str:
    """Return the type and the text of the cause: the text of aiohttp's errors may be empty."""
    if isinstance(error, aiohttp.ClientHttpProxyError):  # its text is the proxy's
        return f"{type(error).__name__}: HTTP {error.status}, {error.message}"
    if isinstance(error, aiohttp.ClientResponseError):  # its text goes on with bytes of the server
        return f"{type(error).__name__}: {error.message.partition(':')[0]}"
    if isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str):
        return f"{type(error).__name__}: the server closed the connection within the headers of its response"
    cause = getattr(error, "os_error", error)  # up to aiohttp 3.13, certificate errors have none
    return f"{type(cause).__name__}: {error}".removesuffix(": ")

"""One request out over aiohttp, one outcome back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import ssl
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.payload import BytesPayload
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies, select_proxy
from yarl import URL

from airflow_provider_kaleyra.transport import CONNECT_TIMEOUT, LONGEST_ANSWER, USER_AGENT
from airflow_provider_kaleyra.whatsapp.outcome import Outcome, decode, redacted, undelivered

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

    from airflow_provider_kaleyra.whatsapp.request import Request


async def new_session(url: str, max_connections: int = 100) -> aiohttp.ClientSession:
    """Open a session for requests to the host of *url*; proxies and certificates are those that requests would take.

    Waiting for one of its connections counts as connecting: who sends more than *max_connections* requests at once
    keeps the others in a queue of his own.

    :raises OSError: the environment names a certificate bundle that cannot be read.
    """
    certificates = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or DEFAULT_CA_BUNDLE_PATH
    # Reading some hundred certificates takes longer than an event loop may be held up.
    try:
        context = await asyncio.to_thread(_verifying, certificates)
    except OSError as error:
        raise OSError(f"The certificates of {certificates}, which the environment names: {error}.") from error
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=max_connections, ssl=context),
        # aiohttp's own trust_env takes netrc credentials too, and two turns in a thread for each request.
        proxy=select_proxy(url, get_environ_proxies(url)),
        headers={"User-Agent": USER_AGENT},
        cookie_jar=aiohttp.DummyCookieJar(),
    )


async def send(session: aiohttp.ClientSession, request: Request, timeout: float) -> Outcome:
    """Post the request once.

    :param timeout: seconds to wait for an answer once connected.
    """
    return redacted(await _send(session, request, timeout), request.redacted)


async def _send(session: aiohttp.ClientSession, request: Request, timeout: float) -> Outcome:
    body = _WitnessedBody(request.body)
    try:
        async with session.post(
            _parsed(request.url),
            data=body,
            headers=request.headers,
            timeout=_limits(CONNECT_TIMEOUT, timeout),
            allow_redirects=False,
        ) as response:
            return decode(response.status, response.headers, await _content(response), request.redacted)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return undelivered(_reason(error), left=body.left)


class _WitnessedBody(BytesPayload):
    """A request body that knows whether any of it was taken.

    aiohttp takes the body only when it is connected, TLS and proxy included. Whatever fails before that, for
    whichever reason, Kaleyra cannot have the message.
    """

    left = False

    async def write(self, writer: AbstractStreamWriter) -> None:  # aiohttp up to 3.11
        self.left = True
        await super().write(writer)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        self.left = True
        await super().write_with_length(writer, content_length)


async def _content(response: aiohttp.ClientResponse) -> bytes:
    """Read the body as far as it comes: it may break off, drip for hours or have no end."""
    content = bytearray()
    with contextlib.suppress(aiohttp.ClientError, OSError):  # a TimeoutError is one
        while len(content) < LONGEST_ANSWER and (piece := await response.content.readany()):
            content += piece
    return bytes(content)


@cache  # a campaign's messages all share it
def _limits(connect: float, answer: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=connect + answer, connect=connect, sock_read=answer)


@lru_cache(maxsize=16)  # which most messages share, too
def _parsed(url: str) -> URL:
    return URL(url, encoded=True)  # the + of the sender stays as it is


@cache
def _verifying(certificates: str) -> ssl.SSLContext:
    if Path(certificates).is_dir():
        return ssl.create_default_context(capath=certificates)
    return ssl.create_default_context(cafile=certificates)


def _reason(error: Exception) -> str:
    """Name the cause: aiohttp's own words may say less than its type, and show the proxy's password."""
    cause = getattr(error, "os_error", error)  # which fails on aiohttp's own errors of certificates up to 3.13
    return re.sub(r"://[^/\s]*@", "://", f"{type(cause).__name__}: {error}").removesuffix(": ")

"""Endings of an HTTP request without an answer, for which HTTP's own layer has no words."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.responses import Response
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


class ClosableConnection(H11Protocol):
    """uvicorn's protocol, which also shows each request its transport: ``scope["state"]["transport"]``."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in H11Protocol
        """Put the transport into what this connection's requests share."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class NoAnswer(Response):
    """Closes the connection without having said a word."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close, then wait until uvicorn knows."""
        del send
        scope["state"]["transport"].close()
        await wait_for_disconnect(receive)


class Hang(Response):
    """Says nothing until the client leaves or the server stops."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait."""
        del scope, send
        await wait_for_disconnect(receive)


class SlowResponse(Response):
    """Answers late, unless the client leaves or the server stops before."""

    after_seconds = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait, then answer if anybody is left to listen."""
        try:
            await asyncio.wait_for(wait_for_disconnect(receive), self.after_seconds)
        except TimeoutError:
            await super().__call__(scope, receive, send)


async def wait_for_disconnect(receive: Receive) -> None:
    """Return once the connection is closed, by whomever."""
    while (await receive())["type"] != "http.disconnect":
        pass

"""ASGI responses that close the connection, never respond or respond late."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.responses import Response
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


class ClosableConnection(H11Protocol):
    """uvicorn's protocol, extended to give each request its transport as ``scope["state"]["transport"]``."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in H11Protocol
        """Add the transport to the state that the requests of this connection share."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class CloseConnection(Response):
    """Closes the connection without a response."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close the connection, then wait until uvicorn has noticed."""
        del send
        scope["state"]["transport"].close()
        await wait_for_disconnect(receive)


class Hang(Response):
    """Sends nothing until the client disconnects or the server stops."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait for the disconnect."""
        del scope, send
        await wait_for_disconnect(receive)


class SlowResponse(Response):
    """Responds after a delay, unless the client disconnects or the server stops first."""

    after_seconds = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait, then respond if the client is still connected."""
        try:
            await asyncio.wait_for(wait_for_disconnect(receive), self.after_seconds)
        except TimeoutError:
            await super().__call__(scope, receive, send)


async def wait_for_disconnect(receive: Receive) -> None:
    """Return as soon as either side has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass

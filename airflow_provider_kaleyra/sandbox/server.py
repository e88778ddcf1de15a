"""uvicorn, serving one sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

import uvicorn

from airflow_provider_kaleyra.sandbox.connection import ClosableConnection

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from fastapi import FastAPI


class SandboxServer(uvicorn.Server):
    """Says when it listens, stops without waiting for requests that are hanging.

    :param on_listening: called with the port.
    """

    def __init__(self, app: FastAPI, host: str, port: int, on_listening: Callable[[int], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                loop="asyncio",
                http=ClosableConnection,
                ws="none",
                lifespan="off",
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=75,  # an idle client meets no closed connection that no scenario speaks of
                timeout_graceful_shutdown=2,
            )
        )
        self._on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        if self.started:
            self._on_listening(self.servers[0].sockets[0].getsockname()[1])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Leave every client, which ends whatever request is still under way."""
        for connection in list(self.server_state.connections):
            connection.transport.close()
        await super().shutdown(sockets)

"""The HTTP server of one sandbox, based on uvicorn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import uvicorn

from airflow_provider_kaleyra.sandbox.connection import ClosableConnection

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from fastapi import FastAPI


class SandboxServer(uvicorn.Server):
    """Reports when it listens, and stops without waiting for hanging requests.

    :param on_listening: function that is called with the port as soon as the server listens.
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
                timeout_keep_alive=75,  # long enough that only scenarios close the connection of a client
                timeout_graceful_shutdown=2,
            )
        )
        self._on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then call *on_listening*."""
        await super().startup(sockets)
        if self.started:
            self._on_listening(self.servers[0].sockets[0].getsockname()[1])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close every connection, which ends the requests that are still in flight."""
        for connection in list(self.server_state.connections):
            connection.transport.close()
        await super().shutdown(sockets)

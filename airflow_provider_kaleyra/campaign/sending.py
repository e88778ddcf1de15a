"""Runs a campaign over HTTP, in an event loop of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from airflow_provider_kaleyra.campaign.daemon_executor import DaemonExecutor
from airflow_provider_kaleyra.transport import aio

if TYPE_CHECKING:
    from airflow_provider_kaleyra.campaign.runner import Runner
    from airflow_provider_kaleyra.connection.settings import ConnectionSettings

_DEFAULT_THREADS = 4


def send_all(runner: Runner, connection: ConnectionSettings, max_connections: int) -> None:
    """Run the campaign to its end.

    :raises KaleyraLedgerError: the ledger's database failed.
    """

    async def run() -> None:
        # For DNS and certificates, either of which may hang.
        asyncio.get_running_loop().set_default_executor(DaemonExecutor(_DEFAULT_THREADS, "kaleyra"))
        async with await aio.new_session(connection.account.base_url, max_connections) as session:
            await runner.run(
                lambda request: aio.send(session, request, connection.timeout),
                on_pause=lambda: aio.close_idle(session),
            )

    asyncio.run(run())

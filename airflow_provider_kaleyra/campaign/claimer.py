"""Reads a campaign's recipients and claims them in the ledger, a little ahead of the sends."""

from __future__ import annotations

import asyncio
from contextlib import closing
from itertools import compress, islice
from typing import TYPE_CHECKING

from airflow_provider_kaleyra.campaign.daemon_executor import DaemonExecutor
from airflow_provider_kaleyra.campaign.message_builder import Invalid
from airflow_provider_kaleyra.campaign.seen import Seen
from airflow_provider_kaleyra.campaign.stop_rules import StopReason, stop_before_sending
from airflow_provider_kaleyra.campaign.tally import report_invalid
from airflow_provider_kaleyra.ledger.values import PreparedMessage, Step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from airflow_provider_kaleyra.campaign.run_state import RunState
    from airflow_provider_kaleyra.campaign.tally import Tally
    from airflow_provider_kaleyra.ledger.values import ClaimResult


class Claimer:
    """Claimer of recipients, one window at a time.

    :param recipients: each row's message, or why it has none; read in a thread, because a file can be slow.
    :param claim: claims a window in the ledger.
    :param window: the number of recipients claimed at once, and the number that wait in the queue.
    :param max_failures: the number or share of failures above which the campaign stops.
    :param tally: counts the rows that nothing is sent for.
    :param state: the state of the campaign's run.
    """

    def __init__(
        self,
        recipients: Iterable[PreparedMessage | Invalid],
        *,
        claim: Callable[[Sequence[PreparedMessage]], Awaitable[list[ClaimResult]]],
        window: int,
        max_failures: float | None,
        tally: Tally,
        state: RunState,
    ) -> None:
        self._recipients = iter(recipients)
        self._reader = DaemonExecutor(1, "kaleyra-recipients")
        self._claim_in_ledger = claim
        self._window = window
        self._max_failures = max_failures
        self._tally = tally
        self._state = state
        self._queue: asyncio.Queue[ClaimResult | None] = asyncio.Queue(window)
        self._being_claimed = 0
        self._waiting = 0

    @property
    def claimed(self) -> int:
        """The number claimed, or being claimed, and not taken yet; may be read from another thread."""
        return self._being_claimed + self._waiting

    async def take(self) -> ClaimResult | None:
        """Return the next claimed recipient, or None when there are no more."""
        claimed = await self._queue.get()
        if claimed is None:
            await self._queue.put(None)  # for the next caller
        return claimed

    def mark_taken(self) -> None:
        """Declare that a recipient who was taken is in flight, or has an outcome."""
        self._waiting -= 1

    async def run(self) -> None:
        """Fill the queue with recipients whose claims are committed.

        :raises Exception: reading or claiming failed, so the campaign is stopping.
        """
        reading = asyncio.create_task(self._read())
        try:
            with closing(Seen()) as seen:
                while window := await reading:
                    # Read ahead, because a busy event loop is slow to notice that a thread is done; reading claims
                    # nothing.
                    reading = asyncio.create_task(self._read())
                    for claimed in await self._claim(self._without_flaws(window, seen)):
                        await self._queue.put(claimed)
        except Exception as error:  # a file and a database raise different errors
            self._state.begin_stop(StopReason(str(error)))
            raise
        finally:
            reading.cancel()
            self._reader.shutdown()
            await self._queue.put(None)

    async def _read(self) -> list[PreparedMessage | Invalid]:
        """Return the next rows; none when the campaign is stopping, even if the reader hangs."""

        async def read() -> list[PreparedMessage | Invalid]:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._reader, lambda: list(islice(self._recipients, self._window)))

        rows = await self._state.unless_stopping(read())
        return [] if rows is None or self._state.is_stopping else rows

    def _without_flaws(self, window: Sequence[PreparedMessage | Invalid], seen: Seen) -> list[PreparedMessage]:
        """Count invalid rows and duplicates, and return the others.

        The ledger cannot tell a duplicate of a recipient whom an earlier try left as rejected, unknown or accepted.
        """
        for row in window:
            if isinstance(row, Invalid):
                report_invalid(self._tally, row)
        prepared = [row for row in window if isinstance(row, PreparedMessage)]
        new = list(compress(prepared, seen.add(row.to for row in prepared)))
        self._tally.duplicates += len(prepared) - len(new)
        return new

    async def _claim(self, window: list[PreparedMessage]) -> list[ClaimResult]:
        """Claim recipients, count those whom this task does not send to, and return the others."""
        if not window:
            return []
        self._being_claimed = len(window)
        # A claim that has begun is always awaited, because it may be committed.
        results = await self._claim_in_ledger(window)
        to_send = [claimed for claimed in results if claimed.step is Step.SEND]
        self._waiting, self._being_claimed = self._waiting + len(to_send), 0
        for claimed in results:
            if claimed.step is not Step.SEND:
                self._tally.count_skipped(claimed.step, claimed.code, changed=claimed.changed)
        if to_send and (stop := stop_before_sending(self._tally, self._max_failures)):
            self._state.begin_stop(stop)
        return to_send

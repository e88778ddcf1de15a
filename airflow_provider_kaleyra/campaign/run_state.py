"""How far a running campaign is, for the coroutines that wait for each other."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from airflow_provider_kaleyra.campaign.stop_rules import StopReason

log = logging.getLogger(__name__)

_T = TypeVar("_T")


class RunState:
    """Whether a campaign is stopping, and whether all its outcomes are known; used in its event loop only."""

    def __init__(self) -> None:
        #: Why no further message is sent; None while the campaign goes on.
        self.stop: StopReason | None = None
        #: Whether no further outcome will come.
        self.finished = False
        self._stopping = asyncio.Event()
        self._changed = asyncio.Event()

    @property
    def is_stopping(self) -> bool:
        """Whether no further message is sent."""
        return self._stopping.is_set()

    def begin_stop(self, stop: StopReason) -> None:
        """Send no further message; the first reason stays."""
        if self.stop is None:
            self.stop = stop
            self._stopping.set()
            self.changed()
            log.error("The campaign stops: %s", stop.why)

    def finish(self) -> None:
        """Note that no further outcome will come."""
        self.finished = True
        self.changed()

    def changed(self) -> None:
        """Wake all that wait in :meth:`until`."""
        self._changed.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until *holds*; whoever makes it so calls :meth:`changed`."""
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    async def stopping(self) -> None:
        """Wait until the campaign is stopping."""
        await self._stopping.wait()

    async def unless_stopping(self, work: Awaitable[_T]) -> _T | None:
        """Wait for *work*; once the campaign is stopping, return None without waiting for it."""
        if self.is_stopping:
            asyncio.ensure_future(work).cancel()
            return None
        working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(self.stopping())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            if not working.done():
                working.cancel()
        return None if self.is_stopping and not working.done() else working.result()

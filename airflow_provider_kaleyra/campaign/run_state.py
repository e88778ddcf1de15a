"""The state of a campaign's run, which its coroutines wait for: running, stopping, finished."""

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
    """Whether a campaign is stopping, and whether its last outcome is known; used in its event loop only."""

    def __init__(self) -> None:
        #: Why no further message is sent; None while messages are sent.
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
        """Let no further message be sent; the first reason stays."""
        if self.stop is None:
            self.stop = stop
            self._stopping.set()
            self.changed()
            log.error("The campaign stops: %s", stop.why)

    def finish(self) -> None:
        """Declare that no further outcome will come."""
        self.finished = True
        self.changed()

    def changed(self) -> None:
        """Wake all coroutines that wait in :meth:`until`."""
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until *condition* is true; the code that makes it true calls :meth:`changed`."""
        while not condition():
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

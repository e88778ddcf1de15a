"""The campaign itself: claims, paces, sends, awaits and records; knows neither SQL nor Airflow."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeVar

from airflow_provider_kaleyra.campaign.check import note_invalid
from airflow_provider_kaleyra.campaign.claims import Step
from airflow_provider_kaleyra.campaign.judgement import (
    LONGEST_PAUSE,
    TRIES,
    Ending,
    Stop,
    is_open,
    stop_after,
)
from airflow_provider_kaleyra.campaign.ledger import Claimed, Settled
from airflow_provider_kaleyra.campaign.pace import Pace
from airflow_provider_kaleyra.campaign.recipients import Addressed, Invalid
from airflow_provider_kaleyra.campaign.tally import Tally
from airflow_provider_kaleyra.whatsapp.outcome import Accepted, NotSent, Outcome, Rejected, Unknown, may_leave_again
from airflow_provider_kaleyra.whatsapp.phone_number import masked
from airflow_provider_kaleyra.whatsapp.request import Request

WIND_DOWN_SECONDS = 10.0
_RECORD_SECONDS = 1.0
_PROGRESS_SECONDS = 10.0
# An event loop that waits longer would be slow to see that it shall stop.
_LONGEST_SLEEP = 0.2
_RETRY_WAIT = 0.5

log = logging.getLogger(__name__)

_T = TypeVar("_T")
Send = Callable[[Request], Awaitable[Outcome]]


class LedgerOfACampaign(Protocol):
    """What the runner needs of the ledger; it is called from one thread."""

    def prepare(self) -> None:
        """Make it ready."""

    def claim(self, window: Sequence[Addressed]) -> list[Claimed]:
        """Claim recipients, committed before it returns."""

    def record(self, batch: Sequence[Settled]) -> list[Settled]:
        """Write down outcomes; return those that could not be, because another task holds their rows."""

    def close(self) -> None:
        """Give up what it holds."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a campaign runs.

    :param per_second: the most messages that leave in a second.
    :param max_connections: the most that are on their way at once.
    :param checkpoint_every: the most that are claimed, or recorded, at once.
    :param max_failures: a number, or a share of the recipients, that ends the campaign when exceeded.
    :param total: how many recipients there are, where it is known.
    """

    per_second: float = 20.0
    max_connections: int = 100
    checkpoint_every: int = 100
    max_failures: float | None = None
    total: int | None = None

    @property
    def window(self) -> int:
        """How many are claimed at once: what leaves in half a second, so that a kill leaves few in doubt."""
        return max(1, min(self.checkpoint_every, math.ceil(self.per_second / 2)))

    @property
    def most_in_doubt(self) -> int:
        """How many may be claimed and not recorded: waiting, being claimed, on their way, being recorded."""
        return 2 * self.window + self.max_connections + 2 * self.checkpoint_every


class Runner:
    """One task's run through a campaign's recipients.

    :param recipients: rows as messages; read in a thread of its own, because a file may be far away.
    :param ledger: used in a thread of its own, because a database takes its time.
    """

    def __init__(
        self,
        recipients: Iterable[Addressed | Invalid],
        ledger: LedgerOfACampaign,
        settings: Settings,
    ) -> None:
        self.tally = Tally()
        self.stopped: Stop | None = None
        self._recipients: Iterator[Addressed | Invalid] = iter(recipients)
        self._ledger = ledger
        self._settings = settings
        self._pace = Pace(settings.per_second)
        self._started = time.monotonic()
        self._unreachable_in_a_row = 0
        self._settled: list[Settled] = []
        self._being_recorded = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reader = ThreadPoolExecutor(1, "kaleyra-recipients")
        self._keeper = ThreadPoolExecutor(1, "kaleyra-ledger")

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._started

    def stop_soon(self, why: str) -> None:
        """Start no new send, await those on their way, end; may be called from a signal handler or another thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                self._loop.call_soon_threadsafe(self._stop, Stop(Ending.RETRY, why))

    async def run(self, send: Send) -> Tally:
        """Go through the recipients until all are handled, or something stops the campaign.

        :param send: sends a request once, and tells what became of it.
        :raises KaleyraLedgerError: the ledger's database fails; the log tells which outcomes are not recorded.
        """
        self._send = send
        self._queue: asyncio.Queue[Claimed | None] = asyncio.Queue(self._settings.window)
        self._on_their_way: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._changed = asyncio.Event()
        self._finished = False
        self._loop = asyncio.get_running_loop()
        try:
            await self._in(self._keeper, self._ledger.prepare)
            await self._run()
        finally:
            self._reader.shutdown(wait=False, cancel_futures=True)
            self._keeper.submit(self._ledger.close)
            self._keeper.shutdown()
        return self.tally

    async def _run(self) -> None:
        background = [asyncio.create_task(job()) for job in (self._claim_ahead, self._report)]
        recorder = asyncio.create_task(self._record_all())
        try:
            await self._send_all()
            await background[0]
        finally:
            self._finished = True
            self._changed.set()
            background[1].cancel()
            await recorder

    def _stop(self, stop: Stop) -> None:
        if self.stopped is None:
            self.stopped = stop
            self._stopping.set()
            self._changed.set()
            log.error("The campaign stops: %s", stop.why)

    async def _claim_ahead(self) -> None:
        """Fill the queue; what it holds is committed as claimed."""
        reading = asyncio.create_task(self._read(self._settings.window))
        try:
            while window := await reading:
                # Read ahead, because a busy event loop is slow to notice that a thread is done; reading claims nothing.
                reading = asyncio.create_task(self._read(self._settings.window))
                for row in window:
                    if isinstance(row, Invalid):
                        note_invalid(self.tally, row)
                addressed = [row for row in window if isinstance(row, Addressed)]
                # Once it is started, a claim is awaited whatever happens: it may be committed.
                for claimed in await self._in(self._keeper, self._ledger.claim, addressed) if addressed else ():
                    if claimed.step is Step.SEND:
                        await self._queue.put(claimed)
                    else:
                        self._note_left(claimed)
        except Exception as error:  # a file or a database, each with errors of its own
            self._stop(Stop(Ending.RETRY, str(error)))
            raise
        finally:
            reading.cancel()
            await self._queue.put(None)

    async def _read(self, count: int) -> list[Addressed | Invalid]:
        """Read the next rows; none when the campaign is stopping, whatever the reader hangs on."""
        if self._stopping.is_set():
            return []
        reading = asyncio.ensure_future(self._in(self._reader, lambda: list(islice(self._recipients, count))))
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not reading.done():
            reading.cancel()
            return []
        rows = reading.result()
        return [] if self._stopping.is_set() else rows

    async def _send_all(self) -> None:
        """Send what is claimed, as many at once as there may be connections."""
        door = asyncio.Lock()
        winding_down = asyncio.create_task(self._wind_down())
        try:
            await asyncio.gather(*(self._send_in_turn(door) for _ in range(self._settings.max_connections)))
        finally:
            winding_down.cancel()

    async def _send_in_turn(self, door: asyncio.Lock) -> None:
        """Send one message after the other; only who is in the door waits for the next, and for its turn."""
        while True:
            async with door:
                claimed = await self._queue.get()
                if claimed is None:
                    await self._queue.put(None)  # for the next in the door
                    return
                starts = await self._has_room() and await self._has_turn()
            if starts:
                await self._deliver(claimed)
            else:
                why = self.stopped.why if self.stopped else ""
                self._settle(claimed, NotSent(f"the campaign stopped before it was sent: {why}"))

    async def _wind_down(self) -> None:
        """Wait for answers only for a while once the campaign is stopping."""
        await self._stopping.wait()
        if self._on_their_way:
            log.warning("Awaiting %d answers for at most %.0f s.", len(self._on_their_way), WIND_DOWN_SECONDS)
            await asyncio.sleep(WIND_DOWN_SECONDS)
        for late in self._on_their_way:
            late.cancel()

    async def _deliver(self, claimed: Claimed) -> None:
        outcome: Outcome = Unknown("the task ended while the answer was awaited")
        sender = asyncio.current_task()
        assert sender is not None  # noqa: S101 - a coroutine runs in a task
        self._on_their_way.add(sender)
        try:
            outcome = await self._outcome_of(claimed)
        except asyncio.CancelledError:
            pass  # the campaign is stopping and has waited long enough
        except Exception as error:  # one message must not lose the others
            outcome = Unknown(f"{type(error).__name__} in the task itself")
            log.exception("Sending the message of line %d failed in an unforeseen way.", claimed.addressed.line)
        finally:
            self._on_their_way.discard(sender)
        self._settle(claimed, outcome)
        self._unreachable_in_a_row = self._unreachable_in_a_row + 1 if isinstance(outcome, NotSent) else 0
        if not isinstance(outcome, Accepted) and not self._stopping.is_set():
            stop = stop_after(outcome, self.tally, self._settings.max_failures, self._unreachable_in_a_row)
            if stop:
                self._stop(stop)

    async def _outcome_of(self, claimed: Claimed) -> Outcome:
        """Send, and again only where it is certain that the message was not accepted and that the cause passes soon."""
        request = claimed.addressed.request
        outcome = await self._send(request)
        for _ in range(TRIES - 1):
            if not may_leave_again(outcome):
                break
            if isinstance(outcome, Rejected):
                if (outcome.retry_after or 0.0) > LONGEST_PAUSE:
                    break
                seconds = self._pace.pause(time.monotonic(), outcome.retry_after)
                log.warning("Kaleyra asks for a pause (HTTP %d): %.0f s.", outcome.http_status, seconds)
            else:
                await asyncio.sleep(_RETRY_WAIT)
            if not await self._has_turn():
                break
            outcome = await self._send(request)
        return outcome

    async def _has_turn(self) -> bool:
        """Wait for the pace; False when the campaign is stopping."""
        while not self._stopping.is_set():
            wait = self._pace.take(time.monotonic())
            if not wait:
                return True
            await asyncio.sleep(min(wait, _LONGEST_SLEEP))
        return False

    async def _has_room(self) -> bool:
        """Wait while too many outcomes are not recorded; False when the campaign is stopping."""
        most = 2 * self._settings.checkpoint_every
        await self._until(lambda: len(self._settled) + self._being_recorded < most or self._stopping.is_set())
        return not self._stopping.is_set()

    def _settle(self, claimed: Claimed, outcome: Outcome) -> None:
        open_ = is_open(outcome)
        self.tally.count(outcome, is_open=open_)
        self._settled.append(Settled(claimed, outcome, open_))
        if self._shall_record():
            self._changed.set()

    def _shall_record(self) -> bool:
        """Whether there is a batch; a campaign that stops records at once."""
        return (
            len(self._settled) >= self._settings.checkpoint_every
            or self._finished
            or (bool(self._settled) and self._stopping.is_set())
        )

    async def _until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds; whoever makes it so sets the event, which wakes all that wait."""
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    async def _record_all(self) -> None:
        """Record outcomes in batches, until all are."""
        while True:
            await self._fill_batch()
            most = self._settings.checkpoint_every
            batch, self._settled = self._settled[:most], self._settled[most:]
            if not batch:
                if self._finished:
                    return
                continue
            self._being_recorded = len(batch)
            try:
                lost = await self._in(self._keeper, self._ledger.record, batch)
            except Exception as error:  # whatever it is, nothing may be lost untold
                await self._give_up_recording(batch, error)
                raise
            self._being_recorded = 0
            self._changed.set()
            for one in lost:
                log.error("Another task has taken this recipient over meanwhile: %s.", _told(one))

    async def _fill_batch(self) -> None:
        """Wait until there is a batch or a second has passed."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._until(self._shall_record), _RECORD_SECONDS)

    async def _give_up_recording(self, batch: list[Settled], error: Exception) -> None:
        """Let those on their way land, and tell all that the ledger does not know."""
        self._stop(Stop(Ending.RETRY, str(error)))
        await self._until(lambda: self._finished)
        unrecorded = [*batch, *self._settled]
        self._settled = []
        log.error("The ledger does not know what became of these %d recipients:", len(unrecorded))
        for one in unrecorded:
            log.error("%s", _told(one))

    async def _report(self) -> None:
        sent, when = 0, self.seconds
        while True:
            await asyncio.sleep(_PROGRESS_SECONDS)
            rate = (self.tally.sent - sent) / (self.seconds - when)
            sent, when = self.tally.sent, self.seconds
            log.info(self.tally.progress(when, self._settings.total, rate))

    def _note_left(self, claimed: Claimed) -> None:
        match claimed.step:
            case Step.DUPLICATE:
                self.tally.duplicates += 1
            case Step.DONE:
                self.tally.already_done += 1
                self.tally.changed += claimed.changed
            case Step.ELSEWHERE:
                self.tally.claimed_elsewhere += 1
            case _:
                self.tally.left_unknown += 1

    async def _in(self, executor: ThreadPoolExecutor, work: Callable[..., _T], *arguments: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(executor, work, *arguments)


def _told(settled: Settled) -> str:
    """One outcome as the log may show it."""
    addressed = settled.claimed.addressed
    match settled.outcome:
        case Accepted(message_id):
            what = f"accepted, message id {message_id}"
        case Rejected(code=code, http_status=status):
            what = f"rejected, {code or f'HTTP {status}'}"
        case NotSent():
            what = "not sent"
        case _:
            what = "unknown"
    return f"line {addressed.line}, {masked(addressed.to)}: {what}"

"""The campaign itself: claims, paces, sends and records; knows neither SQL nor Airflow."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from airflow_provider_kaleyra.campaign.claimer import Claimer
from airflow_provider_kaleyra.campaign.daemon_executor import DaemonExecutor
from airflow_provider_kaleyra.campaign.rate_limit import RateLimit
from airflow_provider_kaleyra.campaign.recorder import Recorder, Unfinished
from airflow_provider_kaleyra.campaign.run_state import RunState
from airflow_provider_kaleyra.campaign.stop_rules import (
    StopReason,
    is_retryable,
    stop_after_outcome,
)
from airflow_provider_kaleyra.campaign.tally import Tally
from airflow_provider_kaleyra.ledger.values import ClaimResult, SendResult
from airflow_provider_kaleyra.transport.resend import CAMPAIGN, wait_before_resend
from airflow_provider_kaleyra.whatsapp.outcome import Accepted, NotSent, Outcome, Rejected, Unknown
from airflow_provider_kaleyra.whatsapp.request import Request

if TYPE_CHECKING:
    from airflow_provider_kaleyra.campaign.message_builder import Invalid
    from airflow_provider_kaleyra.ledger.values import PreparedMessage

WIND_DOWN_SECONDS = 10.0
"""How long a campaign that is stopping waits for responses; a task's end waits longer, so that they are recorded."""

_PROGRESS_SECONDS = 10.0
_CLOSE_SECONDS = 2.0
# An event loop that waits longer would be slow to see that it shall stop.
_LONGEST_SLEEP = 0.2

log = logging.getLogger(__name__)

_T = TypeVar("_T")
Send = Callable[[Request], Awaitable[Outcome]]


class CampaignLedger(Protocol):
    """What the runner needs of the ledger; it is called from one thread."""

    def prepare(self) -> None:
        """Make it ready."""

    def claim(self, window: Sequence[PreparedMessage]) -> list[ClaimResult]:
        """Claim recipients, committed before it returns."""

    def record(self, batch: Sequence[SendResult]) -> list[SendResult]:
        """Record outcomes; return those that could not be, because another task holds their rows."""

    def fail_fast(self) -> None:
        """Give up on a database that fails within seconds from now on; called from any thread."""

    def close(self) -> None:
        """Give up what it holds."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a campaign runs.

    :param per_second: the most messages that are sent in a second.
    :param max_connections: the most that are in flight at once.
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
        """How many are claimed at once: what is sent in half a second, so that a kill leaves few outcomes unknown."""
        return max(1, min(self.checkpoint_every, math.ceil(self.per_second / 2)))

    @property
    def max_unrecorded(self) -> int:
        """How many may be claimed and not recorded: waiting, being claimed, in flight, being recorded."""
        return 2 * self.window + self.max_connections + 2 * self.checkpoint_every


class Runner:
    """One task's run through a campaign's recipients.

    :param recipients: rows as messages.
    :param ledger: used in a thread of its own, because a database takes its time.
    """

    def __init__(
        self,
        recipients: Iterable[PreparedMessage | Invalid],
        ledger: CampaignLedger,
        settings: Settings,
    ) -> None:
        self.tally = Tally()
        self._ledger = ledger
        self._settings = settings
        self._pace = RateLimit(settings.per_second)
        self._started = time.monotonic()
        self._unreachable_in_a_row = 0
        self._state = RunState()
        self._recorder = Recorder(self._record, settings.checkpoint_every, self._state)
        self._in_flight: set[asyncio.Task[None]] = set()
        self._asked: StopReason | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ledger_thread = DaemonExecutor(1, "kaleyra-ledger")
        self._claimer = Claimer(
            recipients,
            claim=self._claim,
            window=settings.window,
            max_failures=settings.max_failures,
            tally=self.tally,
            state=self._state,
        )

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._started

    @property
    def stopped(self) -> StopReason | None:
        """Why the campaign did not go through all recipients."""
        return self._state.stop

    @property
    def unfinished(self) -> Unfinished:
        """What is not recorded; may be read from another thread while the campaign runs."""
        return Unfinished(self._claimer.claimed, len(self._in_flight), self._recorder.unrecorded)

    def request_stop(self, why: str) -> None:
        """Start no new send, wait for those in flight, end; may be called at any time, from any thread."""
        # Remembered before the loop is looked at, and run() does it the other way round: so one of them sees the other.
        self._asked = self._asked or StopReason(why)
        self._ledger.fail_fast()
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                self._loop.call_soon_threadsafe(self._state.begin_stop, self._asked)

    async def run(self, send: Send, on_pause: Callable[[], None] = lambda: None) -> Tally:
        """Go through the recipients until all are handled, or something stops the campaign.

        :param send: sends a request once, and returns its outcome.
        :param on_pause: called when a pause begins, in which the server may close idle connections.
        :raises KaleyraLedgerError: the ledger's database fails; the log names the outcomes that are not recorded.
        """
        self._send = send
        self._on_pause = on_pause
        self._loop = asyncio.get_running_loop()
        if self._asked is not None:
            self._state.begin_stop(self._asked)
        try:
            await self._state.unless_stopping(self._in(self._ledger_thread, self._ledger.prepare))
            if not self._state.is_stopping:
                await self._run()
        finally:
            # A database that hangs keeps neither this from ending nor, later, the process.
            closing = asyncio.ensure_future(self._in(self._ledger_thread, self._ledger.close))
            await asyncio.wait({closing}, timeout=_CLOSE_SECONDS)
            self._ledger_thread.shutdown()
        return self.tally

    async def _run(self) -> None:
        background = [asyncio.create_task(job()) for job in (self._claimer.run, self._report)]
        recording = asyncio.create_task(self._recorder.run())
        try:
            await self._send_all()
            await background[0]
        finally:
            self._state.finish()
            background[1].cancel()
            await recording

    async def _claim(self, window: Sequence[PreparedMessage]) -> list[ClaimResult]:
        return await self._in(self._ledger_thread, self._ledger.claim, window)

    async def _record(self, batch: Sequence[SendResult]) -> list[SendResult]:
        return await self._in(self._ledger_thread, self._ledger.record, batch)

    async def _send_all(self) -> None:
        """Send what is claimed, as many at once as there may be connections."""
        turn = asyncio.Lock()
        winding_down = asyncio.create_task(self._wind_down())
        try:
            await asyncio.gather(*(self._run_sender(turn) for _ in range(self._settings.max_connections)))
        finally:
            winding_down.cancel()

    async def _run_sender(self, turn: asyncio.Lock) -> None:
        """Send one message after the other; only the sender that has the turn waits for a recipient and the pace."""
        while True:
            async with turn:
                claimed = await self._claimer.take()
                if claimed is None:
                    return
                starts = await self._has_room() and await self._has_turn()
            if starts:
                await self._deliver(claimed)
            else:
                why = self.stopped.why if self.stopped else ""
                self._settle(claimed, NotSent(f"the campaign stopped before it was sent: {why}"))
                self._claimer.taken()

    async def _wind_down(self) -> None:
        """Wait for responses only for a while once the campaign is stopping."""
        await self._state.stopping()
        if self._in_flight:
            log.warning("Waiting for %d responses for at most %.0f s.", len(self._in_flight), WIND_DOWN_SECONDS)
            await asyncio.sleep(WIND_DOWN_SECONDS)
        for late in self._in_flight:
            late.cancel()

    async def _deliver(self, claimed: ClaimResult) -> None:
        outcome: Outcome = Unknown("the task ended while the response was awaited")
        sender = asyncio.current_task()
        assert sender is not None  # noqa: S101 - a coroutine runs in a task
        self._in_flight.add(sender)
        self._claimer.taken()
        try:
            outcome = await self._outcome_of(claimed)
        except asyncio.CancelledError:
            pass  # the campaign is stopping and has waited long enough
        except Exception as error:  # one message must not lose the others
            outcome = Unknown(f"{type(error).__name__} in the task itself")
            log.exception("Sending the message of line %d failed in an unforeseen way.", claimed.prepared.line)
        self._settle(claimed, outcome)
        self._in_flight.discard(sender)
        self._unreachable_in_a_row = self._unreachable_in_a_row + 1 if isinstance(outcome, NotSent) else 0
        if not isinstance(outcome, Accepted) and not self._state.is_stopping:
            stop = stop_after_outcome(outcome, self.tally, self._settings.max_failures, self._unreachable_in_a_row)
            if stop:
                self._state.begin_stop(stop)

    async def _outcome_of(self, claimed: ClaimResult) -> Outcome:
        """Send a message, again where the rule allows it, and return the last outcome."""
        attempt = 1
        while True:
            outcome = await self._send(claimed.prepared.request)
            wait = wait_before_resend(outcome, attempt, CAMPAIGN)
            if wait is None:
                return outcome
            if isinstance(outcome, Rejected):
                seconds = self._pace.pause(time.monotonic(), outcome.retry_after)
                log.warning("Kaleyra asks for a pause (HTTP %d): %.0f s.", outcome.http_status, seconds)
                self._on_pause()
            else:
                await asyncio.sleep(wait)
            if not await self._has_turn():
                return outcome
            attempt += 1

    async def _has_turn(self) -> bool:
        """Wait for the pace; False when the campaign is stopping."""
        while not self._state.is_stopping:
            wait = self._pace.take(time.monotonic())
            if not wait:
                return True
            await asyncio.sleep(min(wait, _LONGEST_SLEEP))
        return False

    async def _has_room(self) -> bool:
        """Wait while too many outcomes are not recorded; False when the campaign is stopping."""
        await self._state.until(lambda: self._recorder.has_room or self._state.is_stopping)
        return not self._state.is_stopping

    def _settle(self, claimed: ClaimResult, outcome: Outcome) -> None:
        retryable = is_retryable(outcome)
        self.tally.count(outcome, retryable=retryable)
        self._recorder.add(SendResult(claimed, outcome, retryable))

    async def _report(self) -> None:
        sent, when = 0, self.seconds
        while True:
            await asyncio.sleep(_PROGRESS_SECONDS)
            rate = (self.tally.sent - sent) / (self.seconds - when)
            sent, when = self.tally.sent, self.seconds
            log.info(self.tally.progress(when, self._settings.total, rate))

    async def _in(self, executor: DaemonExecutor, work: Callable[..., _T], *arguments: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(executor, work, *arguments)

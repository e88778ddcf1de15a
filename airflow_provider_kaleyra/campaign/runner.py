"""Runs a campaign: sends claimed messages at the rate limit, and stops in order; needs neither SQL nor Airflow."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
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
    from airflow_provider_kaleyra.campaign.settings import Settings
    from airflow_provider_kaleyra.ledger.values import PreparedMessage

# A longer sleep would delay the stop of a campaign.
_LONGEST_SLEEP = 0.2

log = logging.getLogger(__name__)

_T = TypeVar("_T")
Send = Callable[[Request], Awaitable[Outcome]]


class CampaignLedger(Protocol):
    """The ledger as the runner uses it: all methods but :meth:`fail_fast` are called from one thread."""

    def prepare(self) -> None:
        """Create or check the tables."""

    def claim(self, window: Sequence[PreparedMessage]) -> list[ClaimResult]:
        """Claim recipients, committed before it returns."""

    def record(self, batch: Sequence[SendResult]) -> list[SendResult]:
        """Record outcomes; return those that were not recorded, because another task holds their rows."""

    def fail_fast(self) -> None:
        """From now on, stop trying within seconds if the database fails; called from any thread."""

    def close(self) -> None:
        """Release the database's connection."""


class Runner:
    """One task's run through a campaign's recipients.

    It sends, and decides when to stop. A :class:`Claimer` supplies claimed recipients, a :class:`Recorder` takes
    their outcomes; both use the ledger in one thread, because a database can be slow.

    :param recipients: each row's message, or why it has none.
    :param ledger: claims recipients and records outcomes.
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
        self._recorder = Recorder(self._record, settings.checkpoint_every, self._state, seconds=settings.record_seconds)
        self._in_flight: set[asyncio.Task[None]] = set()
        self._requested: StopReason | None = None
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
        """Seconds since the start."""
        return time.monotonic() - self._started

    @property
    def stopped(self) -> StopReason | None:
        """Why the campaign stopped before all recipients were handled; None if it did not."""
        return self._state.stop

    @property
    def unfinished(self) -> Unfinished:
        """What is not recorded yet; may be read from another thread while the campaign runs."""
        return Unfinished(self._claimer.claimed, len(self._in_flight), self._recorder.unrecorded)

    def request_stop(self, why: str) -> None:
        """Send no further message, wait for those in flight, then end; may be called at any time, from any thread."""
        # Stored before the loop is read, and run() does it in the other order: so one of them sees the other's value.
        self._requested = self._requested or StopReason(why)
        self._ledger.fail_fast()
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                self._loop.call_soon_threadsafe(self._state.begin_stop, self._requested)

    async def run(self, send: Send, on_pause: Callable[[], None] = lambda: None) -> Tally:
        """Send to the recipients until all are handled or the campaign stops, and return the counts.

        :param send: sends a request once, and returns its outcome.
        :param on_pause: called when a pause begins, in which the server may close idle connections.
        :raises KaleyraLedgerError: the ledger's database failed; the log names the outcomes that are not recorded.
        """
        self._send = send
        self._on_pause = on_pause
        self._loop = asyncio.get_running_loop()
        if self._requested is not None:
            self._state.begin_stop(self._requested)
        try:
            await self._state.unless_stopping(self._in_ledger_thread(self._ledger.prepare))
            if not self._state.is_stopping:
                await self._run()
        finally:
            # A database that hangs must delay neither this method nor, later, the end of the process.
            closing = asyncio.ensure_future(self._in_ledger_thread(self._ledger.close))
            await asyncio.wait({closing}, timeout=self._settings.close_seconds)
            self._ledger_thread.shutdown()
        return self.tally

    async def _run(self) -> None:
        background = [asyncio.create_task(job()) for job in (self._claimer.run, self._log_progress)]
        recording = asyncio.create_task(self._recorder.run())
        try:
            await self._send_all()
            await background[0]
        finally:
            self._state.finish()
            background[1].cancel()
            await recording

    async def _claim(self, window: Sequence[PreparedMessage]) -> list[ClaimResult]:
        return await self._in_ledger_thread(self._ledger.claim, window)

    async def _record(self, batch: Sequence[SendResult]) -> list[SendResult]:
        return await self._in_ledger_thread(self._ledger.record, batch)

    async def _send_all(self) -> None:
        """Send the claimed messages, with one sender for each connection."""
        next_message = asyncio.Lock()
        ending = asyncio.create_task(self._cancel_late())
        try:
            await asyncio.gather(*(self._run_sender(next_message) for _ in range(self._settings.max_connections)))
        finally:
            ending.cancel()

    async def _run_sender(self, next_message: asyncio.Lock) -> None:
        """Send one message after another; only the sender that holds the lock waits for the next one to be due."""
        while True:
            async with next_message:
                claimed = await self._claimer.take()
                if claimed is None:
                    return
                starts = await self._wait_for_recorder() and await self._has_turn()
            if starts:
                await self._deliver(claimed)
            else:
                why = self.stopped.why if self.stopped else ""
                self._settle(claimed, NotSent(f"the campaign stopped before it was sent: {why}"))
                self._claimer.mark_taken()

    async def _cancel_late(self) -> None:
        """Once the campaign is stopping, wait for the responses for a limited time, then cancel the sends."""
        await self._state.stopping()
        seconds = self._settings.response_seconds
        if self._in_flight:
            log.warning("Waiting for %d responses for at most %.0f s.", len(self._in_flight), seconds)
            await asyncio.sleep(seconds)
        for late in self._in_flight:
            late.cancel()

    async def _deliver(self, claimed: ClaimResult) -> None:
        outcome: Outcome = Unknown("the task ended before the response came")
        sender = asyncio.current_task()
        assert sender is not None  # noqa: S101 - a coroutine runs in a task
        self._in_flight.add(sender)
        self._claimer.mark_taken()
        try:
            outcome = await self._outcome_of(claimed)
        except asyncio.CancelledError:
            pass  # the campaign is stopping and has waited long enough
        except Exception as error:  # one message must not lose the others
            outcome = Unknown(f"{type(error).__name__} in the task")
            log.exception("Sending the message of line %d failed unexpectedly.", claimed.prepared.line)
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
        """Wait until the rate limit allows a message; return False when the campaign is stopping."""
        while not self._state.is_stopping:
            wait = self._pace.take(time.monotonic())
            if not wait:
                return True
            await asyncio.sleep(min(wait, _LONGEST_SLEEP))
        return False

    async def _wait_for_recorder(self) -> bool:
        """Wait while too many outcomes are not recorded; return False when the campaign is stopping."""
        await self._state.until(lambda: self._recorder.has_room or self._state.is_stopping)
        return not self._state.is_stopping

    def _settle(self, claimed: ClaimResult, outcome: Outcome) -> None:
        retryable = is_retryable(outcome)
        self.tally.count(outcome, retryable=retryable)
        self._recorder.add(SendResult(claimed, outcome, retryable))

    async def _log_progress(self) -> None:
        sent, when = 0, self.seconds
        while True:
            await asyncio.sleep(self._settings.progress_seconds)
            rate = (self.tally.sent - sent) / (self.seconds - when)
            sent, when = self.tally.sent, self.seconds
            log.info(self.tally.progress(when, self._settings.total, rate))

    async def _in_ledger_thread(self, work: Callable[..., _T], *arguments: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._ledger_thread, work, *arguments)

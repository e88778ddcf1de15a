"""Records a campaign's outcomes in the ledger in batches, and logs those that it cannot record."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_kaleyra.campaign.stop_rules import StopReason
from airflow_provider_kaleyra.whatsapp.outcome import Accepted, NotSent, Rejected
from airflow_provider_kaleyra.whatsapp.phone_number import masked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from airflow_provider_kaleyra.campaign.run_state import RunState
    from airflow_provider_kaleyra.ledger.values import SendResult

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Unfinished:
    """What a campaign has not recorded.

    :param claimed: the number of recipients that are claimed, or being claimed, and were not sent to.
    :param in_flight: the number of messages without a response.
    :param settled: the messages with an outcome.
    """

    claimed: int
    in_flight: int
    settled: list[SendResult]

    def log(self) -> None:
        """Log each outcome, and the number of messages and recipients without one."""
        if self.settled:
            log_unrecorded(self.settled)
        if self.in_flight:
            log.error("%d more messages were sent, and got no response so far.", self.in_flight)
        if self.claimed:
            log.error(
                "%d more recipients were claimed, or were being claimed, and nothing was sent to them.", self.claimed
            )
        if self.settled or self.in_flight or self.claimed:
            log.error("In the ledger these recipients are still claimed; the next try treats them as unknown.")


class Recorder:
    """Recorder of outcomes.

    :param record: writes a batch to the ledger; returns those outcomes whose rows another task holds.
    :param batch_size: the maximum number of outcomes in a batch.
    :param state: the state of the campaign's run.
    :param seconds: the longest time between two batches.
    """

    def __init__(
        self,
        record: Callable[[Sequence[SendResult]], Awaitable[list[SendResult]]],
        batch_size: int,
        state: RunState,
        seconds: float,
    ) -> None:
        self._record = record
        self._batch_size = batch_size
        self._seconds = seconds
        self._state = state
        self._settled: list[SendResult] = []
        self._being_recorded: list[SendResult] = []

    @property
    def unrecorded(self) -> list[SendResult]:
        """Outcomes that are not in the ledger yet; may be read from another thread."""
        settled, being_recorded = self._settled, self._being_recorded
        # An outcome that moves from the one list to the other meanwhile is in both.
        return list({one.claimed.prepared.to: one for one in (*being_recorded, *settled)}.values())

    @property
    def has_room(self) -> bool:
        """Whether few enough outcomes wait for another message to be sent."""
        return len(self._settled) + len(self._being_recorded) < 2 * self._batch_size

    def add(self, settled: SendResult) -> None:
        """Add an outcome to those that wait."""
        self._settled.append(settled)
        if self._is_due():
            self._state.changed()

    async def run(self) -> None:
        """Record outcomes until all are recorded and no other will come.

        :raises Exception: the error of the ledger; the log names the outcomes that are not recorded.
        """
        while True:
            await self._fill_batch()
            if not self._settled:
                if self._state.finished:
                    return
                continue
            self._being_recorded = self._settled[: self._batch_size]
            self._settled = self._settled[self._batch_size :]
            try:
                lost = await self._record(self._being_recorded)
            except Exception as error:  # of any kind: each outcome must be in the log
                await self._give_up(error)
                raise
            self._being_recorded = []
            self._state.changed()
            for one in lost:
                log.error("Not recorded, because another task has claimed the recipient: %s.", shown(one))

    def _is_due(self) -> bool:
        """Whether to record now: there is a batch, or the campaign is stopping."""
        state = self._state
        return len(self._settled) >= self._batch_size or state.finished or (bool(self._settled) and state.is_stopping)

    async def _fill_batch(self) -> None:
        """Wait until there is a batch, for a limited time."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._state.until(self._is_due), self._seconds)

    async def _give_up(self, error: Exception) -> None:
        """Wait for the messages in flight, and log all outcomes that are not in the ledger."""
        self._state.begin_stop(StopReason(str(error)))
        await self._state.until(lambda: self._state.finished)
        log_unrecorded(self.unrecorded)
        self._settled, self._being_recorded = [], []


def log_unrecorded(unrecorded: Sequence[SendResult]) -> None:
    """Log each outcome that is not in the ledger."""
    log.error("The outcomes of these %d recipients are not in the ledger:", len(unrecorded))
    for one in unrecorded:
        log.error("%s", shown(one))


def shown(settled: SendResult) -> str:
    """Return an outcome for the log, with the number masked."""
    prepared = settled.claimed.prepared
    match settled.outcome:
        case Accepted(message_id):
            what = f"accepted, message id {message_id}"
        case Rejected(code=code, http_status=status):
            what = f"rejected, {code or f'HTTP {status}'}"
        case NotSent():
            what = "not sent"
        case _:
            what = "unknown"
    return f"line {prepared.line}, {masked(prepared.to)}: {what}"

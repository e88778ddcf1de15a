"""Writes a campaign's outcomes to the ledger, in batches."""

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

_RECORD_SECONDS = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Unfinished:
    """What a campaign that was not waited for has not recorded.

    :param claimed: how many recipients are claimed, or being claimed, and were not sent to.
    :param in_flight: how many messages wait for a response.
    :param settled: messages with an outcome.
    """

    claimed: int
    in_flight: int
    settled: list[SendResult]

    def log(self) -> None:
        """Name the outcomes, and count what has none."""
        if self.settled:
            log_unrecorded(self.settled)
        if self.in_flight:
            log.error("%d more messages were sent, and their responses were not awaited.", self.in_flight)
        if self.claimed:
            log.error("%d more recipients were claimed, or about to be, and nothing was sent to them.", self.claimed)
        if self.settled or self.in_flight or self.claimed:
            log.error("In the ledger these recipients are still claimed; the next try treats them as unknown.")


class Recorder:
    """
    Recorder of outcomes.

    :param record: writes a batch to the ledger; returns those outcomes whose rows another task holds.
    :param most: the most outcomes in a batch.
    """

    def __init__(
        self, record: Callable[[Sequence[SendResult]], Awaitable[list[SendResult]]], most: int, state: RunState
    ) -> None:
        self._record = record
        self._most = most
        self._state = state
        self._settled: list[SendResult] = []
        self._being_recorded: list[SendResult] = []

    @property
    def unrecorded(self) -> list[SendResult]:
        """Outcomes that are not in the ledger; may be read from another thread."""
        settled, being_recorded = self._settled, self._being_recorded
        # One that moves from the first to the second meanwhile is in both.
        return list({one.claimed.prepared.to: one for one in (*being_recorded, *settled)}.values())

    @property
    def has_room(self) -> bool:
        """Whether so few outcomes wait that a further message may be sent."""
        return len(self._settled) + len(self._being_recorded) < 2 * self._most

    def add(self, settled: SendResult) -> None:
        """Take an outcome."""
        self._settled.append(settled)
        if self._is_due():
            self._state.changed()

    async def run(self) -> None:
        """Record outcomes until the last one is.

        :raises Exception: what the ledger raised; the log names the outcomes that are not recorded.
        """
        while True:
            await self._fill_batch()
            if not self._settled:
                if self._state.finished:
                    return
                continue
            self._being_recorded = self._settled[: self._most]
            self._settled = self._settled[self._most :]
            try:
                lost = await self._record(self._being_recorded)
            except Exception as error:  # whatever it is, no outcome may be lost unnamed
                await self._give_up(error)
                raise
            self._being_recorded = []
            self._state.changed()
            for one in lost:
                log.error("Another task has taken this recipient over meanwhile: %s.", shown(one))

    def _is_due(self) -> bool:
        """Whether there is a batch; a campaign that is stopping records at once."""
        state = self._state
        return len(self._settled) >= self._most or state.finished or (bool(self._settled) and state.is_stopping)

    async def _fill_batch(self) -> None:
        """Wait until there is a batch or a second has passed."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._state.until(self._is_due), _RECORD_SECONDS)

    async def _give_up(self, error: Exception) -> None:
        """Wait for the messages in flight, and name all outcomes that are not in the ledger."""
        self._state.begin_stop(StopReason(str(error)))
        await self._state.until(lambda: self._state.finished)
        log_unrecorded(self.unrecorded)
        self._settled, self._being_recorded = [], []


def log_unrecorded(unrecorded: Sequence[SendResult]) -> None:
    """Name each outcome that the ledger does not know."""
    log.error("The ledger does not know what became of these %d recipients:", len(unrecorded))
    for one in unrecorded:
        log.error("%s", shown(one))


def shown(settled: SendResult) -> str:
    """Describe one outcome as the log may show it."""
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

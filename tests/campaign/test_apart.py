from __future__ import annotations

import asyncio
import contextvars
import signal
import threading
import time

import pytest

from airflow_provider_kaleyra.campaign.apart import run_apart


class Ended(BaseException):
    """What Airflow raises from a signal handler: no Exception."""


class Work:
    """Runs until it is asked to stop, and takes a moment to wind down."""

    def __init__(self) -> None:
        self.why: list[str] = []
        self.wound_down = False
        self._stopping = threading.Event()

    async def run(self) -> str:
        while not self._stopping.is_set():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        self.wound_down = True
        return "done"

    def stop_soon(self, why: str) -> None:
        self.why.append(why)
        self._stopping.set()


@pytest.fixture
def on_alarm():
    """Lets a signal call something in a moment, as Airflow's own do."""
    before = signal.getsignal(signal.SIGALRM)

    def arrange(handler, *, times: int = 1) -> None:
        signal.signal(signal.SIGALRM, lambda number, frame: handler())
        signal.setitimer(signal.ITIMER_REAL, 0.1, 0.05 if times > 1 else 0)

    yield arrange
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def raise_ended() -> None:
    raise Ended("timeout")


def test_the_result_is_handed_over():
    async def work() -> int:
        return 7

    assert run_apart(work, lambda why: None) == 7


def test_what_the_work_raises_is_raised():
    async def work() -> None:
        raise LookupError("here")

    with pytest.raises(LookupError, match="here"):
        run_apart(work, lambda why: None)


def test_an_exception_of_a_signal_handler_winds_the_work_down_and_is_raised_then(on_alarm):
    work = Work()
    on_alarm(raise_ended)
    with pytest.raises(Ended):
        run_apart(work.run, work.stop_soon)
    assert work.why == ["Airflow ended the task (Ended)"]
    assert work.wound_down


def test_further_signals_do_not_cut_the_winding_down_short(on_alarm):
    work = Work()
    on_alarm(raise_ended, times=3)
    with pytest.raises(Ended):
        run_apart(work.run, work.stop_soon)
    assert work.wound_down


def test_a_signal_handler_that_only_asks_to_stop_lets_the_work_return(on_alarm):
    work = Work()
    on_alarm(lambda: work.stop_soon("on_kill"))
    assert run_apart(work.run, work.stop_soon) == "done"


def test_the_work_sees_the_context_of_its_caller():
    where = contextvars.ContextVar("where")
    where.set("here")

    async def work() -> str:
        return where.get()

    assert run_apart(work, lambda why: None) == "here"


def test_a_busy_event_loop_does_not_delay_the_signal(on_alarm):
    work = Work()
    raised_at = []

    async def busy() -> None:
        while not work.why:
            time.sleep(0.001)
            await asyncio.sleep(0)

    on_alarm(lambda: raised_at.append(time.monotonic()) or raise_ended())
    with pytest.raises(Ended):
        run_apart(busy, work.stop_soon)
    assert len(raised_at) == 1

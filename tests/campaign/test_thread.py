from __future__ import annotations

import asyncio
import contextvars
import signal
import subprocess
import sys
import threading
import time

import pytest

from airflow_provider_kaleyra.campaign.thread import PATIENCE_SECONDS, StopRequest, run_in_thread


class Ended(BaseException):
    """What Airflow raises from a signal handler: no Exception."""


class Work:
    """Runs until it is asked to stop, and takes a moment to wind down."""

    def __init__(self) -> None:
        self.why: list[str] = []
        self.wound_down = False
        self.stop = StopRequest()
        self.stop.call(self.why.append)

    async def run(self) -> str:
        while not self.why:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        self.wound_down = True
        return "done"

    async def briefly(self) -> None:
        while not self.why:
            await asyncio.sleep(0.001)
        self.wound_down = True


def run(work, stop: StopRequest | None = None, patience: float = PATIENCE_SECONDS):
    """Run a coroutine in a thread, as a campaign is."""
    return run_in_thread(lambda: asyncio.run(work()), stop or StopRequest(), lambda: UnfinishedError("hangs"), patience)


class UnfinishedError(Exception):
    """What the task raises when its work hangs."""


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

    assert run(work) == 7


def test_what_the_work_raises_is_raised():
    async def work() -> None:
        raise LookupError("here")

    with pytest.raises(LookupError, match="here"):
        run(work)


def test_an_exception_of_a_signal_handler_winds_the_work_down_and_is_raised_then(on_alarm):
    work = Work()
    on_alarm(raise_ended)
    with pytest.raises(Ended):
        run(work.run, work.stop)
    assert set(work.why) == {"Airflow ended the task (Ended)"}
    assert work.wound_down


def test_further_signals_do_not_cut_the_winding_down_short(on_alarm):
    work = Work()
    on_alarm(raise_ended, times=3)
    with pytest.raises(Ended):
        run(work.run, work.stop)
    assert work.wound_down


def test_a_signal_handler_that_only_asks_to_stop_lets_the_work_return(on_alarm):
    work = Work()
    on_alarm(lambda: work.stop.set("on_kill"))
    assert run(work.run, work.stop) == "done"


def test_the_work_sees_the_context_of_its_caller():
    where = contextvars.ContextVar("where")
    where.set("here")

    async def work() -> str:
        return where.get()

    assert run(work) == "here"


def test_a_busy_event_loop_does_not_delay_the_signal(on_alarm):
    work = Work()
    raised_at = []

    async def busy() -> None:
        while not work.why:
            time.sleep(0.001)
            await asyncio.sleep(0)

    on_alarm(lambda: raised_at.append(time.monotonic()) or raise_ended())
    with pytest.raises(Ended):
        run(busy, work.stop)
    assert len(raised_at) == 1


def test_signals_that_arrive_while_an_earlier_one_is_handled_change_nothing():
    """In a process of its own: a signal that interrupts a destructor is an error to pytest, and nothing to Python."""
    program = """
import signal, time
from airflow_provider_kaleyra.campaign.thread import StopRequest, run_in_thread

class Ended(BaseException):
    pass

def raise_ended(number, frame):
    raise Ended

def work():
    time.sleep(0.3)  # until the main thread waits, on a busy machine too
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    while stop.why is None:
        time.sleep(0.01)
    time.sleep(0.2)
    signal.setitimer(signal.ITIMER_REAL, 0)
    print(stop.why)

signal.signal(signal.SIGALRM, raise_ended)
stop = StopRequest()
try:
    run_in_thread(work, stop, lambda: TimeoutError("unfinished"))
except Ended:
    print("raised Ended")
"""
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert process.stdout == "Airflow ended the task (Ended)\nraised Ended\n"


def test_a_signal_at_any_moment_leaves_the_work_able_to_end(on_alarm):
    """A lock that an exception of a signal handler leaves locked would hold the work, or end it with another error."""
    ended = []
    for moment in range(40):
        work = Work()
        timer = threading.Timer(0.02 + moment / 10_000, signal.setitimer, [signal.ITIMER_REAL, 0.0001])
        on_alarm(raise_ended)
        signal.setitimer(signal.ITIMER_REAL, 0)
        timer.start()
        with pytest.raises(Ended):
            run(work.briefly, work.stop, patience=5)
        ended.append(work.wound_down)
    assert all(ended)


def test_a_request_before_the_work_begins_is_not_lost():
    stop = StopRequest()
    stop.set("early")
    stop.set("later")
    seen = []

    async def work() -> str:
        stop.call(seen.append)
        return stop.why

    assert run(work, stop) == "early"
    assert seen == ["early"]


@pytest.fixture
def hanging():
    """Work that nothing ends but the test."""
    released = threading.Event()

    async def work() -> None:
        released.wait(60)

    yield work
    released.set()


def test_work_that_hangs_is_not_waited_for_and_the_interruption_raised(on_alarm, hanging):
    on_alarm(raise_ended)
    started = time.monotonic()
    with pytest.raises(Ended):
        run(hanging, patience=1.0)
    assert 1.0 <= time.monotonic() - started < 10


def test_work_that_hangs_is_not_waited_for_where_a_signal_handler_only_asks_to_stop(on_alarm, hanging):
    stop = StopRequest()
    on_alarm(lambda: stop.set("on_kill"))
    started = time.monotonic()
    with pytest.raises(UnfinishedError, match="hangs"):
        run(hanging, stop, patience=1.0)
    assert 1.0 <= time.monotonic() - started < 10


def test_work_that_hangs_is_waited_for_until_it_is_asked_to_stop(hanging):
    timer = threading.Timer(1.5, lambda: stop.set("now"))
    stop = StopRequest()
    started = time.monotonic()
    timer.start()
    with pytest.raises(UnfinishedError):
        run(hanging, stop, patience=1.0)
    assert time.monotonic() - started >= 1.5


def test_a_process_ends_although_unfinished_work_hangs():
    """In its own code, in a thread of the event loop's, and in one of a campaign's."""
    program = """
import asyncio, threading, time
from airflow_provider_kaleyra.campaign.thread import StopRequest, run_in_thread
from airflow_provider_kaleyra.campaign.daemon_executor import DaemonExecutor

async def work():
    loop = asyncio.get_running_loop()
    loop.set_default_executor(DaemonExecutor(2, "default"))
    await asyncio.gather(
        asyncio.to_thread(time.sleep, 600), loop.run_in_executor(DaemonExecutor(1, "ledger"), time.sleep, 600)
    )

stop = StopRequest()
threading.Timer(0.5, stop.set, ["now"]).start()
try:
    run_in_thread(lambda: asyncio.run(work()), stop, lambda: TimeoutError("unfinished"), patience=0.5)
except TimeoutError as error:
    print(error)
"""
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert process.stdout == "unfinished\n"
    assert process.stderr == ""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import pytest

from airflow_provider_kaleyra.campaign import runner as module
from airflow_provider_kaleyra.campaign.message_builder import Invalid
from airflow_provider_kaleyra.campaign.runner import Runner
from airflow_provider_kaleyra.campaign.settings import Settings
from airflow_provider_kaleyra.campaign.tally import Tally
from airflow_provider_kaleyra.exceptions import KaleyraLedgerError
from airflow_provider_kaleyra.ledger.values import ClaimResult, PreparedMessage, SendResult, Step
from airflow_provider_kaleyra.whatsapp.outcome import Accepted, NotSent, Outcome, Unknown
from airflow_provider_kaleyra.whatsapp.request import Request
from tests.campaign.builders import number, prepared, rejected

Send = Callable[[Request], Awaitable[Outcome]]


class LedgerInMemory:
    """Claims all but *steps* says otherwise, and keeps the order of what happens."""

    def __init__(self, steps: dict[str, Step] | None = None) -> None:
        self.steps = steps or {}
        self.claimed: set[str] = set()
        self.outcomes: dict[str, SendResult] = {}
        self.batches: list[int] = []
        self.calls: list[str] = []
        self.most_open = 0
        self.claim_fails_after: int | None = None
        self.record_fails = False
        self.threads: set[int] = set()

    def prepare(self) -> None:
        self._note("prepare")

    def claim(self, window: Sequence[PreparedMessage]) -> list[ClaimResult]:
        self._note("claim")
        if self.claim_fails_after is not None and len(self.claimed) >= self.claim_fails_after:
            raise KaleyraLedgerError("claiming failed", "")
        found = [ClaimResult(one, self.steps.get(one.to, Step.SEND), "token/1") for one in window]
        self.claimed |= {one.prepared.to for one in found if one.step is Step.SEND}
        self.most_open = max(self.most_open, len(self.claimed) - len(self.outcomes))
        return found

    def record(self, batch: Sequence[SendResult]) -> list[SendResult]:
        self._note("record")
        if self.record_fails:
            raise KaleyraLedgerError("recording failed", "")
        self.batches.append(len(batch))
        for one in batch:
            assert one.claimed.prepared.to not in self.outcomes, "recorded twice"
            self.outcomes[one.claimed.prepared.to] = one
        return []

    def fail_fast(self) -> None:
        self.calls.append("fail_fast")

    def close(self) -> None:
        self._note("close")

    def counts(self) -> Counter[str]:
        return Counter(type(one.outcome).__name__ for one in self.outcomes.values())

    def _note(self, call: str) -> None:
        self.calls.append(call)
        self.threads.add(threading.get_ident())


class Kaleyra:
    """Answers each request, and witnesses what was sent."""

    def __init__(self, answer: Callable[[str, int], Outcome] | None = None, takes: float = 0.0) -> None:
        self.answer = answer or (lambda to, time_: Accepted(f"A{to}"))
        self.takes = takes
        self.sent: Counter[str] = Counter()
        self.times: list[float] = []
        self.most_at_once = 0
        self._now = 0

    async def send(self, request: Request) -> Outcome:
        to, _sender = request.numbers
        self.sent[to] += 1
        self.times.append(time.monotonic())
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            await asyncio.sleep(self.takes)
        finally:
            self._now -= 1
        return self.answer(to, self.sent[to])


def many(count: int) -> list[PreparedMessage | Invalid]:
    return prepared(number(index) for index in range(count))


def new_runner(recipients: Iterable[PreparedMessage | Invalid], ledger: LedgerInMemory, **settings: object) -> Runner:
    return Runner(recipients, ledger, Settings(**{"per_second": 5000} | settings))


def eventually(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def run(runner: Runner, kaleyra: Kaleyra) -> Tally:
    return asyncio.run(runner.run(kaleyra.send))


def test_every_recipient_is_sent_to_once_and_recorded():
    ledger, kaleyra = LedgerInMemory(), Kaleyra()
    tally = run(new_runner(many(1234), ledger), kaleyra)
    assert kaleyra.sent == Counter(number(index) for index in range(1234))
    assert ledger.counts() == {"Accepted": 1234}
    assert (tally.accepted, tally.handled) == (1234, 1234)


def test_nothing_leaves_before_its_claim_is_committed():
    ledger, early = LedgerInMemory(), []

    async def send(request: Request) -> Outcome:
        early.extend({request.numbers[0]} - ledger.claimed)
        return Accepted("A")

    asyncio.run(new_runner(many(500), ledger).run(send))
    assert early == []


def test_the_ledger_is_used_from_one_thread_other_than_the_event_loops():
    ledger = LedgerInMemory()
    run(new_runner(many(300), ledger), Kaleyra())
    assert len(ledger.threads) == 1
    assert threading.get_ident() not in ledger.threads
    assert (ledger.calls[0], ledger.calls[-1]) == ("prepare", "close")


def test_outcomes_are_recorded_in_batches():
    ledger = LedgerInMemory()
    run(new_runner(many(2000), ledger, checkpoint_every=50), Kaleyra())
    assert sum(ledger.batches) == 2000
    assert max(ledger.batches) == 50
    # Full ones, but for the few of a second in which fewer were sent.
    assert len(ledger.batches) <= 60


def test_a_slow_campaign_records_every_second():
    ledger = LedgerInMemory()
    run(new_runner(many(13), ledger, per_second=10), Kaleyra())
    assert len(ledger.batches) >= 2


def test_what_is_claimed_but_not_recorded_is_bounded():
    ledger = LedgerInMemory()
    record = ledger.record

    def slow(batch: Sequence[SendResult]) -> list[SendResult]:
        time.sleep(0.02)
        return record(batch)

    ledger.record = slow
    settings = {"per_second": 5000, "checkpoint_every": 20, "max_connections": 10}
    run(new_runner(many(400), ledger, **settings), Kaleyra())
    assert ledger.most_open <= Settings(**settings).max_unrecorded == 90


def test_no_more_are_on_their_way_than_allowed():
    kaleyra = Kaleyra(takes=0.005)
    run(new_runner(many(200), LedgerInMemory(), max_connections=7), kaleyra)
    assert kaleyra.most_at_once == 7


def test_what_the_ledger_knows_is_not_sent_but_counted():
    left = [Step.ALREADY_ACCEPTED, Step.DUPLICATE, Step.SKIP_UNKNOWN, Step.RECORD_KILLED, Step.CLAIMED_ELSEWHERE]
    ledger, kaleyra = LedgerInMemory({number(index): step for index, step in enumerate(left)}), Kaleyra()
    tally = run(new_runner([*many(7), Invalid(8, "no number")], ledger), kaleyra)
    assert set(kaleyra.sent) == {number(5), number(6)}
    assert (tally.already_accepted, tally.duplicates, tally.claimed_elsewhere) == (1, 1, 1)
    assert (tally.skipped_unknown, tally.skipped_killed) == (1, 1)
    assert (tally.invalid, tally.handled) == (1, 8)


@pytest.mark.parametrize("outcome", [Unknown("lost"), rejected("WA400"), rejected("WA500", 500)], ids=str)
def test_a_message_that_may_have_been_accepted_or_was_refused_is_not_repeated(outcome):
    kaleyra = Kaleyra(lambda to, time_: outcome)
    run(new_runner(many(3), LedgerInMemory()), kaleyra)
    assert set(kaleyra.sent.values()) == {1}


def test_a_message_that_never_left_is_tried_again(monkeypatch):
    monkeypatch.setattr(module, "CAMPAIGN", replace(module.CAMPAIGN, first_wait=0.01))
    kaleyra = Kaleyra(lambda to, time_: NotSent("refused") if time_ < 3 else Accepted("A"))
    assert run(new_runner(many(3), LedgerInMemory()), kaleyra).accepted == 3
    assert set(kaleyra.sent.values()) == {3}


def test_a_429_pauses_the_whole_campaign_and_the_message_is_sent_again():
    kaleyra = Kaleyra(
        lambda to, time_: rejected(None, 429, retry_after=0.5) if (to, time_) == (number(20), 1) else Accepted("A")
    )
    tally = run(new_runner(many(40), LedgerInMemory(), per_second=100), kaleyra)
    assert tally.accepted == 40
    assert kaleyra.sent[number(20)] == 2
    gaps = [later - earlier for earlier, later in zip(kaleyra.times, kaleyra.times[1:], strict=False)]
    assert max(gaps) > 0.4


def test_when_a_pause_begins_the_transport_is_told_before_anything_else_is_sent():
    told: list[int] = []
    kaleyra = Kaleyra(
        lambda to, time_: rejected(None, 503, retry_after=0.2) if (to, time_) == (number(20), 1) else Accepted("A")
    )
    runner = new_runner(many(40), LedgerInMemory(), per_second=100, max_connections=1)
    asyncio.run(runner.run(kaleyra.send, lambda: told.append(len(kaleyra.times))))
    assert told == [21]


def test_a_server_that_refuses_for_good_is_not_asked_without_end():
    kaleyra = Kaleyra(lambda to, time_: rejected(None, 429, retry_after=0.01))
    ledger = LedgerInMemory()
    run(new_runner(many(2), ledger), kaleyra)
    assert set(kaleyra.sent.values()) == {3}
    assert all(one.retryable for one in ledger.outcomes.values())


@pytest.mark.parametrize(("code", "retry_helps"), [("E110", True), ("RBC001", False)])
def test_a_failure_of_the_account_stops_the_campaign_at_once(code, retry_helps):
    ledger = LedgerInMemory()
    kaleyra = Kaleyra(lambda to, time_: rejected(code) if to == number(30) else Accepted("A"))
    runner = new_runner(many(5000), ledger, max_connections=4, per_second=500)
    run(runner, kaleyra)
    assert runner.stopped.retry_helps is retry_helps
    assert code in runner.stopped.why
    assert len(kaleyra.sent) <= 40


def test_what_was_claimed_but_not_started_is_released_when_the_campaign_stops():
    ledger = LedgerInMemory()
    kaleyra = Kaleyra(lambda to, time_: rejected("E110") if to == number(30) else Accepted("A"))
    run(new_runner(many(5000), ledger, per_second=500), kaleyra)
    assert set(ledger.outcomes) == ledger.claimed
    left = {to for to, one in ledger.outcomes.items() if isinstance(one.outcome, NotSent)}
    assert left == ledger.claimed - set(kaleyra.sent)
    assert left
    assert all(ledger.outcomes[to].retryable for to in left)


def test_too_many_failures_stop_the_campaign():
    kaleyra = Kaleyra(lambda to, time_: rejected("WA400"))
    runner = new_runner(many(5000), LedgerInMemory(), max_failures=10, max_connections=2)
    run(runner, kaleyra)
    assert runner.stopped.retry_helps is False
    assert len(kaleyra.sent) <= 13


def test_a_network_that_is_down_does_not_burn_through_the_list(monkeypatch):
    monkeypatch.setattr(module, "CAMPAIGN", replace(module.CAMPAIGN, first_wait=0.01))
    ledger = LedgerInMemory()
    kaleyra = Kaleyra(lambda to, time_: NotSent("refused"))
    runner = new_runner(many(5000), ledger, max_connections=5)
    run(runner, kaleyra)
    assert runner.stopped.retry_helps
    assert len(kaleyra.sent) < 40
    assert set(ledger.outcomes) == ledger.claimed


@dataclass
class Stopping:
    """How a campaign that was asked to stop ended.

    :param sent: how many messages had left when it noticed.
    :param seconds: from then on.
    """

    runner: Runner
    sent: int
    seconds: float


def stopped_while_sending(ledger: LedgerInMemory, kaleyra: Kaleyra, after: int = 30, **settings: float) -> Stopping:
    """A campaign that is asked to stop once *after* messages have left, however long a busy machine takes for that."""
    stopping = Stopping(new_runner(many(5000), ledger, per_second=100, **settings), 0, 0.0)

    async def stop() -> None:
        while len(kaleyra.sent) < after:
            await asyncio.sleep(0.01)
        stopping.runner.request_stop("SIGTERM")
        for _ in range(2):  # in the first turn of the event loop it notices, in the second the last sends start
            await asyncio.sleep(0)
        stopping.sent, stopping.seconds = len(kaleyra.sent), -time.monotonic()

    async def work() -> None:
        await asyncio.gather(stop(), stopping.runner.run(kaleyra.send))
        stopping.seconds += time.monotonic()

    asyncio.run(work())
    return stopping


def test_a_campaign_that_is_asked_to_stop_awaits_what_is_on_its_way_and_starts_nothing():
    ledger, kaleyra = LedgerInMemory(), Kaleyra(takes=0.3)
    stopping = stopped_while_sending(ledger, kaleyra)
    assert stopping.runner.stopped.why == "SIGTERM"
    assert ledger.counts()["Accepted"] == len(kaleyra.sent) == stopping.sent >= 30
    assert set(ledger.outcomes) == ledger.claimed
    assert stopping.seconds < Settings().response_seconds


def test_a_campaign_that_is_asked_to_stop_waits_no_longer_for_its_database_either():
    ledger = LedgerInMemory()
    stopped_while_sending(ledger, Kaleyra(), after=1)
    assert ledger.calls.count("fail_fast") == 1


def test_answers_that_do_not_come_in_time_are_unknown():
    ledger, kaleyra = LedgerInMemory(), Kaleyra(takes=60)
    stopping = stopped_while_sending(ledger, kaleyra, response_seconds=0.3)
    assert ledger.counts()["Unknown"] == len(kaleyra.sent) == stopping.sent >= 30
    assert set(ledger.outcomes) == ledger.claimed
    assert stopping.seconds < kaleyra.takes


def test_a_campaign_that_pauses_stops_at_once():
    pause = 300.0
    kaleyra = Kaleyra(lambda to, time_: rejected(None, 429, retry_after=pause))
    ledger = LedgerInMemory()
    stopping = stopped_while_sending(ledger, kaleyra, after=1)
    assert stopping.seconds < pause / 10
    assert ledger.outcomes
    assert all(one.retryable for one in ledger.outcomes.values())


def test_a_reader_that_hangs_does_not_keep_the_campaign_from_stopping():
    released = threading.Event()

    def hanging():
        yield from many(3)
        released.wait(60)

    ledger = LedgerInMemory()
    runner = new_runner(hanging(), ledger, checkpoint_every=3)

    async def work() -> None:
        asyncio.get_running_loop().call_later(0.3, runner.request_stop, "SIGTERM")
        await runner.run(Kaleyra().send)

    started = time.monotonic()
    asyncio.run(work())
    released.set()
    assert time.monotonic() - started < 60
    assert ledger.counts() == {"Accepted": 3}


def test_stopping_after_the_run_does_no_harm():
    runner = new_runner(many(3), LedgerInMemory())
    run(runner, Kaleyra())
    runner.request_stop("too late")
    assert (runner.tally.accepted, runner.stopped) == (3, None)


def test_a_request_to_stop_before_the_run_is_obeyed():
    ledger, kaleyra = LedgerInMemory(), Kaleyra()
    runner = new_runner(many(3), ledger)
    runner.request_stop("early")
    runner.request_stop("later")
    run(runner, kaleyra)
    assert (runner.stopped.retry_helps, runner.stopped.why) == (True, "early")
    assert (ledger.claimed, kaleyra.sent) == (set(), Counter())
    assert "prepare" not in ledger.calls


@pytest.mark.parametrize("call", ["prepare", "close"])
def test_a_ledger_that_hangs_does_not_keep_the_campaign_from_stopping(call):
    released = threading.Event()
    ledger = LedgerInMemory()
    setattr(ledger, call, lambda: released.wait(60))
    runner = new_runner(many(100), ledger)

    async def work() -> None:
        asyncio.get_running_loop().call_later(0.3, runner.request_stop, "SIGTERM")
        await runner.run(Kaleyra().send)

    started = time.monotonic()
    asyncio.run(work())
    assert time.monotonic() - started < 30
    released.set()


def test_a_campaign_that_is_not_waited_for_tells_what_it_leaves_behind(logged):
    """The ledger hangs, and another thread looks at the campaign."""
    released = threading.Event()
    ledger, kaleyra = LedgerInMemory(), Kaleyra()
    record = ledger.record

    def hanging(batch: Sequence[SendResult]) -> list[SendResult]:
        released.wait(60)
        return record(batch)

    ledger.record = hanging
    runner = new_runner(many(500), ledger, per_second=100, checkpoint_every=10)
    campaign = threading.Thread(target=run, args=(runner, kaleyra))
    campaign.start()
    try:
        eventually(lambda: len(runner.unfinished.settled) >= 20)
        runner.request_stop("SIGTERM")
        eventually(lambda: len(runner.unfinished.settled) == len(ledger.claimed))
        unfinished, claimed = runner.unfinished, set(ledger.claimed)
        unfinished.log()
    finally:
        released.set()
        campaign.join(30)
    told = logged()
    assert {one.claimed.prepared.to for one in unfinished.settled} == claimed
    assert f"outcomes of these {len(claimed)} recipients" in told
    assert unfinished.claimed <= 50  # a window that waits for the ledger
    assert len(kaleyra.sent) >= 20
    for to in kaleyra.sent:
        assert f"accepted, message id A{to}" in told
    assert f"line 1, {number(0)[:3]}" in told
    assert set(ledger.outcomes) == ledger.claimed  # once the ledger responds, they are recorded nevertheless


def test_rejections_of_an_earlier_try_end_the_campaign_before_it_sends():
    steps = {number(index): Step.ALREADY_REJECTED if index % 2 else Step.ALREADY_ACCEPTED for index in range(120)}
    ledger, kaleyra = LedgerInMemory(steps), Kaleyra()
    runner = new_runner(many(5000), ledger, max_failures=0.05)
    run(runner, kaleyra)
    assert runner.stopped.retry_helps is False
    assert "60 failures among 120 recipients" in runner.stopped.why
    assert kaleyra.sent == Counter()
    assert ledger.counts() == {"NotSent": len(ledger.claimed)}


def test_a_ledger_that_cannot_claim_ends_the_campaign_after_recording_what_was_sent():
    ledger, kaleyra = LedgerInMemory(), Kaleyra(takes=0.1)
    ledger.claim_fails_after = 300
    with pytest.raises(KaleyraLedgerError, match="claiming failed"):
        run(new_runner(many(5000), ledger), kaleyra)
    assert set(ledger.outcomes) == ledger.claimed
    assert ledger.counts()["Accepted"] == len(kaleyra.sent)


def test_a_ledger_that_cannot_record_ends_the_campaign_and_the_log_tells_what_is_unrecorded(logged):
    ledger, kaleyra = LedgerInMemory(), Kaleyra(takes=0.05)
    ledger.record_fails = True
    runner = new_runner(many(5000), ledger, per_second=200)
    with pytest.raises(KaleyraLedgerError, match="recording failed"):
        run(runner, kaleyra)
    told = logged()
    assert f"outcomes of these {len(ledger.claimed)} recipients" in told
    for to in kaleyra.sent:
        assert f"accepted, message id A{to}" in told  # the id that this stand-in for Kaleyra gave it
    assert len(kaleyra.sent) < 1000


def test_recipients_that_cannot_be_read_end_the_campaign():
    def broken():
        yield from many(150)
        raise OSError("the file is gone")

    ledger = LedgerInMemory()
    with pytest.raises(OSError, match="the file is gone"):
        run(new_runner(broken(), ledger), Kaleyra())
    assert set(ledger.outcomes) == ledger.claimed


def test_an_unforeseen_error_in_one_send_leaves_the_others_alone(logged):
    async def send(request: Request) -> Outcome:
        if number(5) in request.numbers:
            raise LookupError("unforeseen")
        return Accepted("A")

    ledger = LedgerInMemory()
    asyncio.run(new_runner(many(50), ledger).run(send))
    assert ledger.counts() == {"Accepted": 49, "Unknown": 1}
    assert "LookupError" in logged()


def test_progress_is_told_every_ten_seconds(logged):
    run(new_runner(many(60), LedgerInMemory(), per_second=100, total=60, progress_seconds=0.2), Kaleyra())
    assert "of 60 done" in logged()


def test_the_log_shows_no_number(logged):
    ledger = LedgerInMemory()
    ledger.record_fails = True
    kaleyra = Kaleyra(lambda to, time_: Accepted("AX1"))
    with pytest.raises(KaleyraLedgerError):
        run(new_runner(many(5), ledger), kaleyra)
    told = logged()
    assert "line 1, +91********00" in told
    assert not any(number(index)[1:] in told for index in range(5))


def test_a_retry_is_decided_by_what_came_back_last(monkeypatch):
    monkeypatch.setattr(module, "CAMPAIGN", replace(module.CAMPAIGN, first_wait=0.01))
    kaleyra = Kaleyra(lambda to, time_: NotSent("refused") if time_ == 1 else Unknown("lost"))
    ledger = LedgerInMemory()
    run(new_runner(many(1), ledger), kaleyra)
    assert ledger.counts() == {"Unknown": 1}
    assert kaleyra.sent[number(0)] == 2


def test_importing_the_runner_loads_neither_a_database_nor_airflow_nor_http():
    program = """
import sys
import airflow_provider_kaleyra.campaign.runner
print(sorted({name.partition(".")[0] for name in sys.modules} & {"airflow", "aiohttp", "requests", "sqlalchemy"}))
"""
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert process.stdout == "[]\n"

"""The ledger's promises; tests/services holds PostgreSQL to the same ones."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from airflow_provider_kaleyra.exceptions import KaleyraConfigError, KaleyraLedgerError
from airflow_provider_kaleyra.ledger.claim_rules import Claimant
from airflow_provider_kaleyra.ledger.database import WAITS
from airflow_provider_kaleyra.ledger.ledger import Ledger
from airflow_provider_kaleyra.ledger.migrations import MIGRATIONS
from airflow_provider_kaleyra.ledger.schema import _OUTCOME, SENDS
from airflow_provider_kaleyra.ledger.values import ClaimResult, SendResult, Step
from airflow_provider_kaleyra.whatsapp.outcome import Accepted, NotSent, Outcome, Unknown
from tests.campaign.builders import claimant, number, prepared, rejected


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture
def open_ledger(database_url):
    """Opens ledgers of one database, each over an engine of its own, as tasks do."""
    ledgers = []

    def open_one(who: Claimant | None = None, campaign_id: str = "diwali", **options: object) -> Ledger:
        ledger = Ledger(new_engine(database_url), campaign_id, who or claimant(), **options)
        ledger.prepare()
        ledgers.append(ledger)
        return ledger

    yield open_one
    for ledger in ledgers:
        ledger.close()


@pytest.fixture
def rows(database_url):
    """Reads the rows of a campaign, by recipient."""

    def read(campaign_id: str = "diwali") -> dict[str, dict[str, object]]:
        engine = new_engine(database_url)
        with engine.connect() as connection:
            found = connection.execute(sa.select(*SENDS.c).where(SENDS.c.campaign_id == campaign_id)).mappings().all()
        engine.dispose()
        return {row["recipient"]: dict(row) for row in found}

    return read


def new_engine(url: str) -> sa.engine.Engine:
    return sa.create_engine(url, connect_args={"timeout": 30} if url.startswith("sqlite") else {})


def steps(claimed: list[ClaimResult]) -> list[Step]:
    return [one.step for one in claimed]


def results(claimed: list[ClaimResult], outcome: Outcome, *, retryable: bool = False) -> list[SendResult]:
    return [SendResult(one, outcome, retryable) for one in claimed]


def test_new_recipients_are_claimed_and_to_be_sent(open_ledger, rows):
    claimed = open_ledger(claimant(map_index=3, try_number=2)).claim(prepared([number(1), number(2)], ref="a"))
    assert steps(claimed) == [Step.SEND, Step.SEND]
    row = rows()[number(1)]
    assert {name: row[name] for name in ("state", "dag_id", "run_id", "task_id", "map_index", "try_number", "ref")} == {
        "state": "claimed",
        "dag_id": "dag",
        "run_id": "run",
        "task_id": "send",
        "map_index": 3,
        "try_number": 2,
        "ref": "a",
    }


def test_a_claim_is_committed_when_it_returns(open_ledger, rows):
    open_ledger().claim(prepared([number(1)]))
    assert rows()[number(1)]["state"] == "claimed"  # seen over another connection


def test_the_same_number_twice_is_sent_once_within_a_window_and_across(open_ledger):
    ledger = open_ledger()
    assert steps(ledger.claim(prepared([number(1), number(2), number(1)]))) == [Step.SEND, Step.SEND, Step.DUPLICATE]
    assert steps(ledger.claim(prepared([number(2), number(3)]))) == [Step.DUPLICATE, Step.SEND]


def test_a_window_keeps_its_order(open_ledger):
    recipients = [number(3), number(1), number(2)]
    claimed = open_ledger().claim(prepared(recipients))
    assert [one.prepared.to for one in claimed] == recipients


def test_campaigns_do_not_meet(open_ledger):
    assert steps(open_ledger(campaign_id="a").claim(prepared([number(1)]))) == [Step.SEND]
    assert steps(open_ledger(campaign_id="b").claim(prepared([number(1)]))) == [Step.SEND]


@pytest.mark.parametrize(
    ("outcome", "retryable", "stored"),
    [
        (Accepted("AX1"), False, {"state": "accepted", "message_id": "AX1", "code": None}),
        (rejected("WA400"), False, {"state": "rejected", "code": "WA400", "detail": "Sorry"}),
        (rejected("E110", details={"balance": "low"}), True, {"code": "E110", "detail": "Sorry; balance: low"}),
        (rejected(None, 429), True, {"state": "rejected", "code": "HTTP 429"}),
        (NotSent("refused"), True, {"state": "not_sent", "detail": "refused"}),
        (Unknown("lost"), False, {"state": "unknown", "detail": "lost"}),
        (Unknown("x" * 10_000), False, {"detail": "x" * 500}),
        (Unknown('a\0b\ud800 {"é'), False, {"detail": 'a\ufffdb\\ud800 {"é'}),
        (Accepted("\0\udfff"), False, {"message_id": "\ufffd\\udfff"}),
    ],
    ids=str,
)
def test_an_outcome_is_recorded(open_ledger, rows, outcome, retryable, stored):
    ledger = open_ledger()
    assert ledger.record(results(ledger.claim(prepared([number(1)])), outcome, retryable=retryable)) == []
    row = rows()[number(1)]
    assert {name: row[name] for name in stored} == stored
    assert row["retryable"] is retryable
    assert row["updated_at"] >= row["claimed_at"]


@pytest.mark.parametrize(
    ("outcome", "retryable", "skip", "resend"),
    [
        (Accepted("AX1"), False, Step.ALREADY_ACCEPTED, Step.ALREADY_ACCEPTED),
        (rejected("WA400"), False, Step.ALREADY_REJECTED, Step.ALREADY_REJECTED),
        (rejected("E110"), True, Step.SEND, Step.SEND),
        (NotSent("refused"), True, Step.SEND, Step.SEND),
        (Unknown("lost"), False, Step.SKIP_UNKNOWN, Step.SEND),
    ],
    ids=str,
)
@pytest.mark.parametrize("later", [{"try_number": 2}, {"run_id": "another"}], ids=str)
def test_a_later_task_goes_on_where_an_earlier_one_stopped(open_ledger, outcome, retryable, skip, resend, later):
    first = open_ledger()
    first.record(results(first.claim(prepared([number(1), number(2)])), outcome, retryable=retryable))
    for index, (on_unknown, step) in enumerate([("skip", skip), ("resend", resend)], 1):
        assert steps(open_ledger(claimant(**later), on_unknown=on_unknown).claim(prepared([number(index)]))) == [step]


def test_what_a_killed_try_had_claimed_is_unknown_and_the_table_says_so(open_ledger, rows):
    open_ledger().claim(prepared([number(1)]))
    claimed = open_ledger(claimant(try_number=2)).claim(prepared([number(1), number(2)]))
    assert steps(claimed) == [Step.RECORD_KILLED, Step.SEND]
    assert rows()[number(1)]["state"] == "unknown"
    assert "without recording an outcome" in rows()[number(1)]["detail"]
    assert rows()[number(1)]["code"] == "killed"
    assert steps(open_ledger(claimant(try_number=3)).claim(prepared([number(1)]))) == [Step.SKIP_KILLED]


def test_the_code_of_an_earlier_rejection_is_returned(open_ledger):
    first = open_ledger()
    first.record(results(first.claim(prepared([number(1)])), rejected("WA400")))
    first.record(results(first.claim(prepared([number(2)])), rejected(None, 413)))
    again = open_ledger(claimant(try_number=2)).claim(prepared([number(1), number(2), number(3)]))
    assert [one.code for one in again] == ["WA400", "HTTP 413", None]


def test_what_a_killed_try_had_claimed_is_sent_with_resend(open_ledger, rows):
    open_ledger().claim(prepared([number(1)]))
    later = claimant(try_number=2)
    assert steps(open_ledger(later, on_unknown="resend").claim(prepared([number(1)]))) == [Step.SEND]
    assert (rows()[number(1)]["state"], rows()[number(1)]["try_number"]) == ("claimed", 2)


@pytest.mark.parametrize("other", [{"run_id": "another"}, {"map_index": 1}, {"try_number": 1}], ids=str)
@pytest.mark.parametrize("on_unknown", ["skip", "resend"])
def test_a_recipient_whom_another_task_has_claimed_is_not_reclaimed(open_ledger, rows, other, on_unknown):
    open_ledger().claim(prepared([number(1)]))
    ledger = open_ledger(claimant(**other), on_unknown=on_unknown)
    assert steps(ledger.claim(prepared([number(1)]))) == [Step.CLAIMED_ELSEWHERE]
    assert rows()[number(1)]["state"] == "claimed"


def test_a_try_that_outlives_its_successor_still_records_what_it_sent(open_ledger, rows):
    first = open_ledger()
    claimed = first.claim(prepared([number(1)]))
    open_ledger(claimant(try_number=2)).claim(prepared([number(1)]))
    assert first.record(results(claimed, Accepted("AX1"))) == []
    assert (rows()[number(1)]["state"], rows()[number(1)]["message_id"]) == ("accepted", "AX1")


def test_an_outcome_of_a_recipient_whom_a_later_try_reclaimed_is_returned_as_not_recorded(open_ledger, rows):
    first = open_ledger()
    claimed = first.claim(prepared([number(1), number(2)]))
    open_ledger(claimant(try_number=2), on_unknown="resend").claim(prepared([number(1)]))
    lost = first.record(results(claimed, Accepted("AX1")))
    assert [one.claimed.prepared.to for one in lost] == [number(1)]
    assert {to: row["state"] for to, row in rows().items()} == {number(1): "claimed", number(2): "accepted"}


def test_a_message_that_changed_after_it_was_accepted_is_marked(open_ledger):
    ledger = open_ledger()
    ledger.record(results(ledger.claim(prepared([number(1), number(2)])), Accepted("AX1")))
    again = open_ledger(claimant(try_number=2)).claim(prepared([number(1)]) + prepared([number(2)], caption="another"))
    assert [(one.step, one.changed) for one in again] == [
        (Step.ALREADY_ACCEPTED, False),
        (Step.ALREADY_ACCEPTED, True),
    ]


def test_a_message_rejected_for_its_own_fault_is_sent_once_it_is_changed(open_ledger, rows):
    ledger = open_ledger()
    ledger.record(results(ledger.claim(prepared([number(1)], ref="a")), rejected("WA400")))
    later = open_ledger(claimant(try_number=2))
    changed = later.claim(prepared([number(1)], ref="b"))
    assert steps(changed) == [Step.SEND]
    later.record(results(changed, Accepted("AX1")))
    row = rows()[number(1)]
    assert (row["state"], row["code"], row["detail"], row["ref"]) == ("accepted", None, None, "b")


def test_many_tasks_that_claim_the_same_recipients_at_once_get_each_of_them_once(open_ledger):
    recipients = prepared(number(index) for index in range(400))
    tasks = 6
    start = threading.Barrier(tasks)

    def work(index: int) -> list[str]:
        ledger = open_ledger(claimant(map_index=index))
        won = []
        start.wait()
        for first in range(0, len(recipients), 20):
            window = recipients[first : first + 20]
            window = window if index % 2 else window[::-1]
            won += [one.prepared.to for one in ledger.claim(window) if one.step is Step.SEND]
        ledger.close()  # in the thread that opened its connection
        return won

    with ThreadPoolExecutor(tasks) as pool:
        won = Counter(to for found in pool.map(work, range(tasks)) for to in found)
    assert won == Counter(one.to for one in recipients)


def test_many_tasks_that_reclaim_the_same_recipients_at_once_get_each_of_them_once(open_ledger):
    recipients = prepared(number(index) for index in range(100))
    ledger = open_ledger()
    for first in range(0, 100, 25):
        window = recipients[first : first + 25]
        ledger.record(results(ledger.claim(window), NotSent("refused"), retryable=True))
    tasks = 4
    start = threading.Barrier(tasks)

    def work(index: int) -> list[str]:
        ledger = open_ledger(claimant(map_index=index))
        start.wait()
        won = [one.prepared.to for one in ledger.claim(recipients) if one.step is Step.SEND]
        ledger.close()
        return won

    with ThreadPoolExecutor(tasks) as pool:
        won = Counter(to for found in pool.map(work, range(tasks)) for to in found)
    assert won == Counter(one.to for one in recipients)


def test_tasks_that_start_at_once_create_the_table_once(database_url):
    tasks = 6
    start = threading.Barrier(tasks)

    def work(index: int) -> list[Step]:
        ledger = Ledger(new_engine(database_url), "diwali", claimant(map_index=index))
        start.wait()
        ledger.prepare()
        found = steps(ledger.claim(prepared([number(index)])))
        ledger.close()
        return found

    with ThreadPoolExecutor(tasks) as pool:
        assert list(pool.map(work, range(tasks))) == [[Step.SEND]] * tasks


def test_no_index_holds_a_column_that_an_outcome_changes(open_ledger, database_url):
    """Otherwise each outcome would write to every index of PostgreSQL's table."""
    open_ledger()
    engine = new_engine(database_url)
    inspector = sa.inspect(engine)
    key = inspector.get_pk_constraint("kaleyra_sends")["constrained_columns"]
    indexes = [key, *(index["column_names"] for index in inspector.get_indexes("kaleyra_sends"))]
    engine.dispose()
    assert {name for index in indexes for name in index}.isdisjoint(_OUTCOME)


def test_a_table_of_a_later_release_is_rejected(open_ledger, database_url):
    open_ledger()
    engine = new_engine(database_url)
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE kaleyra_sends_version SET version = {len(MIGRATIONS) + 1}"))
    engine.dispose()
    with pytest.raises(KaleyraConfigError, match="Upgrade the package"):
        open_ledger()


def test_a_database_that_fails_for_a_moment_is_tried_again_over_a_new_connection(open_ledger, rows):
    ledger = open_ledger()
    waits = []
    ledger._database.sleep = waits.append
    failing = FailingConnects(ledger, times=2)
    claimed = ledger.claim(prepared([number(1)]))
    assert steps(claimed) == [Step.SEND]
    assert (waits, failing.left) == (list(WAITS[:2]), 0)
    assert rows()[number(1)]["state"] == "claimed"


def test_a_commit_whose_response_was_lost_is_repeated_without_harm(open_ledger):
    ledger = open_ledger()
    window = prepared([number(1)])
    claimed = ledger.claim(window)
    ledger._windows -= 1  # the same claim, as in a repeated transaction
    assert ledger.claim(window) == claimed
    assert ledger.record(results(claimed, Accepted("AX1"))) == ledger.record(results(claimed, Accepted("AX1"))) == []


def test_a_database_that_keeps_failing_is_reported_without_phone_numbers(open_ledger):
    ledger = open_ledger()
    ledger._database.sleep = lambda seconds: None
    FailingConnects(ledger, times=100)
    with pytest.raises(KaleyraLedgerError, match=r"1 recipients could not be claimed \(gone away\)") as error:
        ledger.claim(prepared([number(1)]))
    assert number(1) not in str(error.value)


class FailingConnects:
    """Makes the next connects of a ledger fail."""

    def __init__(self, ledger: Ledger, times: int) -> None:
        self.left = times
        self._connect = ledger._database.engine.connect
        ledger._database.disconnect()
        ledger._database.engine = self
        self.dispose = lambda: None

    def connect(self) -> sa.engine.Connection:
        if self.left:
            self.left -= 1
            raise sa.exc.OperationalError("SELECT 1", {"recipient": number(1)}, Exception("gone away"))
        return self._connect()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_rejected(url):
    with pytest.raises(KaleyraConfigError, match="forgets"):
        Ledger(sa.create_engine(url), "diwali", claimant()).prepare()

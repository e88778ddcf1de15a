"""Campaigns in a real Airflow that are killed and stopped in every way; the sandbox counts the messages."""

from __future__ import annotations

import logging
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa

from airflow_provider_kaleyra.campaign.settings import Settings
from dev.airflow import AIRFLOW_VERSION, RunningAirflow, running_airflow
from dev.sandbox import RunningSandbox, connection_to, running_sandbox
from tests.campaign.builders import number

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
SEED = 20260101
KILLS = 5
REPEATED = [number(index) for index in range(300)]
BAD_PAYLOAD, CLOSED_AFTER_ACCEPTING, SLOW = "+999000000400", "+999000000903", "+999000000904"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage:
    """Airflow, the sandbox, the ledger, and the folder that tests and DAGs share."""

    airflow: RunningAirflow
    sandbox: RunningSandbox
    ledger: Path
    home: Path

    def recipients(self, dag_id: str, numbers: list[str]) -> None:
        (self.home / f"{dag_id}.csv").write_text("\n".join(["to", *numbers]))

    def received(self) -> Counter[str]:
        return Counter(message["to"] for message in self.sandbox.messages())

    def states(self, campaign_id: str) -> dict[str, str]:
        return {recipient: state for recipient, state, _ in self.rows(campaign_id)}

    def rows(self, campaign_id: str) -> list[tuple[str, str, str | None]]:
        """Recipient, state and detail of each row of the ledger."""
        engine = sa.create_engine(f"sqlite:///{self.ledger}", connect_args={"timeout": 30})
        with engine.connect() as connection:
            rows = connection.execute(
                sa.text("SELECT recipient, state, detail FROM kaleyra_sends WHERE campaign_id = :id"),
                {"id": campaign_id},
            ).fetchall()
        engine.dispose()
        return [tuple(row) for row in rows]

    def process(self, dag_id: str, try_number: int) -> int:
        """The process of the task's try, once it runs."""
        file = self.home / f"{dag_id}.process"
        self.airflow.wait(90, f"try {try_number} of {dag_id}", lambda: _try_in(file) >= try_number)
        found, pid = map(int, file.read_text().split())
        assert found == try_number
        return pid

    def wait_until_running(self, dag_id: str, count: int) -> None:
        """Wait until so many of the campaign are in the ledger."""

        def claimed() -> bool:
            return self.ledger.exists() and len(self.states(dag_id)) >= count

        self.airflow.wait(90, f"{dag_id} to have claimed recipients", claimed)


def _try_in(file: Path) -> int:
    return int(file.read_text().split()[0]) if file.exists() else 0


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    home = tmp_path_factory.mktemp("campaign")
    ledger = home / "ledger.db"
    (home / "repeated.csv").write_text("\n".join(["to", *REPEATED]))  # its first run is on schedule
    with running_sandbox() as sandbox:
        environment = {
            "PYTHONPATH": str(ROOT),
            "CAMPAIGN_HOME": str(home),
            "AIRFLOW_CONN_KALEYRA_DEFAULT": connection_to(sandbox),
            "AIRFLOW_CONN_LEDGER": f'{{"conn_type": "sqlite", "host": "{ledger}"}}',
            "AIRFLOW_CONN_LEDGER_LOCKED": f'{{"conn_type": "sqlite", "host": "{home / "locked.db"}"}}',
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
        }
        with running_airflow(Path(__file__).parent / "dags_campaign", environment) as airflow:
            yield Stage(airflow, sandbox, ledger, home)


@pytest.fixture(autouse=True)
def _empty_sandbox(stage: Stage) -> None:
    stage.airflow.wait_for_runs("repeated", 1)
    stage.sandbox.clear()


def test_twenty_thousand_recipients_and_five_kills(stage):
    chance = random.Random(SEED)
    people = [number(index) for index in range(20_000 - 4)]
    special = [BAD_PAYLOAD, CLOSED_AFTER_ACCEPTING]
    rows = [*people, *special, "12345", "+0123456789"]
    chance.shuffle(rows)
    stage.recipients("killed", rows)
    run_id = stage.airflow.trigger("killed")
    for kill in range(1, KILLS + 1):
        pid = stage.process("killed", kill)
        time.sleep(chance.uniform(1, 4))
        os.kill(pid, signal.SIGKILL)
    assert stage.airflow.wait_for_run("killed", run_id, 300) == "success"

    [task] = stage.airflow.task_instances("killed", run_id)
    assert task.try_number == KILLS + 1
    received, states = stage.received(), stage.states("killed")
    summary = stage.airflow.xcom("killed", run_id, "send")
    counts = Counter(states.values())
    _log.info("After %d kills: %s, %d received. The last try: %s", KILLS, counts, received.total(), summary)
    # No recipient gets it twice.
    assert set(received.values()) == {1}
    # No recipient is skipped: each row is accepted, rejected, unknown or invalid, and each received one is recorded.
    assert set(counts) == {"accepted", "rejected", "unknown"}
    assert set(states) == {*people, *special}
    assert counts.total() + summary["invalid"] == len(rows)
    accepted = {to for to, state in states.items() if state == "accepted"}
    unknown = {to for to, state in states.items() if state == "unknown"}
    assert accepted <= set(received) <= accepted | unknown
    assert states[BAD_PAYLOAD] == "rejected" or BAD_PAYLOAD in unknown
    # After a kill, at most one window of outcomes is unknown, and the summary has their number.
    assert len(unknown) - 1 <= KILLS * Settings().max_unrecorded
    assert summary["unknown"] == len(unknown)

    # The same campaign again: a Clear, another run.
    requests = len(stage.sandbox.requests())
    stage.airflow.clear("killed", run_id, "send")
    cleared = task.try_number + 1
    stage.process("killed", cleared)
    assert stage.airflow.wait_for_run("killed", run_id, 120) == "success"
    assert stage.airflow.wait_for_run("killed", stage.airflow.trigger("killed"), 120) == "success"
    assert len(stage.sandbox.requests()) == requests


def test_sigterm_records_all_that_was_sent_and_the_retry_continues(stage):
    people = [SLOW, *(number(index) for index in range(400))]
    stage.recipients("stopped", people)
    run_id = stage.airflow.trigger("stopped")
    pid = stage.process("stopped", 1)
    stage.wait_until_running("stopped", 60)
    os.kill(pid, signal.SIGTERM)
    assert stage.airflow.wait_for_run("stopped", run_id, 120) == "success"
    assert stage.states("stopped") == dict.fromkeys(people, "accepted")
    assert stage.received() == Counter(people)
    log = stage.airflow.task_log("stopped", run_id, "send")
    assert "The campaign stops: Airflow ended the task" in log


def test_a_timeout_records_all_that_was_sent_and_the_retry_continues(stage):
    people = [number(index) for index in range(400)]
    stage.recipients("timed_out", people)
    run_id = stage.airflow.trigger("timed_out")
    assert stage.airflow.wait_for_run("timed_out", run_id, 120) == "success"
    [task] = stage.airflow.task_instances("timed_out", run_id)
    assert task.try_number == 2
    assert stage.states("timed_out") == dict.fromkeys(people, "accepted")
    assert stage.received() == Counter(people)
    assert "The campaign stops: Airflow ended the task (AirflowTaskTimeout)" in stage.airflow.task_log(
        "timed_out", run_id, "send"
    )


def test_marking_the_task_as_failed_stops_the_campaign_in_order(stage):
    people = [number(index) for index in range(2000)]
    stage.recipients("marked", people)
    run_id = stage.airflow.trigger("marked")
    stage.process("marked", 1)
    stage.wait_until_running("marked", 60)
    path = f"dags/marked/dagRuns/{run_id}/taskInstances/send"
    stage.airflow.api("PATCH", path, json={"new_state": "failed"})

    def stopped() -> bool:
        return any("stopped before it was sent" in (detail or "") for _, _, detail in stage.rows("marked"))

    stage.airflow.wait(60, "the campaign to stop", stopped)
    time.sleep(1)
    before = len(stage.sandbox.requests())
    time.sleep(2)
    assert len(stage.sandbox.requests()) == before < len(people)
    states = stage.states("marked")
    assert set(states.values()) == {"accepted", "not_sent"}
    assert {to for to, state in states.items() if state == "accepted"} == set(stage.received())


def test_a_campaign_that_rejections_failed_fails_again_when_it_is_cleared(stage):
    people = [number(1), number(2), BAD_PAYLOAD]
    stage.recipients("rejected", people)
    run_id = stage.airflow.trigger("rejected")
    told = "1 failures among 3 recipients are more than max_failures=0.05"
    for cleared in range(3):
        assert stage.airflow.wait_for_run("rejected", run_id, 120) == "failed"
        log = stage.airflow.task_log("rejected", run_id, "send")
        assert log.count(told) > log.count("an earlier try or run sent the same message") >= cleared
        assert len(stage.sandbox.requests()) == len(people)
        if cleared < 2:
            stage.airflow.clear("rejected", run_id, "send")
            stage.process("rejected", cleared + 2)


def test_sigterm_ends_a_task_whose_ledger_is_locked(stage):
    people = [number(index) for index in range(1000)]
    stage.recipients("locked", people)
    run_id = stage.airflow.trigger("locked")
    process = psutil.Process(stage.process("locked", 1))
    stage.airflow.wait(90, "the campaign to be under way", lambda: len(stage.sandbox.requests()) > 60)
    with closing(sqlite3.connect(stage.home / "locked.db", timeout=30, isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        time.sleep(1)
        process.terminate()
        process.wait(30)
        database.execute("ROLLBACK")
    assert stage.airflow.wait_for_run("locked", run_id, 120) == "success"
    log = stage.airflow.task_log("locked", run_id, "send")
    assert "are not in the ledger:" in log
    with closing(sqlite3.connect(stage.home / "locked.db")) as database:
        states = dict(database.execute("SELECT recipient, state FROM kaleyra_sends"))
    assert set(states) == set(people)
    assert set(states.values()) == {"accepted", "unknown"}
    received = stage.received()
    assert set(received.values()) == {1}
    assert {to for to, state in states.items() if state == "accepted"} <= set(received)
    summary = stage.airflow.xcom("locked", run_id, "send")
    assert summary["unknown"] == list(states.values()).count("unknown")
    for message in stage.sandbox.messages():
        if states[message["to"]] == "unknown":
            assert f"accepted, message id {message['message_id']}" in log


def test_the_same_campaign_again_sends_nothing(stage):
    """A scheduled run, one by hand, a Clear, a backfill."""
    [scheduled] = stage.airflow.wait_for_runs("repeated", 1)
    assert stage.airflow.run_state("repeated", scheduled) == "success"
    assert stage.states("repeated") == dict.fromkeys(REPEATED, "accepted")
    stage.sandbox.clear()

    assert stage.airflow.wait_for_run("repeated", stage.airflow.trigger("repeated"), 120) == "success"
    (stage.home / "repeated.process").unlink()
    stage.airflow.clear("repeated", scheduled, "send")
    stage.process("repeated", 2)
    assert stage.airflow.wait_for_run("repeated", scheduled, 120) == "success"
    day = "2026-02-01"
    if AIRFLOW_VERSION >= (3, 0):
        body = {"dag_id": "repeated", "from_date": f"{day}T00:00:00Z", "to_date": f"{day}T00:00:00Z"}
        stage.airflow.api("POST", "backfills", json=body)
    else:
        stage.airflow.cli("dags", "backfill", "repeated", "--start-date", day, "--end-date", day)
    ended = stage.airflow.wait_for_runs("repeated", 3)
    assert len([run_id for run_id in ended if run_id.startswith("backfill")]) == 1
    assert {stage.airflow.run_state("repeated", run_id) for run_id in ended} == {"success"}
    assert stage.sandbox.requests() == []

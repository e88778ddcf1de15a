"""The fault matrix of docs/failures.md and a faulty network, in a real Airflow with the sandbox as witness."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dev.airflow import RunningAirflow, running_airflow
from dev.sandbox import RunningSandbox, connection_to, running_sandbox
from tests.airflow.dags_send_once.cells import CELLS
from tests.airflow.dags_send_once.network import SENDS
from tests.support.faulty_proxy import Fault, FaultyProxy, faulty_proxy

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "failures.md"
SEED = 20260101
_log = logging.getLogger(__name__)

REPORTED = "Kaleyra may have accepted"

in_airflow = [
    pytest.mark.airflow,
    pytest.mark.slow,
]


@dataclass(frozen=True)
class Seen:
    """What the sandbox received for one task so far, and how Airflow's task stands."""

    requests: int
    videos: int
    tries: int
    state: str | None


@dataclass(frozen=True)
class Matrix:
    """All that was seen of each cell, by task id."""

    first: dict[str, Seen]
    after_clear: dict[str, Seen]
    first_logs: dict[str, list[str]]
    logs: dict[str, list[str]]
    returned: dict[str, str | None]
    accepted: dict[str, list[str]]


def documented_rows() -> dict[tuple[str, str], tuple[Seen, Seen]]:
    """The matrix as docs/failures.md prints it."""
    table = DOCUMENT.read_text().partition("<!-- matrix -->")[2].partition("<!-- end of matrix -->")[0]
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[2:]]
    return {
        (fault, mode): (
            Seen(int(before[0]), int(before[1]), int(before[2]), before[3]),
            Seen(int(after[0]), int(after[1]), int(after[2]), after[3]),
        )
        for fault, mode, *seen in rows
        for before, after in [(seen[:4], seen[4:])]
    }


def test_the_document_has_a_row_for_each_cell_and_no_other():
    rows = documented_rows()
    assert set(rows) == {cell.row for cell in CELLS.values()}
    assert len(CELLS) == 2 * len(rows)


def test_each_fault_of_the_sandbox_is_in_the_matrix():
    from airflow_provider_kaleyra.sandbox.scenarios import SCENARIOS

    cells = {(cell.fault, cell.to) for cell in CELLS.values()}
    assert {(f"sandbox: {scenario.name}", scenario.number) for scenario in SCENARIOS} <= cells


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def proxy(sandbox: RunningSandbox) -> Iterator[FaultyProxy]:
    with faulty_proxy(sandbox.url, SEED) as running:
        yield running


@pytest.fixture(scope="module")
def airflow(sandbox: RunningSandbox, proxy: FaultyProxy) -> Iterator[RunningAirflow]:
    def connection(timeout: float = 5, **fields: object) -> str:
        extra = {"business_phone_number": sandbox.business_phone_number, "timeout": timeout}
        return connection_to(sandbox, extra=extra, **fields)

    environment = {
        "PYTHONPATH": str(ROOT),
        "SANDBOX_URL": sandbox.url,
        "AIRFLOW_CONN_KALEYRA_DEFAULT": connection(),
        "AIRFLOW_CONN_KALEYRA_PATIENT": connection(timeout=60),
        "AIRFLOW_CONN_KALEYRA_UNREACHABLE": connection(host="http://127.0.0.1:9"),
        "AIRFLOW_CONN_KALEYRA_WITHOUT_KEY": connection(password=""),
        "AIRFLOW_CONN_KALEYRA_NETWORK": connection(host=proxy.url),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
    }
    with running_airflow(Path(__file__).parent / "dags_send_once", environment) as running:
        yield running


@pytest.fixture(scope="module")
def matrix(airflow: RunningAirflow, sandbox: RunningSandbox) -> Matrix:
    """Run all cells at once, then clear all of them at once."""
    run_id = airflow.trigger("fault_matrix")
    airflow.wait_for_run("fault_matrix", run_id, 900)
    first, first_logs = seen(airflow, sandbox, run_id), logs(airflow, run_id)
    body = {"dry_run": False, "dag_run_id": run_id, "only_failed": False}
    airflow.api("POST", "dags/fault_matrix/clearTaskInstances", json=body)
    airflow.wait_for_run("fault_matrix", run_id, 900)
    accepted = sandbox.messages()
    return Matrix(
        first=first,
        after_clear=seen(airflow, sandbox, run_id),
        first_logs=first_logs,
        logs=logs(airflow, run_id),
        returned={task_id: airflow.xcom("fault_matrix", run_id, task_id) for task_id in CELLS},
        accepted={
            task_id: [message["message_id"] for message in accepted if message["extra_info"]["ref"] == task_id]
            for task_id in CELLS
        },
    )


def seen(airflow: RunningAirflow, sandbox: RunningSandbox, run_id: str) -> dict[str, Seen]:
    received = sandbox.requests()
    requests = Counter(request["extra_info"]["ref"] for request in received)
    videos = Counter(request["extra_info"]["ref"] for request in received if request["accepted"])
    tasks = {task.task_id: task for task in airflow.task_instances("fault_matrix", run_id)}
    return {
        task_id: Seen(requests[task_id], videos[task_id], tasks[task_id].try_number, tasks[task_id].state)
        for task_id in CELLS
    }


def logs(airflow: RunningAirflow, run_id: str, dag_id: str = "fault_matrix") -> dict[str, list[str]]:
    """What each try of each task logged."""
    folder = airflow.home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}"
    return {
        task_id: [path.read_text() for path in sorted((folder / f"task_id={task_id}").glob("attempt=*.log"))]
        for task_id in CELLS
    }


class TestMatrix:
    pytestmark = in_airflow

    @pytest.mark.parametrize("task_id", CELLS)
    def test_each_cell_is_as_the_document_says(self, matrix, task_id):
        assert (matrix.first[task_id], matrix.after_clear[task_id]) == documented_rows()[CELLS[task_id].row]

    def test_no_video_arrives_twice_unless_the_author_or_a_clear_allows_it(self, matrix):
        twice = set()
        for task_id, cell in CELLS.items():
            by_author = cell.on_unknown_outcome == "resend"
            # The task reported the outcome as unknown, and a person cleared it.
            by_person = REPORTED in "".join(matrix.first_logs[task_id])
            if matrix.first[task_id].videos > 1 and not by_author:
                twice.add(task_id)
            if matrix.after_clear[task_id].videos > 1 and not (by_author or by_person):
                twice.add(task_id)
        assert not twice

    def test_no_accepted_id_is_lost_unless_the_task_reports_it(self, matrix):
        lost = {
            (task_id, message_id)
            for task_id, accepted in matrix.accepted.items()
            for message_id in accepted
            if message_id not in "".join(matrix.logs[task_id]) and REPORTED not in "".join(matrix.logs[task_id])
        }
        assert not lost
        assert all(
            matrix.returned[task_id] in matrix.accepted[task_id]
            for task_id in CELLS
            if matrix.after_clear[task_id].state == "success"
        )

    def test_the_store_is_written_at_most_twice_a_try(self, matrix):
        writes = [re.findall(r"store write \d took ([0-9.]+) ms", log) for logs in matrix.logs.values() for log in logs]
        milliseconds = sorted(float(one) for tried in writes for one in tried)
        _log.info(
            "%d tries, %d store writes, the median %s ms",
            len(writes),
            len(milliseconds),
            milliseconds[len(milliseconds) // 2],
        )
        assert max(map(len, writes)) == 2

    def test_no_log_shows_the_key_or_a_whole_number(self, matrix, sandbox):
        text = "".join(log for logs in matrix.logs.values() for log in logs)
        assert sandbox.api_key not in text
        assert not any(cell.to in text for cell in CELLS.values() if cell.to.startswith("+"))


class TestFaultyNetwork:
    pytestmark = in_airflow

    def test_every_video_is_sent_once_and_every_unknown_outcome_is_reported(self, airflow, sandbox, proxy, matrix):
        run_id = airflow.trigger("network")
        airflow.wait_for_run("network", run_id, 900)
        assert set(proxy.faults) == set(Fault)
        proxy.faulty = False

        def accepted() -> dict[int, list[str]]:
            found: dict[int, list[str]] = {}
            for message in sandbox.messages():
                if (ref := message["extra_info"]["ref"]).startswith("customer-"):
                    found.setdefault(int(ref.removeprefix("customer-")), []).append(message["message_id"])
            return found

        in_report = accepted()
        tasks = airflow.task_instances("network", run_id)
        assert len(tasks) == SENDS
        assert [number for number, ids in in_report.items() if len(ids) > 1] == []
        failed = [task.map_index for task in tasks if task.state == "failed"]
        for task in tasks:
            log = airflow.task_log("network", run_id, "send", task.map_index)
            if task.state == "success":
                assert in_report[task.map_index] == [airflow.xcom("network", run_id, "send", task.map_index)]
            else:
                assert REPORTED in log or ("was not sent" in log and task.map_index not in in_report)
        _log.info("%s", {fault.value: count for fault, count in proxy.faults.items()})
        reported_though_accepted = sum(number in in_report for number in failed)
        _log.info(
            "%d returned their id, %d failed, %d of those accepted",
            SENDS - len(failed),
            len(failed),
            reported_though_accepted,
        )
        assert failed

        # The user finds that the rest is not in the report, and clears only those tasks.
        missing = [number for number in failed if number not in in_report]
        assert missing
        body = {"dry_run": False, "dag_run_id": run_id, "only_failed": False}
        body["task_ids"] = [["send", number] for number in missing]
        airflow.api("POST", "dags/network/clearTaskInstances", json=body)
        airflow.wait_for_run("network", run_id, 900)
        assert {number: len(ids) for number, ids in accepted().items()} == dict.fromkeys(range(SENDS), 1)

"""Recorded sends in a real Airflow, after Clears, with map indexes and with changed DAG files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dev.airflow import RunningAirflow, running_airflow
from dev.sandbox import RunningSandbox, connection_to, running_sandbox

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

TESTS = Path(__file__).parent
REPORTED = "Kaleyra may have accepted"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def airflow(sandbox: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAirflow]:
    extra = {"business_phone_number": sandbox.business_phone_number, "timeout": 60}
    environment = {
        "PYTHONPATH": str(TESTS.parents[1]),
        "SANDBOX_URL": sandbox.url,
        "SEND_ONCE_FLAG": str(tmp_path_factory.mktemp("flag") / "flag"),
        "AIRFLOW_CONN_KALEYRA_DEFAULT": connection_to(sandbox),
        "AIRFLOW_CONN_KALEYRA_PATIENT": connection_to(sandbox, extra=extra),
    }
    with running_airflow(TESTS / "dags_send_once", environment) as running:
        yield running


def videos(sandbox: RunningSandbox, ref: str) -> list[str]:
    """The ids of what the sandbox accepted under that ref."""
    return [message["message_id"] for message in sandbox.messages() if message["extra_info"]["ref"] == ref]


def ended(airflow: RunningAirflow, dag_id: str, run_id: str) -> dict[int, str | None]:
    """The states of the task "send", by map index, when the run has ended."""
    airflow.wait_for_run(dag_id, run_id, 300)
    return {task.map_index: task.state for task in airflow.task_instances(dag_id, run_id) if task.task_id == "send"}


def run(airflow: RunningAirflow, dag_id: str) -> tuple[str, dict[int, str | None]]:
    run_id = airflow.trigger(dag_id)
    return run_id, ended(airflow, dag_id, run_id)


def clear(airflow: RunningAirflow, dag_id: str, run_id: str) -> dict[int, str | None]:
    """Clear the whole run, and wait until it has ended again."""
    body = {"dry_run": False, "dag_run_id": run_id, "only_failed": False}
    airflow.api("POST", f"dags/{dag_id}/clearTaskInstances", json=body)
    return ended(airflow, dag_id, run_id)


def state_store(dag_id: str, run_id: str, key: str = "/kaleyra_send") -> str:
    return f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/send/state-store{key}"


@pytest.mark.parametrize(
    ("mode", "state", "sent"), [("fail", "failed", 1), ("resend", "failed", 2), ("skip", "skipped", 1)]
)
def test_an_unknown_outcome_ends_the_task_as_the_user_chose_on_every_airflow(airflow, sandbox, mode, state, sent):
    dag_id = f"unknown_{mode}"
    run_id, states = run(airflow, dag_id)
    assert states == {-1: state}
    assert len(videos(sandbox, dag_id)) == sent
    assert REPORTED in airflow.task_log(dag_id, run_id, "send")


def test_the_documented_commands_show_and_delete_the_record(airflow, sandbox):
    run_id, states = run(airflow, "ordinary")
    assert states == {-1: "success"}
    (message_id,) = videos(sandbox, "ordinary")
    stored = airflow.api("GET", state_store("ordinary", run_id))
    assert stored["value"] | {"message_id": message_id, "state": "accepted", "try_number": 1} == stored["value"]
    assert "expires_at" in stored
    assert airflow.api("GET", state_store("ordinary", run_id, ""))["total_entries"] == 1

    assert clear(airflow, "ordinary", run_id) == {-1: "success"}
    assert videos(sandbox, "ordinary") == [message_id]
    assert airflow.xcom("ordinary", run_id, "send") == message_id
    assert "delete 'kaleyra_send' from the task instance's state store" in airflow.task_log("ordinary", run_id, "send")

    airflow.api("DELETE", state_store("ordinary", run_id))
    assert clear(airflow, "ordinary", run_id) == {-1: "success"}
    first, second = videos(sandbox, "ordinary")
    assert first == message_id
    assert airflow.xcom("ordinary", run_id, "send") == second


def test_a_clear_before_the_report_fails_the_task_and_the_next_clear_sends(airflow, sandbox):
    run_id, states = run(airflow, "killed_without_retries")
    assert (states, REPORTED in airflow.task_log("killed_without_retries", run_id, "send")) == ({-1: "failed"}, False)
    assert clear(airflow, "killed_without_retries", run_id) == {-1: "failed"}
    assert REPORTED in airflow.task_log("killed_without_retries", run_id, "send")
    assert len(videos(sandbox, "killed_without_retries")) == 1
    assert clear(airflow, "killed_without_retries", run_id) == {-1: "success"}
    assert len(videos(sandbox, "killed_without_retries")) == 2


def test_retries_lowered_in_the_dag_file_between_two_tries_are_no_clear(airflow, sandbox):
    run_id, states = run(airflow, "retries_lowered")
    assert states == {-1: "failed"}
    assert REPORTED in airflow.task_log("retries_lowered", run_id, "send")
    assert len(videos(sandbox, "retries_lowered")) == 1


def running_with_a_video_on_its_way(airflow: RunningAirflow, sandbox: RunningSandbox, dag_id: str) -> str:
    run_id = airflow.trigger(dag_id)
    airflow.wait(60, "the request to arrive", lambda: bool(videos(sandbox, dag_id)))
    return run_id


def test_a_clear_of_a_running_task_does_not_send_again(airflow, sandbox):
    run_id = running_with_a_video_on_its_way(airflow, sandbox, "cleared_while_running")
    assert clear(airflow, "cleared_while_running", run_id) == {-1: "failed"}
    assert REPORTED in airflow.task_log("cleared_while_running", run_id, "send")
    assert len(videos(sandbox, "cleared_while_running")) == 1


def test_a_running_task_marked_as_failed_and_cleared_does_not_send_again(airflow, sandbox):
    run_id = running_with_a_video_on_its_way(airflow, sandbox, "marked_as_failed")
    path = f"dags/marked_as_failed/dagRuns/{run_id}/taskInstances/send"
    airflow.api("PATCH", path, json={"new_state": "failed"})
    assert ended(airflow, "marked_as_failed", run_id) == {-1: "failed"}
    assert clear(airflow, "marked_as_failed", run_id) == {-1: "failed"}
    assert REPORTED in airflow.task_log("marked_as_failed", run_id, "send")
    assert len(videos(sandbox, "marked_as_failed")) == 1


def test_each_map_index_has_its_own_record(airflow, sandbox):
    run_id, states = run(airflow, "mapped")
    assert states == {0: "success", 1: "success", 2: "failed"}
    for index in range(3):
        (message_id,) = videos(sandbox, f"mapped-{index}")
        assert airflow.xcom("mapped", run_id, "send", index) == (None if index == 2 else message_id)
        log = airflow.task_log("mapped", run_id, "send", index)
        assert ("Nothing is sent, because an earlier try sent it" in log, REPORTED in log) == (index == 1, index == 2)


def test_a_list_in_another_order_after_a_clear_sends_no_second_video(airflow, sandbox):
    run_id, states = run(airflow, "reordered")
    assert states == dict.fromkeys(range(3), "success")
    assert clear(airflow, "reordered", run_id) == {0: "failed", 1: "success", 2: "failed"}
    assert len(videos(sandbox, "reordered")) == 3
    assert "if the list has another order now" in airflow.task_log("reordered", run_id, "send", 0)


def test_dag_test_keeps_the_record_across_its_tries(airflow, sandbox, tmp_path):
    # In a separate AIRFLOW_HOME, because a scheduler would run the tasks itself.
    home = {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/airflow.db"}
    separate = RunningAirflow(tmp_path, airflow.url, airflow.environment | home)
    separate.cli("db", "migrate")
    output = separate.cli("dags", "test", "fails_after_the_send", "2026-02-02").stdout
    assert len(videos(sandbox, "fails_after_the_send")) == 1
    assert "Nothing is sent, because an earlier try sent it" in output


def test_the_retry_policy_decides_in_the_tasks_log(airflow):
    run_id = airflow.trigger("policy")

    def task() -> Any:
        (only,) = airflow.task_instances("policy", run_id)
        return only

    airflow.wait(60, "the retry to be planned", lambda: task().state == "up_for_retry")
    log = airflow.task_log("policy", run_id, "send")
    assert re.search(r"Retry policy decision.*HTTP 429, Retry-After 120 s: try again after 120 s", log)
    (row,) = airflow.sql("SELECT retry_delay_override, retry_reason FROM task_instance WHERE dag_id = 'policy'")
    assert row == {"retry_delay_override": 120, "retry_reason": "HTTP 429, Retry-After 120 s: try again after 120 s"}

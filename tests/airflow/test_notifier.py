"""The notifier, called by a real Airflow."""

from __future__ import annotations

import pytest

from dev.sandbox import RunningSandbox

pytestmark = pytest.mark.airflow


def sent(sandbox: RunningSandbox, ref: str) -> list[dict[str, str]]:
    """What the sandbox received under that ref, accepted or not."""
    return [request for request in sandbox.requests() if request["extra_info"].get("ref") == ref]


def test_the_example_notifies_the_customer_of_success(airflow, sandbox):
    run_id = airflow.trigger("example_notify", {"order": "A-1"})
    assert airflow.wait_for_run("example_notify", run_id) == "success"
    airflow.wait(30, "the notification", lambda: sent(sandbox, "A-1"))
    (message,) = [message for message in sandbox.messages() if message["extra_info"].get("ref") == "A-1"]
    assert message["to"] == "+12025550127"
    assert message["content"]["caption"] == "Your order A-1 is ready."
    log = airflow.task_log("example_notify", run_id, "pack_order")
    assert f"Kaleyra accepted the video to +12*******27: message id {message['message_id']}." in log
    assert sandbox.api_key not in log


def test_the_example_notifies_the_person_on_call_of_a_failure(airflow, sandbox):
    run_id = airflow.trigger("example_notify", {"fails": True})
    assert airflow.wait_for_run("example_notify", run_id) == "failed"
    airflow.wait(30, "the notification", lambda: sent(sandbox, run_id))
    (message,) = [message for message in sandbox.messages() if message["extra_info"].get("ref") == run_id]
    assert message["to"] == "+12025550128"
    assert message["content"]["caption"] == "pack_order of example_notify failed: Nothing left on the shelf"


@pytest.mark.parametrize(("dag_id", "state"), [("notifies_succeeds", "success"), ("notifies_fails", "failed")])
@pytest.mark.parametrize(
    ("to", "logged"),
    [
        ("+999000000401", "RBC001"),
        ("+999000000902", "Kaleyra may have accepted the video"),
        ("12025550123", "Nothing was sent: to must be"),
    ],
)
def test_a_failed_notification_is_logged_and_not_repeated_and_the_task_keeps_its_state(
    airflow, sandbox, dag_id, state, to, logged
):
    run_id = airflow.trigger(dag_id, {"to": to})
    assert airflow.wait_for_run(dag_id, run_id) == state
    airflow.wait(30, "the notification", lambda: logged in airflow.task_log(dag_id, run_id, "work"))
    assert len(sent(sandbox, run_id)) == to.startswith("+")
    log = airflow.task_log(dag_id, run_id, "work")
    assert sandbox.api_key not in log
    assert ("the task's own error" in log) == (state == "failed")


def test_a_missed_deadline_is_notified_by_the_triggerer(airflow, sandbox):
    run_id = airflow.trigger("deadline")
    airflow.wait(60, "the notification", lambda: sent(sandbox, "deadline"))
    (message,) = [message for message in sandbox.messages() if message["extra_info"].get("ref") == "deadline"]
    assert message["to"] == "+12025550129"
    airflow.wait_for_run("deadline", run_id)
    assert len(sent(sandbox, "deadline")) == 1

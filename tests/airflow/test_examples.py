"""Every example DAG, run by a real Airflow against the sandbox."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dev.airflow import RunningAirflow, running_airflow
from dev.sandbox import RunningSandbox, connection_to, running_sandbox

pytestmark = pytest.mark.airflow

EXAMPLES = Path(__file__).parents[2] / "example_dags"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def airflow(sandbox: RunningSandbox) -> Iterator[RunningAirflow]:
    with running_airflow(EXAMPLES, {"AIRFLOW_CONN_KALEYRA_DEFAULT": connection_to(sandbox)}) as running:
        yield running


def test_airflow_lists_the_provider(airflow):
    providers = json.loads(airflow.cli("providers", "list", "--output", "json").stdout.strip().splitlines()[-1])
    assert "airflow-provider-kaleyra" in [provider["package_name"] for provider in providers]
    hooks = json.loads(airflow.cli("providers", "hooks", "--output", "json").stdout.strip().splitlines()[-1])
    assert [hook["hook_name"] for hook in hooks if hook["connection_type"] == "kaleyra"] == ["Kaleyra"]


def test_example_send_video(airflow, sandbox):
    run_id = airflow.trigger("example_send_video", {"greeting": "Shubh Diwali 🎉"})
    assert airflow.wait_for_run("example_send_video", run_id) == "success"
    accepted = {message["message_id"]: message for message in sandbox.messages()}

    def sent_by(task_id: str, map_index: int = -1) -> dict[str, Any]:
        return accepted.pop(airflow.xcom("example_send_video", run_id, task_id, map_index))

    by_id, by_link = sent_by("send_by_media_id"), sent_by("send_by_link")
    assert (by_id["to"], by_id["content"]["id"]) == ("+12025550123", "1166846181421424")
    assert by_id["content"]["caption"].startswith("Shubh Diwali 🎉 (20")
    assert by_id["extra_info"]["ref"].startswith("morning-20")
    assert by_link["content"]["link"] == "https://www.awesomeview.com/assets/awesome-view.mp4"
    to_each = [sent_by("send_to_each", map_index) for map_index in range(3)]
    assert [message["to"] for message in to_each] == ["+12025550124", "+12025550125", "+12025550126"]
    assert {message["content"]["id"] for message in to_each} == {"1166846181421424"}


def test_example_send_video_on_upload(airflow, sandbox):
    captions = {f"Video number {number}" for number in range(2)}
    for caption in captions:
        run_id = airflow.trigger("example_upload_video", {"caption": caption})
        assert airflow.wait_for_run("example_upload_video", run_id) == "success"
    airflow.wait(
        60, "each upload to be sent", lambda: captions <= {m["content"].get("caption") for m in sandbox.messages()}
    )
    sent = Counter(message["content"].get("caption") for message in sandbox.messages())
    assert {caption: sent[caption] for caption in captions} == dict.fromkeys(captions, 1)


def test_every_example_is_among_these():
    told = Path(__file__).read_text() + "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert [path.stem for path in EXAMPLES.glob("*.py") if path.stem not in told] == []


def test_the_key_is_in_no_log(airflow, sandbox):
    run_id = airflow.trigger("example_send_video", {"to": "+999000000400"})
    assert airflow.wait_for_run("example_send_video", run_id) == "failed"
    log = airflow.task_log("example_send_video", run_id, "send_by_media_id")
    assert "WA400" in log
    assert '"debug"' in log or "DEBUG" in log
    logs = [path for path in airflow.home.rglob("*") if path.suffix in {".log", ".out"}]
    assert len(logs) > 5
    assert [path for path in logs if sandbox.api_key.encode() in path.read_bytes()] == []

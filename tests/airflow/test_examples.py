"""Every example DAG, run by a real Airflow against the sandbox."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dev.airflow import RunningAirflow
from dev.sandbox import RunningSandbox
from tests.support.video import mp4

pytestmark = pytest.mark.airflow

EXAMPLES = Path(__file__).parents[2] / "example_dags"


def test_airflow_lists_the_provider(airflow):
    def listed(what: str) -> list[dict[str, str]]:
        lines = airflow.cli("providers", what, "--output", "json").stdout.splitlines()
        return json.loads(next(line for line in lines if line.startswith("[{")))

    assert "airflow-provider-kaleyra" in [provider["package_name"] for provider in listed("list")]
    hooks = listed("hooks")
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


def received(sandbox: RunningSandbox, *captions: str) -> Counter[tuple[str, str, str]]:
    """Who got which caption with which bytes."""
    sha256 = {upload["media_id"]: upload["sha256"] for upload in sandbox.get("/sandbox/uploads")}
    return Counter(
        (message["to"], message["content"]["caption"], sha256[message["content"]["id"]])
        for message in sandbox.messages()
        if message["content"].get("caption") in captions
    )


def runs_of(airflow: RunningAirflow, dag_id: str) -> int:
    return len(airflow.sql("SELECT run_id FROM dag_run WHERE dag_id = :dag_id", dag_id=dag_id))


def made(path: Path, size: int) -> str:
    """Write a new video, and return its SHA-256."""
    path.write_bytes(mp4(size=size))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_example_send_video_on_upload(airflow, sandbox, tmp_path):
    to = ["+12025550123", "+12025550124"]
    uploads = {f"Video number {number}": made(tmp_path / f"{number}.mp4", 200_000 + number) for number in range(2)}
    # All of them at once, so that one run may be started by several events.
    runs = [
        airflow.trigger("example_upload_video", {"source": f"{tmp_path}/{number}.mp4", "caption": caption, "to": to})
        for number, caption in enumerate(uploads)
    ]
    assert [airflow.wait_for_run("example_upload_video", run) for run in runs] == ["success"] * 2
    airflow.wait(120, "each upload to be sent", lambda: received(sandbox, *uploads).total() >= 4)
    assert received(sandbox, *uploads) == {
        (number, caption, sha256): 1 for caption, sha256 in uploads.items() for number in to
    }


def test_example_send_video_from_folder(airflow, sandbox, videos):
    def waiting() -> list[dict[str, Any]]:
        return airflow.sql(
            'SELECT classpath, task_id FROM task_instance JOIN "trigger" ON "trigger".id = trigger_id '
            "WHERE dag_id = 'example_send_video_from_folder' AND state = 'deferred'"
        )

    by_hand = made(videos / "by-hand.mp4", 200_100)
    made(videos / "still-written.mp4", 200_101)
    airflow.cli("dags", "unpause", "example_send_video_from_folder")
    try:
        airflow.wait(60, "the triggerer to wait", waiting)
        trigger = "airflow_provider_kaleyra.triggers.video_folder.KaleyraVideoFolderTrigger"
        assert waiting() == [{"classpath": trigger, "task_id": "wait_for_videos"}]
        a_minute_ago = time.time() - 61
        os.utime(videos / "by-hand.mp4", (a_minute_ago, a_minute_ago))
        (run,) = airflow.wait_for_runs("example_send_video_from_folder", 1)
    finally:
        airflow.cli("dags", "pause", "example_send_video_from_folder")
    assert airflow.xcom("example_send_video_from_folder", run, "wait_for_videos") == [f"file://{videos}/by-hand.mp4"]
    assert received(sandbox, "Fresh from the studio.") == {("+12025550123", "Fresh from the studio.", by_hand): 1}
    assert [path.name for path in videos.glob("*.mp4")] == ["still-written.mp4"]
    (videos / "still-written.mp4").unlink()


def test_the_triggerer_waits_for_an_object_store(airflow, s3):
    bucket = s3.new_bucket()
    # In Airflow's database, which the triggerer asks for it.
    airflow.cli("connections", "add", "store", "--conn-json", s3.connection())
    run = airflow.trigger("wait_for_videos", {"folder": bucket.url("in")})

    def states() -> dict[str, str | None]:
        return {task.task_id: task.state for task in airflow.task_instances("wait_for_videos", run)}

    airflow.wait(60, "the triggerer to wait", lambda: states().get("wait") == "deferred")
    bucket.put("in/v.mp4", mp4())
    assert airflow.wait_for_run("wait_for_videos", run) == "failed"
    assert states() == {
        "wait": "success",
        "wait_until_timeout": "skipped",
        "wait_for_no_bucket": "failed",
        "wait_for_no_connection": "failed",
    }
    assert airflow.xcom("wait_for_videos", run, "wait") == [bucket.url("in/v.mp4")]
    assert "there is no bucket for" in airflow.task_log("wait_for_videos", run, "wait_for_no_bucket")
    log = airflow.task_log("wait_for_videos", run, "wait_for_no_connection")
    assert "there is no Connection 'no_such_conn', which 's3://no_such_conn@bucket/x' names" in log


def test_a_file_that_is_reported_twice_is_sent_once(airflow, sandbox, videos):
    sha256 = made(videos / "reported-twice.mp4", 200_200)
    event = {"media_file": f"file://{videos}/reported-twice.mp4", "caption": "Reported twice", "to": ["+12025550123"]}
    for states in (
        [("list_messages", "success"), ("send", "success")],
        [("list_messages", "success"), ("send", "skipped")],
    ):
        before = runs_of(airflow, "example_send_video_on_upload")
        assert airflow.wait_for_run("announce", airflow.trigger("announce", event)) == "success"
        run = airflow.wait_for_runs("example_send_video_on_upload", before + 1)[-1]
        tasks = airflow.task_instances("example_send_video_on_upload", run)
        assert [(task.task_id, task.state) for task in tasks] == states
        assert received(sandbox, "Reported twice") == {("+12025550123", "Reported twice", sha256): 1}


def test_a_cleared_task_sends_what_an_earlier_try_uploaded(airflow, sandbox, tmp_path):
    sha256 = made(tmp_path / "rejected.mp4", 200_300)
    before = runs_of(airflow, "example_send_video_on_upload")
    conf = {"source": f"{tmp_path}/rejected.mp4", "to": ["+999000000400"]}
    assert airflow.wait_for_run("example_upload_video", airflow.trigger("example_upload_video", conf)) == "success"
    run = airflow.wait_for_runs("example_send_video_on_upload", before + 1)[-1]
    assert airflow.run_state("example_send_video_on_upload", run) == "failed"

    def sends() -> int:
        return sum(request["to"] == "+999000000400" for request in sandbox.requests())

    once = sends()
    airflow.clear("example_send_video_on_upload", run, "send", 0)
    airflow.wait(120, "the cleared task to send again", lambda: sends() > once)
    assert airflow.wait_for_run("example_send_video_on_upload", run) == "failed"
    uploads = [upload for upload in sandbox.get("/sandbox/uploads") if upload["sha256"] == sha256]
    assert len(uploads) == 1


def test_example_campaign(airflow, sandbox):
    people = {"+12025550171": "Asha", "+12025550172": "Ravi", "+12025550173": "Meera"}
    for times, accepted in enumerate((3, 0)):
        run_id = airflow.trigger("example_campaign")
        assert airflow.wait_for_run("example_campaign", run_id) == "success"
        summary = airflow.xcom("example_campaign", run_id, "send")
        assert (summary["accepted"], summary["already_accepted"]) == (accepted, 3 * times)
        sent = [message for message in sandbox.messages() if message["to"] in people]
        assert Counter(message["to"] for message in sent) == dict.fromkeys(people, 1)
        captions = {message["to"]: message["content"]["caption"] for message in sent}
        assert captions == {to: f"Happy Diwali, {name}!" for to, name in people.items()}


def test_every_example_is_among_these():
    tested = Path(__file__).read_text() + "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert [path.stem for path in EXAMPLES.glob("*.py") if path.stem not in tested] == []


def test_the_key_is_in_no_log(airflow, sandbox):
    run_id = airflow.trigger("example_send_video", {"to": "+999000000400"})
    assert airflow.wait_for_run("example_send_video", run_id) == "failed"
    log = airflow.task_log("example_send_video", run_id, "send_by_media_id")
    assert "WA400" in log
    assert '"debug"' in log or "DEBUG" in log
    logs = [path for path in airflow.home.rglob("*") if path.suffix in {".log", ".out"}]
    assert len(logs) > 5
    assert [path for path in logs if sandbox.api_key.encode() in path.read_bytes()] == []

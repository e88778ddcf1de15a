"""The sensor that waits for videos, on a worker."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_kaleyra.exceptions import (
    KaleyraConfigError,
    KaleyraConnectionUnreadableError,
    KaleyraFileError,
    KaleyraUnusableFileError,
)
from airflow_provider_kaleyra.files import video_folder
from airflow_provider_kaleyra.sensors.video_folder import KaleyraVideoFolderSensor


def sensor(folder: object, **arguments: object) -> KaleyraVideoFolderSensor:
    return KaleyraVideoFolderSensor(task_id="wait", folder=folder, **arguments)


@pytest.fixture
def video(tmp_path) -> Path:
    """A video that was put into the folder two minutes ago."""
    path = tmp_path / "v.mp4"
    path.touch()
    os.utime(path, (time.time() - 120,) * 2)
    return path


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize("pattern", ["*.mp4", ["*.3gp", "v*"]])
def test_existing_videos_are_returned_at_once(video, deferrable, pattern):
    of = sensor(f"file://{video.parent}", deferrable=deferrable, pattern=pattern)
    assert of.execute({}) == [f"file://{video}"]


def test_the_folder_is_templated(video):
    of = sensor("{{ folder }}", pattern=["{{ pattern }}"])
    of.render_template_fields({"folder": f"file://{video.parent}", "pattern": "v.*"})
    assert of.execute({}) == [f"file://{video}"]


@pytest.mark.parametrize("settled_after", [180, timedelta(minutes=3)])
def test_it_waits_in_the_triggerer(video, settled_after):
    with pytest.raises(TaskDeferred) as deferred:
        sensor(
            f"file://{video.parent}", deferrable=True, settled_after=settled_after, poke_interval=15, timeout=3600
        ).execute({})
    _, arguments = deferred.value.trigger.serialize()
    assert abs(arguments.pop("until") - time.time() - 3600) < 10
    assert arguments == {
        "folder": f"file://{video.parent}",
        "patterns": ["*.mp4", "*.3gp"],
        "settled_after": 180,
        "poke_interval": 15,
    }
    assert deferred.value.method_name == "execute_complete"
    assert deferred.value.timeout > timedelta(hours=1)


def test_without_a_triggerer_it_waits_on_the_worker(tmp_path, video, monkeypatch):
    later = video.rename(tmp_path / "later.part")
    monkeypatch.setattr("airflow_provider_kaleyra.files.video_folder.time.sleep", lambda _: later.rename(video))
    assert sensor(f"file://{tmp_path}", deferrable=False, poke_interval=1).execute({}) == [f"file://{video}"]


def resumed(event: dict[str, object], **arguments: object) -> object:
    return sensor("s3://bucket", **arguments).resume_execution("execute_complete", {"event": event}, {})


def test_the_videos_of_the_trigger_are_returned():
    assert resumed({"videos": ["s3://bucket/v.mp4"]}) == ["s3://bucket/v.mp4"]


def test_a_timeout_fails_the_task():
    with pytest.raises(AirflowSensorTimeout, match=r"No video arrived in s3://bucket within 1:00:00"):
        resumed({"videos": []}, timeout=3600)


def test_a_timeout_skips_the_task_with_soft_fail():
    with pytest.raises(AirflowSkipException):
        resumed({"videos": []}, soft_fail=True)


@pytest.mark.parametrize(
    ("kind", "retry"),
    [
        (KaleyraFileError, True),
        (KaleyraUnusableFileError, False),
        (KaleyraConfigError, False),
        (KaleyraConnectionUnreadableError, True),
    ],
)
@pytest.mark.parametrize("soft_fail", [True, False])
def test_an_error_of_the_triggerer_is_raised_as_it_is_even_with_soft_fail(kind, retry, soft_fail):
    with pytest.raises(kind, match="out of reach") as raised:
        resumed({"error": "out of reach", "kind": kind.__name__, "retry": retry}, soft_fail=soft_fail)
    assert type(raised.value) is kind
    assert isinstance(raised.value, AirflowFailException) is not retry


@pytest.mark.parametrize("deferrable", [True, False])
def test_an_error_on_the_worker_fails_the_task_even_with_soft_fail(video, deferrable):
    with pytest.raises(KaleyraUnusableFileError, match="is a file"):
        sensor(f"file://{video}", soft_fail=True, deferrable=deferrable).execute({})


def test_no_constructor_reads_a_folder(monkeypatch):
    monkeypatch.setattr(video_folder, "list_videos", lambda *_: pytest.fail("the folder was read"))
    sensor("nowhere://bucket", deferrable=True)


def test_importing_it_imports_neither_a_trigger_nor_a_store():
    program = (
        "import sys\n"
        "from airflow.providers.common.compat.sdk import BaseSensorOperator\n"
        "before = set(sys.modules)\n"
        "import airflow_provider_kaleyra.sensors.video_folder\n"
        "print(*sorted(set(sys.modules) - before), sep='\\n')\n"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name for name in process.stdout.split() if not name.startswith("airflow.providers.common.compat")}
    package = "airflow_provider_kaleyra"
    assert loaded <= {package, f"{package}.sensors", f"{package}.sensors.video_folder"}

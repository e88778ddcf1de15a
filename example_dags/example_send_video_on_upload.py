"""
Send a WhatsApp video whenever one was put into a folder of an object store.

``example_upload_video`` stands for the content team's pipeline: it puts a video into the folder, and says so with an
event of the Asset ``uploaded_videos`` (a Dataset on Airflow 2), which carries the message.
``example_send_video_on_upload`` is scheduled on that Asset, and sends one message for each event and recipient.
``example_send_video_from_folder`` needs nobody who tells it: a deferrable sensor notices what else lies in the folder.
It starts paused, because it runs all the time.

Each file is sent by one run alone: the one that takes it out of the folder.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Asset, ObjectStoragePath, Param, task

from airflow_provider_kaleyra.operators.video import KaleyraSendVideoOperator
from airflow_provider_kaleyra.sensors.video_folder import KaleyraVideoFolderSensor

# Any URL that ObjectStoragePath opens, such as s3://aws_default@my-bucket/videos.
FOLDER = os.environ.get("EXAMPLE_VIDEOS_FOLDER", "file:///tmp/kaleyra-example-videos")
# Younger files may still be on their way into the folder, or be told of by an event.
SETTLED_AFTER = timedelta(minutes=1)

uploaded_videos = Asset("x-content-team://videos/uploaded")
RECIPIENTS = Param(["+12025550123"], type="array", items={"type": "string"}, title="Recipients")
CAPTION = Param("Fresh from the studio.", type="string", title="Caption")
DEFAULTS: dict[str, Any] = {
    "start_date": datetime(2026, 1, 1, tzinfo=UTC),
    "default_args": {"retries": 3, "retry_delay": timedelta(minutes=5)},
    "tags": ["example", "kaleyra"],
    "doc_md": __doc__,
}


def as_name(run_id: str) -> str:
    """The run id as part of a path."""
    return re.sub(r"\W", "_", run_id)


def take(file: str, run_id: str, told_at: datetime | None = None) -> str | None:
    """
    Take a file out of the folder for one run, however often that run tries; None where another run has.

    A file that came after what was told at *told_at* is another one of the same name.
    """
    source = ObjectStoragePath(file)
    taken = source.parent / "taken" / as_name(run_id) / source.name
    if taken.exists():
        # A store without a real move copies, then deletes; this run was ended in between.
        if source.exists() and source.read_bytes() == taken.read_bytes():
            source.unlink()
        return str(taken)
    if not source.exists():
        return None
    if told_at and source.stat().st_mtime > (told_at + SETTLED_AFTER).timestamp():
        return None
    taken.parent.mkdir(parents=True, exist_ok=True)
    source.move(taken)
    return str(taken)


with DAG(
    dag_id="example_upload_video",
    schedule=None,
    params={
        "source": Param("/tmp/diwali.mp4", type="string", title="Path or URL of the video"),  # noqa: S108
        "to": RECIPIENTS,
        "caption": CAPTION,
    },
    **DEFAULTS,
):

    @task(outlets=[uploaded_videos])
    def upload(*, params: dict[str, Any], run_id: str, outlet_events: Any) -> None:
        """Put the video into the folder, and tell whoever waits for videos what to send, to whom."""
        source = ObjectStoragePath(params["source"])
        target = ObjectStoragePath(FOLDER) / f"{as_name(run_id)}-{source.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        source.copy(target)
        extra = {"media_file": str(target), "caption": params["caption"], "to": params["to"]}
        outlet_events[uploaded_videos].extra = extra

    upload()

with DAG(
    dag_id="example_send_video_on_upload",
    schedule=[uploaded_videos],
    catchup=False,
    max_active_runs=1,
    **DEFAULTS,
):

    @task(inlets=[uploaded_videos])
    def list_messages(*, run_id: str, inlet_events: Any, **context: Any) -> list[dict[str, str]]:
        """Read what was uploaded: two uploads at once are two messages to each recipient."""
        # An event names a media_link that is public already, or a file in the folder. Of files, every event is read:
        # Airflow leaves one that comes while a run is about to start to the next run, which may be days away.
        # Airflow 2 calls it by the name that Assets had there.
        name = "triggering_asset_events" if "triggering_asset_events" in context else "triggering_dataset_events"
        linked = [event.extra for events in context[name].values() for event in events if "media_link" in event.extra]
        uploaded = {
            event.extra["media_file"]: event for event in inlet_events[uploaded_videos] if "media_file" in event.extra
        }
        taken = [
            event.extra | {"media_file": mine}
            for file, event in uploaded.items()
            if (mine := take(file, run_id, event.timestamp))
        ]
        return [extra | {"to": to} for extra in (*linked, *taken) for to in extra["to"]]

    KaleyraSendVideoOperator.partial(task_id="send", ref="{{ run_id }}").expand_kwargs(list_messages())

with DAG(
    dag_id="example_send_video_from_folder",
    schedule="@continuous",
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    params={"to": RECIPIENTS, "caption": CAPTION},
    **DEFAULTS,
):
    # The triggerer looks into the folder; no worker is taken until a video lies there.
    wait_for_videos = KaleyraVideoFolderSensor(
        task_id="wait_for_videos",
        folder=FOLDER,
        settled_after=SETTLED_AFTER,
        poke_interval=15,
        timeout=timedelta(days=7).total_seconds(),
        soft_fail=True,
        deferrable=True,
    )

    @task
    def address(files: list[str], *, params: dict[str, Any], run_id: str) -> list[dict[str, str]]:
        """Take the files, and make a message of each to each recipient."""
        taken = [file for name in files if (file := take(name, run_id)) is not None]
        return [{"media_file": file, "to": to, "caption": params["caption"]} for file in taken for to in params["to"]]

    KaleyraSendVideoOperator.partial(task_id="send", ref="{{ run_id }}").expand_kwargs(address(wait_for_videos.output))

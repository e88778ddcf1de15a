"""
Send a WhatsApp video whenever one was put into a folder of an object store.

``example_upload_video`` is a placeholder for the content team's pipeline: it puts a video into the folder, and emits an
event of the Asset ``uploaded_videos`` (a Dataset on Airflow 2), which contains the message.
``example_send_video_on_upload`` is scheduled on that Asset, and sends one message for each event and recipient.
``example_send_video_from_folder`` needs no events: a deferrable sensor finds the other videos in the folder. It starts
paused, because it runs all the time.

Each file is sent by one run only: the run that claims it, by moving it out of the folder.
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
# Newer files may still be incomplete, or an event may announce them.
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
    """Return the run id in a form that can be part of a path."""
    return re.sub(r"\W", "_", run_id)


def claim(file: str, run_id: str, event_time: datetime | None = None) -> str | None:
    """
    Move a file out of the folder for one run, and return its new URL, which is the same for every try of the run.

    Return None if the file is missing, usually because another run has claimed it, or if it is newer than the event.

    :param file: URL of the file in the folder.
    :param run_id: id of the run that claims the file.
    :param event_time: time of the event that announced the file; a newer file is another one with the same name.
    """
    source = ObjectStoragePath(file)
    claimed = source.parent / "claimed" / as_name(run_id) / source.name
    if claimed.exists():
        # An object store copies, then deletes; an earlier try of this run was killed in between.
        if source.exists() and source.read_bytes() == claimed.read_bytes():
            source.unlink()
        return str(claimed)
    if not source.exists():
        return None
    if event_time and source.stat().st_mtime > (event_time + SETTLED_AFTER).timestamp():
        return None
    claimed.parent.mkdir(parents=True, exist_ok=True)
    source.move(claimed)
    return str(claimed)


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
        """Put the video into the folder, and emit an event with the message and its recipients."""
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
        """Return one message for each uploaded video and recipient."""
        # An event names a public media_link, or a file in the folder. For files, every event of the Asset is read, not
        # only those that triggered this run: Airflow assigns an event that arrives while a run is about to start to the
        # next run, which may be days away. Airflow 2 has another name for the triggering events.
        name = "triggering_asset_events" if "triggering_asset_events" in context else "triggering_dataset_events"
        linked = [event.extra for events in context[name].values() for event in events if "media_link" in event.extra]
        uploaded = {
            event.extra["media_file"]: event for event in inlet_events[uploaded_videos] if "media_file" in event.extra
        }
        claimed = [
            event.extra | {"media_file": own_file}
            for file, event in uploaded.items()
            if (own_file := claim(file, run_id, event.timestamp))
        ]
        return [extra | {"to": to} for extra in (*linked, *claimed) for to in extra["to"]]

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
    # The triggerer checks the folder; the task occupies no worker slot until a video is there.
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
        """Claim the files, and return one message for each file and recipient."""
        claimed = [file for name in files if (file := claim(name, run_id)) is not None]
        return [{"media_file": file, "to": to, "caption": params["caption"]} for file in claimed for to in params["to"]]

    KaleyraSendVideoOperator.partial(task_id="send", ref="{{ run_id }}").expand_kwargs(address(wait_for_videos.output))

"""
Send a WhatsApp video whenever one was uploaded.

``example_upload_video`` stands for the content team's pipeline: it puts a video where it is public, and says so with
an event of the Asset ``uploaded_videos`` (a Dataset on Airflow 2), which carries the message.
``example_send_video_on_upload`` is scheduled on that Asset, and sends one message for each event since its last run.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Asset, Param, task

from airflow_provider_kaleyra.operators.video import KaleyraSendVideoOperator

START = datetime(2026, 1, 1, tzinfo=UTC)
uploaded_videos = Asset("x-content-team://videos/uploaded")

with DAG(
    dag_id="example_upload_video",
    schedule=None,
    start_date=START,
    params={
        "to": Param("+12025550123", type="string", title="Recipient"),
        "media_link": Param("https://www.awesomeview.com/assets/awesome-view.mp4", type="string", title="Video"),
        "caption": Param("Fresh from the studio.", type="string", title="Caption"),
    },
    tags=["example", "kaleyra"],
    doc_md=__doc__,
):

    @task(outlets=[uploaded_videos])
    def upload(*, params: dict[str, Any], outlet_events: Any) -> None:
        """Tell whoever waits for videos what to send, to whom."""
        outlet_events[uploaded_videos].extra = {name: params[name] for name in ("to", "media_link", "caption")}

    upload()

with DAG(
    dag_id="example_send_video_on_upload",
    schedule=[uploaded_videos],
    start_date=START,
    catchup=False,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5)},
    tags=["example", "kaleyra"],
    doc_md=__doc__,
):

    @task
    def list_uploads(**context: Any) -> list[dict[str, str]]:
        """Read every event that started this run: two uploads at once are two messages."""
        # Airflow 2 calls it by the name that Assets had there.
        name = "triggering_asset_events" if "triggering_asset_events" in context else "triggering_dataset_events"
        return [event.extra for events in context[name].values() for event in events]

    KaleyraSendVideoOperator.partial(
        task_id="send",
        ref="{{ run_id }}",
    ).expand_kwargs(list_uploads())

"""A DAG that misses its deadline."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from time import sleep

from airflow.sdk import DAG, task
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

try:
    from airflow.sdk.definitions.callback import AsyncCallback
except ImportError:  # Airflow 3.1
    from airflow.sdk.definitions.deadline import AsyncCallback

from airflow_provider_kaleyra.notifications.video import KaleyraVideoNotifier

with DAG(
    "deadline",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(seconds=1),
        callback=AsyncCallback(
            KaleyraVideoNotifier,
            kwargs={"to": "+12025550129", "media_link": "https://example.com/late.mp4", "ref": "{{ dag_run.dag_id }}"},
        ),
    ),
):

    @task
    def takes_long() -> None:
        sleep(12)

    takes_long()

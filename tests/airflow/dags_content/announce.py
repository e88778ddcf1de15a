"""A DAG that emits an event for a video that is already in the folder."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Asset, task

uploaded_videos = Asset("x-content-team://videos/uploaded")

with DAG(dag_id="announce", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):

    @task(outlets=[uploaded_videos])
    def announce(*, dag_run: Any, outlet_events: Any) -> None:
        outlet_events[uploaded_videos].extra = dict(dag_run.conf)

    announce()

"""Campaigns that the tests kill, stop, time out and repeat."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_kaleyra.operators.campaign import KaleyraSendVideoCampaignOperator

HOME = Path(os.environ["CAMPAIGN_HOME"])
LINK = "https://example.com/v.mp4"


def write_process_id(context: dict[str, Any]) -> None:
    """Write the number of the try and its process id to a file for the test."""
    ti = context["ti"]
    partial = HOME / f"{ti.dag_id}.partial"
    partial.write_text(f"{ti.try_number} {os.getpid()}")
    partial.rename(HOME / f"{ti.dag_id}.process")


def campaign(dag_id: str, schedule: str | None = None, **fields: Any) -> None:
    with DAG(dag_id, start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=schedule, catchup=False):
        KaleyraSendVideoCampaignOperator(
            task_id="send",
            campaign_id=dag_id,
            recipients=str(HOME / f"{dag_id}.csv"),
            media_link=LINK,
            retry_delay=timedelta(0),
            pre_execute=write_process_id,
            **{"ledger_conn_id": "ledger"} | fields,
        )


# Slow enough for five kills before the end.
campaign("killed", messages_per_second=1000, retries=8)
campaign("stopped", messages_per_second=50, retries=1)
campaign("timed_out", messages_per_second=50, retries=1, execution_timeout=timedelta(seconds=6))
campaign("marked", messages_per_second=50, retries=0)
campaign("rejected", messages_per_second=50, retries=1, max_failures=0.05)
campaign("locked", messages_per_second=50, retries=1, ledger_conn_id="ledger_locked")
campaign("repeated", schedule="@daily", messages_per_second=500)

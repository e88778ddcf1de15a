"""
Send one WhatsApp video to every recipient in a CSV file, once each, however often the task runs.

It needs a Connection ``kaleyra_default``, and a Connection ``kaleyra_ledger`` to the PostgreSQL or SQLite database that
records what was sent to whom.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_kaleyra.operators.campaign import KaleyraSendVideoCampaignOperator

with DAG(
    dag_id="example_campaign",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5)},
    tags=["example", "kaleyra"],
    doc_md=__doc__,
) as dag:
    # [START campaign]
    KaleyraSendVideoCampaignOperator(
        task_id="send",
        campaign_id="diwali-2026",
        recipients=str(Path(__file__).with_name("example_campaign.csv")),  # or s3://…, gs://…
        ledger_conn_id="kaleyra_ledger",
        media_link="https://www.awesomeview.com/assets/awesome-view.mp4",
        caption="Happy Diwali, $name!",
        messages_per_second=20,
    )
    # [END campaign]

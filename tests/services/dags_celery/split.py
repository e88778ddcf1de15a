"""One campaign, split over workers by Airflow's own dynamic task mapping; the parts overlap."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_kaleyra.operators.campaign import KaleyraSendVideoCampaignOperator
from tests.campaign.builders import number

PEOPLE = [number(index) for index in range(4000)]

with DAG("split", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None):

    @task
    def parts() -> list[list[str]]:
        chance = random.Random(20260101)
        return [chance.sample(part, len(part)) for part in (PEOPLE[:2500], PEOPLE[1500:])]

    KaleyraSendVideoCampaignOperator.partial(
        task_id="send",
        campaign_id="split",
        ledger_conn_id="ledger",
        media_link="https://example.com/v.mp4",
        messages_per_second=150,
        retries=2,
        retry_delay=timedelta(0),
    ).expand(recipients=parts())

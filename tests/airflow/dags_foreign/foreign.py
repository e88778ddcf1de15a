"""One mapped task for each foreign response; a gateway in front of the sandbox gives them to the first try."""

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_kaleyra.operators.video import KaleyraSendVideoOperator
from tests.airflow.dags_foreign.responses import ROWS

with DAG("foreign", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None, max_active_tasks=32):
    KaleyraSendVideoOperator.partial(
        task_id="send",
        media_id="1166846181421424",
        caption="try {{ ti.try_number }}",
        retries=1,
        retry_delay=timedelta(0),
    ).expand(to=[row.of_single_send for row in ROWS])

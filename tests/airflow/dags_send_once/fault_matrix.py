"""A DAG with one task for each cell of the fault matrix."""

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_kaleyra.operators.video import KaleyraSendVideoOperator
from tests.airflow.dags_send_once.cells import CELLS, RETRIES
from tests.airflow.dags_send_once.faults import after_first_try, at_first_try

VARYING = "try {{ ti.try_number }} at {{ macros.datetime.now() }}"

with DAG(
    "fault_matrix",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    schedule=None,
    max_active_tasks=32,
    default_args={"retries": RETRIES, "retry_delay": timedelta(seconds=1)},
):
    for task_id, cell in CELLS.items():
        KaleyraSendVideoOperator(
            task_id=task_id,
            to=cell.to,
            media_id="1166846181421424",
            caption=VARYING if cell.varying else "constant caption",
            ref=task_id,
            kaleyra_conn_id=cell.kaleyra_conn_id,
            on_unknown_outcome=cell.on_unknown_outcome,
            execution_timeout=timedelta(seconds=cell.execution_timeout) if cell.execution_timeout else None,
            pre_execute=at_first_try(cell.kill, cell.store),
            post_execute=after_first_try(cell.kill),
        )

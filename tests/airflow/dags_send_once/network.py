"""A DAG with many sends over a network that fails at random."""

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_kaleyra.operators.video import KaleyraSendVideoOperator

SENDS = 200

with DAG(
    "network",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    schedule=None,
    max_active_tasks=32,
    default_args={"retries": 3, "retry_delay": timedelta(seconds=1)},
):
    KaleyraSendVideoOperator.partial(
        task_id="send",
        media_id="1166846181421424",
        caption="try {{ ti.try_number }} at {{ macros.datetime.now() }}",
        kaleyra_conn_id="kaleyra_network",
    ).expand_kwargs([{"to": f"+1202555{number:04}", "ref": f"customer-{number}"} for number in range(SENDS)])

"""DAGs for a Clear, a map index, a changed DAG file and a retry policy, for sends that are recorded."""

import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_kaleyra.operators.video import KaleyraSendVideoOperator
from tests.airflow.dags_send_once.cells import ANYBODY, HANG_AFTER_ACCEPTING, SLOW
from tests.airflow.dags_send_once.faults import after_first_try, at_first_try

FLAG = Path(os.environ.get("SEND_ONCE_FLAG", "missing/file"))
RECIPIENTS = ["+12025550101", "+12025550102", "+12025550103"]


def one_task(dag_id: str, to: str, retries: int = 0, **more: Any) -> None:
    """Define a DAG with one task. The ref of its message is the id of the DAG."""
    with DAG(dag_id, start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None) as dag:
        KaleyraSendVideoOperator(
            task_id="send",
            to=to,
            media_id="1166846181421424",
            ref=dag_id,
            retries=retries,
            retry_delay=timedelta(seconds=1),
            kaleyra_conn_id="kaleyra_patient",
            **more,
        )
    globals()[dag_id] = dag


one_task("ordinary", ANYBODY)
one_task("killed_without_retries", SLOW, pre_execute=at_first_try("c"))
one_task("retries_lowered", SLOW, 1 if FLAG.exists() else 3, pre_execute=at_first_try("c", marker=FLAG))
one_task("cleared_while_running", HANG_AFTER_ACCEPTING, retries=2)
one_task("marked_as_failed", HANG_AFTER_ACCEPTING, retries=2)


def fail_at_first_try(context: dict[str, Any], result: Any) -> None:
    if context["ti"].try_number == 1:
        raise RuntimeError("after the send")


one_task("fails_after_the_send", ANYBODY, retries=1, post_execute=fail_at_first_try)

for mode in ("fail", "resend", "skip"):
    one_task(f"unknown_{mode}", "+999000000903", retries=1, on_unknown_outcome=mode)

with suppress(ImportError):
    from airflow_provider_kaleyra.retry_policy import KaleyraRetryPolicy

    one_task("policy", "+999000003429", retries=1, retry_policy=KaleyraRetryPolicy())


def fault_for_map_index(context: dict[str, Any]) -> None:
    at_first_try({1: "e", 2: "c"}.get(context["ti"].map_index))(context)


def end_for_map_index(context: dict[str, Any], result: Any) -> None:
    after_first_try({1: "e"}.get(context["ti"].map_index))(context, result)


with DAG("mapped", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None):
    KaleyraSendVideoOperator.partial(
        task_id="send",
        media_id="1166846181421424",
        retries=1,
        retry_delay=timedelta(seconds=1),
        pre_execute=fault_for_map_index,
        post_execute=end_for_map_index,
    ).expand_kwargs([{"to": to, "ref": f"mapped-{number}"} for number, to in enumerate([*RECIPIENTS[:2], SLOW])])

with DAG("reordered", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None):

    @task
    def recipients(ti: Any = None) -> list[str]:
        """Return the same recipients, in another order after a Clear."""
        return RECIPIENTS if ti.try_number == 1 else RECIPIENTS[::-1]

    KaleyraSendVideoOperator.partial(task_id="send", media_id="1166846181421424", ref="reordered").expand(
        to=recipients()
    )

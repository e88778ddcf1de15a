"""
Notify people by WhatsApp video how a task ended: the customer of a success, the person on call of a failure.

It needs a Connection ``kaleyra_default``; ``make airflow`` runs it against a local stand-in for Kaleyra.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_kaleyra.notifications.video import KaleyraVideoNotifier

VIDEOS = "https://www.awesomeview.com/assets"

# One notifier can serve many tasks: its fields are rendered for each of them.
notify_customer = KaleyraVideoNotifier(
    to="{{ params.customer }}",
    media_link=f"{VIDEOS}/order-ready.mp4",
    caption="Your order {{ params.order }} is ready.",
    ref="{{ params.order }}",
)
notify_on_call = KaleyraVideoNotifier(
    to="{{ params.on_call }}",
    media_link=f"{VIDEOS}/task-failed.mp4",
    caption="{{ ti.task_id }} of {{ ti.dag_id }} failed: {{ exception | string | truncate(200) }}",
    ref="{{ run_id }}",
)

with DAG(
    dag_id="example_notify",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={
        "customer": Param("+12025550127", type="string", title="Customer", description="Number in E.164, with its +."),
        "on_call": Param("+12025550128", type="string", title="On call", description="Number in E.164, with its +."),
        "order": Param("A-1001", type="string", title="Order"),
        "fails": Param(default=False, type="boolean", title="Fail the task"),
    },
    default_args={"on_failure_callback": [notify_on_call]},
    tags=["example", "kaleyra"],
    doc_md=__doc__,
):

    @task(on_success_callback=[notify_customer])
    def pack_order(params: dict[str, object] | None = None) -> None:
        """Placeholder for the work."""
        if params and params["fails"]:
            raise ValueError("Nothing left on the shelf")

    pack_order()

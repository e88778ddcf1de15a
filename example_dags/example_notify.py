"""
Tell people by WhatsApp video how a task ended: the customer when it worked, whoever is on call when it did not.

It needs a Connection ``kaleyra_default``; ``make demo`` runs such DAGs against a local stand-in for Kaleyra.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_kaleyra.notifications.video import KaleyraVideoNotifier

VIDEOS = "https://www.awesomeview.com/assets"

# A notifier is made once and may serve many tasks: its fields are rendered anew for each.
tell_customer = KaleyraVideoNotifier(
    to="{{ params.customer }}",
    media_link=f"{VIDEOS}/order-ready.mp4",
    caption="Your order {{ params.order }} is ready.",
    ref="{{ params.order }}",
)
tell_on_call = KaleyraVideoNotifier(
    to="{{ params.on_call }}",
    media_link=f"{VIDEOS}/please-look.mp4",
    caption="{{ ti.task_id }} of {{ ti.dag_id }} failed: {{ exception | string | truncate(200) }}",
    ref="{{ run_id }}",
)

with DAG(
    dag_id="example_notify",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={
        "customer": Param("+12025550127", type="string", title="Customer", description="In E.164, with its +."),
        "on_call": Param("+12025550128", type="string", title="On call", description="In E.164, with its +."),
        "order": Param("A-1001", type="string", title="Order"),
        "fails": Param(default=False, type="boolean", title="Let the task fail"),
    },
    default_args={"on_failure_callback": [tell_on_call]},
    tags=["example", "kaleyra"],
    doc_md=__doc__,
):

    @task(on_success_callback=[tell_customer])
    def pack_order(params: dict[str, object] | None = None) -> None:
        """Stand for the work."""
        if params and params["fails"]:
            raise ValueError("Nothing left on the shelf")

    pack_order()

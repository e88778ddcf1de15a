"""
Send WhatsApp videos every morning: one by media id, one by link, and one to each recipient of a list.

It needs a Connection ``kaleyra_default``; ``make demo`` runs it against a local stand-in for Kaleyra.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_kaleyra.operators.video import KaleyraSendVideoOperator

with DAG(
    dag_id="example_send_video",
    schedule="0 9 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={
        "to": Param("+12025550123", type="string", title="Recipient", description="Number in E.164, with its +."),
        "greeting": Param("Good morning! Here is today's video.", type="string", title="Greeting"),
    },
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5)},
    tags=["example", "kaleyra"],
    doc_md=__doc__,
):

    @task
    def pick_video() -> dict[str, str]:
        """Placeholder for choosing the day's video. A media id is the result of an upload to Kaleyra."""
        return {"media_id": "1166846181421424", "link": "https://www.awesomeview.com/assets/awesome-view.mp4"}

    @task
    def list_recipients() -> list[str]:
        """Placeholder for looking up the recipients."""
        return ["+12025550124", "+12025550125", "+12025550126"]

    video = pick_video()

    KaleyraSendVideoOperator(
        task_id="send_by_media_id",
        to="{{ params.to }}",
        media_id="{{ ti.xcom_pull(task_ids='pick_video')['media_id'] }}",
        caption="{{ params.greeting }} ({{ ds }})",
        ref="morning-{{ ds }}",
    ).set_upstream(video)

    # A field can take an XCom directly, which also makes this task depend on the task that returned it.
    KaleyraSendVideoOperator(
        task_id="send_by_link",
        to="{{ params.to }}",
        media_link=video["link"],
        caption="The same video by its link.",
        ref="morning-{{ ds }}",
        ref1="by link",
    )

    # One mapped task per recipient suits a few recipients. Each task is retried separately.
    KaleyraSendVideoOperator.partial(
        task_id="send_to_each",
        media_id=video["media_id"],
        caption="{{ params.greeting }}",
        ref="morning-{{ ds }}",
    ).expand(to=list_recipients())

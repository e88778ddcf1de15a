"""DAGs with one task that succeeds or fails, and then notifies the recipient that the run names."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_kaleyra.notifications.video import KaleyraVideoNotifier

notifier = KaleyraVideoNotifier(to="{{ params.to }}", media_link="https://example.com/v.mp4", ref="{{ run_id }}")

for dag_id, ends_well in (("succeeds", True), ("fails", False)):
    with DAG(
        dag_id=f"notifies_{dag_id}",
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        params={"to": Param("+12025550123", type="string")},
    ):

        @task(on_success_callback=[notifier], on_failure_callback=[notifier])
        def work(ends_well: bool) -> None:
            if not ends_well:
                raise ValueError("the task's own error")

        work(ends_well)

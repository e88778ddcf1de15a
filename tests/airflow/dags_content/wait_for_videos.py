"""A DAG that waits for a video in three folders: one gets a video, one stays empty, one is in a missing bucket."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_kaleyra.sensors.video_folder import KaleyraVideoFolderSensor

with DAG(
    dag_id="wait_for_videos",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    default_args={"settled_after": 0, "poke_interval": 1, "soft_fail": True, "deferrable": True},
):
    KaleyraVideoFolderSensor(task_id="wait", folder="{{ dag_run.conf['folder'] }}", timeout=120)
    KaleyraVideoFolderSensor(task_id="wait_until_timeout", folder="{{ dag_run.conf['folder'] }}/empty", timeout=2)
    KaleyraVideoFolderSensor(task_id="wait_for_no_bucket", folder="s3://store@no-bucket")
    KaleyraVideoFolderSensor(task_id="wait_for_no_connection", folder="s3://no_such_conn@bucket/x")

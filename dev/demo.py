"""
Send videos with a real Airflow to the sandbox, and print what the recipients' phones received.

    python -m dev.demo
"""

from __future__ import annotations

import sys

from dev.airflow import running_airflow
from dev.environment import ROOT
from dev.sandbox import connection_to, running_sandbox

DAG_ID = "example_send_video"


def main() -> None:
    """Run the example DAG once, and exit with 0 if it succeeds."""
    with running_sandbox() as sandbox:
        print(f"The sandbox stands in for Kaleyra at {sandbox.url}. Starting Airflow …", flush=True)
        with running_airflow(
            ROOT / "example_dags", {"AIRFLOW_CONN_KALEYRA_DEFAULT": connection_to(sandbox)}
        ) as airflow:
            print(f"Airflow is up. Running the DAG {DAG_ID} …", flush=True)
            run_id = airflow.trigger(DAG_ID)
            state = airflow.wait_for_run(DAG_ID, run_id)
            tasks = airflow.task_instances(DAG_ID, run_id)
            print(f"\nThe run ended as {state}.\n")
            by_id = {message["message_id"]: message for message in sandbox.messages()}
            for task in tasks:
                name = task.task_id if task.map_index < 0 else f"{task.task_id}[{task.map_index}]"
                value = airflow.xcom(DAG_ID, run_id, task.task_id, task.map_index)
                message = by_id.get(value) if isinstance(value, str) else None
                if message:
                    video = message["content"]
                    print(f"{name}: message id {value}")
                    print(f"    on the phone of {message['to']}: video {video.get('id') or video.get('link')}")
                    refs = ", ".join(f"{ref} {value}" for ref, value in message["extra_info"].items())
                    print(f"    {video.get('caption', '')!r} ({refs})")
                elif task.state != "success":
                    print(f"{name}: {task.state}\n{airflow.task_log(DAG_ID, run_id, task.task_id, task.map_index)}")
    sys.exit(state != "success")


if __name__ == "__main__":
    main()

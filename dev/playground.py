"""
Run Airflow with its UI, and the sandbox with its page, until Ctrl-C.

    python -m dev.playground
"""

from __future__ import annotations

import signal
import sys
import threading

from dev.airflow import ADMIN, AIRFLOW_VERSION, running_airflow
from dev.environment import ROOT
from dev.sandbox import connection_to, running_sandbox

AIRFLOW_PORT, SANDBOX_PORT = 8080, 8089


def main() -> None:
    """Serve both until SIGINT or SIGTERM arrives."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with running_sandbox(port=SANDBOX_PORT) as sandbox:
        print("Starting Airflow …", flush=True)
        with running_airflow(
            ROOT / "example_dags", port=AIRFLOW_PORT, env={"AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO"}
        ) as airflow:
            # The Connection is in Airflow's database, not in the environment, so that the UI shows it.
            airflow.cli("connections", "add", "kaleyra_default", "--conn-json", connection_to(sandbox))
            login = "no login" if AIRFLOW_VERSION >= (3, 0) else f"login {' / '.join(ADMIN)}"
            print(f"Airflow: {airflow.url} ({login})\nPhone:   {sandbox.url}\nPress Ctrl-C to stop both.", flush=True)
            stop.wait()
            print("Stopping …", flush=True)
    sys.exit(0)


if __name__ == "__main__":
    main()

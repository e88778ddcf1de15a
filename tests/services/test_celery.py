"""A campaign over two Celery workers, of which one is killed half-way, with the sandbox as witness."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import sqlalchemy as sa

from airflow_provider_kaleyra.campaign.settings import Settings
from dev.airflow import RunningAirflow, running_airflow
from dev.sandbox import connection_to, running_sandbox
from tests.services.conftest import Broker, _or_do_without
from tests.services.dags_celery.split import PEOPLE

ROOT = Path(__file__).parents[2]
_log = logging.getLogger(__name__)


@contextlib.contextmanager
def workers(airflow: RunningAirflow, count: int) -> Iterator[list[psutil.Process]]:
    """Celery workers that run one task at a time each."""
    started = []
    try:
        for index in range(count):
            command = ["celery", "worker", "--concurrency", "1", "--skip-serve-logs", "-H", f"worker{index}@%h"]
            with (airflow.home / f"worker{index}.out").open("wb") as output:
                process = subprocess.Popen(
                    [sys.executable, "-m", "airflow", *command],
                    env=airflow.environment,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
            started.append(psutil.Process(process.pid))
        yield started
    finally:
        for worker in started:
            kill(worker)


def kill(worker: psutil.Process) -> None:
    """SIGKILL to the worker, its pool and its task, which a machine that dies would give them."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [worker, *worker.children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=10)


def test_two_workers_one_of_them_killed_half_way(postgres: str, redis_broker: Broker, tmp_path: Path):
    _or_do_without("airflow.providers.celery", "the Celery provider is not installed")
    with running_sandbox() as sandbox:
        environment = {
            "PYTHONPATH": str(ROOT),
            "AIRFLOW_CONN_KALEYRA_DEFAULT": connection_to(sandbox),
            "AIRFLOW_CONN_LEDGER": postgres.replace("postgresql+psycopg2", "postgres"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": postgres,
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CELERY__BROKER_URL": redis_broker.url,
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{postgres}",
            "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__GLOBAL_KEYPREFIX": redis_broker.prefix,
            # A worker that is killed says nothing: Airflow finds out by its silence.
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
        }
        engine = sa.create_engine(postgres)

        def rows(columns: str) -> list[tuple]:
            with engine.connect() as connection:
                if not sa.inspect(connection).has_table("kaleyra_sends"):
                    return []
                found = connection.execute(sa.text(f"SELECT {columns} FROM kaleyra_sends")).fetchall()
            return [tuple(row) for row in found]

        def half_way() -> bool:
            return len(rows("recipient")) > len(PEOPLE) / 2 and len(set(rows("map_index"))) == 2

        with (
            running_airflow(Path(__file__).parent / "dags_celery", environment) as airflow,
            workers(airflow, 2) as [first, _],
        ):
            run_id = airflow.trigger("split")
            airflow.wait(120, "the campaign to be half-way", half_way)
            kill(first)
            assert airflow.wait_for_run("split", run_id, 240) == "success"
            sends = [task for task in airflow.task_instances("split", run_id) if task.task_id == "send"]
            summaries = [airflow.xcom("split", run_id, "send", task.map_index) for task in sends]

        states = dict(rows("recipient, state"))
        engine.dispose()
        received = Counter(message["to"] for message in sandbox.messages())
        _log.info("%s, %d received, tries %s, %s", Counter(states.values()), received.total(), sends, summaries)
        assert sorted(task.try_number for task in sends) == [1, 2]
        # None twice, none missing but those that the ledger reports as unknown.
        assert set(received.values()) == {1}
        assert set(states) == set(PEOPLE)
        accepted = {to for to, state in states.items() if state == "accepted"}
        unknown = {to for to, state in states.items() if state == "unknown"}
        assert accepted | unknown == set(PEOPLE)
        assert accepted <= set(received) <= accepted | unknown
        assert 0 < len(unknown) <= Settings(per_second=150).max_unrecorded
        # Each of the two parts ran on a worker of its own, and together they sent what one would have.
        assert all(summary["accepted"] for summary in summaries)

"""Run a real Airflow (scheduler, executor, triggerer, UI) in a temporary home."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import psutil
import requests
import sqlalchemy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

AIRFLOW_VERSION = tuple(int(part) for part in version("apache-airflow").split(".")[:2])
ADMIN = ("admin", "admin")

# From Airflow 3.0 on, tasks need the API server; before, the web server is there for the UI and the REST API only.
_SERVICES: dict[str, list[str]] = (
    {
        "api-server": ["api-server"],
        "scheduler": ["scheduler"],
        "dag-processor": ["dag-processor"],
        "triggerer": ["triggerer"],
    }
    if AIRFLOW_VERSION >= (3, 0)
    else {"webserver": ["webserver"], "scheduler": ["scheduler"], "triggerer": ["triggerer"]}
)
_API = "v2" if AIRFLOW_VERSION >= (3, 0) else "v1"
_API_ATTEMPTS = 5
_ENDED = {"success", "failed"}


class AirflowRunError(Exception):
    """Airflow failed, or did not do in time what the caller waited for."""


@dataclass(frozen=True)
class TaskInstance:
    """State of a task instance."""

    task_id: str
    map_index: int
    state: str | None
    try_number: int
    max_tries: int


@dataclass
class RunningAirflow:
    """A running Airflow.

    :param home: folder that AIRFLOW_HOME names.
    :param url: URL of the UI. From Airflow 3.0 on it needs no login; before, log in as *ADMIN*.
    :param environment: environment variables for the processes of this Airflow.
    :param processes: running services by name.
    """

    home: Path
    url: str
    environment: dict[str, str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def cli(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run ``airflow`` with these arguments.

        :raises AirflowRunError: *check* is set and the command fails.
        """
        completed = subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if check and completed.returncode:
            raise AirflowRunError(f"airflow {' '.join(arguments)}:\n{completed.stdout}\n{completed.stderr}")
        return completed

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Start a run of the DAG as soon as Airflow has parsed it, and return the run's id."""
        self.wait(60, f"DAG {dag_id} to be parsed", lambda: self._is_parsed(dag_id))
        run_id = f"run_{secrets.token_hex(6)}"
        run = {"dag_run_id": run_id, "conf": conf or {}, "logical_date": datetime.now(UTC).isoformat()}
        self.api("POST", f"dags/{dag_id}/dagRuns", json=run)
        return run_id

    def wait_for_run(self, dag_id: str, run_id: str, timeout: float = 120) -> str:
        """Wait until the run has ended, and return its state."""
        self.wait(timeout, f"run {run_id} of {dag_id} to end", lambda: self.run_state(dag_id, run_id) in _ENDED)
        return self.run_state(dag_id, run_id) or ""

    def wait_for_runs(self, dag_id: str, count: int, timeout: float = 120) -> list[str]:
        """Wait until *count* runs of the DAG have ended, however they were started, and return their ids."""

        def ended() -> list[str]:
            rows = self.sql("SELECT run_id, state FROM dag_run WHERE dag_id = :dag_id ORDER BY id", dag_id=dag_id)
            return [row["run_id"] for row in rows if row["state"] in _ENDED]

        self.wait(timeout, f"{count} runs of {dag_id} to end", lambda: len(ended()) >= count)
        return ended()

    def run_state(self, dag_id: str, run_id: str) -> str | None:
        """Return the run's state, or None if there is no such run."""
        rows = self.sql(
            "SELECT state FROM dag_run WHERE dag_id = :dag_id AND run_id = :run_id", dag_id=dag_id, run_id=run_id
        )
        return rows[0]["state"] if rows else None

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        """Return the run's task instances, sorted by task and map index."""
        rows = self.sql(
            "SELECT task_id, map_index, state, try_number, max_tries FROM task_instance "
            "WHERE dag_id = :dag_id AND run_id = :run_id ORDER BY task_id, map_index",
            dag_id=dag_id,
            run_id=run_id,
        )
        return [TaskInstance(**row) for row in rows]

    def xcom(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Any:
        """Return the return value of the task, or None."""
        rows = self.sql(
            "SELECT value FROM xcom WHERE dag_id = :dag_id AND run_id = :run_id AND task_id = :task_id "
            "AND map_index = :map_index AND key = 'return_value'",
            dag_id=dag_id,
            run_id=run_id,
            task_id=task_id,
            map_index=map_index,
        )
        value = rows[0]["value"] if rows else None
        # The column holds JSON text; from 3.0 on, Airflow encodes it twice.
        for _ in range(2):
            if isinstance(value, str | bytes):
                with contextlib.suppress(ValueError):
                    value = json.loads(value)
        return value

    def task_log(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> str:
        """Return the task's log of all its tries."""
        folder = self.home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task_id}"
        if map_index >= 0:
            folder /= f"map_index={map_index}"
        return "\n".join(path.read_text() for path in sorted(folder.glob("attempt=*.log")))

    def clear(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> None:
        """Clear the task, so that it runs again."""
        which = task_id if map_index < 0 else [task_id, map_index]
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": [which], "only_failed": False}
        self.api("POST", f"dags/{dag_id}/clearTaskInstances", json=body)

    def import_errors(self) -> list[str]:
        """Return the import errors of the DAG files."""
        return [row["stacktrace"] for row in self.sql("SELECT stacktrace FROM import_error")]

    def api(self, method: str, path: str, **arguments: Any) -> Any:
        """Call Airflow's REST API, and return the JSON of the response.

        :raises AirflowRunError: the response is an error.
        """
        for _ in range(_API_ATTEMPTS):
            response = self._api_session.request(method, f"{self.url}/api/{_API}/{path}", timeout=90, **arguments)
            # SQLite lets one process write at a time; a call that met another write was rolled back.
            if response.status_code != 500:
                break
            time.sleep(1)
        if not response.ok:
            raise AirflowRunError(f"{method} {path}: HTTP {response.status_code}: {response.text}")
        return response.json() if response.content else None

    def sql(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        """Return the rows of a query on Airflow's database."""
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(sqlalchemy.text(query), parameters).mappings()]

    @cached_property
    def _engine(self) -> sqlalchemy.Engine:
        return sqlalchemy.create_engine(self.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])

    @cached_property
    def _api_session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        if AIRFLOW_VERSION < (3, 0):
            session.auth = ADMIN
        else:
            token = session.get(f"{self.url}/auth/token", timeout=30).json()["access_token"]
            session.headers["Authorization"] = f"Bearer {token}"
        return session

    def _is_parsed(self, dag_id: str) -> bool:
        if errors := self.import_errors():
            raise AirflowRunError("\n".join(errors))
        return bool(self.sql("SELECT dag_id FROM serialized_dag WHERE dag_id = :dag_id", dag_id=dag_id))

    def wait(self, timeout: float, what: str, done: Callable[[], bool]) -> None:
        """Wait until *done* returns True.

        :param timeout: maximum wait in seconds.
        :param what: what is waited for, for the error message.
        :raises AirflowRunError: the time is up, or one of Airflow's services has ended.
        """
        end = time.monotonic() + timeout
        while not done():
            for name, process in self.processes.items():
                if process.poll() is not None:
                    raise AirflowRunError(f"Airflow's {name} ended:\n{self.service_log(name)[-4000:]}")
            if time.monotonic() > end:
                logs = "\n".join(f"{name}:\n{self.service_log(name)[-2000:]}" for name in self.processes)
                raise AirflowRunError(f"Timed out after {timeout:.0f} s waiting for {what}.\n{logs}")
            time.sleep(0.2)

    def service_log(self, name: str) -> str:
        """Return the output of one of Airflow's services."""
        return (self.home / f"{name}.out").read_text(errors="replace")


@contextlib.contextmanager
def running_airflow(
    dags_folder: Path, env: Mapping[str, str] | None = None, *, port: int = 0, keep_home: Path | None = None
) -> Iterator[RunningAirflow]:
    """Start Airflow, yield it when it is healthy, and end all its processes afterwards.

    :param env: additional environment variables, such as connections, or settings that override those chosen here.
    :param port: port of the UI; 0 picks a free one.
    :param keep_home: folder to use as the home and to keep; by default, the home is temporary.
    """
    home = keep_home or Path(tempfile.mkdtemp(prefix="airflow-home-"))
    home.mkdir(parents=True, exist_ok=True)
    port = port or _free_port()
    environment = _environment(home, dags_folder, port) | dict(env or {})
    airflow = RunningAirflow(home, f"http://127.0.0.1:{port}", environment)
    try:
        airflow.cli("db", "migrate")
        if AIRFLOW_VERSION < (3, 0):
            _create_admin(airflow)
        for name, arguments in _SERVICES.items():
            airflow.processes[name] = _start(airflow, name, arguments)
        airflow.wait(120, "Airflow to be healthy", lambda: _is_healthy(airflow))
        yield airflow
    finally:
        _end_processes(airflow)
        if keep_home is None:
            shutil.rmtree(home, ignore_errors=True)


def _environment(home: Path, dags_folder: Path, port: int) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    settings = {
        "CORE__DAGS_FOLDER": str(dags_folder),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "CORE__PARALLELISM": "8",
        "CORE__FERNET_KEY": "",
        "CORE__TEST_CONNECTION": "Enabled",
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db?timeout=60",
        "LOGGING__LOGGING_LEVEL": "DEBUG",
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        "SCHEDULER__JOB_HEARTBEAT_SEC": "1",
        "USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    # A key that only the processes of this Airflow share.
    secret = secrets.token_hex(32)
    settings |= (
        {
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
            "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "API__BASE_URL": f"http://127.0.0.1:{port}",
            "API__HOST": "127.0.0.1",
            "API__PORT": str(port),
            "API__WORKERS": "1",
            "API__SECRET_KEY": secret,
            "API_AUTH__JWT_SECRET": secret,
            # By default, the log servers of tasks and triggers listen on fixed ports.
            "LOGGING__WORKER_LOG_SERVER_PORT": str(_free_port()),
            "LOGGING__TRIGGER_LOG_SERVER_PORT": str(_free_port()),
        }
        if AIRFLOW_VERSION >= (3, 0)
        else {
            # With SQLite, Airflow 2 runs one task at a time; LocalExecutor forks its tasks, which is faster.
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": "1",
            "API__AUTH_BACKENDS": "airflow.api.auth.backend.basic_auth",
            "WEBSERVER__WEB_SERVER_HOST": "127.0.0.1",
            "WEBSERVER__WEB_SERVER_PORT": str(port),
            "WEBSERVER__WORKERS": "1",
            "WEBSERVER__SECRET_KEY": secret,
            "LOGGING__WORKER_LOG_SERVER_PORT": str(_free_port()),
            "LOGGING__TRIGGER_LOG_SERVER_PORT": str(_free_port()),
            "SCHEDULER__DAG_DIR_LIST_INTERVAL": "5",
        }
    )
    return (
        inherited
        | {f"AIRFLOW__{name}": value for name, value in settings.items()}
        | {"_AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK": "1"}
        | {"AIRFLOW_HOME": str(home), "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
        # Airflow starts some processes by the name "airflow".
        | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    )


def _start(airflow: RunningAirflow, name: str, arguments: list[str]) -> subprocess.Popen[bytes]:
    output: IO[bytes]
    with (airflow.home / f"{name}.out").open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "airflow", *arguments],
            env=airflow.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )


def _create_admin(airflow: RunningAirflow) -> None:
    name, password = ADMIN
    who = ["--firstname", "A", "--lastname", "Admin", "--email", "admin@example.com", "--role", "Admin"]
    airflow.cli("users", "create", "--username", name, "--password", password, *who)


def _is_healthy(airflow: RunningAirflow) -> bool:
    path = "api/v2/monitor/health" if AIRFLOW_VERSION >= (3, 0) else "health"
    try:
        with requests.Session() as session:
            session.trust_env = False
            parts = session.get(f"{airflow.url}/{path}", timeout=10).json()
    except (requests.RequestException, ValueError):
        return False
    return all(parts[name]["status"] == "healthy" for name in ("metadatabase", "scheduler", "triggerer"))


def _end_processes(airflow: RunningAirflow) -> None:
    """End every process of this Airflow. Tasks run in their own sessions, and may have lost their parent process."""
    # Some of Airflow's processes take ten seconds for an orderly end, which a temporary home does not need.
    for end, seconds in ((psutil.Process.terminate, 3), (psutil.Process.kill, 10)):
        own = [process for process in psutil.process_iter() if _belongs_to(process, airflow)]
        for process in own:
            with contextlib.suppress(psutil.NoSuchProcess):
                end(process)
        psutil.wait_procs(own, timeout=seconds)


def _belongs_to(process: psutil.Process, airflow: RunningAirflow) -> bool:
    services = {service.pid for service in airflow.processes.values()}
    try:
        # Some processes overwrite their environment with a title; they are found by their session or their parents.
        return (
            process.environ().get("AIRFLOW_HOME") == str(airflow.home)
            or os.getsid(process.pid) in services
            or any(parent.pid in services for parent in process.parents())
        )
    except (psutil.Error, OSError):
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port

"""The Connection, however it is configured, tried with Airflow's own command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dev.airflow import AIRFLOW_VERSION, RunningAirflow
from dev.sandbox import RunningSandbox, connection_to

pytestmark = pytest.mark.airflow


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> RunningAirflow:
    """As much of an Airflow as its command line needs: a database."""
    home = tmp_path_factory.mktemp("airflow")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    settings = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "COLUMNS": "1000",
    }
    airflow = RunningAirflow(home, "", inherited | settings)
    airflow.cli("db", "migrate")
    return airflow


def extra_of(sandbox: RunningSandbox) -> dict[str, object]:
    return {"pod": "eu", "business_phone_number": sandbox.business_phone_number, "timeout": 5}


def add(airflow: RunningAirflow, sandbox: RunningSandbox, conn_id: str, **fields: str) -> None:
    known = {
        "type": "kaleyra",
        "login": sandbox.sid,
        "password": sandbox.api_key,
        "host": sandbox.url,
        "extra": json.dumps(extra_of(sandbox)),
    }
    options = [f"--conn-{name}={value}" for name, value in (known | fields).items()]
    airflow.cli("connections", "add", conn_id, *options)


def outcome_of(airflow: RunningAirflow, conn_id: str, **environment: str) -> tuple[bool, str]:
    """Whether the command line finds that it works, and all that it says. (Airflow 2 exits with 0 in any case.)"""
    done = replace(airflow, environment=airflow.environment | environment).cli(
        "connections", "test", conn_id, check=False
    )
    output = f"{done.stdout}\n{done.stderr}"
    assert "Traceback" not in output
    assert ("Connection success!" in output) != ("Connection failed!" in output), output
    return "Connection success!" in output, output


def test_added_by_command_line(airflow, sandbox):
    add(airflow, sandbox, "added")
    assert outcome_of(airflow, "added")[0]


@pytest.mark.slow
def test_given_as_uri(airflow, sandbox):
    number = sandbox.business_phone_number.replace("+", "%2B")
    host = sandbox.url.replace(":", "%3A").replace("/", "%2F")
    uri = f"kaleyra://{sandbox.sid}:{sandbox.api_key}@{host}?pod=eu&business_phone_number={number}&timeout=5"
    assert outcome_of(airflow, "as_uri", AIRFLOW_CONN_AS_URI=uri)[0]


@pytest.mark.slow
def test_given_as_json(airflow, sandbox):
    fields = {"conn_type": "kaleyra", "login": sandbox.sid, "password": sandbox.api_key, "host": sandbox.url}
    text = json.dumps(fields | {"extra": extra_of(sandbox)})
    assert outcome_of(airflow, "as_json", AIRFLOW_CONN_AS_JSON=text)[0]


@pytest.mark.slow
def test_stored_in_a_secrets_backend(airflow, sandbox, tmp_path: Path):
    fields = {"conn_type": "kaleyra", "login": sandbox.sid, "password": sandbox.api_key, "host": sandbox.url}
    file = tmp_path / "connections.json"
    file.write_text(json.dumps({"kept": fields | {"extra": extra_of(sandbox)}}))
    works, _ = outcome_of(
        airflow,
        "kept",
        AIRFLOW__SECRETS__BACKEND="airflow.secrets.local_filesystem.LocalFilesystemBackend",
        AIRFLOW__SECRETS__BACKEND_KWARGS=json.dumps({"connections_file_path": str(file)}),
    )
    assert works


READ_IT = """
from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook
try:
    print(KaleyraHook("stored").settings)
except Exception as error:
    print(type(error).__name__, error)
"""


def test_stored_with_another_fernet_key_it_is_reported_as_unreadable(airflow, sandbox):
    stored_with = {"AIRFLOW__CORE__FERNET_KEY": "z" * 42 + "8="}
    add(replace(airflow, environment=airflow.environment | stored_with), sandbox, "stored")
    found = {}
    for key in ("z", "y"):
        # As in the API server, which reads the database itself.
        environment = {"AIRFLOW__CORE__FERNET_KEY": key * 42 + "8=", "_AIRFLOW_PROCESS_CONTEXT": "server"}
        found[key] = subprocess.run(
            [sys.executable, "-c", READ_IT],
            env=airflow.environment | environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
    assert sandbox.sid in found["z"], found
    reason = "could not be read: MetastoreBackend failed (InvalidToken)."
    if AIRFLOW_VERSION == (3, 0):  # which hides the cause from every process but the API server
        reason = "is missing"
    assert f"KaleyraConfigError Connection 'stored' {reason}" in found["y"], found
    assert not any(sandbox.api_key in text for text in found.values())


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"password": "a-wrong-key"}, "RBC001"),
        pytest.param({"login": "HXAP0000000000IN"}, "RBC001", marks=pytest.mark.slow),
        pytest.param({"extra": {"business_phone_number": "+12025550100"}}, "WA401", marks=pytest.mark.slow),
        pytest.param({"host": "http://127.0.0.1:9"}, "could not be reached", marks=pytest.mark.slow),
        pytest.param({"password": "***"}, "This Connection cannot be used: its password", marks=pytest.mark.slow),
    ],
    ids=["wrong key", "wrong SID", "a number of another account", "no server", "a masked key"],
)
def test_an_error_is_reported_without_the_key(airflow, sandbox, fields, reason):
    works, found = outcome_of(airflow, "wrong", AIRFLOW_CONN_WRONG=connection_to(sandbox, **fields))
    assert (works, reason in found) == (False, True), found
    assert "a-wrong-key" not in found
    assert sandbox.api_key not in found

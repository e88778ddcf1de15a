from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowNotFoundException

from airflow_provider_kaleyra.connection import reading
from airflow_provider_kaleyra.connection.reading import read_fields
from airflow_provider_kaleyra.exceptions import KaleyraConfigError, KaleyraConnectionUnreadableError, KaleyraError
from dev.airflow import AIRFLOW_VERSION

KEY = "a-very-secret-key"


class InvalidToken(Exception):  # noqa: N818 - as cryptography names it
    pass


class AirflowSecretsBackendAccessDenied(PermissionError):  # noqa: N818 - as Airflow names it
    pass


def failing(error: Exception):
    def get_connection(conn_id: str):
        raise error

    return get_connection


def error_of(conn_id: object, get_connection) -> KaleyraError:
    with pytest.raises(KaleyraError) as raised:
        read_fields(conn_id, get_connection)
    assert KEY not in "".join(traceback.format_exception(raised.value))
    assert (raised.value.__cause__, raised.value.__context__) == (None, None)
    return raised.value


def test_a_missing_connection_fails_at_once_and_says_how_to_add_it(monkeypatch):
    monkeypatch.setattr(reading, "_backends", list)
    error = error_of("kaleyra_uk", failing(AirflowNotFoundException("The conn_id `kaleyra_uk` isn't defined")))
    assert isinstance(error, AirflowFailException)
    assert str(error).startswith("Connection 'kaleyra_uk' is missing: Airflow does not find it. Add it in Admin")
    assert "airflow connections add kaleyra_uk --conn-type kaleyra --conn-login" in str(error)


@pytest.mark.parametrize("conn_id", [None, "", "  ", 42, ["kaleyra_default"]])
def test_an_id_that_is_none_is_named(conn_id):
    error = error_of(conn_id, failing(AssertionError("it is not read")))
    assert isinstance(error, KaleyraConfigError)
    assert "kaleyra_conn_id must be its id; found" in str(error)[:100]


@pytest.mark.parametrize(
    "cause",
    [
        OSError(KEY),
        TimeoutError(KEY),
        ConnectionRefusedError(KEY),
        RuntimeError(KEY),
        type("EndpointConnectionError", (Exception,), {})(KEY),
    ],
    ids=lambda cause: type(cause).__name__,
)
def test_a_temporary_failure_is_retried(cause):
    error = error_of("c", failing(cause))
    assert type(error) is KaleyraConnectionUnreadableError
    assert not isinstance(error, AirflowFailException)
    assert str(error).startswith(f"Connection 'c' could not be read: Airflow failed ({type(cause).__name__}).")


@pytest.mark.parametrize(
    ("cause", "advice"),
    [
        (InvalidToken(KEY), "AIRFLOW__CORE__FERNET_KEY"),
        (ValueError(f"Can't decrypt encrypted password {KEY}"), "AIRFLOW__CORE__FERNET_KEY"),
        (AirflowException(f"Invalid connection string: kaleyra://S:{KEY}@"), "valid JSON or a valid URI"),
        (TypeError(KEY), "valid JSON or a valid URI"),
        (PermissionError(KEY), "Allow this task to read the Connection"),
        (AirflowSecretsBackendAccessDenied(KEY), "Allow this task to read the Connection"),
    ],
    ids=lambda cause: type(cause).__name__,
)
def test_a_permanent_failure_fails_at_once(cause, advice):
    error = error_of("c", failing(cause))
    assert type(error) is KaleyraConfigError
    assert type(cause).__name__ in str(error)[:100]
    assert advice in str(error)


class LostBackend:
    def get_connection(self, conn_id: str) -> object:
        raise ConnectionError(f"the vault at https://user:{KEY}@vault")


class StaleBackend:
    def get_connection(self, conn_id: str) -> object:
        raise InvalidToken(KEY)


class EmptyBackend:
    def get_connection(self, conn_id: str) -> object:
        return None


class SlowBackend:
    def get_connection(self, conn_id: str) -> object:
        return object()


@pytest.mark.parametrize(
    ("backend", "kind", "reason"),
    [
        (LostBackend(), KaleyraConnectionUnreadableError, "LostBackend failed (ConnectionError)"),
        (StaleBackend(), KaleyraConfigError, "StaleBackend failed (InvalidToken)"),
        (SlowBackend(), KaleyraConnectionUnreadableError, "SlowBackend failed (it found the Connection when asked"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_reason_is_found_for_a_connection_that_airflow_reports_as_missing(monkeypatch, backend, kind, reason):
    monkeypatch.setattr(reading, "_backends", lambda: [EmptyBackend(), backend])
    error = error_of("c", failing(AirflowNotFoundException("The conn_id `c` isn't defined")))
    assert type(error) is kind
    assert reason in str(error)[:100]


class ExecutionAPISecretsBackend(EmptyBackend):
    """Airflow's own backend, which returns None for every error."""


def reported_by_the_api_server(monkeypatch: pytest.MonkeyPatch, error_type: str, *, raises: bool) -> KaleyraError:
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
    from airflow.sdk.execution_time import comms, task_runner

    response = comms.ErrorResponse(error=ErrorType[error_type], detail={"message": KEY})

    class Supervisor:
        def send(self, message: object) -> object:
            assert message == comms.GetConnection(conn_id="c")
            if raises:
                raise AirflowRuntimeError(response)
            return response

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Supervisor(), raising=False)
    monkeypatch.setattr(reading, "_backends", lambda: [ExecutionAPISecretsBackend()])
    return error_of("c", failing(AirflowNotFoundException("The conn_id `c` isn't defined")))


@pytest.mark.parametrize("raises", [True, False], ids=["raised", "returned"])
@pytest.mark.parametrize("error_type", ["API_SERVER_ERROR", "GENERIC_ERROR"])
def test_the_api_server_that_fails_is_not_a_missing_connection(monkeypatch, error_type, raises):
    error = reported_by_the_api_server(monkeypatch, error_type, raises=raises)
    assert type(error) is KaleyraConnectionUnreadableError
    assert error_type in str(error)[:100]


@pytest.mark.parametrize("raises", [True, False], ids=["raised", "returned"])
def test_the_api_server_that_does_not_find_the_connection_is_believed(monkeypatch, raises):
    error = reported_by_the_api_server(monkeypatch, "CONNECTION_NOT_FOUND", raises=raises)
    assert type(error) is KaleyraConfigError
    assert "is missing" in str(error)[:100]


@pytest.mark.parametrize("raises", [True, False], ids=["raised", "returned"])
def test_the_api_server_that_denies_access_fails_the_task(monkeypatch, raises):
    error = reported_by_the_api_server(monkeypatch, "PERMISSION_DENIED", raises=raises)
    assert type(error) is KaleyraConfigError
    assert "Allow this task to read the Connection." in str(error)


def test_the_fields_show_nothing():
    class FromABackend:
        conn_type, login, password, host, schema, port, extra = "kaleyra", KEY, KEY, KEY, KEY, None, KEY

    fields = read_fields("c", lambda conn_id: FromABackend())
    assert KEY not in f"{fields!r} {fields} {vars(fields)['password']}"


PROGRAM = """
from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook
hook = KaleyraHook()
try:
    hook.settings
except Exception as error:
    print(type(error).__name__, str(error))
print(hook.test_connection())
"""


def output_with(environment: dict[str, str]) -> str:
    """What a fresh process says, because Airflow reads the settings of secrets backends once."""
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return process.stdout


def test_a_secrets_backend_that_fails_is_named(tmp_path: Path):
    (tmp_path / "broken_backend.py").write_text(
        "from airflow.secrets import BaseSecretsBackend\n"
        "class BrokenBackend(BaseSecretsBackend):\n"
        "    def get_conn_value(self, conn_id, **kwargs):\n"
        f"        raise ConnectionError('{KEY}')\n"
        "    get_connection = get_conn_value\n"
    )
    output = output_with({"PYTHONPATH": str(tmp_path), "AIRFLOW__SECRETS__BACKEND": "broken_backend.BrokenBackend"})
    assert (
        "KaleyraConnectionUnreadableError Connection 'kaleyra_default' could not be read: BrokenBackend failed"
        in output
    )
    assert "(False, \"Connection 'kaleyra_default' could not be read: BrokenBackend failed (ConnectionError)." in output
    lines = output.splitlines()
    if AIRFLOW_VERSION < (3, 1):  # Airflow logs the backend's error itself
        lines = [line for line in lines if "could not be read" in line]
    assert not [line for line in lines if KEY in line]


@pytest.mark.parametrize(
    ("connection", "found"),
    [
        ({"conn_type": "slack"}, "'slack'"),
        ({"conn_type": "aws"}, "'aws'"),
        ({"conn_type": "http"}, "'http'"),
        ({"conn_type": "generic"}, "'generic'"),
        ({"conn_type": "google-cloud-platform"}, "'google_cloud_platform'"),
        ({"conn_type": "kaleyra-sms"}, "'kaleyra_sms'"),
        ({"conn_type": ""}, "none"),
        ({"conn_type": " "}, "none"),
        ({}, "none"),
        (f"slack://HXAP16:{KEY}@", "'slack'"),
        (f"https://HXAP16:{KEY}@api.in.kaleyra.io", "'https'"),
        (f"//HXAP16:{KEY}@api.in.kaleyra.io", "none"),
    ],
)
def test_a_connection_of_another_type_is_rejected_with_its_type(monkeypatch, connection, found):
    from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook

    if isinstance(connection, dict):
        connection = json.dumps({"login": "HXAP16XXXXXX97IN", "password": KEY} | connection)
    monkeypatch.setenv("AIRFLOW_CONN_FOREIGN", connection)
    with pytest.raises(KaleyraConfigError) as error:
        _ = KaleyraHook("foreign").settings
    assert f"Connection 'foreign' cannot be used: its type must be 'kaleyra'; found {found}." in str(error.value)
    assert KEY not in str(error.value)


@pytest.mark.parametrize(
    "connection",
    [
        {"conn_type": "Kaleyra"},
        {"conn_type": "KALEYRA "},
        f"kaleyra://HXAP16XXXXXX97IN:{KEY}@",
        f"Kaleyra://HXAP16XXXXXX97IN:{KEY}@",
    ],
)
def test_the_case_of_the_type_does_not_matter(monkeypatch, connection):
    from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook

    if isinstance(connection, dict):
        connection = json.dumps({"login": "HXAP16XXXXXX97IN", "password": KEY} | connection)
    monkeypatch.setenv("AIRFLOW_CONN_OURS", connection)
    assert KaleyraHook("ours").settings.account.api_key.reveal() == KEY

"""What every test stands on: an Airflow home of its own, and no connection of the machine's."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dev.airflow import AIRFLOW_VERSION

# What an Airflow cannot run: the tests, by the start of their ids; the first Airflow that can; why.
NOT_BEFORE: list[tuple[str, tuple[int, int], str]] = [
    ("tests/airflow/test_fault_matrix", (3, 3), "memory across tries is Airflow's task state store"),
    ("tests/test_retry_policy", (3, 3), "retry policies came with it"),
    ("tests/airflow/test_ui", (3, 3), "the way through the UI is that of this version"),
]

# Airflow reads its settings when it is imported, so they are laid before the first test is collected.
_home = tempfile.TemporaryDirectory(prefix="kaleyra-tests-")
os.environ.update(
    AIRFLOW_HOME=_home.name,
    AIRFLOW__CORE__DAGS_FOLDER=str(Path(_home.name) / "dags"),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
)


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies and connections of whoever runs the tests must not change what they show."""
    for name in list(os.environ):
        if name.lower() in {"http_proxy", "https_proxy", "all_proxy", "no_proxy"} or name.startswith("AIRFLOW_CONN_"):
            monkeypatch.delenv(name)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Everything logged so far: Airflow 2 logs through logging, Airflow 3 to the console."""
    return lambda: caplog.text + "".join(capfd.readouterr())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for tests, first, reason in NOT_BEFORE:
            if item.nodeid.startswith(tests) and first > AIRFLOW_VERSION:
                item.add_marker(pytest.mark.skip(f"from Airflow {first[0]}.{first[1]} on: {reason}"))

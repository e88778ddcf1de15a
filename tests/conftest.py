"""What every test stands on: an Airflow home of its own, and no connection of the machine's."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dev.airflow import AIRFLOW_VERSION
from tests.versions import skipped_because

if TYPE_CHECKING:
    from tests.support.s3 import Bucket, RunningS3

SHARE_AN_AIRFLOW = {"tests/airflow/test_examples.py", "tests/airflow/test_notifier.py"}

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
    """Remove the proxies and Connections of the environment, so that they do not change the results."""
    for name in list(os.environ):
        if name.lower() in {"http_proxy", "https_proxy", "all_proxy", "no_proxy"} or name.startswith("AIRFLOW_CONN_"):
            monkeypatch.delenv(name)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Everything logged so far: Airflow 2 logs through logging, Airflow 3 to the console."""
    return lambda: caplog.text + "".join(capfd.readouterr())


@pytest.fixture(scope="session")
def s3() -> Iterator[RunningS3]:
    """An object store, spoken to over HTTP."""
    from tests.support.s3 import running_s3

    with running_s3() as running:
        yield running


@pytest.fixture
def bucket(s3: RunningS3, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A bucket of its own, and the Connection ``store`` to it."""
    monkeypatch.setenv("AIRFLOW_CONN_STORE", s3.connection())
    return s3.new_bucket()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if reason := skipped_because(item.nodeid, AIRFLOW_VERSION):
            item.add_marker(pytest.mark.skip(reason))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Let one process run the tests that share an Airflow, beside the others, so that they start but one."""
    from xdist.scheduler import LoadScopeScheduling

    class Files(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "shared" if file in SHARE_AN_AIRFLOW else file

    config.option.loadscopereorder = False  # the slowest files come first
    return Files(config, log)

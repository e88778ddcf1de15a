"""The Airflow that most tests share, because starting it takes longer than the tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.airflow import AIRFLOW_VERSION, RunningAirflow, running_airflow
from dev.environment import ROOT
from dev.sandbox import RunningSandbox, connection_to, running_sandbox

HERE = Path(__file__).parent
DAGS = [ROOT / "example_dags", HERE / "dags_content", HERE / "dags_notifier"]
if AIRFLOW_VERSION >= (3, 1):
    DAGS.append(HERE / "dags_deadline")


@pytest.fixture(scope="package")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture(scope="package")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The object store folder that the content team puts its videos into."""
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="package")
def airflow(
    sandbox: RunningSandbox, videos: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningAirflow]:
    folder = tmp_path_factory.mktemp("dags")
    for source in DAGS:
        shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    ledger = tmp_path_factory.mktemp("ledger") / "ledger.db"
    environment = {
        "AIRFLOW_CONN_KALEYRA_DEFAULT": connection_to(sandbox),
        "AIRFLOW_CONN_KALEYRA_LEDGER": f'{{"conn_type": "sqlite", "host": "{ledger}"}}',
        "EXAMPLE_VIDEOS_FOLDER": f"file://{videos}",
    }
    with running_airflow(folder, environment) as running:
        yield running

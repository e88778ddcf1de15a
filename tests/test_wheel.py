"""The wheel, as a user installs it."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from airflow_provider_kaleyra import __version__
from dev.airflow import AIRFLOW_VERSION
from dev.environment import ROOT, installer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([installer(), "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT)], check=True)
    (built,) = folder.glob("*.whl")
    return built


def test_it_contains_only_the_package(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(f"airflow_provider_kaleyra-{__version__}.dist-info/METADATA").decode()
    assert {name.partition("/")[0] for name in names} == {
        "airflow_provider_kaleyra",
        f"airflow_provider_kaleyra-{__version__}.dist-info",
    }
    shipped = {name.removeprefix("airflow_provider_kaleyra/") for name in names}
    assert {"py.typed", "sandbox/page/index.html", "operators/video.py"} <= shipped
    assert f"airflow_provider_kaleyra-{__version__}.dist-info/licenses/LICENSE" in names
    assert "Classifier: Framework :: Apache Airflow :: Provider" in metadata
    assert "Requires-Dist: apache-airflow>=" in metadata


def test_a_clean_airflow_sees_the_provider(wheel, tmp_path):
    python = tmp_path / "clean" / "bin" / "python"
    uv = [installer(), "--quiet"]
    constraints = ROOT / "constraints" / f"airflow-{AIRFLOW_VERSION[0]}.{AIRFLOW_VERSION[1]}.txt"
    subprocess.run([*uv, "venv", str(python.parents[1])], check=True)
    subprocess.run([*uv, "pip", "install", "--python", str(python), "-c", str(constraints), str(wheel)], check=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environment["AIRFLOW_HOME"] = str(tmp_path / "home")

    def airflow(*arguments: str) -> str:
        command = [str(python), "-m", "airflow", *arguments, "--output", "json"]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
        return next(line for line in done.stdout.splitlines() if line.startswith("[{"))

    listed = {provider["package_name"]: provider["version"] for provider in json.loads(airflow("providers", "list"))}
    assert listed["airflow-provider-kaleyra"] == __version__
    hooks = json.loads(airflow("providers", "hooks"))
    assert "kaleyra" in [hook["connection_type"] for hook in hooks]

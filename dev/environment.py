"""
Create a virtual environment with one Airflow, this package and the dependencies of its tests.

    python3 dev/environment.py AIRFLOW [FOLDER]

AIRFLOW is a version in constraints/, such as 3.3. This module uses the standard library only, because it runs before
anything is installed.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Older Airflows support no later Python; for the others, the Python that runs this module is used.
PYTHON_FOR = {"2.11": ">=3.11,<3.13", "3.0": ">=3.11,<3.13"}
EXTRAS = "test,lint"


def airflow_versions() -> list[str]:
    """Return the versions that have a constraints file, oldest first."""
    names = [path.stem[len("airflow-") :] for path in ROOT.glob("constraints/airflow-*.txt")]
    return sorted(names, key=lambda name: [int(part) for part in name.split(".")])


def make_environment(airflow: str, folder: Path) -> Path:
    """Create or update the environment, and return the path of its Python."""
    uv = [installer(), "--quiet"]
    constraints = ROOT / "constraints" / f"airflow-{airflow}.txt"
    python = folder / "bin" / "python"
    if not python.exists():
        _run(*uv, "venv", "--python", PYTHON_FOR.get(airflow, sys.executable), str(folder))
    (pin,) = [line for line in constraints.read_text().splitlines() if line.startswith("apache-airflow==")]
    install = [*uv, "pip", "install", "--python", str(python), "--constraint", str(constraints)]
    _run(*install, pin, "--editable", f"{ROOT}[{EXTRAS}]")
    return python


def installer() -> str:
    """Return the path of uv. It has its own environment, so that no other environment has to contain it."""
    folder = ROOT / ".venv-uv"
    uv = folder / "bin" / "uv"
    if not uv.exists():
        try:
            venv.create(folder, with_pip=True, clear=True)
        except subprocess.CalledProcessError:
            sys.exit("This Python cannot create virtual environments. On Debian and Ubuntu, install python3-venv.")
        _run(str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", "uv>=0.8")
    return str(uv)


def _run(*command: str) -> None:
    subprocess.run(command, cwd=ROOT, check=True)


def main() -> None:
    """Create the environment that the command line names."""
    if sys.version_info < (3, 11):  # noqa: UP036 - it may be run with any Python
        sys.exit(f"Python 3.11 or later is required; this is {sys.version.split()[0]}. Try: make PYTHON=python3.11 …")
    airflow = sys.argv[1]
    if airflow not in airflow_versions():
        sys.exit(f"Known versions of Airflow: {', '.join(airflow_versions())}.")
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else f".venv-{airflow}").absolute()
    print(f"Installing Airflow {airflow} and this package into {folder.name} …", flush=True)
    try:
        make_environment(airflow, folder)
    except subprocess.CalledProcessError as error:
        sys.exit(f"This command failed for the reason above: {' '.join(error.cmd)}")


if __name__ == "__main__":
    main()

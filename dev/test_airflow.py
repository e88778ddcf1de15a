"""
Run the tests on every supported Airflow, each in its own environment, and print a table of the results.

    python -m dev.test_airflow [AIRFLOW …]
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from dataclasses import dataclass

from dev.environment import ROOT, airflow_versions, make_environment

MARKERS = "not browser and not slow and not services"


@dataclass(frozen=True)
class Run:
    """Result of the tests on one Airflow.

    :param summary: last line of pytest's output.
    :param seconds: duration, including the installation.
    """

    airflow: str
    passed: bool
    summary: str
    seconds: float


def run_tests(airflow: str) -> Run:
    """Create the environment of this Airflow, and run the tests in it."""
    start = time.monotonic()
    print(f"\n=== Airflow {airflow}", flush=True)
    try:
        python = make_environment(airflow, ROOT / f".venv-{airflow}")
    except subprocess.CalledProcessError:
        return Run(airflow, False, "installation failed, see above", time.monotonic() - start)
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", MARKERS, "--color=no", "-n", "auto"]
    lines = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line.strip())
    summary = next((line for line in reversed(lines) if re.search(r"\d+ (passed|failed|error)", line)), "no summary")
    return Run(airflow, process.returncode == 0, summary.strip("= "), time.monotonic() - start)


def main() -> None:
    """Run the tests on the versions that the command line names, or on all."""
    runs = [run_tests(airflow) for airflow in sys.argv[1:] or airflow_versions()]
    print("\nAirflow  result  tests")
    for run in runs:
        print(f"{run.airflow:<8} {'ok' if run.passed else 'FAILED':<7} {run.summary} ({run.seconds:.0f} s)")
    sys.exit(not all(run.passed for run in runs))


if __name__ == "__main__":
    main()

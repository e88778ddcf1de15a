"""
Resolve the constraints of every supported Airflow again, as plain ``name==version`` lines.

    python -m dev.constraints

Each file is resolved as of a day soon after its Airflow's release, because later releases of the dependencies may be
incompatible with that Airflow.
"""

from __future__ import annotations

import subprocess
import tempfile

from dev.environment import EXTRAS, ROOT, installer

# The newest patch release of each minor version, and the day to resolve as of.
AIRFLOWS = {
    "2.11.2": "2026-03-20",
    "3.0.6": "2026-01-20",
    "3.1.8": "2026-03-20",
    "3.2.2": "2026-06-05",
    "3.3.2": "2026-11-20",
}
# Versions that an Airflow allows but does not work with.
LIMITS = {
    # With later ones, Airflow 3.0 commits after it has responded, so a task's first heartbeat reads the old state.
    "fastapi<0.118": {"3.0.6"},
    # Later ones lack something that Airflow 3.3's Celery provider imports.
    "celery<5.7": {"3.3.2"},
    # Later ones, which the Amazon provider allows, have many large dependencies.
    "sagemaker-studio<1.1": set(AIRFLOWS),
}


def main() -> None:
    """Write one constraints file for each Airflow."""
    for airflow, day in AIRFLOWS.items():
        target = ROOT / "constraints" / f"airflow-{airflow.rpartition('.')[0]}.txt"
        with tempfile.NamedTemporaryFile("w", suffix=".in") as pin:
            limits = [limit for limit, airflows in LIMITS.items() if airflow in airflows]
            pin.write("\n".join([f"apache-airflow=={airflow}", *limits]))
            pin.flush()
            resolve = [installer(), "pip", "compile", "--quiet", "pyproject.toml", pin.name]
            extras = [f"--extra={extra}" for extra in EXTRAS.split(",")]
            bare = ["--no-annotate", "--no-header", "--no-emit-index-url", "--no-emit-find-links"]
            when = ["--python-version", "3.11", "--exclude-newer", day, "--output-file", str(target)]
            target.unlink(missing_ok=True)  # uv would keep the versions in an existing file
            subprocess.run([*resolve, *extras, *bare, *when], cwd=ROOT, check=True)
        print(f"{target.relative_to(ROOT)}: {len(target.read_text().splitlines())} packages")


if __name__ == "__main__":
    main()

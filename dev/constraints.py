"""
Resolve the constraints of every supported Airflow anew, as plain ``name==version`` lines.

    python -m dev.constraints

Each is resolved as of some days after its Airflow's release: what its dependencies released later need not suit it.
"""

from __future__ import annotations

import subprocess
import tempfile

from dev.environment import EXTRAS, ROOT, installer

# The newest patch of each line, and the day to resolve as of.
AIRFLOWS = {
    "2.11.2": "2026-03-20",
    "3.0.6": "2026-01-20",
    "3.1.8": "2026-03-20",
    "3.2.2": "2026-06-05",
    "3.3.2": "2026-11-20",
}
# What an Airflow takes, and should not.
LIMITS = {
    # Airflow 3.0 would commit after it answered, so that a task's first heartbeat meets what it was before.
    "fastapi<0.118": {"3.0.6"},
    # Its Celery provider imports what later ones no longer have.
    "celery<5.7": {"3.3.2"},
    # Later ones, which Amazon's provider would take, need half of a data platform.
    "sagemaker-studio<1.1": set(AIRFLOWS),
}


def main() -> None:
    """Write one file for each Airflow."""
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
            target.unlink(missing_ok=True)  # what stands there would be kept
            subprocess.run([*resolve, *extras, *bare, *when], cwd=ROOT, check=True)
        print(f"{target.relative_to(ROOT)}: {len(target.read_text().splitlines())} packages")


if __name__ == "__main__":
    main()

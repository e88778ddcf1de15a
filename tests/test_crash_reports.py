"""What a crash reporter that records local variables sees of each error: never the API key."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.support.crashes import CASES

CONTROL = "a_local_variable_holds_the_key"


@pytest.fixture(scope="module")
def crashes() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.crashes"], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    # Airflow 3 logs to the standard output.
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("case", [case for case in CASES if case != CONTROL])
def test_the_key_is_in_no_report(crashes, case):
    report = crashes["reports"][case]
    assert report["variables"], "no local variable was reported"
    assert report["key"] == [], report["around"]


def test_the_reports_contain_what_local_variables_hold(crashes):
    assert {"its start", "its middle", "its end"} <= set(crashes["reports"][CONTROL]["key"])


@pytest.mark.parametrize("case", [case for case in CASES if case != "the_test_button_fails"])
def test_each_case_fails_as_it_says(crashes, case):
    report = crashes["reports"][case]
    expected = "Killed" if "killed" in case else "KaleyraError"
    assert expected in report["kinds"], report["traceback"]


def test_every_error_of_the_tree_was_provoked(crashes):
    provoked = {kind for case, report in crashes["reports"].items() if case != CONTROL for kind in report["kinds"]}
    assert set(crashes["tree"]) - provoked == set()

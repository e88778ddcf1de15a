"""The README describes the sandbox as it is."""

from __future__ import annotations

from airflow_provider_kaleyra.sandbox.account import SandboxAccount
from airflow_provider_kaleyra.sandbox.scenarios import SCENARIOS
from dev.environment import ROOT

README = (ROOT / "README.md").read_text()


def test_the_readme_lists_every_scenario():
    rows = [line for line in README.splitlines() if line.startswith("| `+999")]
    assert rows == [f"| `{scenario.number}` | {scenario.what_happens} |" for scenario in SCENARIOS]


def test_the_readme_names_the_simulated_account():
    account = SandboxAccount()
    assert all(f"`{value}`" in README for value in (account.sid, account.api_key, account.business_phone_number))

from __future__ import annotations

import sqlite3
import subprocess
import sys

import pytest
import sqlalchemy as sa

from airflow_provider_kaleyra.ledger.ddl import ddl, main
from airflow_provider_kaleyra.ledger.ledger import Ledger
from airflow_provider_kaleyra.ledger.migrations import MIGRATIONS
from airflow_provider_kaleyra.ledger.values import Step
from tests.campaign.builders import claimant, number, prepared
from tests.ledger.test_ledger import steps


def test_a_command_prints_what_creates_the_tables():
    command = [sys.executable, "-m", "airflow_provider_kaleyra.ledger.ddl", "postgresql"]
    found = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    assert found == ddl("postgresql")
    assert "GRANT SELECT, INSERT, UPDATE ON kaleyra_sends TO <role>;" in found


@pytest.mark.parametrize("database", ["postgresql", "sqlite"])
def test_tables_of_this_release_need_no_statement(database, capsys):
    main([database, "--installed", str(len(MIGRATIONS))])
    assert capsys.readouterr().out.startswith("BEGIN;\n\nCOMMIT;\n")


@pytest.mark.parametrize("installed", ["-1", str(len(MIGRATIONS) + 1), "latest"])
def test_a_version_that_this_release_does_not_know_is_rejected(installed, capsys):
    with pytest.raises(SystemExit):
        main(["postgresql", "--installed", installed])
    assert "--installed" in capsys.readouterr().err


def test_another_database_is_not_known(capsys):
    with pytest.raises(SystemExit):
        main(["mysql"])
    assert "postgresql" in capsys.readouterr().err


def test_sqlite_takes_what_is_printed_and_a_campaign_uses_it(tmp_path, capsys):
    main(["sqlite"])
    database = sqlite3.connect(tmp_path / "ledger.db")
    database.executescript(capsys.readouterr().out)
    database.close()
    engine = sa.create_engine(f"sqlite:///{tmp_path}/ledger.db")
    ledger = Ledger(engine, "diwali", claimant())
    ledger.prepare()
    assert steps(ledger.claim(prepared([number(1)]))) == [Step.SEND]
    ledger.close()

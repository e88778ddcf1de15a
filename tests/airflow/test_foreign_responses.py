"""The table of foreign responses of docs/failures.md: what a gateway's responses do to sends and campaigns.

A gateway stands in front of the sandbox, which counts the videos. In the first try the gateway responds itself, whether
or not it forwarded the message; in the second it forwards everything.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_provider_kaleyra.exceptions import KaleyraCampaignError
from airflow_provider_kaleyra.operators.campaign import KaleyraSendVideoCampaignOperator
from airflow_provider_kaleyra.whatsapp.phone_number import masked
from dev.airflow import RunningAirflow, running_airflow
from dev.environment import ROOT
from dev.sandbox import RunningSandbox, connection_to, running_sandbox
from tests.airflow.dags_foreign.responses import ROWS, Row
from tests.support.gateway import Interception, running_gateway

DOCUMENT = ROOT / "docs" / "failures.md"


@dataclass(frozen=True)
class Seen:
    """What became of a row's recipients.

    :param videos: how many the sandbox accepted for the recipient of the single send.
    :param tries: Airflow's tries.
    :param task: the state of Airflow's task.
    :param of_campaign: how many videos the sandbox accepted for the recipient of the campaign.
    :param first: what the ledger says after the campaign's first try.
    :param second: what it says after the second.
    """

    videos: int
    tries: int
    task: str | None
    of_campaign: int
    first: str
    second: str


@dataclass(frozen=True)
class Campaign:
    """A campaign to the recipient of a row and to one other person, after each of its two tries."""

    states: list[dict[str, str]]
    summaries: list[dict[str, Any]]


@dataclass(frozen=True)
class Table:
    """All that was seen, by row."""

    seen: dict[tuple[str, str], Seen]
    logs: dict[tuple[str, str], str]
    campaigns: dict[tuple[str, str], Campaign]
    received: Counter[str]


def documented_rows() -> dict[tuple[str, str], Seen]:
    table = DOCUMENT.read_text().partition("<!-- foreign responses -->")[2]
    lines = table.partition("<!-- end of foreign responses -->")[0].strip().splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {
        (name, forwarded): Seen(int(videos), int(tries), task, int(of_campaign), first, second)
        for name, forwarded, videos, tries, task, of_campaign, first, second in rows
    }


def test_the_document_has_a_row_for_each_foreign_response_and_no_other():
    assert list(documented_rows()) == [row.key for row in ROWS]
    assert len({row.name for row in ROWS}) >= 30


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def airflow(sandbox: RunningSandbox) -> Iterator[RunningAirflow]:
    rows = {row.of_single_send: row.interception for row in ROWS}

    def in_the_first_try(payload: dict[str, Any]) -> Interception | None:
        message = payload["messaging_object"]
        return rows[message["to"]] if message["video"]["caption"] == "try 1" else None

    with running_gateway(sandbox.url, in_the_first_try) as gateway:
        environment = {
            "PYTHONPATH": str(ROOT),
            "AIRFLOW_CONN_KALEYRA_DEFAULT": connection_to(sandbox, host=gateway.url),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
        }
        with running_airflow(Path(__file__).parent / "dags_foreign", environment) as running:
            yield running


@pytest.fixture(scope="module")
def table(airflow: RunningAirflow, sandbox: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Table:
    """Run the single sends in Airflow, and the campaigns meanwhile."""
    run_id = airflow.trigger("foreign")
    campaigns = run_campaigns(sandbox, tmp_path_factory.mktemp("ledger") / "ledger.db")
    airflow.wait_for_run("foreign", run_id, 300)
    received = Counter(message["to"] for message in sandbox.messages())
    tasks = {task.map_index: task for task in airflow.task_instances("foreign", run_id)}
    return Table(
        seen={
            row.key: Seen(
                received[row.of_single_send],
                tasks[row.index].try_number,
                tasks[row.index].state,
                received[row.of_campaign],
                *(states[row.of_campaign] for states in campaigns[row.key].states),
            )
            for row in ROWS
        },
        logs={row.key: airflow.task_log("foreign", run_id, "send", row.index) for row in ROWS},
        campaigns=campaigns,
        received=received,
    )


def run_campaigns(sandbox: RunningSandbox, ledger: Path) -> dict[tuple[str, str], Campaign]:
    """Run a campaign for each row, because some responses stop the campaign that gets them."""
    rows = {row.of_campaign: row.interception for row in ROWS}
    fixed = False

    def until_it_is_fixed(payload: dict[str, Any]) -> Interception | None:
        return None if fixed else rows.get(payload["messaging_object"]["to"])

    campaigns = {row.key: Campaign([], []) for row in ROWS}
    with running_gateway(sandbox.url, until_it_is_fixed) as gateway, pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", connection_to(sandbox, host=gateway.url))
        monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "sqlite", "host": str(ledger)}))
        engine = sa.create_engine(f"sqlite:///{ledger}")
        for try_number in (1, 2):
            fixed = try_number == 2
            for row in ROWS:
                campaigns[row.key].summaries.append(run_campaign(row, try_number))
                with engine.connect() as connection:
                    campaigns[row.key].states.append(states_of(connection, row))
        engine.dispose()
    return campaigns


def run_campaign(row: Row, try_number: int) -> dict[str, Any]:
    """Run one try, and return its summary."""
    operator = KaleyraSendVideoCampaignOperator(
        task_id="send",
        campaign_id=str(row.index),
        recipients=[row.of_campaign, row.beside_it],
        ledger_conn_id="ledger",
        media_id="1166846181421424",
        messages_per_second=1000,
        max_connections=2,
        max_failures=None,
    )
    ti = SimpleNamespace(dag_id="dag", run_id=str(row.index), task_id="send", map_index=-1, try_number=try_number)
    try:
        return operator.execute({"ti": ti})
    except KaleyraCampaignError as error:
        return error.summary


def states_of(connection: sa.Connection, row: Row) -> dict[str, str]:
    query = sa.text("SELECT recipient, state FROM kaleyra_sends WHERE campaign_id = :id")
    return dict(connection.execute(query, {"id": str(row.index)}).fetchall())


@pytest.mark.airflow
@pytest.mark.slow
class TestForeignResponses:
    @pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.name} ({row.forwarded})")
    def test_each_row_is_as_the_document_says(self, table, row):
        assert table.seen[row.key] == documented_rows()[row.key]

    def test_no_recipient_gets_a_video_twice(self, table):
        assert max(table.received.values()) == 1

    def test_every_recipient_is_sent_to_or_named(self, table):
        for row in ROWS:
            seen, campaign = table.seen[row.key], table.campaigns[row.key]
            if seen.task != "success":
                assert seen.task == "failed", row
                assert masked(row.of_single_send) in table.logs[row.key], row
            assert seen.videos == 1 or seen.task == "failed", row
            assert seen.of_campaign == 1 or seen.second in {"unknown", "rejected"}, row
            assert table.received[row.beside_it] == 1, row
            # The last summary has both recipients, and the same counts as the ledger.
            last, states = campaign.summaries[-1], Counter(campaign.states[-1].values())
            assert last["recipients"] == 2, row
            assert last["unknown"] == states["unknown"], row

    def test_once_the_gateway_is_fixed_a_campaign_reaches_all_who_were_certainly_not_sent_to(self, table):
        for row in ROWS:
            first, second = (states[row.of_campaign] for states in table.campaigns[row.key].states)
            assert second == ("accepted" if first in {"rejected", "not_sent"} else first), row

"""The documents agree with the package: their links, names, code, SQL and Connections."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sqlite3
import textwrap
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator

from airflow_provider_kaleyra.campaign.tally import Tally
from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook
from airflow_provider_kaleyra.ledger.ddl import ddl
from airflow_provider_kaleyra.notifications.video import KaleyraVideoNotifier
from airflow_provider_kaleyra.once.decisions import SendRecord
from dev.environment import ROOT
from dev.sandbox import connection_to, running_sandbox
from tests.support.video import mp4

DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
PACKAGE = ROOT / "airflow_provider_kaleyra"
every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def blocks(language: str, documents: list[Path] = DOCUMENTS) -> list[object]:
    """Return the code blocks of a language, as parameters named by document and position."""
    return [
        pytest.param(textwrap.dedent(block), id=f"{document.name}-{number}")
        for document in documents
        for number, block in enumerate(
            re.findall(rf"^ *```{language}\n(.*?)^ *```", document.read_text(), re.DOTALL | re.MULTILINE), 1
        )
    ]


@every_document
def test_every_link_to_a_file_leads_somewhere(document):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text())
    local = [link for link in links if not re.match(r"https?://", link)]
    assert [link for link in local if not (document.parent / link).exists()] == []


@every_document
def test_every_link_to_a_section_leads_to_a_heading(document):
    links = re.findall(r"\]\(([^)#:]*)#([^)]+)\)", document.read_text())
    assert [
        (file, anchor)
        for file, anchor in links
        if anchor not in _anchors((document.parent / file) if file else document)
    ] == []


def _anchors(document: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_every_assumption_stands_where_the_document_says():
    rows = [line for line in (ROOT / "docs" / "assumptions.md").read_text().splitlines() if line.startswith("| ")]
    places = re.findall(r"`(\w+)` in `([\w/]+\.py)`", "\n".join(rows))
    assert len(places) > 8
    assert [(name, file) for name, file in places if not _defines(PACKAGE / file, name)] == []


def _defines(file: Path, name: str) -> bool:
    return bool(re.search(rf"^\s*(?:def )?{name}\b\s*[=(:]", file.read_text(), re.MULTILINE))


@every_document
def test_every_class_that_a_document_names_exists(document):
    classes = {
        name for file in PACKAGE.rglob("*.py") for name in re.findall(r"^class (\w+)", file.read_text(), re.MULTILINE)
    }
    assert set(re.findall(r"\bKaleyra[A-Z]\w+", document.read_text())) <= classes


@every_document
def test_every_module_that_a_document_names_exists(document):
    names = re.findall(r"\bairflow_provider_kaleyra(?:[./]\w+)*", document.read_text())
    modules = {name.replace("/", ".").removesuffix(".py") for name in names}
    assert [name for name in modules if importlib.util.find_spec(name) is None] == []


@pytest.fixture(scope="module")
def sandbox():
    with running_sandbox() as running:
        yield running


@pytest.fixture
def folder(tmp_path):
    """A folder with every file that the blocks name."""
    (tmp_path / "videos").mkdir()
    for path in (tmp_path / "diwali.mp4", tmp_path / "videos" / "diwali.mp4"):
        path.write_bytes(mp4())
        os.utime(path, (0, 0))  # it is complete
    (tmp_path / "diwali.csv").write_text("to,name\n+12025550123,Asha\n+12025550124,Ravi\n")
    return tmp_path


@pytest.fixture
def made(monkeypatch):
    """Every DAG that a block makes."""
    dags = []
    leave = DAG.__exit__

    def leave_and_note(dag, *error):
        dags.append(dag)
        return leave(dag, *error)

    monkeypatch.setattr(DAG, "__exit__", leave_and_note)
    return dags


@pytest.mark.parametrize("block", blocks("python"))
def test_a_python_block_runs(block, sandbox, folder, made, monkeypatch):
    """A block runs as it is; its tasks and notifiers run too, with the sandbox and local files."""
    monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", connection_to(sandbox))
    ledger = json.dumps({"conn_type": "sqlite", "host": str(folder / "ledger.db")})
    for conn_id in re.findall(r'ledger_conn_id="(\w+)"', block):
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", ledger)
    local = re.sub(r"s3://[^/\"]+/|/data/", f"{folder}/", block)
    names = {}

    with DAG("document", schedule=None) as document:
        exec(compile(local, "block", "exec"), names)

    tasks = [task for dag in made for task in dag.tasks]
    notifiers = [value for value in names.values() if isinstance(value, KaleyraVideoNotifier)]
    assert tasks or notifiers or len(made) > 1
    sandbox.clear()
    run = {"ds": "2026-01-01", "run_id": "manual", "exception": ValueError("no orders"), "dag": document}
    run["ti"] = SimpleNamespace(task_id="load", dag_id="orders")
    for task in tasks:
        if isinstance(task, BaseOperator):  # a mapped one has no fields before Airflow expands it
            task.render_template_fields(dict(run))
            assert task.execute({})
    for notifier in notifiers:
        notifier(dict(run))
    sends = re.findall(r"Kaleyra(?:SendVideo\w*Operator|VideoNotifier)\(\n? *(?:task_id|to)=", block)
    assert bool(sandbox.messages()) == bool(sends)


@pytest.mark.parametrize("block", blocks("sql"))
def test_an_sql_block_runs_on_the_ledger(block):
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(ddl("sqlite"))
        database.executescript(block)


def connections() -> list[object]:
    return [
        pytest.param(value, id=f"{document.name}-{number}")
        for document in DOCUMENTS
        for number, value in enumerate(
            re.findall(r"AIRFLOW_CONN_KALEYRA_DEFAULT='(.*?)'", document.read_text(), re.DOTALL), 1
        )
    ]


@pytest.mark.parametrize("connection", connections())
def test_a_connection_in_a_document_can_be_used(connection, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", connection)
    account = KaleyraHook().settings.account
    assert (account.sid, account.business_phone_number) == ("HXAP16XXXXXX97IN", "+919876543210")


def test_the_record_of_a_send_has_the_documented_keys():
    (block,) = blocks("json", [ROOT / "docs" / "send-once.md"])
    documented = json.loads(block.values[0])
    assert {*documented, "reason"} == {field.name for field in fields(SendRecord)}
    assert SendRecord.from_json(documented).to_json() == documented


def test_the_summary_of_a_campaign_has_the_documented_keys():
    (block,) = blocks("json", [ROOT / "docs" / "campaigns.md"])
    assert list(json.loads(block.values[0])) == list(Tally().summary("diwali-2026", 1.0))


def test_every_make_target_that_a_document_names_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        named = set(re.findall(r"(?:`|^)make ([a-z-]+)", document.read_text(), re.MULTILINE))
        assert named <= targets, document.name

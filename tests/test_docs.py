"""What the documents name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dev.environment import ROOT

DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_somewhere(document):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text())
    local = [link for link in links if not re.match(r"https?://", link)]
    assert [link for link in local if not (document.parent / link).exists()] == []


def test_every_assumption_stands_where_the_document_says():
    rows = [line for line in (ROOT / "docs" / "assumptions.md").read_text().splitlines() if line.startswith("| ")]
    places = re.findall(r"`(\w+)` in `([\w/]+\.py)`", "\n".join(rows))
    assert len(places) > 8
    package = ROOT / "airflow_provider_kaleyra"
    assert [(name, file) for name, file in places if not _defines(package / file, name)] == []


def _defines(file: Path, name: str) -> bool:
    return bool(re.search(rf"^\s*(?:def )?{name}\b\s*[=(:]", file.read_text(), re.MULTILINE))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_python_snippet_compiles(document):
    for snippet in re.findall(r"```python\n(.*?)```", document.read_text(), re.DOTALL):
        compile(snippet, document.name, "exec")


def test_every_make_target_that_a_document_names_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        named = set(re.findall(r"(?:`|^)make ([a-z-]+)", document.read_text(), re.MULTILINE))
        assert named <= targets, document.name

"""Imports between the rooms of the package run in one direction, without circles."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import airflow_provider_kaleyra

NAME = "airflow_provider_kaleyra"
ROOT = Path(airflow_provider_kaleyra.__file__).parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}
# Each layer may import those below it, and itself.
LAYERS = [
    {"provider_info"},
    {"operators", "notifications", "sensors"},
    {"campaign", "triggers"},
    {"ledger", "once", "retry_policy"},
    {"hooks"},
    {"files"},
    {"connection"},
    {"transport"},
    {"message_fields"},
    {"exceptions"},
    {"whatsapp"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def imports_of(module: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            found.add(node.module or "")
    return found


def modules_used_by(module: str) -> set[str]:
    """The modules of this package that a module imports, wherever in it: in functions and for types, too."""
    names = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    found = {name.removeprefix(f"{NAME}.") for name in names if name.startswith(f"{NAME}.")}
    return (found & set(MODULES)) - {module}


def circles(uses: dict[str, set[str]]) -> list[str] | None:
    """One circle of imports, or None if there is none."""
    try:
        TopologicalSorter(uses).prepare()
    except CycleError as error:
        return error.args[1]
    return None


def own(imports: set[str]) -> set[str]:
    """What they import of the package, by the first part of the name below it."""
    return {name.removeprefix(f"{NAME}.").partition(".")[0] for name in imports if name.startswith(f"{NAME}.")}


@pytest.mark.parametrize("module", [module for module in MODULES if module.partition(".")[0] == "whatsapp"])
def test_the_whatsapp_room_needs_the_standard_library_only(module):
    imports = imports_of(module)
    assert own(imports) <= {"whatsapp"}
    others = {name.partition(".")[0] for name in imports} - {NAME}
    assert others <= set(sys.stdlib_module_names)
    assert not others & {"asyncio", "http", "socket", "ssl", "subprocess", "threading"}


@pytest.mark.parametrize("module", [module for module in MODULES if module.partition(".")[0] in RANK])
def test_imports_run_one_way(module):
    layer = module.partition(".")[0]
    others = own(imports_of(module)) - {layer}
    assert {name for name in others if RANK.get(name, -1) <= RANK[layer]} == set()


def test_no_modules_import_each_other_in_a_circle():
    assert circles({module: modules_used_by(module) for module in MODULES}) is None


def test_a_circle_would_be_found():
    assert circles({"hooks.a": {"hooks.b"}, "hooks.b": {"whatsapp.c", "hooks.a"}, "whatsapp.c": set()})
    assert modules_used_by("hooks.kaleyra") >= {"transport.blocking", "connection.form", "whatsapp.message"}


def test_every_module_has_its_layer():
    not_layered = {"__init__", "", "sandbox"}
    assert {module.partition(".")[0] for module in MODULES} - not_layered <= set(RANK)


def test_the_sandbox_and_the_client_do_not_import_each_other():
    for module in MODULES:
        used = own(imports_of(module))
        if module.partition(".")[0] == "sandbox":
            assert used <= {"sandbox"}, module
        else:
            assert "sandbox" not in used, module


def test_what_only_a_campaigns_extra_installs_serves_campaigns_only():
    def roots(module: str) -> set[str]:
        return {name.partition(".")[0] for name in imports_of(module)}

    assert {module for module in MODULES if "aiohttp" in roots(module)} == {"transport.aio"}
    assert {module for module in MODULES if "transport.aio" in modules_used_by(module)} == {"campaign.task"}
    with_sql = {module for module in MODULES if "sqlalchemy" in roots(module)}
    assert all(module.startswith("ledger.") for module in with_sql)


def test_what_decides_and_what_sends_loads_neither_sqlalchemy_nor_airflow():
    """So that a campaign's rules can be read, and tested, without either."""
    modules = [f"{NAME}.{module}" for module in ("campaign.runner", "ledger.values", "ledger.claim_rules")]
    script = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60)
    assert set(modules) <= set(loaded.stdout.split())
    assert {name.partition(".")[0] for name in loaded.stdout.split()}.isdisjoint({"airflow", "sqlalchemy"})

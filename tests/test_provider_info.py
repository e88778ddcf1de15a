"""What Airflow reads of this package, held against Airflow's own schemas and its own code."""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
from importlib.resources import files

import jsonschema
import pytest
from airflow.providers_manager import ProvidersManager

import airflow_provider_kaleyra
from airflow_provider_kaleyra import hooks, notifications, operators, sensors, triggers
from airflow_provider_kaleyra.provider_info import get_provider_info

# What a provider's own build adds to its provider.yaml; the runtime's half does without.
BUILD_FIELDS = {"state": "ready", "source-date-epoch": 1_700_000_000, "dependencies": []}


def schema(name: str) -> dict[str, object]:
    return json.loads(files("airflow").joinpath(name).read_text())


def test_airflows_schema_of_provider_info_is_kept():
    jsonschema.Draft7Validator(schema("provider_info.schema.json")).validate(get_provider_info())


def test_airflows_schema_of_provider_yaml_which_knows_every_field_is_kept():
    yaml_schema = schema("provider.yaml.schema.json")
    known = {name: value for name, value in BUILD_FIELDS.items() if name in yaml_schema["properties"]}
    jsonschema.Draft7Validator(yaml_schema).validate(get_provider_info() | known)


def test_airflows_schema_of_provider_yaml_rejects_a_misspelled_field():
    slip = get_provider_info() | BUILD_FIELDS | {"notification": []}
    with pytest.raises(jsonschema.ValidationError, match="notification"):
        jsonschema.Draft7Validator(schema("provider.yaml.schema.json")).validate(slip)


def test_the_version_is_the_packages():
    assert get_provider_info()["versions"][0] == airflow_provider_kaleyra.__version__


@pytest.mark.parametrize(
    ("key", "package", "suffix"),
    [
        ("operators", operators, "Operator"),
        ("sensors", sensors, "Sensor"),
        ("triggers", triggers, "Trigger"),
        ("hooks", hooks, "Hook"),
    ],
)
def test_every_module_with_such_a_class_is_listed(key, package, suffix):
    found = set()
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        names = vars(importlib.import_module(module.name))
        if any(name.startswith("Kaleyra") and name.endswith(suffix) for name in names):
            found.add(module.name)
    assert {name for entry in get_provider_info()[key] for name in entry["python-modules"]} == found


def test_every_notifier_is_listed():
    found = set()
    for module in pkgutil.iter_modules(notifications.__path__, f"{notifications.__name__}."):
        names = vars(importlib.import_module(module.name))
        found |= {f"{module.name}.{name}" for name in names if name.startswith("Kaleyra") and "Notifier" in name}
    assert set(get_provider_info()["notifications"]) == found


def test_airflow_discovers_connection_type_and_notifier():
    manager = ProvidersManager()
    assert manager.hooks["kaleyra"].hook_name == "Kaleyra"
    assert manager.hooks["kaleyra"].connection_testable
    assert "airflow_provider_kaleyra.notifications.video.KaleyraVideoNotifier" in {
        getattr(notifier, "notification_class_name", notifier) for notifier in manager.notification
    }


def test_reading_it_imports_neither_airflow_nor_an_http_client():
    program = """
import sys
from airflow_provider_kaleyra.provider_info import get_provider_info
get_provider_info()
print(*{name.partition(".")[0] for name in sys.modules})
"""
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(process.stdout.split())
    assert "airflow_provider_kaleyra" in loaded
    assert not {"airflow", "requests", "aiohttp", "flask_appbuilder", "wtforms"} & loaded


def test_airflow_warns_of_nothing_that_this_package_does():
    """A warning that names a line of this package or one of its classes."""
    program = """
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import MagicMock

import airflow_provider_kaleyra

# Airflow reads a hook's methods of the old form only if wtforms is installed.
if not find_spec("wtforms"):
    sys.modules["wtforms"] = MagicMock()

from airflow.providers_manager import ProvidersManager  # which sends warnings to its log

here = str(Path(airflow_provider_kaleyra.__file__).parent)
with warnings.catch_warnings(record=True) as warnings_shown:
    warnings.simplefilter("always")
    import airflow_provider_kaleyra.operators.video
    from airflow_provider_kaleyra.notifications.video import KaleyraVideoNotifier
    from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook
    import airflow_provider_kaleyra.transport.aio

    manager = ProvidersManager()
    manager.hooks["kaleyra"], manager.connection_form_widgets, manager.field_behaviours
    KaleyraVideoNotifier(to="+12025550123", media_id="42")
    KaleyraHook().test_connection()
for warning in warnings_shown:
    ours = warning.filename.startswith(here) or "kaleyra" in str(warning.message).lower()
    if ours and "Deprecat" in warning.category.__name__:
        raise SystemExit(f"{warning.category.__name__}: {warning.message} ({warning.filename})")
"""
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr

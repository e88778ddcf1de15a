"""The connection form, as the Airflow at hand makes it of the one table."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from typing import Any

from airflow import __version__ as airflow_version
from airflow.providers_manager import ProvidersManager

from airflow_provider_kaleyra.connection import form
from airflow_provider_kaleyra.connection.settings import DEFAULT_TIMEOUT
from airflow_provider_kaleyra.whatsapp.account import DEFAULT_POD, POD_BASE_URLS

AIRFLOW = tuple(int(part) for part in airflow_version.split(".")[:2])


# Airflow 3.1 builds the form only if the hooks were not loaded before.
READ_FORM = """
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
(hook,) = (hook for hook in HookMetaService.hook_meta_data() if hook.connection_type == "kaleyra")
print(hook.model_dump_json())
"""


@cache
def form_of_airflow_3() -> dict[str, dict[str, Any]]:
    """Return the form as Airflow's API describes it: Airflow's own fields, and the extras."""
    process = subprocess.run([sys.executable, "-c", READ_FORM], capture_output=True, text=True, check=True)
    return json.loads(process.stdout.splitlines()[-1])


def test_airflow_3_shows_the_pods_as_a_drop_down():
    extras = form_of_airflow_3()["extra_fields"]
    assert list(extras["pod"]["schema"]["enum"]) == ["in", "sg", "eu", "na"]


def test_airflow_3_names_every_extra_and_says_where_to_find_it():
    extras = form_of_airflow_3()["extra_fields"]
    assert list(extras) == ["pod", "business_phone_number", "timeout"]
    for field in form.EXTRA_FIELDS:
        assert extras[field.name]["schema"]["title"] == field.label
        assert extras[field.name]["description"] == field.help


def test_airflow_3_requires_no_extra():
    extras = form_of_airflow_3()["extra_fields"]
    assert all("null" in extra["schema"]["type"] and extra["value"] is None for extra in extras.values())


def test_airflow_3_renames_its_own_fields_and_hides_the_unused():
    own = form_of_airflow_3()["standard_fields"]
    assert {name for name, field in own.items() if field and field["hidden"]} == {"url_schema"}
    for field in form.OWN_FIELDS:
        assert own[field.name] == {"hidden": False, "title": field.label, "placeholder": field.placeholder}


def test_airflow_2_makes_a_field_of_every_extra():
    manager = ProvidersManager()
    assert manager.hooks["kaleyra"]
    fields = {
        info.field_name: info.field for info in manager.connection_form_widgets.values() if "Kaleyra" in str(info)
    }
    assert list(fields) == ["pod", "business_phone_number", "timeout"]
    assert [field.field_class.__name__ for field in fields.values()] == ["StringField", "StringField", "IntegerField"]
    assert [field.args[0] for field in fields.values()] == [field.label for field in form.EXTRA_FIELDS]


def test_airflow_2_accepts_blank_extras_and_rejects_an_unknown_pod():
    from werkzeug.datastructures import MultiDict
    from wtforms import Form

    made = type("Made", (Form,), form.widgets())
    assert made(MultiDict({"pod": "", "business_phone_number": "", "timeout": ""})).validate()
    assert made(MultiDict({"pod": "sg", "timeout": "5"})).validate()
    rejected = made(MultiDict({"pod": "us", "timeout": "soon"}))
    assert not rejected.validate()
    assert set(rejected.errors) == {"pod", "timeout"}


def test_airflow_2_shows_placeholders_at_the_extras_too():
    behaviour = ProvidersManager().field_behaviours["kaleyra"]
    assert behaviour["hidden_fields"] == ["schema", "extra"]
    assert behaviour["placeholders"]["extra__kaleyra__business_phone_number"] == "+919876543210"
    assert behaviour["relabeling"]["login"] == "Account SID"


def test_the_help_states_the_defaults_of_the_hook():
    helps = {field.name: field.help for field in form.EXTRA_FIELDS}
    assert f"Empty means {DEFAULT_POD}." in helps["pod"]
    assert f"Empty means {DEFAULT_TIMEOUT:.0f}." in helps["timeout"]


def test_the_pods_are_those_of_the_account():
    assert form.conn_fields()["pod"]["schema"]["enum"] == list(POD_BASE_URLS)

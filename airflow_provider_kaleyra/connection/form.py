"""The connection form, as one table: Airflow 3.2 and later read it as provider info, earlier ones ask the hook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_kaleyra.whatsapp.account import POD_BASE_URLS

HIDDEN_FIELDS = ("schema", "extra")


@dataclass(frozen=True)
class FormField:
    """One field of the form.

    :param name: what Airflow calls it: a field that every Connection has, or the key of an extra.
    :param placeholder: what its value looks like; Airflow 3 shows it for its own fields alone.
    :param help: what it is for; Airflow shows it for extras alone.
    :param choices: the only values it can take; a drop-down from Airflow 3.0 on.
    """

    name: str
    label: str
    placeholder: str
    help: str = ""
    number: bool = False
    choices: tuple[str, ...] = ()


# Airflow has no help line for its own fields, so their placeholders say where to look, too.
OWN_FIELDS = (
    FormField("login", "Account SID", "HXAP16XXXXXX97IN, see kaleyra.io > Developers > point at a key"),
    FormField("password", "API key", "see kaleyra.io > Developers > point at a key"),
    FormField("host", "API domain (if not the pod's)", "leave empty, or override the pod: api.in.kaleyra.io"),
    # It could be hidden, were it not for a fault of two Airflows: https://github.com/apache/airflow/pull/73298
    FormField("port", "Port", "leave empty; 443 for the test button of Airflow 3.3.1 and 3.3.2"),
)
EXTRA_FIELDS = (
    FormField(
        "pod",
        "Pod",
        "in",
        "Where Kaleyra keeps the account, in, sg, eu or na: it is part of the API Domain that kaleyra.io shows under "
        "Developers > Edit a key. Empty means in.",
        choices=tuple(POD_BASE_URLS),
    ),
    FormField(
        "business_phone_number",
        "WhatsApp business number",
        "+919876543210",
        "The sender, such as +919876543210: kaleyra.io lists the account's numbers under Channels > WhatsApp > "
        "Manage > Configurations > Numbers. A task may name another one.",
    ),
    FormField(
        "timeout",
        "Timeout (seconds)",
        "30",
        "How long to wait for Kaleyra's answer. Empty means 30.",
        number=True,
    ),
)


def conn_fields() -> dict[str, Any]:
    """The extras, as ``conn-fields`` of the provider info."""
    return {field.name: _conn_field(field) for field in EXTRA_FIELDS}


def ui_field_behaviour() -> dict[str, Any]:
    """Airflow's own fields, as ``ui-field-behaviour`` of the provider info."""
    return {
        "hidden-fields": list(HIDDEN_FIELDS),
        "relabeling": {field.name: field.label for field in OWN_FIELDS},
        "placeholders": {field.name: field.placeholder for field in (*OWN_FIELDS, *EXTRA_FIELDS)},
    }


def widgets() -> dict[str, Any]:
    """The extras, as fields of the forms of Airflow up to 3.1; none where Airflow 3.0 runs without FAB."""
    try:
        # Airflow may put stand-ins of its own in their place, which it knows by these paths.
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget  # type: ignore[import-not-found,unused-ignore]
        from wtforms import IntegerField, StringField  # type: ignore[import-untyped,unused-ignore]
        from wtforms.validators import Optional, any_of  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        return {}

    def widget(field: FormField) -> Any:
        rules = [Optional(), any_of(field.choices)] if field.choices else [Optional()]
        return (IntegerField if field.number else StringField)(
            field.label, validators=rules, description=field.help, widget=BS3TextFieldWidget()
        )

    return {field.name: widget(field) for field in EXTRA_FIELDS}


def _conn_field(field: FormField) -> dict[str, Any]:
    # The null keeps a field from being required.
    schema: dict[str, Any] = {"type": ["number" if field.number else "string", "null"]}
    if field.choices:
        schema["enum"] = list(field.choices)
    return {"label": field.label, "description": field.help, "schema": schema}

"""The fields of the connection form. Airflow 3.2 and later read them from provider info, earlier ones from the hook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_kaleyra.whatsapp.account import POD_BASE_URLS

HIDDEN_FIELDS = ("schema", "extra")


@dataclass(frozen=True)
class FormField:
    """One field of the form.

    :param name: the name of one of Airflow's own fields, or the key of an extra.
    :param label: the label in the form.
    :param placeholder: an example of a value; Airflow 3 shows it for its own fields only.
    :param help: the purpose of the field; Airflow shows it for extras only.
    :param number: whether the value is a number.
    :param choices: the possible values, if they are limited.
    """

    name: str
    label: str
    placeholder: str
    help: str = ""
    number: bool = False
    choices: tuple[str, ...] = ()


# Airflow shows no help for its own fields, so their placeholders also say where to find the value.
OWN_FIELDS = (
    FormField("login", "Account SID", "HXAP16XXXXXX97IN, see kaleyra.io > Developers > point at a key"),
    FormField("password", "API key", "see kaleyra.io > Developers > point at a key"),
    FormField("host", "API domain (if not the pod's)", "leave empty, or override the pod: api.in.kaleyra.io"),
    # Not hidden, because of a bug in Airflow 3.3.1 and 3.3.2: https://github.com/apache/airflow/pull/73298
    FormField("port", "Port", "leave empty; 443 for the test button of Airflow 3.3.1 and 3.3.2"),
)
EXTRA_FIELDS = (
    FormField(
        "pod",
        "Pod",
        "in",
        "The region of the account: in, sg, eu or na. It is part of the API Domain that kaleyra.io shows under "
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
        "How long to wait for Kaleyra's response. Empty means 30.",
        number=True,
    ),
)


def conn_fields() -> dict[str, Any]:
    """Return the extras as ``conn-fields`` of the provider info."""
    return {field.name: _conn_field(field) for field in EXTRA_FIELDS}


def ui_field_behaviour() -> dict[str, Any]:
    """Return Airflow's own fields as ``ui-field-behaviour`` of the provider info."""
    return {
        "hidden-fields": list(HIDDEN_FIELDS),
        "relabeling": {field.name: field.label for field in OWN_FIELDS},
        "placeholders": {field.name: field.placeholder for field in (*OWN_FIELDS, *EXTRA_FIELDS)},
    }


def widgets() -> dict[str, Any]:
    """Return the extras as form fields for Airflow up to 3.1; none if Airflow 3.0 runs without FAB."""
    try:
        # Airflow may replace these classes with its own, which it finds by these paths.
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
    # With null, a field is optional.
    schema: dict[str, Any] = {"type": ["number" if field.number else "string", "null"]}
    if field.choices:
        schema["enum"] = list(field.choices)
    return {"label": field.label, "description": field.help, "schema": schema}

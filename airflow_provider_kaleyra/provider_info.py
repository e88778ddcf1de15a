"""Provider info that Airflow discovers: the connection type and its form, and the modules of the provider."""

from __future__ import annotations

from typing import Any

from airflow_provider_kaleyra import __version__
from airflow_provider_kaleyra.connection.form import conn_fields, ui_field_behaviour

_INTEGRATION = "Kaleyra"


def get_provider_info() -> dict[str, Any]:
    """Return the provider info; the package's ``apache_airflow_provider`` entry point names this function."""
    return {
        "package-name": "airflow-provider-kaleyra",
        "name": "Kaleyra",
        "description": "Send WhatsApp videos through `Kaleyra <https://www.kaleyra.com/>`__.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://developers.kaleyra.io/docs/whatsapp_api_v2_send-video-messages",
                "tags": ["service"],
            }
        ],
        "operators": [
            {
                "integration-name": _INTEGRATION,
                "python-modules": [
                    "airflow_provider_kaleyra.operators.video",
                    "airflow_provider_kaleyra.operators.media",
                    "airflow_provider_kaleyra.operators.campaign",
                ],
            }
        ],
        "sensors": [
            {"integration-name": _INTEGRATION, "python-modules": ["airflow_provider_kaleyra.sensors.video_folder"]}
        ],
        "triggers": [
            {"integration-name": _INTEGRATION, "python-modules": ["airflow_provider_kaleyra.triggers.video_folder"]}
        ],
        "hooks": [{"integration-name": _INTEGRATION, "python-modules": ["airflow_provider_kaleyra.hooks.kaleyra"]}],
        "connection-types": [
            {
                "connection-type": "kaleyra",
                "hook-class-name": "airflow_provider_kaleyra.hooks.kaleyra.KaleyraHook",
                "hook-name": "Kaleyra",
                "conn-fields": conn_fields(),
                "ui-field-behaviour": ui_field_behaviour(),
            }
        ],
        "notifications": ["airflow_provider_kaleyra.notifications.video.KaleyraVideoNotifier"],
    }

"""What Airflow discovers about this package: the provider and its connection type."""

from __future__ import annotations

from typing import Any

from airflow_provider_kaleyra import __version__


def get_provider_info() -> dict[str, Any]:
    """Describe the provider to Airflow (its ``apache_airflow_provider`` entry point)."""
    return {
        "package-name": "airflow-provider-kaleyra",
        "name": "Kaleyra",
        "description": "Send WhatsApp videos through `Kaleyra <https://www.kaleyra.com/>`__.",
        "versions": [__version__],
        "connection-types": [
            {
                "connection-type": "kaleyra",
                "hook-class-name": "airflow_provider_kaleyra.hooks.kaleyra.KaleyraHook",
            }
        ],
    }

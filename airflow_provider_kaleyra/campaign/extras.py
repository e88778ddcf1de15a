"""The packages that a campaign needs beyond the default installation."""

from __future__ import annotations

from importlib.util import find_spec

from airflow_provider_kaleyra.exceptions import KaleyraConfigError

_PACKAGES = {"aiohttp": "aiohttp", "sqlalchemy": "SQLAlchemy"}


def require_extra() -> None:
    """Check that the packages are installed which the extras ``postgres`` and ``sqlite`` install.

    :raises KaleyraConfigError: names what is missing and the extra that installs it.
    """
    missing = [name for module, name in _PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise KaleyraConfigError(
            f"Nothing was sent: a campaign needs {' and '.join(missing)}, not installed here. Install "
            "airflow-provider-kaleyra[postgres] or, for a ledger in SQLite, airflow-provider-kaleyra[sqlite]."
        )

"""Checks before a campaign starts: its id, the installed packages, and the process's limit of open files."""

from __future__ import annotations

import logging
import os
import resource
import unicodedata
from importlib.util import find_spec

from airflow_provider_kaleyra.exceptions import KaleyraConfigError
from airflow_provider_kaleyra.whatsapp.validation import BrokenRule, shown, text_or_none

MAX_CAMPAIGN_ID_LENGTH = 250
"""The length of the ledger's column."""

_PACKAGES = {"aiohttp": "aiohttp", "sqlalchemy": "SQLAlchemy"}

# File descriptors for everything but the connections to Kaleyra: ledger, file, DNS, certificates, logs, and
# connections that are closing.
_OTHER_DESCRIPTORS = 32
_MIN_CONNECTIONS = 5
# With so many to spare, the open descriptors need not be counted.
_PLENTY = 1 << 14

log = logging.getLogger(__name__)


def require_campaign_id(value: object) -> str:
    """Return a campaign's id without blanks around it; a whole number as its digits.

    The text ``None`` is rejected: all tasks with a broken template would share that campaign.

    :raises BrokenRule: the id is missing, or the ledger's column cannot hold it.
    """
    campaign_id = (text_or_none("campaign_id", value) or "").strip()
    # Characters such as a zero-width space are no blanks to Python, and cannot be seen.
    if not any(character.isprintable() and not character.isspace() for character in campaign_id):
        raise BrokenRule("campaign_id", "given", "nothing: it is missing or rendered to blank text")
    if campaign_id == "None":
        raise BrokenRule(
            "campaign_id",
            "a real value",
            "the text 'None': a template rendered a missing value, such as an empty XCom",
        )
    if len(campaign_id) > MAX_CAMPAIGN_ID_LENGTH:
        rule = f"at most {MAX_CAMPAIGN_ID_LENGTH} characters"
        raise BrokenRule("campaign_id", rule, f"{len(campaign_id)}: {shown(campaign_id, 40)}")
    if any(unicodedata.category(character) in {"Cc", "Zl", "Zp"} for character in campaign_id):
        raise BrokenRule("campaign_id", "text without control characters and line breaks", shown(campaign_id))
    return campaign_id


def require_extra() -> None:
    """Check that the packages of the extras ``postgres`` and ``sqlite`` are installed.

    :raises KaleyraConfigError: names the missing packages and the extras that install them.
    """
    missing = [name for module, name in _PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise KaleyraConfigError(
            f"A campaign cannot be sent: {' and '.join(missing)} not installed. Nothing was sent. Install "
            "airflow-provider-kaleyra[postgres] or, for a ledger in SQLite, airflow-provider-kaleyra[sqlite]."
        )


def affordable_connections(max_connections: int) -> int:
    """Return *max_connections*, or as many as the process can open; fewer are logged as a warning.

    The limit itself is not raised: it is not the task's to set.

    :raises KaleyraConfigError: the process cannot open five.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY or limit >= max_connections + _PLENTY:
        return max_connections
    used = _open_descriptors(limit)
    room = limit - used - _OTHER_DESCRIPTORS
    if room >= max_connections:
        return max_connections
    if room < _MIN_CONNECTIONS:
        raise KaleyraConfigError(
            f"The campaign cannot open connections: the process may open {limit} files, and {used} are open already. "
            "Nothing was sent. Raise the worker's limit of open files (ulimit -n), and clear the task."
        )
    log.warning(
        "max_connections is reduced from %d to %d: the process may open %d files, and %d are open "
        "already. Raise the worker's limit of open files (ulimit -n), or lower max_connections.",
        max_connections,
        room,
        limit,
        used,
    )
    return room


def _open_descriptors(limit: int) -> int:
    """Count the open file descriptors, without opening one: there may be none left."""
    count = 0
    for descriptor in range(limit):
        try:
            os.fstat(descriptor)
        except OSError:
            continue
        count += 1
    return count

"""How many connections a campaign can open, by the process's limit of file descriptors."""

from __future__ import annotations

import logging
import os
import resource

from airflow_provider_kaleyra.exceptions import KaleyraConfigError

_SPARE = 32
"""For all but the connections to Kaleyra: ledger, file, DNS, certificates, logs, and connections that are closing."""

_FEWEST = 5
_PLENTY = 1 << 14

log = logging.getLogger(__name__)


def affordable_connections(max_connections: int) -> int:
    """Return *max_connections*, or as many as the process can open; fewer are logged as a warning.

    The limit itself is left as it is: it was set for the process, and not by the task.

    :raises KaleyraConfigError: the process cannot open even a handful.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY or limit >= max_connections + _PLENTY:
        return max_connections
    used = _open_descriptors(limit)
    room = limit - used - _SPARE
    if room >= max_connections:
        return max_connections
    if room < _FEWEST:
        raise KaleyraConfigError(
            f"Nothing was sent: the process may open {limit} files and connections, and {used} are open already. "
            "Raise the worker's limit of open files (ulimit -n), and clear the task."
        )
    log.warning(
        "max_connections is reduced from %d to %d: the process may open %d files and connections, and %d are open "
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

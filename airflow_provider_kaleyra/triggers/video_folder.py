"""Trigger that waits for videos in a folder."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_kaleyra.exceptions import KaleyraError
from airflow_provider_kaleyra.files.video_folder import list_videos

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

MAX_FAILURE_SECONDS = 3600.0
"""Seconds for which every check may fail before the trigger ends with an error."""


class KaleyraVideoFolderTrigger(BaseTrigger):
    """
    Check a folder until it contains videos, or until a given time.

    The trigger fires once: with the URLs of the videos as ``videos``, an empty list after a timeout; or with a message
    as ``error``, the name of its class as ``kind``, and ``retry``, which says whether a retry can help. A temporary
    error is logged, and the check is repeated for up to an hour.

    :param folder: path that the triggerer can read, or URL that Airflow's ``ObjectStoragePath`` opens.
    :param patterns: patterns of the file names.
    :param settled_after: seconds for which a file must not have changed; newer files may still be incomplete.
    :param poke_interval: seconds between two checks.
    :param until: time at which the wait ends, in seconds since the epoch.
    """

    def __init__(
        self, folder: str, patterns: Sequence[str], settled_after: float, poke_interval: float, until: float
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.folder = folder
        self.patterns = list(patterns)
        self.settled_after = settled_after
        self.poke_interval = poke_interval
        self.until = until

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments that recreate this trigger."""
        fields = ("folder", "patterns", "settled_after", "poke_interval", "until")
        return f"{__name__}.{type(self).__name__}", {name: getattr(self, name) for name in fields}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Check the folder repeatedly, and yield one event."""
        from asgiref.sync import sync_to_async

        # In a separate thread, a slow store blocks neither the event loop nor the threads of other triggers. Airflow
        # lets a trigger request a Connection from its supervisor only in threads of asgiref.
        list_in_thread = sync_to_async(list_videos, thread_sensitive=False)
        failing_since = math.inf
        while True:
            remaining = self.until - time.time()
            try:
                videos = await list_in_thread(self.folder, self.patterns, self.settled_after)
            except KaleyraError as error:
                failing_since = min(failing_since, time.time())
                retry = not isinstance(error, AirflowFailException)
                if not retry or remaining <= 0 or time.time() - failing_since > MAX_FAILURE_SECONDS:
                    yield TriggerEvent({"error": str(error), "kind": type(error).__name__, "retry": retry})  # type: ignore[no-untyped-call]
                    return
                self.log.warning("%s", error)
            else:
                if videos or remaining <= 0:
                    yield TriggerEvent({"videos": videos})  # type: ignore[no-untyped-call]
                    return
                failing_since = math.inf
            await asyncio.sleep(min(self.poke_interval, max(remaining, 0)))

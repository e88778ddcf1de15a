"""The trigger that looks into a folder for videos."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_kaleyra.exceptions import KaleyraError
from airflow_provider_kaleyra.hooks.video_folder import videos_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

LONGEST_TROUBLE = 3600.0
"""Seconds for which a store may fail at every look before the wait ends."""


class KaleyraVideoFolderTrigger(BaseTrigger):
    """
    Look into a folder until videos lie there, or the time is up.

    Fires once: with ``videos``, their URLs, of which there are none when the time is up; or with ``error``, and
    whether a ``retry`` can help. What fails but may pass is logged, and looked at again for an hour.

    :param folder: a path that the triggerer can read, or a URL that Airflow's ``ObjectStoragePath`` opens.
    :param patterns: of the files' names.
    :param settled_after: seconds; younger files may still be on their way.
    :param poke_interval: seconds from one look to the next.
    :param until: when the time is up, in seconds since the epoch.
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
        """What a triggerer makes the same trigger of."""
        fields = ("folder", "patterns", "settled_after", "poke_interval", "until")
        return f"{__name__}.{type(self).__name__}", {name: getattr(self, name) for name in fields}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look, and wait, and look again."""
        from asgiref.sync import sync_to_async

        # In a thread of its own: a slow store holds up neither the loop nor what other triggers do in threads. A
        # thread of asgiref's is the one from which a trigger may ask Airflow's supervisor for the Connection.
        look = sync_to_async(videos_in, thread_sensitive=False)
        failing_since = math.inf
        while True:
            left = self.until - time.time()
            try:
                videos = await look(self.folder, self.patterns, self.settled_after)
            except KaleyraError as error:
                failing_since = min(failing_since, time.time())
                retry = not isinstance(error, AirflowFailException)
                if not retry or left <= 0 or time.time() - failing_since > LONGEST_TROUBLE:
                    yield TriggerEvent({"error": str(error), "retry": retry})  # type: ignore[no-untyped-call]
                    return
                self.log.warning("%s", error)
            else:
                if videos or left <= 0:
                    yield TriggerEvent({"videos": videos})  # type: ignore[no-untyped-call]
                    return
                failing_since = math.inf
            await asyncio.sleep(min(self.poke_interval, max(left, 0)))

"""The sensor that waits for videos in a folder."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSensorTimeout, BaseSensorOperator, PokeReturnValue, conf

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

# How much later Airflow ends the wait, should no triggerer do it.
_WITHOUT_TRIGGERER = timedelta(minutes=10)


class KaleyraVideoFolderSensor(BaseSensorOperator):
    """
    Wait until videos lie in a folder, and return their URLs.

    A file counts that matches and was not changed for a while; hidden ones and those in folders below do not.

    :param folder: a path, or a URL that Airflow's ``ObjectStoragePath`` opens, such as
        ``s3://aws_default@bucket/videos``; templated. It need not exist yet.
    :param pattern: of the files' names, or several; upper and lower case are the same; templated.
    :param settled_after: how long a file must not have changed, because younger ones may still be on their way; a
        ``timedelta`` or seconds.
    :param deferrable: whether the triggerer looks into the folder, while the task takes no worker; without, do as
        ``mode`` says. Default is Airflow's own ``[operators] default_deferrable``.
    :param kwargs: those of every sensor, such as ``poke_interval``, ``timeout``, ``mode`` and ``soft_fail``, which
        skips the task when the time is up; what is wrong with the folder or its store fails the task all the same.
    :raises KaleyraUnusableFileError: the folder is a file, may not be read, or has no bucket; fails at once.
    :raises KaleyraConfigError: the URL, or its Connection, cannot be used; fails at once.
    :raises KaleyraFileError: reading the folder failed, when the wait began or for an hour on end; Airflow retries.
    :raises AirflowSensorTimeout: the time is up; fails at once.
    """

    template_fields: Sequence[str] = ("folder", "pattern")
    ui_color = "#d5f5dd"

    def __init__(
        self,
        *,
        folder: str | os.PathLike[str],
        pattern: str | Sequence[str] = ("*.mp4", "*.3gp"),
        settled_after: timedelta | float = 60,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.folder = folder
        self.pattern = pattern
        self.settled_after = settled_after
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        """Look once; if there is nothing yet, wait."""
        if not self.deferrable:
            return super().execute(context)
        videos = self._look()
        if not videos:
            from airflow_provider_kaleyra.triggers.video_folder import KaleyraVideoFolderTrigger

            self.defer(
                trigger=KaleyraVideoFolderTrigger(
                    folder=str(self.folder),
                    patterns=self._patterns,
                    settled_after=self._settled_after,
                    poke_interval=self.poke_interval,
                    until=time.time() + self.timeout,
                ),
                method_name="execute_complete",
                # The trigger itself ends the wait, so that soft_fail does the same on every Airflow.
                timeout=timedelta(seconds=self.timeout) + _WITHOUT_TRIGGERER,
            )
        return videos

    def poke(self, context: Context) -> PokeReturnValue:  # noqa: ARG002 - Airflow's interface
        """Look once."""
        videos = self._look()
        return PokeReturnValue(is_done=bool(videos), xcom_value=videos)

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> list[str]:  # noqa: ARG002 - Airflow's interface
        """Return what the trigger found."""
        from airflow_provider_kaleyra.exceptions import KaleyraConfigError, KaleyraFileError

        if "error" in event:
            self.soft_fail = False  # which would take the error for a wait in vain
            raise (KaleyraFileError if event["retry"] else KaleyraConfigError)(event["error"])
        videos: list[str] = event["videos"]
        if not videos:
            raise AirflowSensorTimeout(f"No video came into {self.folder} within {timedelta(seconds=self.timeout)}.")
        return videos

    def _look(self) -> list[str]:
        from airflow_provider_kaleyra.exceptions import KaleyraError
        from airflow_provider_kaleyra.hooks.video_folder import videos_in

        try:
            return videos_in(self.folder, self._patterns, self._settled_after)
        except KaleyraError:
            self.soft_fail = False  # which would take the error for a wait in vain
            raise

    @property
    def _patterns(self) -> list[str]:
        return [self.pattern] if isinstance(self.pattern, str) else list(self.pattern)

    @property
    def _settled_after(self) -> float:
        seconds = self.settled_after
        return seconds.total_seconds() if isinstance(seconds, timedelta) else seconds

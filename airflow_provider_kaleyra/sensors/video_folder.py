"""Sensor that waits for videos in a folder."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSensorTimeout, BaseSensorOperator, PokeReturnValue, conf

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

# Airflow ends the wait this much later if the trigger has not ended it.
_WITHOUT_TRIGGERER = timedelta(minutes=10)


class KaleyraVideoFolderSensor(BaseSensorOperator):
    """
    Wait until videos are in a folder, and return their URLs.

    The sensor finds files whose name matches and that have not changed for a while. It ignores hidden files and
    subfolders.

    :param folder: path, or URL that Airflow's ``ObjectStoragePath`` opens, such as
        ``s3://aws_default@bucket/videos``; templated. The folder may not exist yet.
    :param pattern: pattern of the file names, or a list of patterns; case is ignored; templated.
    :param settled_after: how long a file must not have changed, as a ``timedelta`` or in seconds. Newer files may still
        be incomplete.
    :param deferrable: whether the triggerer checks the folder, so that the task occupies no worker slot. If False,
        ``mode`` applies. The default is Airflow's ``[operators] default_deferrable``.
    :param kwargs: arguments of every sensor, such as ``poke_interval``, ``timeout``, ``mode`` and ``soft_fail``.
        ``soft_fail`` skips the task on a timeout only; errors of the folder or its store fail the task.
    :raises KaleyraUnusableFileError: the folder is a file, or Airflow has no permission to read it, or its bucket does
        not exist. Airflow does not retry.
    :raises KaleyraConfigError: the URL or its Connection cannot be used. Airflow does not retry.
    :raises KaleyraConnectionUnreadableError: Airflow could not read that Connection. Airflow retries.
    :raises KaleyraFileError: reading the folder failed: on a worker once, or in the triggerer for an hour. Airflow
        retries.
    :raises AirflowSensorTimeout: no video arrived before the timeout. Airflow does not retry.
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
        """Check the folder once; if there is no video, wait."""
        if not self.deferrable:
            return super().execute(context)
        videos = self._videos()
        if not videos:
            from airflow_provider_kaleyra.files.object_storage import text_of
            from airflow_provider_kaleyra.triggers.video_folder import KaleyraVideoFolderTrigger

            self.defer(
                trigger=KaleyraVideoFolderTrigger(
                    folder=text_of(self.folder) or str(self.folder),
                    patterns=self._patterns,
                    settled_after=self._settled_after,
                    poke_interval=self.poke_interval,
                    until=time.time() + self.timeout,
                ),
                method_name="execute_complete",
                # The trigger ends the wait before that, so that soft_fail has the same effect on every Airflow.
                timeout=timedelta(seconds=self.timeout) + _WITHOUT_TRIGGERER,
            )
        return videos

    def poke(self, context: Context) -> PokeReturnValue:  # noqa: ARG002 - Airflow's interface
        """Check the folder once."""
        videos = self._videos()
        return PokeReturnValue(is_done=bool(videos), xcom_value=videos)

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> list[str]:  # noqa: ARG002 - Airflow's interface
        """Return the videos that the trigger found, or raise its error."""
        from airflow_provider_kaleyra import exceptions

        if "error" in event:
            self.soft_fail = False  # it would skip the task for this error, too
            raise getattr(exceptions, event["kind"])(event["error"])
        videos: list[str] = event["videos"]
        if not videos:
            raise AirflowSensorTimeout(
                f"No video arrived in {self.folder} within {timedelta(seconds=self.timeout)}. Check what writes the "
                "videos, or increase timeout."
            )
        return videos

    def _videos(self) -> list[str]:
        from airflow_provider_kaleyra.exceptions import KaleyraError
        from airflow_provider_kaleyra.files.video_folder import list_videos

        try:
            return list_videos(self.folder, self._patterns, self._settled_after)
        except KaleyraError:
            self.soft_fail = False  # it would skip the task for this error, too
            raise

    @property
    def _patterns(self) -> list[str]:
        patterns = [self.pattern] if isinstance(self.pattern, str) else self.pattern
        # A template renders to a list, and the default is a tuple.
        if isinstance(patterns, list | tuple) and all(isinstance(one, str) for one in patterns):
            return [str.__str__(one) for one in patterns]
        raise self._error("pattern", "a text or a list of texts, such as '*.mp4'", self.pattern)

    @property
    def _settled_after(self) -> float:
        seconds = self.settled_after
        if isinstance(seconds, timedelta):
            return seconds.total_seconds()
        if type(seconds) in {int, float} and 0 <= seconds < math.inf:
            with suppress(OverflowError):
                return float(seconds)
        raise self._error("settled_after", "a timedelta or a number of seconds from 0 on", seconds)

    def _error(self, field: str, rule: str, found: object) -> Exception:
        from airflow_provider_kaleyra.exceptions import KaleyraConfigError
        from airflow_provider_kaleyra.whatsapp.validation import shown_value

        self.soft_fail = False  # it would skip the task for this error, too
        return KaleyraConfigError(
            f"Task {self.task_id!r} is invalid: {field} must be {rule}; found {shown_value(found)}. Fix this argument."
        )

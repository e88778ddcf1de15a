"""Uploading a file once for all tries of a task instance.

Airflow 3.3 and later keep the media id in the task state store, as one JSON value under :data:`KEY`. Older Airflows
have no such store, so there every try uploads: that costs time and does no harm.
"""

from __future__ import annotations

import hashlib
import json
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_kaleyra.hooks.store import path_of

if TYPE_CHECKING:
    import os

    from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook
    from airflow_provider_kaleyra.send_once import Store

KEY = "kaleyra_upload"
LONGEST_USE = timedelta(days=29)
"""Of a media id, which Kaleyra forgets after 30 days."""

log = logging.getLogger(__name__)


class UploadOnce:
    """
    The media id of a file, uploaded when it is first asked for, and anew when it is about to expire.

    :param store: the ``task_state_store`` of Airflow's context; without one, nothing outlives the try.
    """

    def __init__(
        self,
        hook: KaleyraHook,
        file: str | os.PathLike[str],
        store: Store | None,
        business_phone_number: str | None = None,
    ) -> None:
        self._hook = hook
        self._file = file
        self._store = store
        self._sender = business_phone_number
        self._media_id: str | None = None
        self._until: datetime | None = None

    def media_id(self) -> str:
        """
        The id, that of an earlier try if it may still be used.

        :raises KaleyraError: as :meth:`~airflow_provider_kaleyra.hooks.kaleyra.KaleyraHook.upload_media`.
        """
        now = datetime.now(UTC)
        if self._media_id is None or self._until is None or now > self._until:
            self._media_id, self._until = self._remembered_id(now) or self._upload(now)
        return self._media_id

    def _upload(self, now: datetime) -> tuple[str, datetime]:
        version = self._version()
        media_id = self._hook.upload_media(self._file, business_phone_number=self._sender)
        until = now + LONGEST_USE
        if self._store is not None:
            value = {"media_id": media_id, "of": self._fingerprint(), "version": version, "until": until.isoformat()}
            try:
                self._store.set(KEY, value)
            except Exception as error:  # noqa: BLE001 - whatever it is, the upload succeeded
                log.warning(
                    "Airflow's task state store failed (%s): should this task try again, it uploads again.", error
                )
        return media_id, until

    def _remembered_id(self, now: datetime) -> tuple[str, datetime] | None:
        """What an earlier try uploaded, if it is the same file, for the same account, and not too old."""
        try:
            value = self._store.get(KEY) if self._store is not None else None
            if value is None:
                return None
            media_id, of, version, until = (
                value["media_id"],
                value["of"],
                value["version"],
                datetime.fromisoformat(value["until"]),
            )
            usable = isinstance(media_id, str) and of == self._fingerprint() and now <= until
        except Exception as error:  # noqa: BLE001 - whatever it is, to upload again does no harm
            log.info("What an earlier try uploaded cannot be told (%s), so this try uploads.", error)
            return None
        # A file that is gone since was uploaded all the same.
        if not usable or self._version() not in {version, None}:
            return None
        log.info("Nothing is uploaded, because an earlier try did: media id %s.", media_id)
        return media_id, until

    def _fingerprint(self) -> str:
        """Which file it is for whom; no part of it can be read from the store."""
        account = self._hook.settings.account
        values = [str(self._file), account.base_url, account.sid, self._sender or account.business_phone_number]
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()

    def _version(self) -> str | None:
        """What changes with the file's content, or None where the file cannot be seen."""
        path = path_of(self._file)
        try:
            version: Any = path.fs.checksum(path.path)
        except Exception:  # noqa: BLE001 - each store raises its own; an upload tells
            return None
        return str(version)

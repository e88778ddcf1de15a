"""Upload a file once for all tries of a task instance.

Without a store, every try uploads: that costs time and does no harm.
"""

from __future__ import annotations

import hashlib
import json
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_kaleyra.exceptions import KaleyraError
from airflow_provider_kaleyra.files.object_storage import storage_path
from airflow_provider_kaleyra.once.store import UPLOAD_KEY
from airflow_provider_kaleyra.whatsapp.media import media_source
from airflow_provider_kaleyra.whatsapp.validation import text_or_none

if TYPE_CHECKING:
    import os

    from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook
    from airflow_provider_kaleyra.once.store import RecordStore

LONGEST_USE = timedelta(days=29)
"""How long a media id is used; Kaleyra deletes the media after 30 days."""

log = logging.getLogger(__name__)


class UploadOnce:
    """
    Media id of a file, which is uploaded when the id is first needed, and again before the id expires.

    :param hook: the hook that uploads.
    :param file: a path, or a URL that Airflow's ``ObjectStoragePath`` opens.
    :param store: the store for the task's records, which the next try reads.
    :param business_phone_number: the number that will send the video; overrides the Connection's.
    """

    def __init__(
        self,
        hook: KaleyraHook,
        file: str | os.PathLike[str],
        store: RecordStore,
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
        Return the media id; that of an earlier try if it can still be used.

        :raises KaleyraError: one of the errors of
            :meth:`~airflow_provider_kaleyra.hooks.kaleyra.KaleyraHook.upload_media`.
        """
        now = datetime.now(UTC)
        if self._media_id is None or self._until is None or now > self._until:
            self._media_id, self._until = self._recorded(now) or self._upload(now)
        return self._media_id

    def _upload(self, now: datetime) -> tuple[str, datetime]:
        version = self._version()
        media_id = self._hook.upload_media(self._file, business_phone_number=self._sender)
        until = now + LONGEST_USE
        record = {
            "media_id": media_id,
            "source_sha256": self._fingerprint(),
            "file_version": version,
            "use_until": until.isoformat(),
        }
        try:
            self._store.write(UPLOAD_KEY, record)
        except KaleyraError as error:
            why = error.__cause__ or error
            log.warning(
                "The media id was not stored (%s): if this task tries again, it uploads again.",
                why,
            )
        return media_id, until

    def _recorded(self, now: datetime) -> tuple[str, datetime] | None:
        """Return the id of an earlier upload of the same file for the same account, unless it is too old."""
        try:
            record = self._store.read(UPLOAD_KEY)
            if record is None:
                return None
            media_id, version = record["media_id"], record["file_version"]
            until = datetime.fromisoformat(record["use_until"])
            media_source(media_id=media_id)  # raises a ValueError for one that no message can have
            usable = isinstance(media_id, str) and record["source_sha256"] == self._fingerprint() and now <= until
        except (KaleyraError, KeyError, TypeError, ValueError) as error:
            log.info("The upload of an earlier try cannot be read (%s), so this try uploads.", error)
            return None
        # The upload of a file that was deleted since can still be used.
        if not usable or self._version() not in (version, None):
            return None
        log.info("Nothing is uploaded, because an earlier try uploaded the file: media id %s.", media_id)
        return media_id, until

    def _fingerprint(self) -> str:
        """Return a SHA-256 of the file's name, the account and the sender."""
        account = self._hook.settings.account
        sender = text_or_none("business_phone_number", self._sender) or account.business_phone_number
        values = [str(self._file), account.base_url, account.sid, sender]
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()

    def _version(self) -> str | None:
        """Return a text that changes with the file's content, or None if the file cannot be read."""
        try:
            path = storage_path(self._file)
            version: Any = path.fs.checksum(path.path)
        except Exception:  # noqa: BLE001 - each file system raises its own errors; the upload reports them
            return None
        return str(version)

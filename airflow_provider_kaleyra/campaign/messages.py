"""A campaign's messages, built from the operator's fields and the recipients' rows."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_kaleyra.campaign.message_builder import MessageBuilder
from airflow_provider_kaleyra.campaign.recipients import rows_of
from airflow_provider_kaleyra.connection.settings import config_error
from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook
from airflow_provider_kaleyra.once.upload import UploadOnce
from airflow_provider_kaleyra.whatsapp.media import MediaFile
from airflow_provider_kaleyra.whatsapp.request import video_request
from airflow_provider_kaleyra.whatsapp.validation import BrokenRule, text_or_none

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from airflow_provider_kaleyra.campaign.message_builder import Invalid
    from airflow_provider_kaleyra.connection.settings import ConnectionSettings
    from airflow_provider_kaleyra.ledger.values import PreparedMessage
    from airflow_provider_kaleyra.once.store import RecordStore
    from airflow_provider_kaleyra.whatsapp.message import VideoMessage
    from airflow_provider_kaleyra.whatsapp.request import Request

_MOST_WARNINGS = 20

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Messages:
    """The messages of a campaign.

    :param recipients: the operator's.
    :param given: the message's fields for all recipients, as the operator has them.
    :param media_file: the video to upload, if any.
    :param business_phone_number: the sender, where it is not the Connection's.
    :param kaleyra_conn_id: the Connection.
    """

    recipients: Any
    given: Mapping[str, object]
    media_file: str | os.PathLike[str] | None
    business_phone_number: str | None
    kaleyra_conn_id: str
    _warned: set[str] = field(default_factory=set)

    @cached_property
    def connection(self) -> ConnectionSettings:
        """The Connection's settings.

        :raises KaleyraConfigError: it has what would make every row invalid.
        """
        settings = KaleyraHook(self.kaleyra_conn_id).settings
        if not (self.business_phone_number or settings.account.business_phone_number):
            broken = BrokenRule("business_phone_number", "given: it is the sender", "none")
            raise config_error(self.kaleyra_conn_id, broken)
        return settings

    @property
    def sends_file(self) -> bool:
        """Return whether a video has to be uploaded."""
        return bool(str(self.media_file or "").strip())

    def upload(self, store: RecordStore) -> UploadOnce | None:
        """Upload *media_file*, if there is one, unless an earlier try did.

        :param store: the records of the task instance.
        """
        if not self.sends_file:
            return None
        self._fields()  # a wrong one need not cost an upload
        sender = self.business_phone_number or None
        upload = UploadOnce(KaleyraHook(self.kaleyra_conn_id), self.media_file or "", store, sender)
        upload.media_id()
        return upload

    @contextmanager
    def prepared(self, upload: UploadOnce | None = None) -> Iterator[Iterator[PreparedMessage | Invalid]]:
        """Open the recipients as a stream of messages.

        :param upload: has the media id of *media_file*; without it, the messages can be checked but not sent.
        """
        account, sender = self.connection.account, self.business_phone_number or None

        def request_for(message: VideoMessage) -> Request:
            self._warn_of(message)
            if isinstance(message.media, MediaFile):
                message = message.uploaded(upload.media_id() if upload else "<media id of the upload>")
            return video_request(account, message, sender)

        def fingerprint_of(message: VideoMessage) -> str:
            # Each upload of the same file has another media id.
            if isinstance(message.media, MediaFile):
                message = message.uploaded(f"<file {str(message.media.media_file).partition('?')[0]}>")
            return video_request(account, message, sender).fingerprint

        with rows_of(self.recipients) as rows:
            yield MessageBuilder(self._fields(), request_for, fingerprint_of if upload else None).build(rows)

    def _fields(self) -> dict[str, str | None]:
        """Return the message's fields for all recipients.

        :raises BrokenRule: a field is not text, or *media_file* is given with another source.
        """
        fields = {name: text_or_none(name, value) for name, value in self.given.items()}
        if not self.sends_file:
            return fields
        if fields["media_id"] or fields["media_link"]:
            rule = "given, exactly one of them"
            raise BrokenRule("media_id, media_link or media_file", rule, "media_file with another")
        return fields | {"media_file": str(self.media_file)}

    def _warn_of(self, message: VideoMessage) -> None:
        for warning in message.warnings:
            if warning not in self._warned and len(self._warned) < _MOST_WARNINGS:
                self._warned.add(warning)
                log.warning(warning)

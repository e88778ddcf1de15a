"""Opens a campaign's recipients and builds their messages; uploads the media file first, if there is one."""

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
from airflow_provider_kaleyra.whatsapp.media import SOURCE_FIELDS, MediaFile
from airflow_provider_kaleyra.whatsapp.request import sender_of, video_request
from airflow_provider_kaleyra.whatsapp.validation import BrokenRule, shown_value, text_or_none

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from airflow_provider_kaleyra.campaign.message_builder import Invalid
    from airflow_provider_kaleyra.connection.settings import ConnectionSettings
    from airflow_provider_kaleyra.ledger.values import PreparedMessage
    from airflow_provider_kaleyra.once.store import RecordStore
    from airflow_provider_kaleyra.whatsapp.message import Message
    from airflow_provider_kaleyra.whatsapp.request import Request

_MOST_WARNINGS = 20

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class CampaignMessages:
    """The messages of a campaign.

    :param message_type: the class of the messages.
    :param recipients: the recipients, as the operator takes them.
    :param given: the fields of the message that the operator has, by name; a row's own override them.
    :param business_phone_number: the sender; overrides the Connection's.
    :param kaleyra_conn_id: the id of the Connection.
    """

    message_type: type[Message]
    recipients: Any
    given: Mapping[str, Any]
    business_phone_number: str | None
    kaleyra_conn_id: str
    _warned: set[str] = field(default_factory=set)

    @cached_property
    def connection(self) -> ConnectionSettings:
        """The Connection's settings.

        :raises KaleyraConfigError: it cannot be used, or neither it nor the operator has a sender that can be used.
        """
        settings = KaleyraHook(self.kaleyra_conn_id).settings
        try:
            sender_of(settings.account, self.business_phone_number)
        except BrokenRule as broken:
            raise config_error(self.kaleyra_conn_id, broken) from None
        return settings

    @property
    def media_file(self) -> str | os.PathLike[str] | None:
        """The file to upload; None if there is none.

        :raises BrokenRule: it has no text.
        """
        file: Any = self.given.get("media_file")
        try:
            text = str.__str__(file) if isinstance(file, str) else "" if file is None else str(file)
        except Exception:  # noqa: BLE001 - an object of any class may raise anything
            raise BrokenRule("media_file", "a path or a URL", shown_value(file)) from None
        return (text if isinstance(file, str) else file) if text.strip() else None

    def upload(self, store: RecordStore) -> UploadOnce | None:
        """Upload the media file, if there is one, unless an earlier try did.

        :param store: what earlier tries of the task instance recorded.
        """
        if self.media_file is None:
            return None
        self._fields()  # checked before the upload
        upload = UploadOnce(KaleyraHook(self.kaleyra_conn_id), self.media_file, store, self.business_phone_number)
        upload.media_id()
        return upload

    @contextmanager
    def opened(self, upload: UploadOnce | None = None) -> Iterator[Iterator[PreparedMessage | Invalid]]:
        """Open the recipients, and yield an iterator over their messages.

        :param upload: holds the media id of the uploaded file; without it, messages can be checked but not sent.
        """
        account, sender = self.connection.account, self.business_phone_number

        def request_for(message: Message) -> Request:
            self._warn_of(message)
            if isinstance(message.media, MediaFile):
                message = message.uploaded(upload.media_id() if upload else "<media id of the upload>")
            return video_request(account, message, sender)

        def fingerprint_of(message: Message) -> str:
            # The media id differs for each upload of the same file.
            if isinstance(message.media, MediaFile):
                message = message.uploaded(f"<file {str(message.media.media_file).partition('?')[0]}>")
            return video_request(account, message, sender).fingerprint

        with rows_of(self.recipients) as rows:
            fingerprint = fingerprint_of if upload else None
            yield MessageBuilder(self.message_type, self._fields(), request_for, fingerprint).build(rows)

    def _fields(self) -> dict[str, str | None]:
        """Return the fields that all messages share.

        :raises BrokenRule: a field is not text, or a media file is given with another source.
        """
        fields = {name: text_or_none(name, value) for name, value in self.given.items() if name != "media_file"}
        if self.media_file is None:
            return fields
        if any(fields.get(name) for name in SOURCE_FIELDS):
            rule = "given, exactly one of them"
            raise BrokenRule("media_id, media_link or media_file", rule, "media_file with another")
        return fields | {"media_file": str(self.media_file)}

    def _warn_of(self, message: Message) -> None:
        for warning in message.warnings:
            if warning not in self._warned and len(self._warned) < _MOST_WARNINGS:
                self._warned.add(warning)
                log.warning(warning)

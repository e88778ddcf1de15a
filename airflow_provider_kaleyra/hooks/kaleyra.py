"""Hook that sends WhatsApp videos through the account of a Connection."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_kaleyra.connection import form
from airflow_provider_kaleyra.connection.reading import read_fields
from airflow_provider_kaleyra.connection.settings import (
    CONN_TYPE,
    ConnectionSettings,
    config_error,
    read_connection,
    settings_of,
)
from airflow_provider_kaleyra.exceptions import KaleyraError, KaleyraMessageError, error_for
from airflow_provider_kaleyra.message_fields import build_message
from airflow_provider_kaleyra.transport.resend import SEND
from airflow_provider_kaleyra.whatsapp.account_check import verdict
from airflow_provider_kaleyra.whatsapp.media import MediaFile
from airflow_provider_kaleyra.whatsapp.message import Message, VideoMessage
from airflow_provider_kaleyra.whatsapp.outcome import Accepted, Outcome
from airflow_provider_kaleyra.whatsapp.phone_number import masked
from airflow_provider_kaleyra.whatsapp.request import Request, check_request, upload_request, video_request
from airflow_provider_kaleyra.whatsapp.validation import BrokenRule

if TYPE_CHECKING:
    import os

    import requests


class KaleyraHook(BaseHook):
    """
    Send WhatsApp videos through Kaleyra.

    The constructor reads no Connection and opens no session; the first use does. A hook has one session.

    :param kaleyra_conn_id: the id of the Connection, of type ``kaleyra``: login is the account's SID, password its API
        key; extras are ``pod``, ``business_phone_number`` and ``timeout``; the host overrides the pod.
    """

    conn_name_attr = "kaleyra_conn_id"
    default_conn_name = "kaleyra_default"
    conn_type = CONN_TYPE
    hook_name = "Kaleyra"

    def __init__(self, kaleyra_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.kaleyra_conn_id = kaleyra_conn_id

    # Airflow 3.2 and later read the form from provider info, and call neither method.
    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the extras of the connection form."""
        return form.widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return which of Airflow's own fields the connection form hides, and the labels of the others."""
        return {name.replace("-", "_"): value for name, value in form.ui_field_behaviour().items()}

    @cached_property
    def settings(self) -> ConnectionSettings:
        """Return the settings of the Connection, which is read once.

        :raises KaleyraConfigError: the Connection is missing or of another type, or cannot be used.
        :raises KaleyraConnectionUnreadableError: Airflow could not read the Connection; a retry can help.
        """
        return read_connection(self.kaleyra_conn_id, self.get_connection)

    @cached_property
    def _session(self) -> requests.Session:
        from airflow_provider_kaleyra.transport.blocking import new_session

        return new_session()

    def get_conn(self) -> requests.Session:
        """
        Return the HTTP session. It does not contain the API key: each request does.

        The session follows no redirects, always verifies certificates, and reads its proxy from the environment.

        :raises KaleyraConfigError: the environment names a certificate bundle that cannot be read.
        """
        return self._session

    def send_video(
        self,
        *,
        to: str,
        media_id: str | None = None,
        media_link: str | None = None,
        caption: str | None = None,
        ref: str | None = None,
        ref1: str | None = None,
        ref2: str | None = None,
        wa_source: str | None = None,
        business_phone_number: str | None = None,
    ) -> str:
        """
        Send one video, and return Kaleyra's message id.

        The fields are those of :class:`~airflow_provider_kaleyra.whatsapp.message.VideoMessage`. An accepted message
        is not a delivered one: a video reaches only those who wrote to the business within the last 24 hours.

        :param business_phone_number: the sender; overrides the Connection's.
        :raises KaleyraMessageError: a field breaks a rule; nothing was sent.
        :raises KaleyraConfigError: the Connection cannot be used; nothing was sent.
        :raises KaleyraConnectionUnreadableError: Airflow could not read the Connection; nothing was sent.
        :raises KaleyraRejectedError: Kaleyra rejected the message.
        :raises KaleyraUnreachableError: no connection could be opened; nothing was sent.
        :raises KaleyraUnknownOutcomeError: the message was transmitted, and may or may not have been accepted.
        """
        fields = {
            "to": to,
            "media_id": media_id,
            "media_link": media_link,
            "caption": caption,
            "ref": ref,
            "ref1": ref1,
            "ref2": ref2,
            "wa_source": wa_source,
        }
        return self.send_message(build_message(VideoMessage, fields), business_phone_number)

    def send_message(self, message: Message, business_phone_number: str | None = None) -> str:
        """
        Send one message, and return Kaleyra's message id.

        :param message: the message, such as a :class:`~airflow_provider_kaleyra.whatsapp.message.VideoMessage`; media
            in a file must have been uploaded.
        :param business_phone_number: the sender; overrides the Connection's.
        :raises KaleyraError: one of the errors of :meth:`send_video`.
        """
        outcome = self.send(self.request_for(message, business_phone_number))
        if isinstance(outcome, Accepted):
            return outcome.message_id
        raise error_for(f"the {message.noun} to {masked(message.to)}", outcome)

    def upload_media(
        self, file: str | os.PathLike[str], mime_type: str | None = None, business_phone_number: str | None = None
    ) -> str:
        """
        Upload a video, and return its media id, which serves any number of recipients for 30 days.

        The file is checked before it is transmitted, and streamed. An upload without a media id in the response is
        attempted again, which does no harm.

        :param file: a path, or a URL that Airflow's ``ObjectStoragePath`` opens.
        :param mime_type: overrides the type that the file's content shows: ``video/mp4`` or ``video/3gpp``.
        :param business_phone_number: the number that will send the video; overrides the Connection's.
        :raises KaleyraMessageError: the file is not a video that WhatsApp accepts.
        :raises KaleyraUnusableFileError: the file is missing, or Airflow has no permission to read it.
        :raises KaleyraConfigError: the Connection or the URL cannot be used.
        :raises KaleyraConnectionUnreadableError: Airflow could not read a Connection; a retry can help.
        :raises KaleyraFileError: reading the file failed; a retry can help.
        :raises KaleyraUploadError: no response contained a media id.
        :raises KaleyraRejectedError: Kaleyra rejected the upload.
        :raises KaleyraUnreachableError: no connection could be opened.
        """
        from airflow_provider_kaleyra.files.upload import opened, upload

        with opened(file, mime_type) as video:
            try:
                request = upload_request(self.settings.account, business_phone_number)
            except BrokenRule as broken:
                raise config_error(self.kaleyra_conn_id, broken) from None
            return upload(video, self.get_conn(), request, self.settings.timeout)

    def request_for(self, message: Message, business_phone_number: str | None = None) -> Request:
        """
        Return the request that sends *message*, without sending it; :meth:`send` sends it.

        :param message: the message; media in a file must have been uploaded.
        :param business_phone_number: the sender; overrides the Connection's.
        :raises KaleyraMessageError: the message's media are in a file that was not uploaded.
        :raises KaleyraConfigError: the Connection cannot be used, or there is no sender.
        :raises KaleyraConnectionUnreadableError: Airflow could not read the Connection; a retry can help.
        """
        if isinstance(message.media, MediaFile):
            raise KaleyraMessageError(
                "Nothing was sent: the message's media are in a file. Upload it with upload_media, and pass "
                "message.uploaded(media_id)."
            )
        for warning in message.warnings:
            self.log.warning(warning)
        try:
            return video_request(self.settings.account, message, business_phone_number)
        except BrokenRule as broken:
            raise config_error(self.kaleyra_conn_id, broken) from None

    def send(self, request: Request) -> Outcome:
        """
        Send a request, and return its outcome.

        There are at most three attempts. The request is sent again only if it was certainly not transmitted, or if
        429, 503 or WA429 rejected it with a ``Retry-After`` of at most 10 seconds. Each attempt takes at most 10
        seconds to connect plus the Connection's timeout; so with the default of 30 seconds, all take at most 142
        seconds.

        :raises KaleyraConfigError: the environment names a proxy, or certificates, that cannot be used.
        """
        from airflow_provider_kaleyra.transport import blocking

        session, timeout = self.get_conn(), self.settings.timeout
        return blocking.with_resends(
            lambda: blocking.send(session, request, timeout),
            SEND,
            lambda outcome: self.log.info("The message was not accepted, sending it again: %s", outcome),
        )

    def test_connection(self) -> tuple[bool, str]:
        """
        Check SID, API key and business number without sending anything, for Airflow's test button.

        :return: whether the Connection can be used, and why; never raises, never shows the key.
        """
        from airflow_provider_kaleyra.transport import blocking

        try:
            settings = settings_of(read_fields(self.kaleyra_conn_id, self.get_connection))
            request = check_request(settings.account)
            with blocking.new_session() as session:
                works, why = verdict(settings.account, blocking.fetch(session, request, settings.timeout))
            # Airflow's command line takes square brackets for markup.
            return works, request.redacted(why).translate({ord("["): "(", ord("]"): ")"})
        except BrokenRule as broken:
            return False, str(config_error(None, broken))
        except KaleyraError as error:
            return False, str(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, Airflow shows what is returned
            # Its text may quote the key.
            return False, f"The Connection could not be tested: {type(error).__name__}."

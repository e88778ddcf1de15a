"""The operator that uploads one video."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook


class KaleyraUploadMediaOperator(BaseOperator):
    """
    Upload one video to Kaleyra, and return the media id, which serves any number of recipients for 30 days.

    All fields are templates. Kaleyra accepts uploads from postpaid accounts only:
    https://developers.kaleyra.io/docs/whatsapp-api-v2-upload-media-files. The file is checked before it is transmitted,
    and streamed; see ``docs/media.md``.

    :param file: a path that the worker can read, or a URL that Airflow's ``ObjectStoragePath`` opens, such as
        ``s3://aws_default@bucket/videos/diwali.mp4``: MP4 or 3GPP, at most 16 MB.
    :param mime_type: overrides the type that the file's content shows: ``video/mp4`` or ``video/3gpp``.
    :param business_phone_number: the number that will send the video; overrides the Connection's.
    :param kaleyra_conn_id: the id of the Connection, of type ``kaleyra``.
    :raises KaleyraMessageError: the file is not a video that WhatsApp accepts; no retry.
    :raises KaleyraUnusableFileError: the file is missing, or Airflow has no permission to read it; no retry.
    :raises KaleyraConfigError: the Connection or the URL cannot be used; no retry.
    :raises KaleyraConnectionUnreadableError: Airflow could not read a Connection; Airflow retries.
    :raises KaleyraFileError: reading the file failed; Airflow retries.
    :raises KaleyraUploadError: no response contained a media id; Airflow retries.
    :raises KaleyraRejectedError: Kaleyra rejected the upload; Airflow retries.
    :raises KaleyraPermanentError: Kaleyra rejected the upload and would reject it again; no retry.
    :raises KaleyraUnreachableError: no connection could be opened; Airflow retries.
    """

    template_fields: Sequence[str] = ("file", "mime_type", "business_phone_number", "kaleyra_conn_id")
    ui_color = "#d5f5dd"

    def __init__(
        self,
        *,
        file: str | os.PathLike[str],
        mime_type: str | None = None,
        business_phone_number: str | None = None,
        kaleyra_conn_id: str = "kaleyra_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.file = file
        self.mime_type = mime_type
        self.business_phone_number = business_phone_number
        self.kaleyra_conn_id = kaleyra_conn_id

    @cached_property
    def hook(self) -> KaleyraHook:
        """The hook that uses the rendered Connection id."""
        from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook

        return KaleyraHook(self.kaleyra_conn_id)

    def execute(self, context: Context) -> str:  # noqa: ARG002 - Airflow's interface
        """Upload the file, and return its media id."""
        return self.hook.upload_media(self.file, self.mime_type, self.business_phone_number)

"""Open a video file with Airflow's object storage, check it, and stream it to Kaleyra."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from airflow_provider_kaleyra.exceptions import (
    KaleyraMessageError,
    KaleyraUnusableFileError,
    KaleyraUploadError,
    error_for,
)
from airflow_provider_kaleyra.files.object_storage import (
    BLOCK_SIZE,
    display_path,
    file_info,
    storage_path,
    translated_errors,
)
from airflow_provider_kaleyra.transport.resend import UPLOAD
from airflow_provider_kaleyra.whatsapp.media_upload import NoMediaId, Uploaded
from airflow_provider_kaleyra.whatsapp.outcome import Unknown
from airflow_provider_kaleyra.whatsapp.validation import BrokenRule, shown, text_or_none
from airflow_provider_kaleyra.whatsapp.video_file import MP4, THREE_GPP, VideoFile, inspect

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    import requests
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    from airflow_provider_kaleyra.whatsapp.media_upload import UploadOutcome
    from airflow_provider_kaleyra.whatsapp.request import Request

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpenVideo:
    """A video file that is open for reading and may be uploaded.

    :param path: the file, as Airflow opens it.
    :param shown: the path or URL, for errors and logs.
    :param stream: the content of the file.
    :param video: format and size of the video.
    :param mime_type: the MIME type of the upload.
    """

    path: ObjectStoragePath
    shown: str
    stream: IO[bytes]
    video: VideoFile
    mime_type: str


@contextlib.contextmanager
def opened(file: str | os.PathLike[str], mime_type: str | None = None) -> Iterator[OpenVideo]:
    """Open a video file and check it.

    :param file: a path, or a URL that Airflow's ``ObjectStoragePath`` opens.
    :param mime_type: overrides the type that the content shows.
    :raises KaleyraMessageError: the file is not a video that WhatsApp accepts, or *mime_type* is not a video's.
    :raises KaleyraUnusableFileError: the file is missing, or Airflow has no permission to read it.
    :raises KaleyraConfigError: this Airflow cannot open the URL, or the Connection that it names is missing.
    :raises KaleyraConnectionUnreadableError: Airflow could not read that Connection; a retry can help.
    :raises KaleyraFileError: reading the file failed; a retry can help.
    """
    given_type = _mime_type(mime_type)
    path = storage_path(file)
    shown_file = display_path(file)
    with contextlib.ExitStack() as stack:
        with translated_errors(shown_file):
            info = file_info(path, shown_file)
            if info["size"] is None:
                raise KaleyraUnusableFileError(
                    f"Nothing was uploaded: the object storage does not report the size of {shown_file}. "
                    "Copy the file to another object storage, or to a path that the worker can read."
                )
            # Not path.open(), which reports each block that it reads, and loads all of Airflow's plugins for it.
            stream = stack.enter_context(path.fs.open(path.path, "rb", block_size=BLOCK_SIZE))

            def read_at(position: int, length: int) -> bytes:
                stream.seek(position)
                return bytes(stream.read(length))

            try:
                video = inspect(shown_file, info["size"], read_at)
            except BrokenRule as broken:
                raise KaleyraMessageError(f"Nothing was uploaded: {broken}") from None
        yield OpenVideo(path, shown_file, stream, video, given_type or video.mime_type)


def upload(video: OpenVideo, session: requests.Session, request: Request, timeout: float) -> str:
    """Upload a video and return its media id.

    There are at most four attempts: unlike a second message, a second upload does no harm.

    :param session: the HTTP session to use.
    :param request: the address and headers of the upload.
    :param timeout: seconds to wait for a response once the file was transmitted.
    :raises KaleyraUploadError: no response contained a media id.
    :raises KaleyraRejectedError: Kaleyra rejected the upload.
    :raises KaleyraUnreachableError: no connection could be opened.
    :raises KaleyraFileError: reading the file failed.
    """
    for warning in video.video.warnings:
        log.warning(warning)
    outcome = _attempts(video, session, request, timeout)
    subject = f"the upload of {shown(video.path.name, 40)}"  # not the whole path, or the reason would come late
    match outcome:
        case Uploaded(media_id):
            log.info("Kaleyra has %s: media id %s.", video.shown, media_id)
            _report_lineage(video.path)
            return media_id
        case NoMediaId(reason):
            raise KaleyraUploadError(
                f"Kaleyra accepted {subject}, but {reason}. Nothing was sent. If one of the keys holds the media id, "
                "add it to MEDIA_ID_PLACES in airflow_provider_kaleyra/whatsapp/media_upload.py."
            )
        case Unknown(reason):
            raise KaleyraUploadError(
                f"The outcome of {subject} is unknown: {reason}. Nothing was sent, and uploading again is safe: "
                "Airflow's next try does so. If it fails again, increase the Connection's timeout."
            )
    raise error_for(subject, outcome)


def _mime_type(mime_type: object) -> str | None:
    try:
        text = text_or_none("mime_type", mime_type)
    except BrokenRule as broken:
        raise KaleyraMessageError(f"Nothing was uploaded: {broken}") from None
    if text not in {None, MP4, THREE_GPP}:
        raise KaleyraMessageError(
            f"Nothing was uploaded: mime_type must be {MP4} or {THREE_GPP}, or unset; found {shown(str(text))}. "
            "Fix mime_type, or remove it."
        )
    return text


def _report_lineage(path: ObjectStoragePath) -> None:
    """Report to Airflow's data lineage which file was read."""
    try:
        from airflow.sdk.lineage import HookLineageReader
    except ImportError:  # before Airflow 3.2
        from airflow.lineage.hook import HookLineageReader  # type: ignore[import-not-found,no-redef]

    # Without a reader of the lineage, asking for its collector would load all of Airflow's plugins.
    if HookLineageReader.__subclasses__():
        from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

        get_hook_lineage_collector().add_input_asset(context=path, uri=str(path))  # type: ignore[no-untyped-call]


def _attempts(video: OpenVideo, session: requests.Session, request: Request, timeout: float) -> UploadOutcome:
    from airflow_provider_kaleyra.transport import blocking
    from airflow_provider_kaleyra.transport.multipart import MultipartFile, UnreadableFileError

    def attempt() -> UploadOutcome:
        with translated_errors(video.shown):
            video.stream.seek(0)
        body = MultipartFile(video.stream, video.video.size, video.path.name, video.mime_type)
        try:
            return blocking.upload(session, request, timeout, body)
        except UnreadableFileError as unreadable:
            with translated_errors(video.shown):
                raise unreadable.cause from None

    return blocking.with_resends(
        attempt, UPLOAD, lambda outcome: log.info("The upload failed, attempting it again: %s", outcome)
    )

"""Uploading a video to Kaleyra: opened wherever Airflow can open it, looked into, then streamed."""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_kaleyra.exceptions import (
    KaleyraMessageError,
    KaleyraUnusableFileError,
    KaleyraUploadError,
    error_for,
)
from airflow_provider_kaleyra.hooks.connection import config_error
from airflow_provider_kaleyra.hooks.store import BLOCK_SIZE, OTHER_FILE, file_info, path_of, shown_path, troubles_told
from airflow_provider_kaleyra.whatsapp.outcome import NotSent, Rejected, Unknown
from airflow_provider_kaleyra.whatsapp.request import upload_request
from airflow_provider_kaleyra.whatsapp.rules import BrokenRule, text_or_none
from airflow_provider_kaleyra.whatsapp.upload import NoMediaId, Uploaded
from airflow_provider_kaleyra.whatsapp.video_file import MP4, THREE_GPP, VideoFile, inspect

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from airflow.providers.common.compat.sdk import ObjectStoragePath
    from tenacity import RetryCallState

    from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook
    from airflow_provider_kaleyra.whatsapp.upload import UploadOutcome

TRIES = 4
LONGEST_WAIT = 10.0


@dataclass(frozen=True)
class OpenVideo:
    """A video that is open for reading, and may be uploaded."""

    name: str
    shown: str
    stream: IO[bytes]
    video: VideoFile


def upload_media(
    hook: KaleyraHook,
    file: str | os.PathLike[str],
    mime_type: str | None = None,
    business_phone_number: str | None = None,
) -> str:
    """Do what :meth:`~airflow_provider_kaleyra.hooks.kaleyra.KaleyraHook.upload_media` says."""
    mime_type = text_or_none("mime_type", mime_type)
    if mime_type not in {None, MP4, THREE_GPP}:
        raise KaleyraMessageError(
            f"Nothing was uploaded: mime_type must be {MP4} or {THREE_GPP}, or left out; found {mime_type!r}."
        )
    with opened(file) as opened_video:
        for warning in opened_video.video.warnings:
            hook.log.warning(warning)
        outcome = _upload(hook, opened_video, mime_type or opened_video.video.mime_type, business_phone_number)
    subject = f"the upload of {opened_video.shown}"
    match outcome:
        case Uploaded(media_id):
            hook.log.info("Kaleyra has %s: media id %s.", opened_video.shown, media_id)
            _tell_lineage(path_of(file))
            return media_id
        case NoMediaId(reason):
            raise KaleyraUploadError(
                f"Kaleyra took {subject}, but {reason}. Nothing was sent. If the id is at one of the keys, it "
                "belongs into MEDIA_ID_PLACES in airflow_provider_kaleyra/whatsapp/upload.py."
            )
        case Unknown(reason):
            raise KaleyraUploadError(
                f"Kaleyra did not tell what became of {subject}: {reason}. Nothing was sent, and to upload again is "
                "safe: Airflow's next try does. If it keeps failing, raise the Connection's timeout."
            )
    raise error_for(subject, outcome)


@contextlib.contextmanager
def opened(file: str | os.PathLike[str]) -> Iterator[OpenVideo]:
    """Open a file, and look into it.

    :raises KaleyraMessageError: it is no video that WhatsApp accepts.
    :raises KaleyraUnusableFileError: it is missing or may not be read.
    :raises KaleyraConfigError: this Airflow cannot open such a URL.
    :raises KaleyraFileError: reading it failed, which may pass.
    """
    path = path_of(file)
    shown = shown_path(file)
    with contextlib.ExitStack() as stack:
        with troubles_told(shown):
            info = file_info(path, shown)
            if info["size"] is None:
                raise KaleyraUnusableFileError(
                    f"Nothing was uploaded: the store of {shown} does not tell its size. {OTHER_FILE}"
                )
            # Not path.open(), which tells of each piece that it reads, and loads all of Airflow's plugins for it.
            stream = stack.enter_context(path.fs.open(path.path, "rb", block_size=BLOCK_SIZE))

            def read_at(position: int, length: int) -> bytes:
                stream.seek(position)
                return bytes(stream.read(length))

            try:
                video = inspect(shown, info["size"], read_at)
            except BrokenRule as broken:
                raise KaleyraMessageError(f"Nothing was uploaded: {broken}") from None
        yield OpenVideo(path.name, shown, stream, video)


def _tell_lineage(path: ObjectStoragePath) -> None:
    """Let whoever follows Airflow's data know what was read."""
    try:
        from airflow.sdk.lineage import HookLineageReader
    except ImportError:  # before Airflow 3.2
        from airflow.lineage.hook import HookLineageReader  # type: ignore[import-not-found,no-redef]

    # Where nobody reads it, to ask for the collector would load all of Airflow's plugins.
    if HookLineageReader.__subclasses__():
        from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

        get_hook_lineage_collector().add_input_asset(context=path, uri=str(path))  # type: ignore[no-untyped-call]


def _upload(
    hook: KaleyraHook, opened_video: OpenVideo, mime_type: str, business_phone_number: str | None
) -> UploadOutcome:
    """Upload, at most *TRIES* times: unlike a send, that does no harm."""
    import tenacity

    from airflow_provider_kaleyra.transport import blocking
    from airflow_provider_kaleyra.transport.multipart import MultipartFile, UnreadableFileError

    settings = hook.settings
    try:
        request = upload_request(settings.account, business_phone_number)
    except BrokenRule as broken:
        raise config_error(hook.kaleyra_conn_id, broken) from None

    def attempt() -> UploadOutcome:
        with troubles_told(opened_video.shown):
            opened_video.stream.seek(0)
        body = MultipartFile(opened_video.stream, opened_video.video.size, opened_video.name, mime_type)
        try:
            return blocking.upload(hook.get_conn(), request, settings.timeout, body)
        except UnreadableFileError as unreadable:
            with troubles_told(opened_video.shown):
                raise unreadable.cause from None

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(TRIES),
        wait=lambda state: (_wait_after(_result(state), state.attempt_number) or 0.0) + random.uniform(0, 0.5),  # noqa: S311 - jitter, no secret
        retry=tenacity.retry_if_result(lambda outcome: _wait_after(outcome, 1) is not None),
        before_sleep=lambda state: hook.log.info("The upload failed, trying again: %s", _result(state)),
        retry_error_callback=_result,
    )
    outcome: UploadOutcome = retrying(attempt)
    return outcome


def _wait_after(outcome: UploadOutcome, attempt: int) -> float | None:
    """Seconds to wait before the file may leave again in this task, or None where that would not help."""
    match outcome:
        case NoMediaId():
            return None
        case NotSent() | Unknown():
            return 0.5 * (1 << attempt)
        case Rejected(retry_after=float(seconds)) if outcome.meaning.retry_helps:
            return seconds if seconds <= LONGEST_WAIT else None
        case Rejected(http_status=status) if outcome.meaning.retry_helps and (status == 429 or status >= 500):
            return 0.5 * (1 << attempt)
    return None


def _result(state: RetryCallState) -> Any:
    assert state.outcome is not None  # noqa: S101 - tenacity calls back only after a try
    return state.outcome.result()

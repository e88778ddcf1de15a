"""The endpoint for uploads: it accepts a multipart form and returns a media id.

https://developers.kaleyra.io/docs/whatsapp-api-v2-upload-media-files
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from fastapi import APIRouter, Request, Response
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from airflow_provider_kaleyra.sandbox import contract, responses
from airflow_provider_kaleyra.sandbox.endpoints import Sandbox, scenario_response
from airflow_provider_kaleyra.sandbox.history import timestamp
from airflow_provider_kaleyra.sandbox.media import Upload, sha256_of
from airflow_provider_kaleyra.sandbox.scenarios import scenario_of_upload

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from airflow_provider_kaleyra.sandbox.responses import ResponseData
    from airflow_provider_kaleyra.sandbox.scenarios import Scenario

router = APIRouter()

# From Meta's "Supported media types"; the sandbox accepts only the videos.
VIDEO_TYPES = ("video/mp4", "video/3gpp")
MAX_VIDEO_BYTES = 16 * 1024 * 1024
_MAX_ENVELOPE_BYTES = 1 << 16
_MAX_DRAINED_BYTES = 1 << 28  # so that a client that is still sending can read the response


@router.post("/v2/{sid}/whatsapp/{number}/media")
async def upload_media(request: Request, sid: str, number: str) -> Response:
    """Check an upload, then respond as the scenario that the file is named after says."""
    sandbox: Sandbox = request.app.state.sandbox
    file = media_type = sha256 = None
    try:
        try:
            contract.check_caller(sandbox.account, sid, request.headers.get("api-key"))
            contract.check_number(sandbox.account, number)
        except contract.RejectedError:
            await _drain(request)
            raise
        file, media_type = await _form_of(request)
        sha256 = await asyncio.to_thread(sha256_of, file.file)
        _check(file, media_type)
        scenario = scenario_of_upload(file.filename or "")
        data, media_id = await _store(sandbox, scenario, file, media_type, sha256)
        response, status = scenario_response(sandbox, scenario, data)
    except contract.RejectedError as rejected:
        media_id, status = None, rejected.response.status
        response = Response(rejected.response.body, status, media_type=rejected.response.media_type)
    except ClientDisconnect:
        return Response()  # the client does not receive it
    sandbox.media.uploads.append(
        Upload(
            received_at=timestamp(),
            file_name=file.filename if file else None,
            type=media_type,
            size=file.size if file else None,
            sha256=sha256,
            media_id=media_id,
            status=status,
            user_agent=request.headers.get("user-agent"),
        )
    )
    if file:
        await file.close()
    return response


async def _store(
    sandbox: Sandbox, scenario: Scenario, file: UploadFile, media_type: str, sha256: str
) -> tuple[ResponseData, str | None]:
    """Store the file if its scenario accepts it, and return the response and the media id."""
    if not scenario.accepts and not (
        scenario.once and not sandbox.history.reject_this_time({"file": file.filename, "sha256": sha256})
    ):
        return scenario.response, None
    media_id = await asyncio.to_thread(sandbox.media.save, file.file, media_type)
    if scenario.once or scenario.response is responses.ACCEPTED:
        return responses.uploaded(media_id), media_id
    return scenario.response.with_message_id(media_id), media_id


async def _form_of(request: Request) -> tuple[UploadFile, str]:
    """Return the file and the type of the form; large files are spooled to disk."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        await _drain(request)
        _reject("Content-Type", "not multipart/form-data")
    try:
        form = await MultiPartParser(request.headers, _limited(request), max_files=1, max_fields=1).parse()
    except (MultiPartException, KeyError, ValueError) as error:  # older parsers raise the last two
        await _drain(request)
        _reject("body", getattr(error, "message", "no multipart form with the boundary that Content-Type names"))
    file, media_type = form.get("file"), form.get("type")
    if not isinstance(file, UploadFile):
        _reject("file", "missing, or not a file")
    if not isinstance(media_type, str):
        _reject("type", "missing")
    return file, media_type


async def _limited(request: Request) -> AsyncGenerator[bytes, None]:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_VIDEO_BYTES + _MAX_ENVELOPE_BYTES:
            await _drain(request)
            _reject("file", f"larger than {MAX_VIDEO_BYTES} bytes")
        yield chunk


async def _drain(request: Request) -> None:
    """Read the rest of the body: a response sent earlier would be lost when the connection closes."""
    size = 0
    with suppress(RuntimeError):  # the body was read already
        async for chunk in request.stream():
            size += len(chunk)
            if size > _MAX_DRAINED_BYTES:
                return


def _check(file: UploadFile, media_type: str) -> None:
    if media_type not in VIDEO_TYPES:
        _reject("type", f"the sandbox accepts only {' and '.join(VIDEO_TYPES)}")
    if not file.size:
        _reject("file", "empty")
    elif file.size > MAX_VIDEO_BYTES:
        _reject("file", f"larger than {MAX_VIDEO_BYTES} bytes")
    start = file.file.read(12)
    file.file.seek(0)
    if start[4:8] != b"ftyp":
        _reject("file", f"its content is not {media_type}")


def _reject(field: str, problem: str) -> NoReturn:
    raise contract.RejectedError(responses.incorrect_payload(field, problem))

"""The endpoint that takes media: multipart in, a media id out."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from fastapi import APIRouter, Request, Response
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from airflow_provider_kaleyra.sandbox import answers, contract
from airflow_provider_kaleyra.sandbox.endpoints import Sandbox, act_out
from airflow_provider_kaleyra.sandbox.mailbox import now
from airflow_provider_kaleyra.sandbox.media import Upload, sha256_of
from airflow_provider_kaleyra.sandbox.scenarios import scenario_of_upload

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from airflow_provider_kaleyra.sandbox.answers import Answer
    from airflow_provider_kaleyra.sandbox.scenarios import Scenario

router = APIRouter()

# From Meta's "Supported media types"; of those, the sandbox takes videos alone.
VIDEO_TYPES = ("video/mp4", "video/3gpp")
MAX_VIDEO_BYTES = 16 * 1024 * 1024
_MAX_ENVELOPE_BYTES = 1 << 16
_MAX_DRAINED_BYTES = 1 << 28  # so that a client that is still sending gets to read the answer


@router.post("/v2/{sid}/whatsapp/{number}/media")
async def upload_media(request: Request, sid: str, number: str) -> Response:
    """Check an upload, find its scenario by the file's name, act it out."""
    sandbox: Sandbox = request.app.state.sandbox
    file = media_type = sha256 = None
    try:
        try:
            contract.check_caller(sandbox.account, sid, request.headers.get("api-key"))
            contract.check_number(sandbox.account, number)
        except contract.RefusedError:
            await _drain(request)
            raise
        file, media_type = await _form_of(request)
        sha256 = await asyncio.to_thread(sha256_of, file.file)
        _check(file, media_type)
        scenario = scenario_of_upload(file.filename or "")
        answer, media_id = await _outcome(sandbox, scenario, file, media_type, sha256)
        response, status = act_out(sandbox, scenario, answer)
    except contract.RefusedError as refused:
        media_id, status = None, refused.answer.status
        response = Response(refused.answer.body, status, media_type=refused.answer.media_type)
    except ClientDisconnect:
        return Response()  # nobody is left to read it
    sandbox.media.uploads.append(
        Upload(
            received_at=now(),
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


async def _outcome(
    sandbox: Sandbox, scenario: Scenario, file: UploadFile, media_type: str, sha256: str
) -> tuple[Answer, str | None]:
    if not scenario.accepts and not (
        scenario.once and not sandbox.mailbox.put_off({"file": file.filename, "sha256": sha256})
    ):
        return scenario.answer, None
    media_id = await asyncio.to_thread(sandbox.media.keep, file.file, media_type)
    if scenario.once or scenario.answer is answers.ACCEPTED:
        return answers.uploaded(media_id), media_id
    return scenario.answer.with_message_id(media_id), media_id


async def _form_of(request: Request) -> tuple[UploadFile, str]:
    """Read the form; what is long of it goes to a file of its own."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        await _drain(request)
        _refuse("Content-Type", "not multipart/form-data")
    try:
        form = await MultiPartParser(request.headers, _limited(request), max_files=1, max_fields=1).parse()
    except (MultiPartException, KeyError, ValueError) as error:  # the last two from older parsers
        await _drain(request)
        _refuse("body", getattr(error, "message", "no form in the boundary that Content-Type names"))
    file, media_type = form.get("file"), form.get("type")
    if not isinstance(file, UploadFile):
        _refuse("file", "missing, or no file")
    if not isinstance(media_type, str):
        _refuse("type", "missing")
    return file, media_type


async def _limited(request: Request) -> AsyncGenerator[bytes, None]:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_VIDEO_BYTES + _MAX_ENVELOPE_BYTES:
            await _drain(request)
            _refuse("file", f"larger than {MAX_VIDEO_BYTES} bytes")
        yield chunk


async def _drain(request: Request) -> None:
    """Read what is left, for an answer given earlier would be lost with the connection."""
    size = 0
    with suppress(RuntimeError):  # it was read already
        async for chunk in request.stream():
            size += len(chunk)
            if size > _MAX_DRAINED_BYTES:
                return


def _check(file: UploadFile, media_type: str) -> None:
    if media_type not in VIDEO_TYPES:
        _refuse("type", f"the sandbox takes {' and '.join(VIDEO_TYPES)} alone")
    if not file.size:
        _refuse("file", "empty")
    elif file.size > MAX_VIDEO_BYTES:
        _refuse("file", f"larger than {MAX_VIDEO_BYTES} bytes")
    start = file.file.read(12)
    file.file.seek(0)
    if start[4:8] != b"ftyp":
        _refuse("file", f"not {media_type}, whatever its name says")


def _refuse(field: str, problem: str) -> NoReturn:
    raise contract.RefusedError(answers.incorrect_payload(field, problem))

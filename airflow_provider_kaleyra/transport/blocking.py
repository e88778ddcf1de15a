"""Blocking transport over requests, for all but campaigns."""

from __future__ import annotations

import contextlib
import io
import os
import random
from typing import TYPE_CHECKING, Any, TypeVar

import requests
import tenacity
from urllib3.exceptions import HTTPError, MaxRetryError

from airflow_provider_kaleyra.transport import CONNECT_TIMEOUT, MAX_RESPONSE_BYTES
from airflow_provider_kaleyra.transport.content import decompressed
from airflow_provider_kaleyra.transport.deadline import Exchange
from airflow_provider_kaleyra.transport.multipart import UnreadableFileError
from airflow_provider_kaleyra.transport.proxies import without_passwords
from airflow_provider_kaleyra.transport.resend import JITTER, ResendRule, wait_before_resend
from airflow_provider_kaleyra.transport.session import new_session, proxies_for
from airflow_provider_kaleyra.whatsapp.media_upload import UploadOutcome, decode_upload
from airflow_provider_kaleyra.whatsapp.outcome import NotSent, Outcome, Response, Unknown, decode, no_response, redacted

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_kaleyra.transport.multipart import MultipartFile
    from airflow_provider_kaleyra.whatsapp.request import Request

__all__ = ["fetch", "new_session", "send", "upload", "with_resends"]

_Outcome = TypeVar("_Outcome", bound=Outcome | UploadOutcome)
#: The slowest upload that is waited for, in bytes per second.
SLOWEST_UPLOAD = 65_536


def send(session: requests.Session, request: Request, timeout: float) -> Outcome:
    """Post the request once, within ``CONNECT_TIMEOUT`` plus *timeout* seconds.

    :param timeout: seconds from a ready connection to the end of the response.
    :raises KaleyraConfigError: the environment names a proxy that cannot be used; nothing was sent.
    """
    response = fetch(session, request, timeout)
    if isinstance(response, Response):
        return decode(response.status, response.headers, response.body, request.redacted)
    return redacted(response, request.redacted)


def fetch(session: requests.Session, request: Request, timeout: float) -> Response | NotSent | Unknown:
    """Make the request once, as :func:`send` does, and return the response undecoded; it may echo the API key."""
    body = _TrackedBody(request.body) if request.body else None
    return _exchange(session, request, Exchange(CONNECT_TIMEOUT, timeout), body, {})


def upload(session: requests.Session, request: Request, timeout: float, file: MultipartFile) -> UploadOutcome:
    """Post a file once, to the URL and with the headers of *request*.

    The limit is ``CONNECT_TIMEOUT`` plus *timeout* seconds plus the duration of the file at ``SLOWEST_UPLOAD``. If the
    server reads nothing for *timeout* seconds, the upload ends before that.

    :param timeout: seconds from the end of the file to the end of the response.
    :raises UnreadableFileError: the file could not be read while it was sent.
    :raises KaleyraConfigError: the environment names a proxy that cannot be used; nothing was sent.
    """
    exchange = Exchange(CONNECT_TIMEOUT, timeout, transfer=len(file) / SLOWEST_UPLOAD)
    response = _exchange(session, request, exchange, file, {"Content-Type": file.content_type})
    if isinstance(response, Response):
        return decode_upload(response.status, response.headers, response.body, request.redacted)
    return redacted(response, request.redacted)


def with_resends(
    attempt: Callable[[], _Outcome], rule: ResendRule, before_resend: Callable[[_Outcome], None]
) -> _Outcome:
    """Call *attempt* as often as the rule allows, and return its last outcome.

    :param attempt: sends the request once.
    :param before_resend: called with an outcome after which the request is sent again, before the wait.
    """

    def wait_after(state: tenacity.RetryCallState) -> float | None:
        return wait_before_resend(_outcome_of(state), state.attempt_number, rule)

    retrying = tenacity.Retrying(
        retry=lambda state: state.outcome is not None and not state.outcome.failed and wait_after(state) is not None,
        wait=lambda state: (wait_after(state) or 0.0) + random.uniform(*JITTER),  # noqa: S311 - no secret
        before_sleep=lambda state: before_resend(_outcome_of(state)),
    )
    return retrying(attempt)


def _outcome_of(state: tenacity.RetryCallState) -> Any:
    assert state.outcome is not None  # noqa: S101 - tenacity calls back only after an attempt
    return state.outcome.result()


def _exchange(
    session: requests.Session,
    request: Request,
    exchange: Exchange,
    body: _TrackedBody | MultipartFile | None,
    headers: dict[str, str],
) -> Response | NotSent | Unknown:
    proxies = proxies_for(request.url)
    try:
        with exchange:
            prepared = session.prepare_request(
                requests.Request(
                    "GET" if body is None else "POST", request.url, headers=request.headers | headers, data=body
                )
            )
            # Streamed, so that the status counts even if the response's body breaks off.
            with session.send(
                prepared, proxies=proxies, timeout=exchange.timeouts, allow_redirects=False, stream=True
            ) as response:
                content = decompressed(_content(response), response.headers.get("Content-Encoding"))
                if exchange.cut and 200 <= response.status_code < 300:
                    return Unknown(f"HTTP {response.status_code} came before the whole request was transmitted")
                return Response(response.status_code, response.headers, content)
    except UnreadableFileError:
        raise
    except Exception as error:  # noqa: BLE001 - any error is an outcome; raised, its frames would show the key
        started = exchange.started if body is None else body.started
        return no_response(without_passwords(exchange.late or _reason(error), os.environ), transmitted=started)


class _TrackedBody(io.BytesIO):
    """A request body that records whether any of it was read.

    urllib3 reads the body only once it is connected, TLS and proxy included, and the headers are transmitted. If
    anything fails before that, Kaleyra cannot have the message.
    """

    #: Whether transmission started, so that Kaleyra may have the message.
    started = False

    def read(self, size: int | None = -1, /) -> bytes:
        self.started = True
        return super().read(size)


def _content(response: requests.Response) -> bytes:
    """Return the body as far as it arrives in time, cut at ``MAX_RESPONSE_BYTES``."""
    content = bytearray()
    with contextlib.suppress(HTTPError, OSError):
        while len(content) < MAX_RESPONSE_BYTES:
            chunk = response.raw.read1(MAX_RESPONSE_BYTES, decode_content=False)
            if not chunk:
                break
            content += chunk
    return bytes(content[:MAX_RESPONSE_BYTES])


def _reason(error: Exception) -> str:
    """Return the type and the text of the cause, without the errors of requests and urllib3 around it."""
    inner = error.args[0] if error.args else None
    cause = inner.reason if isinstance(inner, MaxRetryError) and inner.reason else error
    return f"{type(cause).__name__}: {cause}"

"""One request out over requests, one outcome back."""

from __future__ import annotations

import contextlib
import io
import time
from typing import TYPE_CHECKING

import requests
from urllib3.exceptions import HTTPError, MaxRetryError

from airflow_provider_kaleyra.transport import CONNECT_TIMEOUT, LONGEST_ANSWER, USER_AGENT
from airflow_provider_kaleyra.whatsapp.outcome import Answer, NotSent, Outcome, Unknown, decode, redacted, undelivered
from airflow_provider_kaleyra.whatsapp.upload import UploadOutcome, decode_upload

if TYPE_CHECKING:
    from airflow_provider_kaleyra.transport.multipart import MultipartFile
    from airflow_provider_kaleyra.whatsapp.request import Request


def new_session() -> requests.Session:
    """Open a session that takes proxies from the environment, but no credentials from ``.netrc``."""
    session = requests.Session()
    session.headers["User-Agent"] = USER_AGENT
    session.auth = lambda request: request
    return session


def send(session: requests.Session, request: Request, timeout: float) -> Outcome:
    """Post the request once.

    :param timeout: seconds to wait for an answer once connected.
    """
    answer = ask(session, request, timeout)
    if isinstance(answer, Answer):
        return decode(answer.status, answer.headers, answer.body, request.redacted)
    return redacted(answer, request.redacted)


def ask(session: requests.Session, request: Request, timeout: float) -> Answer | NotSent | Unknown:
    """Make the request once, and return the bare answer, which may echo what was sent."""
    return _exchange(session, request, timeout, _WitnessedBody(request.body) if request.body else None, {})


def upload(session: requests.Session, request: Request, timeout: float, file: MultipartFile) -> UploadOutcome:
    """Post a file once, with the headers of *request*.

    :param timeout: seconds to wait for an answer once the file is there.
    :raises UnreadableFileError: the file failed while it was sent.
    """
    answer = _exchange(session, request, timeout, file, {"Content-Type": file.content_type})
    if isinstance(answer, Answer):
        return decode_upload(answer.status, answer.headers, answer.body, request.redacted)
    return redacted(answer, request.redacted)


def _exchange(
    session: requests.Session,
    request: Request,
    timeout: float,
    body: _WitnessedBody | MultipartFile | None,
    headers: dict[str, str],
) -> Answer | NotSent | Unknown:
    try:
        # Streamed, so that a status that was read counts even if the answer's body breaks off.
        with session.request(
            "GET" if body is None else "POST",
            request.url,
            data=body,
            headers=request.headers | headers,
            timeout=(CONNECT_TIMEOUT, timeout),
            allow_redirects=False,
            stream=True,
        ) as response:
            return Answer(response.status_code, response.headers, _content(response, timeout))
    except (requests.RequestException, HTTPError, OSError, ValueError) as error:
        return undelivered(_reason(error), left=_cause(error) is error if body is None else body.left)


class _WitnessedBody(io.BytesIO):
    """A request body that knows whether any of it was taken.

    urllib3 takes the body only when it is connected, TLS and proxy included, and the headers are out.
    Whatever fails before that, for whichever reason, Kaleyra cannot have the message.
    """

    left = False

    def read(self, size: int | None = -1, /) -> bytes:
        self.left = True
        return super().read(size)


def _content(response: requests.Response, timeout: float) -> bytes:
    """Read the body as far as it comes: it may break off, drip for hours or have no end."""
    deadline = time.monotonic() + timeout
    content = bytearray()
    with contextlib.suppress(HTTPError, OSError):
        while len(content) < LONGEST_ANSWER and time.monotonic() < deadline:
            piece = response.raw.read1(LONGEST_ANSWER, decode_content=True)
            if not piece:
                break
            content += piece
    return bytes(content)


def _reason(error: Exception) -> str:
    """Name the cause, without the wrappings that requests and urllib3 put around it."""
    cause = _cause(error)
    return f"{type(cause).__name__}: {cause}"


def _cause(error: Exception) -> Exception:
    """What urllib3 gave up on, which without retries is a connection that did not come about; or *error* itself."""
    inner = error.args[0] if error.args else None
    return inner.reason if isinstance(inner, MaxRetryError) and inner.reason else error

"""The outcome of a request, as one of four values.

``Accepted``  Kaleyra accepted the message.
``Rejected``  Kaleyra, or a gateway before it, rejected the message.
``NotSent``   The message was not transmitted.
``Unknown``   The message was transmitted; whether it was accepted is unknown.

Pages: https://developers.kaleyra.io/docs/whatsapp_api_v2_send-video-messages,
https://developers.kaleyra.io/docs/whatsapp-api-v2-error-codes-for-send-message
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_kaleyra.whatsapp.error_codes import SUCCESS_CODES, Failure, failure_for, known_code
from airflow_provider_kaleyra.whatsapp.quoting import excerpt, quoted, quoted_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_provider_kaleyra.whatsapp.quoting import Redact

_T = TypeVar("_T")
_MAX_CODE = 100
_MAX_REASON = 2000
_MAX_DETAILS = 20

# The place of the id on Kaleyra's page: an id there is Kaleyra's own, whatever the code beside it is.
_CERTAIN_PLACE = ("data", "message_id")
# After it, the places that other clients read, the likeliest first.
MESSAGE_ID_PLACES: tuple[tuple[str | int, ...], ...] = (
    _CERTAIN_PLACE,
    ("data", 0, "message_id"),
    ("data", "messages", 0, "id"),
    ("messages", 0, "id"),
    ("id",),
)
# Gateways use these statuses if the server behind them is slow, or if the client seems to have disconnected.
_MAY_BE_FORWARDED = {408, 499}
# Values of a field "status" that mean a failure, in lower case.
_FAILED = {"error", "fail", "failed", "failure", "rejected"}


@dataclass(frozen=True)
class Accepted:
    """Kaleyra accepted the message, which does not mean that it was delivered.

    :param message_id: Kaleyra's id of the message: printable text of at most 255 characters.
    """

    message_id: str


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """The message was rejected.

    :param code: the code in the response, such as WA401; a gateway's response can have one that is not Kaleyra's.
    :param message: the message in the response; without one, the start of the response's body.
    :param details: Kaleyra's messages about single fields, by field.
    :param http_status: the status of the response.
    :param retry_after: the seconds to wait according to the response's ``Retry-After``; None without one.
    """

    code: str | None
    message: str
    details: dict[str, str] = field(default_factory=dict)
    http_status: int
    retry_after: float | None = None

    @property
    def is_documented(self) -> bool:
        """Return whether Kaleyra documents the code, so that Kaleyra itself rejected the message."""
        return known_code(self.code)

    @property
    def meaning(self) -> Failure:
        """Return the cause, and whether a retry can help."""
        return failure_for(self.code, self.http_status)


@dataclass(frozen=True)
class NotSent:
    """The message was not transmitted, so sending it again is safe."""

    reason: str


@dataclass(frozen=True)
class Unknown:
    """The message was transmitted, so sending it again may send it twice."""

    reason: str


@dataclass(frozen=True)
class Response:
    """An HTTP response whose body is not decoded yet."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Failed = Rejected | NotSent | Unknown
Outcome = Accepted | Failed


def decode(status: int, headers: Mapping[str, str], body: bytes, redact: Redact) -> Outcome:
    """Return the outcome of a message by its response; any bytes are valid input.

    - Accepted: a 2xx with a message id at ``data.message_id``, or with one at another place unless a code or an error
      contradicts it.
    - Rejected: any other response with a code that Kaleyra documents as a failure, whatever the HTTP status, unless
      ``data.message_id`` contradicts it. Without such a code, a status that means "not processed": 429, 503 with
      ``Retry-After``, 3xx, 4xx but 408 and 499.
    - Unknown: any other response.

    :param redact: function that removes secrets from the text that is quoted of the response.
    """
    content = json_object(body)
    code = content.get("code")
    if 200 <= status < 300:
        contradicted = code not in (None, *SUCCESS_CODES) or reports_an_error(content)
        message_id = _message_id_in(content, [_CERTAIN_PLACE] if contradicted else MESSAGE_ID_PLACES, redact)
        if message_id is not None:
            return Accepted(message_id)
    retry_after = _retry_after(headers)
    documented = known_code(code) and _message_id_in(content, [_CERTAIN_PLACE], str) is None
    if not documented and not _is_not_processed(status, content, retry_after):
        flaw = "does not confirm the message" if 200 <= status < 300 else "is not Kaleyra's own"
        if known_code(code):
            flaw = "contradicts itself"
        return Unknown(f"the response (HTTP {status}) {flaw}: {excerpt(body, redact)}")
    return Rejected(
        code=code if known_code(code) else _code_of(content, redact),
        message=quoted(content.get("message"), redact)
        or (excerpt(body, redact) if body.strip() else "an empty response"),
        details=_details_of(content, redact),
        http_status=status,
        retry_after=retry_after,
    )


def no_response(reason: str, *, transmitted: bool) -> NotSent | Unknown:
    """Return the outcome of a request that got no response.

    :param transmitted: whether any of the request's body may have been transmitted.
    """
    return Unknown(reason) if transmitted else NotSent(reason)


def redacted(outcome: _T, redact: Redact) -> _T:
    """Return the outcome with all quoted text redacted, printable and of limited length.

    The outcomes that :func:`decode` returns are redacted already; the reason of a failed connection is not.
    """
    match outcome:
        case Rejected(code=code, message=message, details=details):
            return replace(
                outcome,
                code=quoted(code, redact, _MAX_CODE) or None,
                message=quoted(message, redact),
                details={quoted(name, redact): quoted(value, redact) for name, value in details.items()},
            )
        case NotSent(reason) | Unknown(reason):
            return replace(outcome, reason=quoted(reason, redact, _MAX_REASON))
    return outcome


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in *body*; an empty one if the body is anything else.

    Control characters in a text, and bytes that are not of the encoding, do not hide the rest.
    """
    try:
        text = body.decode(json.detect_encoding(body), "replace")
        content = json.loads(text, object_pairs_hook=_unambiguous, strict=False)
    except (ValueError, RecursionError):  # not JSON, not text, a number too long, nested too deep
        return {}
    return content if isinstance(content, dict) else {}


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs as a dict without the names that occur twice, because their value is ambiguous."""
    values = dict(pairs)
    if len(values) == len(pairs):
        return values
    counts = Counter(name for name, _ in pairs)
    return {name: value for name, value in values.items() if counts[name] == 1}


def reports_an_error(content: Mapping[str, Any]) -> bool:
    """Return whether a response reports an error in one of the fields that APIs and gateways use for errors."""
    status = content.get("status")
    if isinstance(status, str):
        status = status.strip().lower()
        failed = status in _FAILED or (status.isdecimal() and len(status) == 3 and status >= "400")
    else:
        failed = isinstance(status, int) and status >= 400
    return bool(content.get("error") or content.get("errors") or content.get("success") is False or failed)


def _is_not_processed(status: int, content: Mapping[str, Any], retry_after: float | None) -> bool:
    """Return whether the status means that the request was not processed."""
    if status == 429:
        return True
    if _code_of(content, str) in SUCCESS_CODES or _message_id_in(content, [_CERTAIN_PLACE], str):
        return False  # Kaleyra's success contradicts the status
    if status == 503:
        return retry_after is not None
    return 300 <= status < 500 and status not in _MAY_BE_FORWARDED


def _code_of(content: Mapping[str, Any], redact: Redact) -> str | None:
    code = content.get("code")
    return quoted(code, redact, _MAX_CODE) or None if isinstance(code, str) else None


def _message_id_in(content: Mapping[str, Any], places: Iterable[Sequence[str | int]], redact: Redact) -> str | None:
    """Return the id at the first of these places that has one."""
    for place in places:
        value: Any = content
        for key in place:
            if isinstance(key, int):
                value = value[key] if isinstance(value, list) and value else None
            else:
                value = value.get(key) if isinstance(value, dict) else None
        if (message_id := quoted_id(value, redact)) is not None:
            return message_id
    return None


def _details_of(content: Mapping[str, Any], redact: Redact) -> dict[str, str]:
    error = content.get("error")
    if isinstance(error, dict):
        return {quoted(name, redact): quoted(value, redact) for name, value in list(error.items())[:_MAX_DETAILS]}
    return {"error": quoted(error, redact)} if error else {}


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait, from a header with seconds or with an HTTP date, relative to the header ``Date``."""
    values: dict[str, str] = {}
    for name, text in headers.items():  # a repeated header is joined, as in requests
        key = name.lower()
        values[key] = f"{values[key]}, {text.strip()}" if key in values else text.strip()
    value = values.get("retry-after", "")
    if value.isascii() and value.isdigit() and len(value) < 10:
        return float(value)
    until = _http_date(value)
    if until is None:
        return None
    now = _http_date(values.get("date", "")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def _http_date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):  # not a date
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)

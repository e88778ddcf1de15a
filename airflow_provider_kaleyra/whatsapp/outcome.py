"""What became of a request, as one of four values.

``Accepted``  Kaleyra accepted the message.
``Rejected``  Kaleyra, or a gateway before it, rejected the message.
``NotSent``   The message was not transmitted.
``Unknown``   The message was transmitted; whether it was accepted is unknown.
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

# Where the page shows the id; it is Kaleyra's own word whatever the code beside it is.
_CERTAIN_PLACE = ("data", "message_id")
# Then where other clients have read it, the likeliest first.
MESSAGE_ID_PLACES: tuple[tuple[str | int, ...], ...] = (
    _CERTAIN_PLACE,
    ("data", 0, "message_id"),
    ("data", "messages", 0, "id"),
    ("messages", 0, "id"),
    ("id",),
)
# Some gateways respond so when the server behind them was slow, or when they believe that the client has gone.
_PERHAPS_PASSED_ON = {408, 499}
# What a field "status" holds if the request failed, in lower case.
_FAILED = {"error", "fail", "failed", "failure", "rejected"}


@dataclass(frozen=True)
class Accepted:
    """Kaleyra accepted the message, which does not mean that it was delivered.

    :param message_id: printable, at most 255 characters.
    """

    message_id: str


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """The message was rejected.

    :param code: Kaleyra's code, such as WA401, or what a response that is not Kaleyra's has in its place.
    :param message: Kaleyra's words, or the start of a response without any.
    :param details: what Kaleyra says of single fields.
    :param http_status: the status of the response.
    :param retry_after: seconds that the response asks to wait.
    """

    code: str | None
    message: str
    details: dict[str, str] = field(default_factory=dict)
    http_status: int
    retry_after: float | None = None

    @property
    def is_documented(self) -> bool:
        """Whether the code is one that Kaleyra documents, so that Kaleyra itself rejected the message."""
        return known_code(self.code)

    @property
    def meaning(self) -> Failure:
        """The cause, and whether a retry can help."""
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
    """An HTTP response that has not been read yet."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Failed = Rejected | NotSent | Unknown
Outcome = Accepted | Failed


def decode(status: int, headers: Mapping[str, str], body: bytes, redact: Redact) -> Outcome:
    """Return the outcome that a response means, whatever its bytes are.

    In a 2xx, a message id at ``data.message_id`` means that the message was accepted; one at another place does only
    if neither a code nor an error beside it contradicts. Otherwise a code that Kaleyra documents as a failure means
    that the message was rejected, whatever the HTTP status is, unless ``data.message_id`` contradicts. Without such a
    code, a rejection is certain only if HTTP says that the request was not processed: 429, 503 with ``Retry-After``,
    3xx, and 4xx but 408 and 499. Everything else is unknown.

    :param redact: removes secrets from what is quoted of the response.
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
    if not documented and not _says_not_processed(status, content, retry_after):
        doubt = "does not confirm the message" if 200 <= status < 300 else "is not Kaleyra's own"
        if known_code(code):
            doubt = "contradicts itself"
        return Unknown(f"the response (HTTP {status}) {doubt}: {excerpt(body, redact)}")
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
    """Return the outcome with everything it quotes redacted, printable and bounded.

    What :func:`decode` returns is so already; the reason of a failed connection is not.
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
    """Return the JSON object that *body* holds; an empty one if it holds anything else."""
    try:
        content = json.loads(body, object_pairs_hook=_unambiguous)
    except (ValueError, RecursionError):  # not JSON, not text, digits without end, nesting without end
        return {}
    return content if isinstance(content, dict) else {}


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Leave out a name that occurs twice: which of its values counts is uncertain."""
    values = dict(pairs)
    if len(values) == len(pairs):
        return values
    counts = Counter(name for name, _ in pairs)
    return {name: value for name, value in values.items() if counts[name] == 1}


def reports_an_error(content: Mapping[str, Any]) -> bool:
    """Return whether a response reports an error in one of the fields that APIs and gateways use for it."""
    status = content.get("status")
    if isinstance(status, str):
        status = status.strip().lower()
        failed = status in _FAILED or (status.isdecimal() and len(status) == 3 and status >= "400")
    else:
        failed = isinstance(status, int) and status >= 400
    return bool(content.get("error") or content.get("errors") or content.get("success") is False or failed)


def _says_not_processed(status: int, content: Mapping[str, Any], retry_after: float | None) -> bool:
    """Return whether HTTP says, without Kaleyra's word, that the request was not processed."""
    if status == 429:
        return True
    if _code_of(content, str) in SUCCESS_CODES or _message_id_in(content, [_CERTAIN_PLACE], str):
        return False  # what Kaleyra says of a success contradicts the status
    if status == 503:
        return retry_after is not None
    return 300 <= status < 500 and status not in _PERHAPS_PASSED_ON


def _code_of(content: Mapping[str, Any], redact: Redact) -> str | None:
    code = content.get("code")
    return quoted(code, redact, _MAX_CODE) or None if isinstance(code, str) else None


def _message_id_in(content: Mapping[str, Any], places: Iterable[Sequence[str | int]], redact: Redact) -> str | None:
    """Return the id at the first of these places that holds one."""
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
    """Return the seconds to wait: the header holds them, or an HTTP date, compared with the response's own Date."""
    values: dict[str, str] = {}
    for name, text in headers.items():  # a repeated header is a list, as requests has it
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
    except (ValueError, TypeError, IndexError, OverflowError):  # what the parser raises if it is no date
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)

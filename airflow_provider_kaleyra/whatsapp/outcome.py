"""What became of a request: whatever came back, or did not, as one of four values.

``Accepted``  Kaleyra took the message.
``Rejected``  Kaleyra, or what stands before it, refused the message.
``NotSent``   The message never left.
``Unknown``   The message left; whether it was taken, nobody knows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_kaleyra.whatsapp.failures import SUCCESS_CODES, Failure, failure_for, known_code
from airflow_provider_kaleyra.whatsapp.rules import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_T = TypeVar("_T")
_MAX_TEXT = 500
_MAX_DETAILS = 20


@dataclass(frozen=True)
class Accepted:
    """Kaleyra took the message, which is not yet a delivered one."""

    message_id: str


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """The message was refused.

    :param code: Kaleyra's code, such as WA401; none where the answer is not Kaleyra's.
    :param message: Kaleyra's words, or the start of an answer that is not Kaleyra's.
    :param details: what Kaleyra says of single fields.
    :param http_status: the status of the answer.
    :param retry_after: seconds that the answer asks to wait.
    """

    code: str | None
    message: str
    details: dict[str, str] = field(default_factory=dict)
    http_status: int
    retry_after: float | None = None

    @property
    def meaning(self) -> Failure:
        """Whose fault it is, whether a retry can help."""
        return failure_for(self.code, self.http_status)


@dataclass(frozen=True)
class NotSent:
    """The message never left, so that sending it again is safe."""

    reason: str


@dataclass(frozen=True)
class Unknown:
    """The message left, so that sending it again may send it twice."""

    reason: str


@dataclass(frozen=True)
class Answer:
    """What came back over HTTP, before anyone makes sense of it."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Failed = Rejected | NotSent | Unknown
Outcome = Accepted | Failed


def decode(status: int, headers: Mapping[str, str], body: bytes) -> Outcome:
    """Turn an answer into an outcome, whatever its bytes are.

    A message id in a 2xx is success whatever the code says. A failure is certain only in Kaleyra's own
    envelope, or where HTTP itself says that the request was not processed (3xx, 4xx, 503); anything else
    leaves open whether the message was taken.
    """
    answer = json_object(body)
    code = _code_of(answer)
    if 200 <= status < 300:
        message_id = _message_id_of(answer)
        if message_id is not None:
            return Accepted(message_id)
        refused = known_code(code) or (code not in SUCCESS_CODES and bool(answer.get("error")))
        doubt = "has no message id that can be read"
    else:
        enveloped = code is not None and not answer.keys().isdisjoint({"message", "data", "error"})
        refused = code not in SUCCESS_CODES and (enveloped or 300 <= status < 500 or status == 503)
        doubt = "is not Kaleyra's own"
    if not refused:
        return Unknown(f"the answer (HTTP {status}) {doubt}: {excerpt(body)}")
    return Rejected(
        code=code,
        message=_clip(answer.get("message")) or excerpt(body),
        details=_details_of(answer),
        http_status=status,
        retry_after=_retry_after(headers),
    )


def may_leave_again(outcome: Outcome) -> bool:
    """Whether it is certain that the message was not accepted, and the cause passes soon."""
    match outcome:
        case NotSent():
            return True
        case Rejected(http_status=429 | 503):
            return outcome.meaning.retry_helps and not outcome.meaning.of_the_account
    return False


def undelivered(reason: str, *, left: bool) -> NotSent | Unknown:
    """What became of a request that got no answer.

    :param left: whether any of the request's body may have left.
    """
    return Unknown(reason) if left else NotSent(reason)


def redacted(outcome: _T, redact: Callable[[str], str]) -> _T:
    """The outcome, what it quotes passed through *redact*, since an answer may echo what was sent."""
    match outcome:
        case Rejected(message=message, details=details):
            clean = {redact(name): redact(value) for name, value in details.items()}
            return replace(outcome, message=redact(message), details=clean)
        case NotSent(reason) | Unknown(reason):
            return replace(outcome, reason=redact(reason))
    return outcome


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object that *body* holds; an empty one where it holds anything else."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):  # not JSON, not text, digits without end, nesting without end
        return {}
    return answer if isinstance(answer, dict) else {}


def _code_of(answer: Mapping[str, Any]) -> str | None:
    code = answer.get("code")
    return _clip(code) or None if isinstance(code, str) else None


def _message_id_of(answer: Mapping[str, Any]) -> str | None:
    """Find the id where the page shows it, then where other clients have read it."""
    data, messages = answer.get("data"), answer.get("messages")
    first = messages[0] if isinstance(messages, list) and messages else None
    for place, key in ((data, "message_id"), (first, "id"), (answer, "id")):
        message_id = place.get(key) if isinstance(place, dict) else None
        if isinstance(message_id, str) and message_id.strip():
            return message_id.strip()
        if isinstance(message_id, int) and not isinstance(message_id, bool):
            return str(message_id)
    return None


def _details_of(answer: Mapping[str, Any]) -> dict[str, str]:
    error = answer.get("error")
    if isinstance(error, dict):
        return {_clip(name): _clip(value) for name, value in list(error.items())[:_MAX_DETAILS]}
    return {"error": _clip(error)} if error else {}


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait: the header holds them, or an HTTP date to be read against the answer's own Date."""
    values = {name.lower(): value.strip() for name, value in headers.items()}
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
    except (ValueError, TypeError, IndexError, OverflowError):  # what the parser raises for what is no date
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _clip(value: object) -> str:
    """*value* as text of a bounded length that any log can hold."""
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
    return text[:_MAX_TEXT].encode("utf-8", "backslashreplace").decode()


def excerpt(body: bytes) -> str:
    """The start of an answer, for a person to read."""
    return shown(body[:_MAX_TEXT].decode("utf-8", "replace"), 200) if body.strip() else "it is empty"

"""Strict checks of a request against Kaleyra's page "Send Video Messages". Plain values, no I/O.

https://developers.kaleyra.io/docs/whatsapp_api_v2_send-video-messages
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from airflow_provider_kaleyra.sandbox import responses

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable

    from airflow_provider_kaleyra.sandbox.account import SandboxAccount
    from airflow_provider_kaleyra.sandbox.responses import ResponseData

MAX_BODY_BYTES = 1_000_000  # the sandbox's own limit, to bound its memory
MAX_DEPTH = 32  # the sandbox's own limit: deeper JSON could not be serialized
MAX_CAPTION = 1024
MAX_REF = 255
REFS = ("ref", "ref1", "ref2")
WA_SOURCES = frozenset(
    "api clevertap zoho webengage shopify leadsquared responsys braze hubspot salesforce zapier eloqua moengage".split()
)

_E164 = re.compile(r"\+[1-9][0-9]{1,14}")


class RejectedError(Exception):
    """A request that does not follow the page.

    :param response: the failure response that the page documents for it.
    """

    def __init__(self, response: ResponseData) -> None:
        super().__init__(response)
        self.response = response


def check_caller(account: SandboxAccount, sid: str, api_key: str | None) -> None:
    """Check that SID and API key are those of the account.

    :raises RejectedError: one of them differs.
    """
    if (sid, api_key) != (account.sid, account.api_key):
        raise RejectedError(responses.WRONG_SID_OR_KEY)


def check_number(account: SandboxAccount, number: str) -> None:
    """Check that the business phone number, including its +, is that of the account.

    :raises RejectedError: it differs.
    """
    if number != account.business_phone_number:
        raise RejectedError(responses.WRONG_BUSINESS_NUMBER)


def check_message(content_type: str | None, body: bytes) -> dict[str, Any]:
    """Check the Content-Type, the envelope and the content of one message, and return the payload.

    :raises RejectedError: names the first field that is wrong.
    """
    if (content_type or "").partition(";")[0].strip().lower() != "application/json":
        raise _incorrect("Content-Type", "the only allowed value is application/json")
    payload = parse(body)
    if payload is None:
        raise _incorrect("body", f"not a JSON object in UTF-8 of at most {MAX_BODY_BYTES} bytes")
    _check_names(payload, "", {"messaging_object", "extra_info"})
    message = _object("messaging_object", payload.get("messaging_object"))
    _check_values("messaging_object", message)
    _check_message(message)
    if "extra_info" in payload:
        extra_info = _object("extra_info", payload["extra_info"])
        _check_values("extra_info", extra_info)
        _check_extra_info(extra_info)
    return payload


def check_media(payload: dict[str, Any], known_ids: Container[str]) -> None:
    """Check that the account has the video, if it is sent by id.

    :raises RejectedError: the account does not have it.
    """
    video = payload["messaging_object"].get("video")
    if video and "id" in video and video["id"] not in known_ids:
        raise _incorrect("messaging_object.video.id", "the account has no media with this id")


def parse(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object in a body, or None if there is none."""
    if len(body) > MAX_BODY_BYTES:
        return None
    try:
        payload = json.loads(body.decode("utf-8"), parse_constant=_reject_constant)
    except (ValueError, RecursionError):
        return None
    return payload if isinstance(payload, dict) else None


def recorded_extra_info(extra_info: dict[str, str]) -> dict[str, str]:
    """Return extra_info as Kaleyra records it: an unknown wa_source becomes "API"."""
    source = extra_info.get("wa_source")
    return extra_info if source is None or source in WA_SOURCES else {**extra_info, "wa_source": "API"}


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not valid JSON")


def _incorrect(field: str, problem: str) -> RejectedError:
    return RejectedError(responses.incorrect_payload(field, problem))


def _check_message(message: dict[str, Any]) -> None:
    if message.get("messaging_product") != "whatsapp":
        raise _incorrect("messaging_object.messaging_product", "the only allowed value is whatsapp")
    if message.get("recipient_type", "individual") != "individual":
        raise _incorrect("messaging_object.recipient_type", "the only allowed value is individual")
    to = _text("messaging_object.to", message.get("to"))
    if not _E164.fullmatch(to):
        raise _incorrect("messaging_object.to", "not a phone number in E.164 format with its +")
    # The page calls the type optional, but does not document a message without one.
    kind = _text("messaging_object.type", message.get("type"))
    _check_names(message, "messaging_object.", {"messaging_product", "recipient_type", "to", "type", kind})
    content = message.get(kind)
    if not isinstance(content, dict | list):
        raise _incorrect(f"messaging_object.{kind}", "missing, but the type requires it")
    if kind == "video":
        _check_video(_object("messaging_object.video", content))


def _check_video(video: dict[str, Any]) -> None:
    _check_names(video, "messaging_object.video.", {"id", "link", "caption"})
    if ("id" in video) == ("link" in video):
        raise _incorrect("messaging_object.video", "exactly one of id and link is required")
    for name, value in video.items():
        _text(f"messaging_object.video.{name}", value)
    if "link" in video and not _is_web_link(video["link"]):
        raise _incorrect("messaging_object.video.link", "not an http or https link")
    if len(video.get("caption", "")) > MAX_CAPTION:
        raise _incorrect("messaging_object.video.caption", f"longer than {MAX_CAPTION} characters")


def _check_extra_info(extra_info: dict[str, Any]) -> None:
    _check_names(extra_info, "extra_info.", {*REFS, "wa_source"})
    for name, value in extra_info.items():
        text = _text(f"extra_info.{name}", value)
        if name in REFS and len(text) > MAX_REF:
            raise _incorrect(f"extra_info.{name}", f"longer than {MAX_REF} characters")


def _check_values(path: str, value: object, depth: int = 0) -> None:
    """Reject empty values at any depth: fields without a value must be omitted."""
    if depth > MAX_DEPTH:
        raise _incorrect(path, "nested too deeply")
    if value is None:
        raise _incorrect(path, "null; omit the field")
    if value in ("", {}, []) or (isinstance(value, str) and not value.strip()):
        raise _incorrect(path, "empty; omit the field")
    if isinstance(value, str) and not _is_unicode(value):
        raise _incorrect(path, "not valid Unicode")
    if isinstance(value, float) and not math.isfinite(value):
        raise _incorrect(path, "not a finite number")
    for name, child in _children(value):
        if not _is_unicode(name):
            raise _incorrect(path, "contains a name that is not valid Unicode")
        _check_values(f"{path}.{name}", child, depth + 1)


def _children(value: object) -> Iterable[tuple[str, object]]:
    if isinstance(value, dict):
        return value.items()
    if isinstance(value, list):
        return ((str(index), child) for index, child in enumerate(value))
    return ()


def _object(field: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _incorrect(field, "not a JSON object")
    return value


def _text(field: str, value: object) -> str:
    if not isinstance(value, str):
        raise _incorrect(field, "missing" if value is None else "not a string")
    return value


def _check_names(found: dict[str, Any], path: str, known: Collection[str]) -> None:
    for name in found:
        if name not in known:
            raise _incorrect(f"{path}{name}", "unknown field")


def _is_web_link(link: str) -> bool:
    try:
        parts = urlsplit(link)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True

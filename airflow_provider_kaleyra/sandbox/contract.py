"""Strict checks of a request against the page "Send Video Messages": plain values in, what is wrong with them out."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from airflow_provider_kaleyra.sandbox import answers

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable

    from airflow_provider_kaleyra.sandbox.account import SandboxAccount
    from airflow_provider_kaleyra.sandbox.answers import Answer

MAX_BODY_BYTES = 1_000_000  # not Kaleyra's: it keeps the sandbox's memory small
MAX_DEPTH = 32  # the sandbox's, too: deeper JSON could not be written out again
MAX_CAPTION = 1024
MAX_REF = 255
REFS = ("ref", "ref1", "ref2")
WA_SOURCES = frozenset(
    "api clevertap zoho webengage shopify leadsquared responsys braze hubspot salesforce zapier eloqua moengage".split()
)

_E164 = re.compile(r"\+[1-9][0-9]{1,14}")


class RefusedError(Exception):
    """A request differs from the page.

    :param answer: the failure that the page documents for it.
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.answer = answer


def check_caller(account: SandboxAccount, sid: str, api_key: str | None) -> None:
    """Compare SID and key with the account's."""
    if (sid, api_key) != (account.sid, account.api_key):
        raise RefusedError(answers.WRONG_CALLER)


def check_number(account: SandboxAccount, number: str) -> None:
    """Compare the business number, whose + belongs to it, with the account's."""
    if number != account.business_phone_number:
        raise RefusedError(answers.WRONG_NUMBER)


def check_message(content_type: str | None, body: bytes) -> dict[str, Any]:
    """Check one message's header, envelope and content.

    :return: the payload.
    """
    if (content_type or "").partition(";")[0].strip().lower() != "application/json":
        raise _incorrect("Content-Type", "the only allowed value is application/json")
    payload = parse(body)
    if payload is None:
        raise _incorrect("body", f"not a JSON object in UTF-8 of at most {MAX_BODY_BYTES} bytes")
    _only(payload, "", {"messaging_object", "extra_info"})
    message = _object("messaging_object", payload.get("messaging_object"))
    _check_values("messaging_object", message)
    _check_message(message)
    if "extra_info" in payload:
        extra_info = _object("extra_info", payload["extra_info"])
        _check_values("extra_info", extra_info)
        _check_extra_info(extra_info)
    return payload


def check_media(payload: dict[str, Any], known_ids: Container[str]) -> None:
    """Refuse a video by an id that the account does not have."""
    video = payload["messaging_object"].get("video")
    if video and "id" in video and video["id"] not in known_ids:
        raise _incorrect("messaging_object.video.id", "no media of this account")


def parse(body: bytes) -> dict[str, Any] | None:
    """Read a body as a JSON object, or as nothing."""
    if len(body) > MAX_BODY_BYTES:
        return None
    try:
        payload = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None
    return payload if isinstance(payload, dict) else None


def recorded_extra_info(extra_info: dict[str, str]) -> dict[str, str]:
    """What Kaleyra keeps of a message's extra_info: a wa_source it does not know becomes "API"."""
    source = extra_info.get("wa_source")
    return extra_info if source is None or source in WA_SOURCES else {**extra_info, "wa_source": "API"}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _incorrect(field: str, problem: str) -> RefusedError:
    return RefusedError(answers.incorrect_payload(field, problem))


def _check_message(message: dict[str, Any]) -> None:
    if message.get("messaging_product") != "whatsapp":
        raise _incorrect("messaging_object.messaging_product", "the only allowed value is whatsapp")
    if message.get("recipient_type", "individual") != "individual":
        raise _incorrect("messaging_object.recipient_type", "the only allowed value is individual")
    to = _text("messaging_object.to", message.get("to"))
    if not _E164.fullmatch(to):
        raise _incorrect("messaging_object.to", "not a phone number in E.164 format with its +")
    # The page calls the type optional; what an untyped message would be, it does not say.
    kind = _text("messaging_object.type", message.get("type"))
    _only(message, "messaging_object.", {"messaging_product", "recipient_type", "to", "type", kind})
    content = message.get(kind)
    if not isinstance(content, dict | list):
        raise _incorrect(f"messaging_object.{kind}", "missing, although the type names it")
    if kind == "video":
        _check_video(_object("messaging_object.video", content))


def _check_video(video: dict[str, Any]) -> None:
    _only(video, "messaging_object.video.", {"id", "link", "caption"})
    if ("id" in video) == ("link" in video):
        raise _incorrect("messaging_object.video", "either the id or the link is required")
    for name, value in video.items():
        _text(f"messaging_object.video.{name}", value)
    if "link" in video and not _is_web_link(video["link"]):
        raise _incorrect("messaging_object.video.link", "not an http or https link")
    if len(video.get("caption", "")) > MAX_CAPTION:
        raise _incorrect("messaging_object.video.caption", f"longer than {MAX_CAPTION} characters")


def _check_extra_info(extra_info: dict[str, Any]) -> None:
    _only(extra_info, "extra_info.", {*REFS, "wa_source"})
    for name, value in extra_info.items():
        text = _text(f"extra_info.{name}", value)
        if name in REFS and len(text) > MAX_REF:
            raise _incorrect(f"extra_info.{name}", f"longer than {MAX_REF} characters")


def _check_values(path: str, value: object, depth: int = 0) -> None:
    """Refuse, at any depth, what stands for no value: it belongs left out."""
    if depth > MAX_DEPTH:
        raise _incorrect(path, "nested too deeply")
    if value is None:
        raise _incorrect(path, "null; leave it out")
    if value in ("", {}, []) or (isinstance(value, str) and not value.strip()):
        raise _incorrect(path, "empty; leave it out")
    if isinstance(value, str) and not _is_unicode(value):
        raise _incorrect(path, "not valid Unicode")
    if isinstance(value, float) and not math.isfinite(value):
        raise _incorrect(path, "not a finite number")
    for name, child in _children(value):
        if not _is_unicode(name):
            raise _incorrect(path, "holds a name that is not valid Unicode")
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


def _only(found: dict[str, Any], path: str, known: Collection[str]) -> None:
    for name in found:
        if name not in known:
            raise _incorrect(f"{path}{name}", "unknown here")


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

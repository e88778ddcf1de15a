"""A WhatsApp video message as Kaleyra's page "Send Video Messages" defines it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_kaleyra.whatsapp.phone_number import require_e164
from airflow_provider_kaleyra.whatsapp.rules import BrokenRule, shown, text_or_none

MAX_CAPTION_LENGTH = 1024
MAX_REF_LENGTH = 255
WA_SOURCES = frozenset(
    "api clevertap zoho webengage shopify leadsquared responsys braze hubspot salesforce zapier eloqua moengage".split()
)
_REFS = ("ref", "ref1", "ref2")
_as_json = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True, kw_only=True)
class VideoMessage:
    """One video to one person; a value that exists keeps every documented rule.

    Blank text counts as not given. The rules are those of Kaleyra's page "Send Video Messages".

    :param to: the recipient's WhatsApp number, in E.164 with its ``+``.
    :param media_id: the id of media uploaded to Kaleyra; exactly one of this and *media_link*.
    :param media_link: the absolute http(s) URL of a public video.
    :param caption: text below the video, at most 1024 characters.
    :param ref: anything to find the message by in reports and callbacks, at most 255 characters.
    :param ref1: as *ref*.
    :param ref2: as *ref*.
    :param wa_source: what triggered the message; Kaleyra records any but its 13 values as "API".
    :raises BrokenRule: names the field, the rule and what was found.
    """

    to: str
    media_id: str | None = None
    media_link: str | None = None
    caption: str | None = None
    ref: str | None = None
    ref1: str | None = None
    ref2: str | None = None
    wa_source: str | None = None

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if (given := getattr(self, name)) is not None:
                object.__setattr__(self, name, text_or_none(name, given))
        for name in ("to", "media_id", "media_link"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _require_no_jinja_slip(name, getattr(self, name).strip()))
        if self.to is None:
            raise BrokenRule("to", "given", "nothing: it is missing or rendered to blank text")
        object.__setattr__(self, "to", require_e164("to", self.to))
        _require_one_source(self.media_id, self.media_link)
        if self.media_link is not None:
            _require_absolute_url("media_link", self.media_link)
        _require_length("caption", self.caption, MAX_CAPTION_LENGTH)
        for name in _REFS:
            _require_length(name, getattr(self, name), MAX_REF_LENGTH)

    @property
    def refs(self) -> dict[str, str]:
        """The refs that were given, by name."""
        return {name: value for name in _REFS if (value := getattr(self, name)) is not None}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What Kaleyra will accept although it is likely a slip."""
        if self.wa_source is None or self.wa_source.lower() in WA_SOURCES:
            return ()
        known = ", ".join(sorted(WA_SOURCES))
        return (f"wa_source {shown(self.wa_source)} is none of {known}: Kaleyra will record it as 'API'.",)

    def payload(self) -> dict[str, Any]:
        """The JSON object to post, fields without a value left out."""
        video = {"id": self.media_id, "link": self.media_link, "caption": self.caption}
        extra_info = self.refs | ({"wa_source": self.wa_source} if self.wa_source else {})
        payload: dict[str, Any] = {
            "messaging_object": {
                "messaging_product": "whatsapp",
                "recipient_type": "individual",
                "to": self.to,
                "type": "video",
                "video": {name: value for name, value in video.items() if value is not None},
            }
        }
        # Beside the messaging_object, as the request format and the tables say: the page's sample
        # nests it by a brace mistake.
        if extra_info:
            payload["extra_info"] = extra_info
        return payload

    def body(self) -> bytes:
        """The payload as it is posted."""
        return _as_json(self.payload()).encode()


MESSAGE_FIELDS = tuple(VideoMessage.__dataclass_fields__)
#: Those that can be the same for many recipients.
SHARED_FIELDS = tuple(name for name in MESSAGE_FIELDS if name != "to")


def flaw_of_sources(*sources: object) -> str | None:
    """Say "neither" or "both" where no rendering of the sources can make it exactly one; None where it may."""
    if all(source is None or source == "" for source in sources):
        return "neither"
    return "both" if sum(map(_is_literal, sources)) > 1 else None


def _is_literal(value: object) -> bool:
    """Whether the value is text that no template can change."""
    return isinstance(value, str) and value.strip() != "" and "{{" not in value and "{%" not in value


def _require_no_jinja_slip(field: str, value: str) -> str:
    if value == "None":
        raise BrokenRule(
            field,
            "a real value",
            "the text 'None': a template rendered a missing value, such as an empty XCom",
        )
    return value


def _require_one_source(media_id: str | None, media_link: str | None) -> None:
    if (media_id is None) == (media_link is None):
        raise BrokenRule(
            "media_id or media_link",
            "given, exactly one of them",
            "neither (a template may have rendered to blank text)" if media_id is None else "both",
        )


def _require_absolute_url(field: str, value: str) -> None:
    if not _is_absolute_url(value):
        raise BrokenRule(field, "an absolute http or https URL without blanks", shown(value))


@lru_cache(maxsize=16)  # a campaign sends one link to everybody
def _is_absolute_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and not re.search(r"\s", value)
    except ValueError:
        return False


def _require_length(field: str, value: str | None, limit: int) -> None:
    if value is not None and len(value) > limit:
        raise BrokenRule(field, f"at most {limit} characters", f"{len(value)}: {shown(value, 40)}")

"""WhatsApp messages in the form of Kaleyra's API.

Page: https://developers.kaleyra.io/docs/whatsapp_api_v2_send-video-messages
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from airflow_provider_kaleyra.whatsapp.media import SOURCE_FIELDS, MediaId, MediaLink, MediaSource, media_source
from airflow_provider_kaleyra.whatsapp.phone_number import masked, require_e164
from airflow_provider_kaleyra.whatsapp.validation import BrokenRule, no_missing_value, shown, text_or_none

if TYPE_CHECKING:
    import os

MAX_CAPTION_LENGTH = 1024
MAX_REF_LENGTH = 255
WA_SOURCES = frozenset(
    "api clevertap zoho webengage shopify leadsquared responsys braze hubspot salesforce zapier eloqua moengage".split()
)
#: The fields of a video message, under the names of the operators, the hook and the notifier.
MESSAGE_FIELDS = ("to", "media_id", "media_link", "caption", "ref", "ref1", "ref2", "wa_source")
#: The fields that can be the same for many recipients.
SHARED_FIELDS = tuple(name for name in MESSAGE_FIELDS if name != "to")
_REFS = ("ref", "ref1", "ref2")
_as_json = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True, kw_only=True, repr=False)
class Message(ABC):
    """Base of messages of any type, each to one person; every instance satisfies the documented rules.

    A subclass sets :attr:`type` and :attr:`noun`, and overrides :meth:`content`. Blank text is ignored.

    :param to: the recipient's WhatsApp number, in E.164 with its ``+``.
    :param ref: any text that identifies the message in Kaleyra's reports and callbacks, at most 255 characters.
    :param ref1: a second text like *ref*.
    :param ref2: a third text like *ref*.
    :param wa_source: what triggered the message, one of Kaleyra's 13 values; any other is recorded as "API".
    :raises BrokenRule: a value is invalid; the error has the field, the rule and the value.
    """

    type: ClassVar[str]
    """The name of the message's type, and of its content in the request."""

    noun: ClassVar[str]
    """The name of such a message in logs and errors."""

    to: str
    ref: str | None = None
    ref1: str | None = None
    ref2: str | None = None
    wa_source: str | None = None

    media: MediaSource | None = field(default=None, init=False, repr=False, compare=False)
    """The source of the message's media; None if it has none."""

    def __post_init__(self) -> None:
        to = text_or_none("to", self.to)
        if to is None:
            raise BrokenRule("to", "given", "nothing: it is missing or rendered to blank text")
        object.__setattr__(self, "to", require_e164("to", no_missing_value("to", to.strip())))
        for name in _REFS:
            object.__setattr__(self, name, _text(name, getattr(self, name), MAX_REF_LENGTH))
        object.__setattr__(self, "wa_source", text_or_none("wa_source", self.wa_source))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} to {masked(str(self.to))}>"

    @property
    def refs(self) -> dict[str, str]:
        """Return the refs that were given, by name."""
        return {name: value for name in _REFS if (value := getattr(self, name)) is not None}

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return a sentence about each value that Kaleyra accepts but that is probably a mistake."""
        if self.wa_source is None or self.wa_source.lower() in WA_SOURCES:
            return ()
        known = ", ".join(sorted(WA_SOURCES))
        return (f"wa_source {shown(self.wa_source)} is none of {known}: Kaleyra will record it as 'API'.",)

    def uploaded(self, media_id: str) -> Self:
        """Return the message with the media id that the upload of its file returned."""
        changes: dict[str, Any] = {"media_file": None, "media_id": media_id}
        return replace(self, **changes)

    @abstractmethod
    def content(self) -> dict[str, Any]:
        """Return the part of the request that depends on the type."""

    def media_payload(self) -> dict[str, Any]:
        """Return the fields of the request that name the media."""
        if not isinstance(self.media, MediaId | MediaLink):
            raise ValueError(f"{self.media} has to be uploaded first: a request names a media id or a link.")  # noqa: TRY004 - the message is not ready
        return self.media.payload()

    def _set_media(self, media: MediaSource) -> None:
        object.__setattr__(self, "media", media)
        for name in SOURCE_FIELDS:
            object.__setattr__(self, name, getattr(media, name, None))

    def payload(self) -> dict[str, Any]:
        """Return the JSON object to post; fields without a value are absent."""
        payload: dict[str, Any] = {
            "messaging_object": {
                "messaging_product": "whatsapp",
                "recipient_type": "individual",
                "to": self.to,
                "type": self.type,
                self.type: self.content(),
            }
        }
        # Beside the messaging_object, as in the page's request format and tables; its sample nests it by a wrong brace.
        if extra_info := self.refs | ({"wa_source": self.wa_source} if self.wa_source else {}):
            payload["extra_info"] = extra_info
        return payload

    def body(self) -> bytes:
        """Return the payload as the bytes to post."""
        return _as_json(self.payload()).encode()


@dataclass(frozen=True, kw_only=True, repr=False)
class VideoMessage(Message):
    """One video to one person.

    The other fields are those of :class:`Message`. Exactly one of *media_id*, *media_link* and *media_file* is given.

    :param media_id: the id of media that were uploaded to Kaleyra.
    :param media_link: the absolute http or https URL of a public video.
    :param media_file: the path or URL of a file, which has to be uploaded before the message can be sent.
    :param caption: text below the video, at most 1024 characters.
    :raises BrokenRule: a value is invalid; the error has the field, the rule and the value.
    """

    type: ClassVar[str] = "video"
    noun: ClassVar[str] = "video"

    media_id: str | None = None
    media_link: str | None = None
    media_file: str | os.PathLike[str] | None = None
    caption: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set_media(media_source(self.media_id, self.media_link, self.media_file))
        object.__setattr__(self, "caption", _text("caption", self.caption, MAX_CAPTION_LENGTH))

    def content(self) -> dict[str, Any]:
        """Return the fields of the video: its id or link, and its caption."""
        return self.media_payload() | ({"caption": self.caption} if self.caption else {})


def _text(field: str, value: object, limit: int) -> str | None:
    text = text_or_none(field, value)
    if text is not None and len(text) > limit:
        raise BrokenRule(field, f"at most {limit} characters", f"{len(text)}: {shown(text, 40)}")
    return text

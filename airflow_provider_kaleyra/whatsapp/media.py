"""The source of a message's media: the id of uploaded media, a public link, or a file that is uploaded first."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow_provider_kaleyra.whatsapp.validation import BrokenRule, no_missing_value, shown, text_or_none

if TYPE_CHECKING:
    import os


@dataclass(frozen=True, slots=True)
class MediaId:
    """Media that were uploaded to Kaleyra."""

    media_id: str

    def payload(self) -> dict[str, str]:
        """Return the fields of the request that name the media."""
        return {"id": self.media_id}


@dataclass(frozen=True, slots=True)
class MediaLink:
    """Media at a public http or https URL."""

    media_link: str

    def payload(self) -> dict[str, str]:
        """Return the fields of the request that name the media."""
        return {"link": self.media_link}


@dataclass(frozen=True, slots=True)
class MediaFile:
    """Media in a file, which has to be uploaded before a message can name them.

    :param media_file: a path, or a URL that Airflow's ``ObjectStoragePath`` opens.
    """

    media_file: str | os.PathLike[str]


MediaSource = MediaId | MediaLink | MediaFile
SOURCE_FIELDS = ("media_id", "media_link", "media_file")


def media_source(
    media_id: object = None, media_link: object = None, media_file: str | os.PathLike[str] | None = None
) -> MediaSource:
    """Return the one source that is given; blank text is ignored.

    :raises BrokenRule: none or several are given, or the one given cannot be used.
    """
    uploaded, link = _text("media_id", media_id), _text("media_link", media_link)
    if isinstance(media_file, str | int):  # a number may be a file's name after native rendering
        media_file = _text("media_file", media_file)
    if media_file is not None:
        if uploaded is not None or link is not None:
            names = "exactly one of media_id, media_link and media_file"
            raise BrokenRule(names, "given", "media_file with another")
        return MediaFile(media_file)
    if uploaded is not None and link is None:
        return MediaId(uploaded)
    if link is not None and uploaded is None:
        if not _is_absolute_url(link):
            raise BrokenRule("media_link", "an absolute http or https URL without blanks", shown(link))
        return MediaLink(link)
    raise BrokenRule(
        "media_id or media_link",
        "given, exactly one of them",
        "neither (a template may have rendered to blank text)" if uploaded is None else "both",
    )


def flaw_of_sources(*sources: object) -> str | None:
    """Return "neither" or "both" if no rendering of the sources can make them exactly one, else None."""
    if all(source is None or (isinstance(source, str) and str.__len__(source) == 0) for source in sources):
        return "neither"
    return "both" if sum(map(_is_literal, sources)) > 1 else None


def _is_literal(value: object) -> bool:
    """Return whether the value is text that no template can change."""
    if not isinstance(value, str):
        return False
    text = str.__str__(value)
    return text.strip() != "" and "{{" not in text and "{%" not in text


def _text(field: str, value: object) -> str | None:
    text = text_or_none(field, value)
    return None if text is None else no_missing_value(field, text.strip())


@lru_cache(maxsize=16)  # a campaign sends one link to everybody
def _is_absolute_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and not re.search(r"\s", value)
    except ValueError:
        return False

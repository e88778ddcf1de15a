"""The outcome of an upload, as one of five values.

``Uploaded``        Kaleyra has the media; this is their id.
``NoMediaId``       Kaleyra probably has the media, but the response has no id.
``UploadRejected``  Kaleyra, or a gateway before it, rejected the media.
``NotSent``         The request was not transmitted.
``Unknown``         The request was transmitted; whether Kaleyra has the media is unknown.

Page: "Upload Media Files", https://developers.kaleyra.io/docs/whatsapp-api-v2-upload-media-files
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_kaleyra.whatsapp.error_codes import Cause, Failure, known_code
from airflow_provider_kaleyra.whatsapp.outcome import (
    Accepted,
    NotSent,
    Rejected,
    Unknown,
    decode,
    json_object,
    reports_an_error,
)
from airflow_provider_kaleyra.whatsapp.quoting import excerpt, quoted, quoted_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from airflow_provider_kaleyra.whatsapp.quoting import Redact

# No page shows the response, so these paths of keys are assumptions, the likeliest first.
MEDIA_ID_PLACES = (("data", "media_id"), ("data", "id"), ("media_id",), ("id",))
_MAX_KEYS = 20
_MAX_KEY = 40

_BY_CODE = {
    "WA-401": Failure(
        False,
        "The account is at fault: Kaleyra accepts uploads from postpaid accounts only, so a prepaid one sends by "
        "media_link instead; or the API is not enabled for it. Ask Kaleyra's support.",
        Cause.ACCOUNT,
    ),
    "WA400": Failure(
        False,
        "The file is at fault: compare it with Meta's rules, MP4 (H.264, AAC) or 3GPP up to 16 MB.",
        Cause.MESSAGE,
    ),
}
_BY_STATUS = {
    413: Failure(False, "The file is too large for Kaleyra, or for a proxy on the way there.", Cause.GATEWAY),
    415: Failure(False, _BY_CODE["WA400"].advice, Cause.GATEWAY),
}


@dataclass(frozen=True)
class Uploaded:
    """Kaleyra has the media.

    :param media_id: the media id, as in the response.
    """

    media_id: str


@dataclass(frozen=True, kw_only=True)
class UploadRejected(Rejected):
    """The media were rejected."""

    @property
    def meaning(self) -> Failure:
        """Return the cause, and whether a retry can help."""
        own = _BY_CODE.get(self.code or "") if known_code(self.code) else _BY_STATUS.get(self.http_status)
        return own or super().meaning


@dataclass(frozen=True)
class NoMediaId:
    """Kaleyra probably has the media, but the response has no media id; another upload would not change that.

    :param reason: a description of the response, with its keys.
    """

    reason: str


UploadOutcome = Uploaded | NoMediaId | UploadRejected | NotSent | Unknown


def decode_upload(status: int, headers: Mapping[str, str], body: bytes, redact: Redact) -> UploadOutcome:
    """Return the outcome of an upload by its response; any bytes are valid input.

    In a response with an error, or with a code that Kaleyra documents as a failure, only a media id at
    ``data.media_id`` counts.

    :param redact: function that removes secrets from the text that is quoted of the response.
    """
    content = json_object(body)
    contradicted = known_code(content.get("code")) or reports_an_error(content)
    places = MEDIA_ID_PLACES[:1] if contradicted else MEDIA_ID_PLACES
    if 200 <= status < 300 and (media_id := find_media_id(content, redact, places)):
        return Uploaded(media_id)
    outcome = decode(status, headers, body, redact)
    if isinstance(outcome, Rejected):
        return UploadRejected(**{field.name: getattr(outcome, field.name) for field in fields(outcome)})
    if isinstance(outcome, Accepted) or 200 <= status < 300:
        tried = ", ".join(".".join(path) for path in MEDIA_ID_PLACES)
        keys = ", ".join(islice(_keys(content, redact), _MAX_KEYS))
        found = f"only the keys {keys}" if keys else f"no JSON object: {excerpt(body, redact)}"
        return NoMediaId(f"the response (HTTP {status}) has no usable media id at {tried}, but {found}")
    return outcome


def find_media_id(
    content: Mapping[str, Any], redact: Redact, places: Iterable[Sequence[str]] = MEDIA_ID_PLACES
) -> str | None:
    """Return the media id at the first of these places that has one.

    Text that is not printable, longer than 255 characters, contains a secret or is ``None`` is no media id.
    """
    for path in places:
        value: Any = content
        for key in path:
            value = value[0] if isinstance(value, list) and value else value
            value = value.get(key) if isinstance(value, dict) else None
        media_id = quoted_id(value, redact)
        if media_id not in {None, "None"} and media_id == str(value).strip():
            return media_id
    return None


def _keys(content: Mapping[str, Any], redact: Redact) -> Iterator[str]:
    """Return the names of the response's values, and of the values inside them."""
    for name, value in content.items():
        outer = quoted(name, redact, _MAX_KEY)
        inner = [f"{outer}.{quoted(key, redact, _MAX_KEY)}" for key in value] if isinstance(value, dict) else []
        yield from inner or [outer]

"""What became of an upload: whatever came back, or did not, as one of four values.

They are those of :mod:`~airflow_provider_kaleyra.whatsapp.outcome`, with a media id instead of a message id, and
with what failures mean to who uploads. Kaleyra's page is "Upload Media Files".
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_kaleyra.whatsapp.failures import Failure
from airflow_provider_kaleyra.whatsapp.outcome import Accepted, NotSent, Rejected, Unknown, decode, excerpt, json_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# No page shows the answer, so these are assumed, the likeliest first: a path of keys each.
MEDIA_ID_PLACES = (("data", "media_id"), ("data", "id"), ("media_id",), ("id",))
_MAX_KEYS = 20

_BY_CODE = {
    "WA-401": Failure(
        False,
        "The account is at fault: Kaleyra takes uploads from postpaid accounts alone, so a prepaid one sends by "
        "media_link instead; or the API is not enabled for it. Ask Kaleyra's support.",
    ),
    "WA400": Failure(
        False, "The file is at fault: compare it with Meta's rules, MP4 (H.264, AAC) or 3GPP up to 16 MB."
    ),
}
_BY_STATUS = {
    413: Failure(False, "The file is too large for Kaleyra, or for a proxy on the way there."),
    415: _BY_CODE["WA400"],
}


@dataclass(frozen=True)
class Uploaded:
    """Kaleyra has the media."""

    media_id: str


@dataclass(frozen=True, kw_only=True)
class UploadRejected(Rejected):
    """The media were refused."""

    @property
    def meaning(self) -> Failure:
        """Whose fault it is, whether a retry can help."""
        return _BY_CODE.get(self.code or "") or _BY_STATUS.get(self.http_status) or super().meaning


@dataclass(frozen=True)
class NoMediaId(Unknown):
    """Kaleyra seems to have the media, and says no id that could be found."""


UploadOutcome = Uploaded | UploadRejected | NotSent | Unknown


def decode_upload(status: int, headers: Mapping[str, str], body: bytes) -> UploadOutcome:
    """Turn an answer into an outcome, whatever its bytes are."""
    answer = json_object(body)
    if 200 <= status < 300 and (media_id := find_media_id(answer)):
        return Uploaded(media_id)
    outcome = decode(status, headers, body)
    if isinstance(outcome, Rejected):
        return UploadRejected(**{field.name: getattr(outcome, field.name) for field in fields(outcome)})
    if isinstance(outcome, Accepted) or 200 <= status < 300:
        places = ", ".join(".".join(path) for path in MEDIA_ID_PLACES)
        keys = ", ".join(islice(_keys(answer), _MAX_KEYS))
        found = f"only the keys {keys}" if keys else f"no JSON object: {excerpt(body)}"
        return NoMediaId(f"the answer (HTTP {status}) holds no media id at {places}, but {found}")
    return outcome


def find_media_id(answer: Mapping[str, Any]) -> str | None:
    """The media id, at the first of :data:`MEDIA_ID_PLACES` that holds one."""
    for path in MEDIA_ID_PLACES:
        value: Any = answer
        for key in path:
            value = value[0] if isinstance(value, list) and value else value
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return None


def _keys(answer: Mapping[str, Any]) -> Iterator[str]:
    """The names of its values, and of what these hold."""
    for name, value in answer.items():
        inner = [f"{name[:40]}.{key[:40]}" for key in value] if isinstance(value, dict) else []
        yield from inner or [name[:40]]

"""The media of the simulated account, kept until the sandbox stops."""

from __future__ import annotations

import hashlib
import secrets
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

SAMPLE_MEDIA_ID = "1166846181421424"
"""The sample id on Kaleyra's page "Send Video Messages": it can be sent, but the sandbox has no video for it."""

_CHUNK_SIZE = 1 << 18


@dataclass(frozen=True, kw_only=True)
class Upload:
    """One request to upload, whatever its result.

    :param received_at: time in UTC, in ISO 8601.
    :param size: size of the file in bytes.
    :param media_id: id of the stored file; None if the upload was rejected.
    :param status: HTTP status of the response; ``closed`` or ``hung`` where there is no response.
    """

    received_at: str
    file_name: str | None
    type: str | None
    size: int | None
    sha256: str | None
    media_id: str | None
    status: int | str
    user_agent: str | None


@dataclass
class Media:
    """The media ids that can be sent: the initial ones and the uploaded ones.

    :param known_ids: ids that the account has from the start.
    :param uploads: all uploads so far, in order of arrival.
    """

    known_ids: Iterable[str] = (SAMPLE_MEDIA_ID,)
    uploads: list[Upload] = field(default_factory=list)
    _types: dict[str, str] = field(default_factory=dict)
    _folder: tempfile.TemporaryDirectory[str] | None = None

    def __post_init__(self) -> None:
        self.known_ids = frozenset(self.known_ids)

    def __contains__(self, media_id: object) -> bool:
        return media_id in self._types or media_id in frozenset(self.known_ids)

    def save(self, file: IO[bytes], media_type: str) -> str:
        """Store the content of *file*, and return its new media id: 16 digits, as in Kaleyra's sample."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="kaleyra-sandbox-")
        media_id = str(10**15 + secrets.randbelow(9 * 10**15))
        with self._path(media_id).open("wb") as stored:
            while chunk := file.read(_CHUNK_SIZE):
                stored.write(chunk)
        self._types[media_id] = media_type
        return media_id

    def find(self, media_id: str) -> tuple[Path, str] | None:
        """Return the path and the media type of an uploaded file, or None if the id was not uploaded."""
        media_type = self._types.get(media_id)
        return (self._path(media_id), media_type) if media_type else None

    def url_of(self, content: object) -> str | None:
        """Return the URL of a message's media relative to the page, or None if it was not uploaded."""
        media_id = content.get("id") if isinstance(content, dict) else None
        return f"sandbox/media/{media_id}" if isinstance(media_id, str) and media_id in self._types else None

    def uploads_as_dicts(self) -> list[dict[str, Any]]:
        """Return every upload, in order of arrival."""
        return [asdict(upload) for upload in self.uploads]

    def clear(self) -> None:
        """Delete every upload, as Meta does after 30 days."""
        self.uploads.clear()
        self._types.clear()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _path(self, media_id: str) -> Path:
        assert self._folder is not None  # noqa: S101 - an id exists only after save()
        return Path(self._folder.name) / media_id


def sha256_of(file: IO[bytes]) -> str:
    """Return the SHA-256 of the file's content, and rewind the file."""
    digest = hashlib.sha256()
    file.seek(0)
    while chunk := file.read(_CHUNK_SIZE):
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()

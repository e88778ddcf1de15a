"""The media that the account has, kept until the sandbox ends."""

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
"""The id of the page "Send Video Messages", whose bytes nobody has."""

_PIECE = 1 << 18


@dataclass(frozen=True, kw_only=True)
class Upload:
    """One request to upload, whatever became of it.

    :param status: the HTTP status it is answered with, or how it ends without one.
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
    """Ids that can be sent: those known from the start, those uploaded.

    :param known_ids: media that the account has had before.
    """

    known_ids: Iterable[str] = (SAMPLE_MEDIA_ID,)
    uploads: list[Upload] = field(default_factory=list)
    _types: dict[str, str] = field(default_factory=dict)
    _folder: tempfile.TemporaryDirectory[str] | None = None

    def __post_init__(self) -> None:
        self.known_ids = frozenset(self.known_ids)

    def __contains__(self, media_id: object) -> bool:
        return media_id in self._types or media_id in frozenset(self.known_ids)

    def keep(self, file: IO[bytes], media_type: str) -> str:
        """Keep what *file* holds.

        :return: its id, 16 digits as Meta's are.
        """
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="kaleyra-sandbox-")
        media_id = str(10**15 + secrets.randbelow(9 * 10**15))
        with self._path(media_id).open("wb") as kept:
            while piece := file.read(_PIECE):
                kept.write(piece)
        self._types[media_id] = media_type
        return media_id

    def find(self, media_id: str) -> tuple[Path, str] | None:
        """Where an upload's bytes are, with their type."""
        media_type = self._types.get(media_id)
        return (self._path(media_id), media_type) if media_type else None

    def url_of(self, content: object) -> str | None:
        """Where the page finds what a message's content shows, if it was uploaded."""
        media_id = content.get("id") if isinstance(content, dict) else None
        return f"sandbox/media/{media_id}" if isinstance(media_id, str) and media_id in self._types else None

    def told(self) -> list[dict[str, Any]]:
        """Every upload, in the order they came."""
        return [asdict(upload) for upload in self.uploads]

    def clear(self) -> None:
        """Forget every upload, as Meta does after 30 days."""
        self.uploads.clear()
        self._types.clear()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _path(self, media_id: str) -> Path:
        assert self._folder is not None  # noqa: S101 - who has an id has kept something
        return Path(self._folder.name) / media_id


def sha256_of(file: IO[bytes]) -> str:
    """The digest of what *file* holds, which is left at its start."""
    digest = hashlib.sha256()
    file.seek(0)
    while piece := file.read(_PIECE):
        digest.update(piece)
    file.seek(0)
    return digest.hexdigest()

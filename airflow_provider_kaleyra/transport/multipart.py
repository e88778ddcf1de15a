"""A file as multipart/form-data, read while it is sent."""

from __future__ import annotations

import re
import secrets
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE = 1 << 16


class UnreadableFileError(Exception):
    """The file failed while it was sent; no OSError, which would tell of the network.

    :param cause: what the file raised.
    """

    def __init__(self, cause: Exception) -> None:
        super().__init__(cause)
        self.cause = cause


class MultipartFile:
    """
    The fields ``file`` and ``type`` of Kaleyra's page "Upload Media Files", as a request body.

    :param file: read from where it stands, *size* bytes of it.
    :param name: of the file; what is not of the letters, digits and signs that any server takes is replaced.
    """

    def __init__(self, file: IO[bytes], size: int, name: str, mime_type: str) -> None:
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self.started = False
        safe_name = re.sub(r"[^A-Za-z0-9._-]", "_", name)[-100:] or "video"
        before = (
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="file"; filename="{safe_name}"\r\n'
            f"Content-Type: {mime_type}\r\n\r\n"
        )
        after = (
            f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="type"\r\n\r\n{mime_type}\r\n--{boundary}--\r\n'
        )
        self._length = len(before) + size + len(after)
        self._pieces = self._read(before.encode(), file, size, after.encode())
        self._unread = b""

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        """What tells requests that the body is to be streamed."""
        while piece := self.read(_PIECE):
            yield piece

    def read(self, size: int = -1) -> bytes:
        """Read on, in pieces that are no larger than *size*."""
        self.started = True
        if not self._unread:
            self._unread = next(self._pieces, b"")
        end = len(self._unread) if size < 0 else size
        piece, self._unread = self._unread[:end], self._unread[end:]
        return piece

    @staticmethod
    def _read(before: bytes, file: IO[bytes], size: int, after: bytes) -> Iterator[bytes]:
        yield before
        while size:
            try:
                piece = file.read(min(size, _PIECE))
            except Exception as error:
                raise UnreadableFileError(error) from error
            if not piece:
                raise UnreadableFileError(EOFError("it became shorter while it was read"))
            size -= len(piece)
            yield piece
        yield after

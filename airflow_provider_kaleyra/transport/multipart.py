"""A file as multipart/form-data, read while it is sent.

Page: https://developers.kaleyra.io/docs/whatsapp-api-v2-upload-media-files
"""

from __future__ import annotations

import re
import secrets
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK_SIZE = 1 << 16


class UnreadableFileError(Exception):
    """Reading the file failed while it was sent. Not an OSError, which would mean a network failure.

    :param cause: the exception that reading the file raised.
    """

    def __init__(self, cause: Exception) -> None:
        super().__init__(cause)
        self.cause = cause


class MultipartFile:
    """
    A request body with the fields ``file`` and ``type``.

    :param file: the open file, which is read from its current position.
    :param size: the number of bytes to read.
    :param name: the file's name; characters other than ``A-Za-z0-9._-`` are replaced.
    :param mime_type: the MIME type of the file.
    """

    def __init__(self, file: IO[bytes], size: int, name: str, mime_type: str) -> None:
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        #: Whether transmission started, so that Kaleyra may have the file.
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
        self._chunks = self._read(before.encode(), file, size, after.encode())
        self._unread = b""

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        """Yield the body in chunks; requests streams a body that is iterable."""
        while chunk := self.read(_CHUNK_SIZE):
            yield chunk

    def read(self, size: int = -1) -> bytes:
        """Return the next chunk of at most *size* bytes; an empty one at the end."""
        self.started = True
        if not self._unread:
            self._unread = next(self._chunks, b"")
        end = len(self._unread) if size < 0 else size
        chunk, self._unread = self._unread[:end], self._unread[end:]
        return chunk

    @staticmethod
    def _read(before: bytes, file: IO[bytes], size: int, after: bytes) -> Iterator[bytes]:
        yield before
        while size:
            try:
                chunk = file.read(min(size, _CHUNK_SIZE))
            except Exception as error:
                raise UnreadableFileError(error) from error
            if not chunk:
                raise UnreadableFileError(EOFError("it became shorter while it was read"))
            size -= len(chunk)
            yield chunk
        yield after

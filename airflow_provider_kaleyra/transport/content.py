"""The content of a response body, of bounded size."""

from __future__ import annotations

import zlib

from airflow_provider_kaleyra.transport import MAX_RESPONSE_BYTES

_ZLIB_OR_GZIP, _RAW_DEFLATE = 47, -15


def decompressed(body: bytes, encoding: str | None) -> bytes:
    """Return *body* without its compression; what cannot be decompressed is returned as it came.

    A proxy may compress although the request asks for ``identity``. The result is cut at ``MAX_RESPONSE_BYTES`` bytes.

    :param encoding: the ``Content-Encoding`` header.
    """
    if (encoding or "").strip().lower() in {"gzip", "x-gzip", "deflate"}:
        for window in (_ZLIB_OR_GZIP, _RAW_DEFLATE):
            try:
                return zlib.decompressobj(window).decompress(body, MAX_RESPONSE_BYTES)
            except zlib.error:
                continue
    return body

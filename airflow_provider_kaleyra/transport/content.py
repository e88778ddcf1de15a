"""Decompression of response bodies, up to a maximum size."""

from __future__ import annotations

import zlib

from airflow_provider_kaleyra.transport import MAX_RESPONSE_BYTES

_ZLIB_OR_GZIP, _RAW_DEFLATE = 47, -15
_MAX_ENCODINGS = 3  # one for each of three proxies; each takes the time to decompress MAX_RESPONSE_BYTES


def decompressed(body: bytes, encoding: str | None) -> bytes:
    """Return *body* decompressed; unchanged if that fails or there is no compression.

    A proxy may compress although the request asks for ``identity``. The result is cut at ``MAX_RESPONSE_BYTES``.

    :param encoding: the ``Content-Encoding`` header, which lists the encodings in the order they were applied.
    """
    names = [name.strip().lower() for name in (encoding or "").split(",")]
    for name in reversed([name for name in names if name not in {"", "identity"}][:_MAX_ENCODINGS]):
        if name not in {"gzip", "x-gzip", "deflate"}:
            break
        body = _inflated(body)
    return body


def _inflated(body: bytes) -> bytes:
    for window in (_ZLIB_OR_GZIP, _RAW_DEFLATE):
        if window == _RAW_DEFLATE and _is_text(body):
            break  # raw deflate has no signature, so some plain text would decompress as well
        try:
            return zlib.decompressobj(window).decompress(body, MAX_RESPONSE_BYTES)
        except zlib.error:
            continue
    return body


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True

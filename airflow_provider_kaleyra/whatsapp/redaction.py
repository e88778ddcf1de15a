"""Removal of an API key from text, in any encoding, also where only a part of the key is left."""

from __future__ import annotations

import html
import json
import string
from functools import lru_cache
from urllib.parse import quote

MASK = "***"
# A text that a server has cut may contain only a part of the key: a match of this length is no coincidence.
_WINDOW = 8
# A response that breaks off may end with the first characters of the key.
_SHORTEST_END = 3
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def without_key(text: str, api_key: str) -> str:
    """Return *text* with *api_key*, and each part of it, replaced by asterisks.

    The key is found in upper and lower case, plain, JSON-escaped, percent-encoded and HTML-escaped. A part of at most
    seven characters, or of two at the end of the text, can remain.
    """
    parts, ends = _parts_of(api_key)
    size = min(_WINDOW, len(api_key))
    lower = text.lower() if text.isascii() else text.translate(_LOWER)  # neither changes the length
    kept: list[str] = []
    start = 0
    for position in [at for at in range(len(text) - size + 1) if lower[at : at + size] in parts]:
        if position >= start:  # otherwise the part overlaps the one before
            kept.append(text[start:position])
        start = position + size
    rest = text[start:]
    for length in range(min(size - 1, len(rest)), _SHORTEST_END - 1, -1):
        if lower[-length:] in ends:
            return MASK.join([*kept, rest[:-length], ""])
    return MASK.join([*kept, rest])


@lru_cache(maxsize=8)
def _parts_of(api_key: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return all parts of the key of one length, and the starts of it that can end a text."""
    in_json = json.dumps(api_key)[1:-1]
    encoded = {
        api_key,
        in_json,
        in_json.replace("/", "\\/"),
        quote(api_key, safe="", errors="replace"),
        html.escape(api_key),
    }
    spellings = [one.translate(_LOWER) for one in encoded]
    size = min(_WINDOW, len(api_key))
    parts = {one[start : start + size] for one in spellings for start in range(len(one) - size + 1)}
    ends = {one[:length] for one in spellings for length in range(_SHORTEST_END, size)}
    return frozenset(parts), frozenset(ends)

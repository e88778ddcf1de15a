"""Removal of an API key from text, in any encoding, also where only a part of the key is left."""

from __future__ import annotations

import html
import json
import re
import string
from functools import lru_cache
from urllib.parse import quote

MASK = "***"
# A text that a server has cut may contain only a part of the key: a match of this length is no coincidence.
_WINDOW = 8
# A response that breaks off may end with the first characters of the key.
_SHORTEST_END = 3
# What can divide a key on a page: blanks, tags, entities and invisible characters; also escaped.
_BREAK = re.compile(
    r"(?:[\s\x00-\x20\x7f-\xa0\xad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]|<[^<>]{0,80}>"
    r"|&(?:nbsp|shy|zwnj|zwj|#160|#173|#8203);|\\+(?:[bfnrt]|u00[01][0-9a-f]|u200[b-f]|x[01][0-9a-f]))+",
    re.IGNORECASE,
)
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def without_key(text: str, api_key: str) -> str:
    """Return *text* with *api_key*, and each part of it, replaced by asterisks.

    The key is found in upper and lower case, plain, JSON-escaped, percent-encoded and HTML-escaped, also if blanks,
    line breaks, tags or invisible characters divide it. A part of at most seven characters, or of two at the end of
    the text, can remain.
    """
    spans = _spans_of(text, api_key)
    if not text.isprintable() or any(sign in text for sign in " <&\\"):  # otherwise nothing can divide it
        spans = sorted(spans + _divided_spans_of(text, api_key))
    kept: list[str] = []
    last = 0
    for start, end in spans:
        if start >= last:  # otherwise it belongs to the one before
            kept.append(text[last:start])
        last = max(last, end)
    return MASK.join([*kept, text[last:]])


def _divided_spans_of(text: str, api_key: str) -> list[tuple[int, int]]:
    """Return where *text* holds parts of the key that something divides."""
    api_key = _BREAK.sub("", api_key)
    breaks = [one.span() for one in _BREAK.finditer(text)]
    if not breaks or len(api_key) < _WINDOW:
        return []
    starts, ends = [0, *(end for _, end in breaks)], [*(start for start, _ in breaks), len(text)]
    position = [at for start, end in zip(starts, ends, strict=True) for at in range(start, end)]
    whole = "".join([text[start:end] for start, end in zip(starts, ends, strict=True)])
    return [(position[start], position[end - 1] + 1) for start, end in _spans_of(whole, api_key)]


def _spans_of(text: str, api_key: str) -> list[tuple[int, int]]:
    """Return where *text* holds parts of the key."""
    parts, ends = _parts_of(api_key)
    size = min(_WINDOW, len(api_key))
    lower = text.lower() if text.isascii() else text.translate(_LOWER)  # neither changes the length
    spans: list[tuple[int, int]] = []
    rest = 0
    for start in [at for at in range(len(text) - size + 1) if lower[at : at + size] in parts]:
        if start < rest:  # it overlaps the one before
            spans[-1] = (spans[-1][0], start + size)
        else:
            spans.append((start, start + size))
        rest = start + size
    for length in range(min(size - 1, len(text) - rest), _SHORTEST_END - 1, -1):
        if lower[-length:] in ends:
            return [*spans, (len(text) - length, len(text))]
    return spans


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

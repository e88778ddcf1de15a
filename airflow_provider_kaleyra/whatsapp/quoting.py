"""Quotes of a response: without secrets, on one line and of limited length, for logs, errors and databases."""

from __future__ import annotations

import json
from collections.abc import Callable

from airflow_provider_kaleyra.whatsapp.validation import shown

Redact = Callable[[str], str]

MAX_TEXT = 500
MAX_ID = 255
_MAX_EXCERPT = 200
# Secrets are removed before a text is cut. This factor allows for the characters that the removal takes away.
_AHEAD = 4


def quoted(value: object, redact: Redact, limit: int = MAX_TEXT) -> str:
    """Return *value* as text for a person, at most *limit* characters; control characters are escaped.

    :param redact: function that removes secrets from a text.
    """
    return _printable(redact(_text_of(value)[: _AHEAD * limit]))[:limit]


def quoted_id(value: object, redact: Redact) -> str | None:
    """Return an id as text, at most 255 characters, or None if *value* is neither text nor a whole number.

    Characters that are not printable are replaced, so that logs, XCom and any database can hold the id.

    :param redact: function that removes secrets from a text.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        return None
    text = redact(value.strip()[: _AHEAD * MAX_ID])
    if not text.isprintable():
        text = "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)
    return text[:MAX_ID]


def excerpt(body: bytes, redact: Redact) -> str:
    """Return the start of a response in quotes, for a person.

    :param redact: function that removes secrets from a text.
    """
    if not body.strip():
        return "it is empty"
    most = _AHEAD * _MAX_EXCERPT
    # A character has at most four bytes, after a byte order mark of at most four.
    start = body[: 4 * most + 4]
    text = start.decode(json.detect_encoding(start), "replace")
    return shown(redact(text[:most]), _MAX_EXCERPT)


def _text_of(value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    try:
        return json.dumps(value)
    except RecursionError:  # dumps() has a lower limit of nesting than loads()
        return "…"


def _printable(text: str) -> str:
    """Escape characters that could forge or hide a log line: control characters, direction marks, surrogates."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)

"""Quotes of a response and the removal of an API key from them."""

from __future__ import annotations

import html
import json
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from airflow_provider_kaleyra.whatsapp.quoting import excerpt, quoted, quoted_id
from airflow_provider_kaleyra.whatsapp.redaction import MASK, without_key

KEY = "Aq3x9Zt7Lk2Vb8Nw5Rj1Hs6Pf4Gd0Yc3"
API_KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain text, café, 你好", "plain text, café, 你好"),
        (None, ""),
        ("", ""),
        ({"a": [1, "é"]}, r'{"a": [1, "\u00e9"]}'),
        (nested(100_000), "…"),
        ("two\nlines\r\x1b[31m\x85\u2028\u202e\u200b\ud800\0", r"two\nlines\r\x1b[31m\x85\u2028\u202e\u200b\ud800\x00"),
    ],
    ids=range(6),
)
def test_a_value_is_quoted_as_text_on_one_line(value, text):
    assert quoted(value, str) == text


def test_a_quote_is_redacted_before_it_is_cut():
    def redact(text: str) -> str:
        return text.replace(KEY, "***")

    for before in range(60):
        assert "Aq3" not in quoted("." * before + KEY, redact, 40)
    assert len(quoted("\n" * 1000, str, 40)) == 40


@pytest.mark.parametrize("value", [None, True, 1.5, {}, [], "", " \t"])
def test_an_id_is_text_or_a_whole_number(value):
    assert quoted_id(value, str) is None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_an_excerpt_reads_a_page_in_its_encoding(encoding):
    assert excerpt("<h1>Bad gateway</h1>".encode(encoding), str) == "'<h1>Bad gateway</h1>'"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"api-key: {KEY}", "api-key: ***"),
        (f"{KEY}{KEY}, {KEY}.", "******, ***."),
        (f"{KEY[:20]}… and …{KEY[9:]}", "***… and …***"),
        (f"{KEY.lower()} {KEY.upper()}", "*** ***"),
        (f"broken off: {KEY[:5]}", "broken off: ***"),
        (f"kept: {KEY[:5]}, {KEY[4:11]}", f"kept: {KEY[:5]}, {KEY[4:11]}"),
        ("nothing of it", "nothing of it"),
        ("", ""),
    ],
)
def test_a_key_and_its_parts_are_removed(text, clean):
    assert without_key(text, KEY) == clean


@given(API_KEYS, st.text(), st.text(), st.sampled_from(["as it is", "JSON", "JSON in PHP", "URL", "HTML"]))
def test_a_key_is_removed_in_each_encoding(key, before, after, encoding):
    spelled = {
        "as it is": key,
        "JSON": json.dumps(key)[1:-1],
        "JSON in PHP": json.dumps(key)[1:-1].replace("/", "\\/"),
        "URL": quote(key, safe=""),
        "HTML": html.escape(key),
    }[encoding]
    clean = without_key(before + spelled + after, key)
    assert len(key) < 4 or spelled not in clean
    assert "***" in clean


@pytest.mark.parametrize("key", ["k", "ab", "abc", "short"])
def test_a_short_key_is_removed_too(key):
    assert without_key(f"[{key}] {key}", key) == "[***] ***"


@pytest.mark.parametrize(
    "key", ["A0123456789abcdefghijklmnopqrstuv", 'k"ey-wi/th=sp&ecia>ls+%41', "abcd/efgh=ijkl+mnop=="]
)
@pytest.mark.parametrize(
    "divider",
    [" ", "\n", "\r\n ", "\0", "\t", "\N{NO-BREAK SPACE}", "\u200b", "\xad", "<wbr>", "<br />\n", "&shy;", "\\n"],
)
@pytest.mark.parametrize("size", [1, 6, 13])
def test_a_key_is_removed_where_a_page_divides_it(key, divider, size):
    divided = divider.join(key[start : start + size] for start in range(0, len(key), size))
    clean = without_key(f"of <b>{divided}</b>, {divided}.", key)
    assert clean == f"of <b>{MASK}</b>, {MASK}."


@given(st.text(), st.sampled_from(["A0123456789abcdefghijklmnopqrstuv", "k"]))
def test_a_text_without_a_key_stays_as_it_is(text, key):
    assume(not any(one in text.lower() for one in key.lower()))
    assert without_key(text, key) == text

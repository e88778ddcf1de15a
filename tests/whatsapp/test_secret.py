from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import re

import pytest

from airflow_provider_kaleyra.whatsapp.account import Account
from airflow_provider_kaleyra.whatsapp.message import VideoMessage
from airflow_provider_kaleyra.whatsapp.request import check_request, upload_request, video_request
from airflow_provider_kaleyra.whatsapp.secret import Secret

KEY = "a-very-secret-key"
ACCOUNT = Account(
    sid="HXAP2142XX",
    api_key=Secret(KEY),
    base_url="https://api.in.kaleyra.io",
    business_phone_number="+918631235920",
)
REQUEST = video_request(ACCOUNT, VideoMessage(to="+919876543210", media_id="1"))
HOLDERS = [
    ACCOUNT.api_key,
    ACCOUNT,
    REQUEST,
    check_request(ACCOUNT),
    upload_request(ACCOUNT),
    REQUEST.headers,
    [REQUEST.headers | {"more": "1"}],
]


def shown_forms(value: object) -> list[str]:
    return [
        repr(value),
        str(value),
        f"{value}",
        f"{value!r}",
        "%s %r" % (value, value),  # noqa: UP031 - as logging formats it
        repr(copy.copy(value)),
        repr(copy.deepcopy(value)),
        json.dumps(value, default=repr) if not isinstance(value, dict | list) else "",
        repr(dataclasses.asdict(value)) if dataclasses.is_dataclass(value) else "",
        repr(getattr(value, "__dict__", None)),
    ]


@pytest.mark.parametrize("value", HOLDERS, ids=lambda value: type(value).__name__)
def test_no_text_form_of_a_value_with_the_key_shows_it(value):
    assert [text for text in shown_forms(value) if KEY in text] == []


@pytest.mark.parametrize("value", [*HOLDERS, ACCOUNT.api_key.reveal()], ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_the_key_is_not_pickled(value, protocol):
    with pytest.raises(TypeError, match="cannot be pickled") as error:
        pickle.dumps(value, protocol)
    assert KEY not in str(error.value)


def test_the_header_contains_the_key():
    value = REQUEST.headers["api-key"]
    assert (value, str(value), f"{value}", value.encode("latin-1")) == (KEY, KEY, KEY, KEY.encode())


def test_secrets_are_equal_if_their_texts_are():
    assert Secret(KEY) == Secret(KEY) != Secret("other")
    assert len({Secret(KEY), Secret(KEY), Secret("other")}) == 2
    assert Secret(KEY) != KEY
    assert copy.deepcopy(ACCOUNT) == ACCOUNT


def test_a_secret_matches_as_a_whole():
    assert Secret("abc").matches(re.compile("[a-c]+"))
    assert not Secret("abcd").matches(re.compile("[a-c]+"))


@pytest.mark.parametrize(
    "quoted",
    ['k"1<&\\/+', 'k\\"1<&\\\\/+', "k&quot;1&lt;&amp;\\/+", "k%221%3C%26%5C%2F%2B"],
    ids="as it is,JSON,HTML,URL".split(","),
)
def test_a_quoted_secret_is_hidden_however_it_is_escaped(quoted):
    assert Secret('k"1<&\\/+').hidden_in(f"api-key: {quoted}.") == "api-key: ***."


def test_any_text_can_be_a_secret():
    assert Secret("").hidden_in("text") == "text"
    assert Secret("\ud800").hidden_in("a\ud800b") == "a***b"


def test_an_account_wraps_a_key_of_plain_text():
    assert Account(sid="S", api_key=KEY, base_url="https://api.in.kaleyra.io").api_key == Secret(KEY)

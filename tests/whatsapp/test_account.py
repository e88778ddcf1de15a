from __future__ import annotations

import pytest

from airflow_provider_kaleyra.whatsapp.account import POD_BASE_URLS, Account
from airflow_provider_kaleyra.whatsapp.validation import BrokenRule


def account(**fields: str) -> Account:
    return Account(**{"sid": "HXAP16XXXXXX97IN", "api_key": "a-key", "base_url": POD_BASE_URLS["in"]} | fields)


def test_messages_url_keeps_the_plus_of_the_business_number():
    assert (
        account().messages_url("+919876543210")
        == "https://api.in.kaleyra.io/v2/HXAP16XXXXXX97IN/whatsapp/+919876543210/messages"
    )


def test_repr_hides_the_api_key():
    assert "a-key" not in repr(account())


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:8089", "http://[::1]:8089", "http://localhost:8089/"])
def test_plain_http_is_for_loopback(base_url):
    assert account(base_url=base_url).base_url == base_url.rstrip("/")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sid", ""),
        ("sid", "../other"),
        ("sid", "a b"),
        ("sid", "..."),
        ("api_key", ""),
        ("api_key", "two words"),
        ("api_key", "key\r\nX-Other: header"),
        ("api_key", "ключ"),
        ("api_key", "***"),
        ("base_url", "http://api.in.kaleyra.io"),
        ("base_url", "http://10.0.0.1"),
        ("base_url", "ftp://api.in.kaleyra.io"),
        ("base_url", "api.in.kaleyra.io"),
        ("base_url", "https://"),
        ("base_url", "https://user:secret@api.in.kaleyra.io"),
        ("base_url", "https://api.in.kaleyra.io?a=b"),
        ("base_url", "https://api.in.kaleyra.io/#x"),
        ("base_url", "https://api.in.kaleyra.io\\@elsewhere"),
        ("base_url", "https://api.in kaleyra.io"),
        ("base_url", "https://[::1"),
        ("base_url", "https://1\0.2"),
        ("base_url", "https://api.in.kaleyra.io\x7f"),
        ("base_url", "https://api.in.kaleyra.io:port"),
        ("base_url", "https://api.ín.kaleyra.io"),
        ("business_phone_number", "9876543210"),
    ],
)
def test_an_unusable_value_is_named(field, value):
    with pytest.raises(BrokenRule) as broken:
        account(**{field: value})
    assert broken.value.field == field
    assert "secret" not in str(broken.value)
    if field == "api_key" and value.strip("*"):
        assert value not in str(broken.value)


@pytest.mark.parametrize("url", ["https://me:secret@[bad", "https://me:secret@api:99999", "https://me:secret@api/"])
def test_a_password_in_the_url_is_not_shown(url):
    with pytest.raises(BrokenRule) as broken:
        account(base_url=url)
    assert "secret" not in str(broken.value)

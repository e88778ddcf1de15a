from __future__ import annotations

import pytest

from airflow_provider_kaleyra.whatsapp.account import Account
from airflow_provider_kaleyra.whatsapp.message import VideoMessage
from airflow_provider_kaleyra.whatsapp.request import Request, video_request
from airflow_provider_kaleyra.whatsapp.validation import BrokenRule

ACCOUNT = Account(
    sid="HXAP2142XX", api_key="a-key", base_url="https://api.in.kaleyra.io", business_phone_number="+918631235920"
)


def request(account: Account = ACCOUNT, sender: str | None = None, **fields: str) -> Request:
    return video_request(account, VideoMessage(**{"to": "+919876543210", "media_id": "1"} | fields), sender)


def test_headers_are_those_of_the_page():
    assert request().headers == {
        "Content-Type": "application/json",
        "api-key": "a-key",
        "cache-control": "no-cache",
    }


def test_the_sender_of_the_call_overrides_the_accounts():
    assert request(sender="+14155550100").url.endswith("/whatsapp/+14155550100/messages")


@pytest.mark.parametrize("sender", [None, "12"])
def test_a_sender_is_required(sender):
    account = Account(sid="S", api_key="k", base_url="https://api.in.kaleyra.io")
    with pytest.raises(BrokenRule, match="business_phone_number"):
        request(account, sender)


def test_the_fingerprint_depends_on_url_and_body_only():
    other_key = Account(sid="HXAP2142XX", api_key="b", base_url=ACCOUNT.base_url, business_phone_number="+918631235920")
    assert request().fingerprint == request(other_key).fingerprint
    assert len({request().fingerprint, request(ref="r").fingerprint, request(sender="+14155550100").fingerprint}) == 3


def test_the_text_of_a_request_hides_the_key_and_the_numbers():
    text = str(request(caption="Diwali"))
    assert "Diwali" in text
    assert "api-key: ***" in text
    assert not any(secret in text + repr(request()) for secret in ("a-key", "9876543210", "863123592"))


@pytest.mark.parametrize(
    "text",
    [
        "+91 98765 43210",
        "91-98765-43210",
        "9876543210",
        "098765 43210",
        "00919876543210",
        "+91 (987) 654-3210",
        "+91\N{NO-BREAK SPACE}98765\N{NO-BREAK SPACE}43210",
        "+91.98.76.54.32.10",
    ],
)
def test_a_number_is_masked_however_its_digits_are_grouped(text):
    account = Account(sid="HX1", api_key="a-key", base_url="https://a.b", business_phone_number="+12025550100")
    clean = video_request(account, VideoMessage(to="+919876543210", media_id="42")).redacted(f"no {text}, id 7654321")
    assert clean.removeprefix("no ").removeprefix("0") == "+91********10, id 7654321"

"""HTTP requests to Kaleyra, apart from sending them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_kaleyra.whatsapp.phone_number import masked, require_e164
from airflow_provider_kaleyra.whatsapp.redaction import without_key
from airflow_provider_kaleyra.whatsapp.rules import BrokenRule

if TYPE_CHECKING:
    from airflow_provider_kaleyra.whatsapp.account import Account
    from airflow_provider_kaleyra.whatsapp.message import VideoMessage


@dataclass(frozen=True, kw_only=True, repr=False)
class Request:
    """A request to Kaleyra, ready to leave.

    :param body: what is posted; empty where the request only reads.
    :param api_key: what of it no log or error may show.
    :param numbers: what of it they may show masked: recipient and sender.
    """

    url: str
    headers: dict[str, str]
    body: bytes = b""
    api_key: str
    numbers: tuple[str, ...]

    @property
    def method(self) -> str:
        """POST where there is a body."""
        return "POST" if self.body else "GET"

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of URL and body: the same for the same message, whatever the API key."""
        return hashlib.sha256(self.url.encode() + b"\n" + self.body).hexdigest()

    def redacted(self, text: str) -> str:
        """*text* without the secrets that this request holds."""
        text = without_key(text, self.api_key)
        for number in self.numbers:
            # It may be quoted with its + or without.
            text = text.replace(number, masked(number)).replace(number.removeprefix("+"), masked(number))
        return text

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.redacted(self.url)}>"

    def __str__(self) -> str:
        """The request as a person may see it: key hidden, recipient masked."""
        headers = "".join(f"{name}: {value}\n" for name, value in self.headers.items())
        body = json.dumps(json.loads(self.body), indent=2, ensure_ascii=False) if self.body else ""
        return self.redacted(f"{self.method} {self.url}\n{headers}\n{body}")


def video_request(account: Account, message: VideoMessage, business_phone_number: str | None = None) -> Request:
    """Build the request that sends *message* from *account*.

    :param business_phone_number: the sender, where it is not the account's own default.
    :raises BrokenRule: where no sender is known, or the one given is not E.164.
    """
    sender = _sender(account, business_phone_number)
    return Request(
        url=account.messages_url(sender),
        headers={"Content-Type": "application/json", **account.headers},
        body=message.body(),
        api_key=account.api_key,
        numbers=(message.to, sender),
    )


def checkup_request(account: Account) -> Request:
    """Build the request that proves the account without sending anything."""
    number = account.business_phone_number
    return Request(
        url=account.checkup_url,
        headers=account.headers,
        api_key=account.api_key,
        numbers=(number,) if number else (),
    )


def upload_request(account: Account, business_phone_number: str | None = None) -> Request:
    """Build what an upload needs beside the file.

    :param business_phone_number: the number that will send the media, where it is not the account's own default.
    :raises BrokenRule: where no number is known, or the one given is not E.164.
    """
    sender = _sender(account, business_phone_number)
    return Request(
        url=account.media_url(sender),
        headers=account.headers,
        api_key=account.api_key,
        numbers=(sender,),
    )


def _sender(account: Account, business_phone_number: str | None) -> str:
    sender = business_phone_number or account.business_phone_number
    if sender is None:
        raise BrokenRule("business_phone_number", "given: it is the sender", "none")
    return require_e164("business_phone_number", sender)

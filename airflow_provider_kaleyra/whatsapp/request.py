"""HTTP requests to Kaleyra as values, which the transports send.

Page: https://developers.kaleyra.io/docs/whatsapp_api_v2_send-video-messages
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_kaleyra.whatsapp.phone_number import hidden_number, require_e164
from airflow_provider_kaleyra.whatsapp.redaction import MASK
from airflow_provider_kaleyra.whatsapp.validation import BrokenRule, text_or_none

if TYPE_CHECKING:
    from airflow_provider_kaleyra.whatsapp.account import Account
    from airflow_provider_kaleyra.whatsapp.message import Message
    from airflow_provider_kaleyra.whatsapp.secret import Secret

GIVEN_SENDER = "argument business_phone_number"
"""The field of a broken rule if the sender is not the account's."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Request:
    """A request to Kaleyra.

    :param body: the JSON to post; empty if the request only reads, or if the body is a file.
    :param api_key: sent as a header, and hidden in every log and error.
    :param numbers: the recipient's and the sender's numbers, which logs and errors show masked.
    """

    url: str
    body: bytes = b""
    api_key: Secret
    numbers: tuple[str, ...]

    @property
    def method(self) -> str:
        """Return POST if there is a body, else GET."""
        return "POST" if self.body else "GET"

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers to send. They contain the API key, so build them only to send them, and never log them."""
        return {**self._plain_headers, "api-key": self.api_key.reveal()}

    @property
    def _plain_headers(self) -> dict[str, str]:
        content_type = {"Content-Type": "application/json"} if self.body else {}
        return {**content_type, "cache-control": "no-cache"}

    @property
    def fingerprint(self) -> str:
        """Return the SHA-256 of URL and body: the same for the same message, whatever the API key."""
        return hashlib.sha256(self.url.encode() + b"\n" + self.body).hexdigest()

    def redacted(self, text: str) -> str:
        """Return *text* without the API key, and with this request's numbers masked."""
        text = self.api_key.hidden_in(text)
        for number in self.numbers:
            text = hidden_number(text, number)
        return text

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.redacted(self.url)}>"

    def __str__(self) -> str:
        """Return the request for a log: API key hidden, numbers masked."""
        headers = self._plain_headers | {"api-key": MASK}
        lines = "".join(f"{name}: {value}\n" for name, value in headers.items())
        body = json.dumps(json.loads(self.body), indent=2, ensure_ascii=False) if self.body else ""
        return self.redacted(f"{self.method} {self.url}\n{lines}\n{body}")


def video_request(account: Account, message: Message, business_phone_number: str | None = None) -> Request:
    """Build the request that sends *message* from *account*.

    :param business_phone_number: the sender; by default the account's.
    :raises BrokenRule: there is no sender, or the one given is not E.164.
    """
    sender = sender_of(account, business_phone_number)
    return Request(
        url=account.messages_url(sender),
        body=message.body(),
        api_key=account.api_key,
        numbers=(message.to, sender),
    )


def check_request(account: Account) -> Request:
    """Build the request that checks the account without sending anything."""
    number = account.business_phone_number
    return Request(
        url=account.check_url,
        api_key=account.api_key,
        numbers=(number,) if number else (),
    )


def upload_request(account: Account, business_phone_number: str | None = None) -> Request:
    """Build the request of an upload, without the file.

    :param business_phone_number: the number that will send the media; by default the account's.
    :raises BrokenRule: there is no number, or the one given is not E.164.
    """
    sender = sender_of(account, business_phone_number)
    return Request(
        url=account.media_url(sender),
        api_key=account.api_key,
        numbers=(sender,),
    )


def sender_of(account: Account, business_phone_number: str | None) -> str:
    """Return the sender's number: the one given, by default the account's.

    :raises BrokenRule: there is no sender, or the one given is not E.164.
    """
    given = text_or_none(GIVEN_SENDER, business_phone_number)
    if given is not None:
        return require_e164(GIVEN_SENDER, given)
    if account.business_phone_number is None:
        raise BrokenRule("business_phone_number", "given: it is the sender", "none")
    return account.business_phone_number

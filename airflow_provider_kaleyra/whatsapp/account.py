"""A Kaleyra account: where its requests go, and the API key that authenticates them."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from airflow_provider_kaleyra.whatsapp.phone_number import require_e164
from airflow_provider_kaleyra.whatsapp.secret import Secret
from airflow_provider_kaleyra.whatsapp.validation import BrokenRule, shown

# The seed page lists in, sg and eu. Newer pages say api.kaleyra.io for sg, and are alone in naming na
# (most say .ai, some .io): the base URL overrides what stands here.
POD_BASE_URLS = {
    "in": "https://api.in.kaleyra.io",
    "sg": "https://api.ap.kaleyra.io",
    "eu": "https://api.eu.kaleyra.io",
    "na": "https://api.na.kaleyra.ai",
}
DEFAULT_POD = "in"

# Both end up in the URL or a header as they are: what cannot stand there must not reach it.
_SID = re.compile(r"[A-Za-z0-9_.-]*[A-Za-z0-9][A-Za-z0-9_.-]*")
_API_KEY = re.compile(r"[!-~]+")
_MASK = re.compile(r"\*+")


@dataclass(frozen=True, kw_only=True)
class Account:
    """One account at Kaleyra.

    :param sid: the account's SID, part of every URL.
    :param api_key: sent as the ``api-key`` header and shown nowhere; plain text is wrapped.
    :param base_url: ``https://<api_domain>``; ``http`` only to a loopback address.
    :param business_phone_number: the account's own WhatsApp number, the sender, in E.164.
    :raises BrokenRule: where one of them cannot be used.
    """

    sid: str
    api_key: Secret
    base_url: str
    business_phone_number: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.api_key, Secret):
            object.__setattr__(self, "api_key", Secret(self.api_key))
        if not _SID.fullmatch(self.sid):
            raise BrokenRule("sid", "letters and digits, such as HXAP16XXXXXX97IN", shown(self.sid))
        masked = self.api_key.matches(_MASK)
        if masked or not self.api_key.matches(_API_KEY):
            raise BrokenRule(
                "api_key",
                "the key from Kaleyra's console, printable characters without blanks",
                "a mask of asterisks" if masked else "something else",
            )
        object.__setattr__(self, "base_url", _require_base_url(self.base_url))
        if self.business_phone_number is not None:
            number = require_e164("business_phone_number", self.business_phone_number)
            object.__setattr__(self, "business_phone_number", number)

    def messages_url(self, business_phone_number: str) -> str:
        """Where messages from that number are posted; its ``+`` stays as it is, as on Kaleyra's page."""
        return f"{self.base_url}/v2/{self.sid}/whatsapp/{business_phone_number}/messages"

    def media_url(self, business_phone_number: str) -> str:
        """Where media that the number may send are uploaded."""
        return f"{self.base_url}/v2/{self.sid}/whatsapp/{business_phone_number}/media"

    @property
    def check_url(self) -> str:
        """Where SID and key, and the account's number if it has one, are proved without sending anything."""
        if self.business_phone_number is None:
            return f"{self.base_url}/v1/{self.sid}/callback/profiles?limit=1&offset=0"
        return f"{self.base_url}/v2/{self.sid}/whatsapp/{self.business_phone_number}/phone_number_details"


def _require_base_url(url: str) -> str:
    rule = "https://<api_domain>, such as https://api.in.kaleyra.io (http only to a loopback address)"
    url = url.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
        url.encode("ascii")
    except ValueError:
        parts = None
    if "@" in (url if parts is None else parts.netloc):  # which may follow a password
        raise BrokenRule("base_url", rule, "one with a user name or password in it")
    if parts is None:
        raise BrokenRule("base_url", rule, shown(url))
    plain = parts.scheme == "http" and _is_loopback(host)
    usable = host and (parts.scheme == "https" or plain) and not re.search(r"[\0-\x20\x7f?#\\]", url)
    if not usable:
        raise BrokenRule("base_url", rule, shown(url))
    return url


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False

"""A Kaleyra account: its URLs, and the API key that authenticates requests.

Pages: https://developers.kaleyra.io/docs/whatsapp_api_v2_send-video-messages,
https://developers.kaleyra.io/docs/whatsapp-api-v2-upload-media-files,
https://developers.kaleyra.io/docs/fetch-phone-number-details-api,
https://developers.kaleyra.io/docs/platform-apis-get-callback-profiles-detail
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from airflow_provider_kaleyra.whatsapp.phone_number import require_e164
from airflow_provider_kaleyra.whatsapp.secret import Secret
from airflow_provider_kaleyra.whatsapp.validation import BrokenRule, shown

# The page "Send Video Messages" lists in, sg and eu. Newer pages list api.kaleyra.io for sg, and only they list na
# (most with .ai, some with .io). A base URL overrides this table.
POD_BASE_URLS = {
    "in": "https://api.in.kaleyra.io",
    "sg": "https://api.ap.kaleyra.io",
    "eu": "https://api.eu.kaleyra.io",
    "na": "https://api.na.kaleyra.ai",
}
DEFAULT_POD = "in"

# Both are put into the URL or a header unchanged, so they must not contain what is invalid there.
_SID = re.compile(r"[A-Za-z0-9_.-]*[A-Za-z0-9][A-Za-z0-9_.-]*")
_API_KEY = re.compile(r"[!-~]+")
_MASK = re.compile(r"\*+")


@dataclass(frozen=True, kw_only=True)
class Account:
    """One account at Kaleyra.

    :param sid: the account's SID, part of every URL.
    :param api_key: the API key, sent as the ``api-key`` header; plain text is wrapped in a :class:`Secret`.
    :param base_url: the URL ``https://<api_domain>``; ``http`` only to a loopback address.
    :param business_phone_number: the account's own WhatsApp number, the sender, in E.164.
    :raises BrokenRule: a value cannot be used.
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
        """Return the URL for messages from that number, whose ``+`` is not encoded, as on Kaleyra's page."""
        return f"{self.base_url}/v2/{self.sid}/whatsapp/{business_phone_number}/messages"

    def media_url(self, business_phone_number: str) -> str:
        """Return the URL for uploads of media that the number sends."""
        return f"{self.base_url}/v2/{self.sid}/whatsapp/{business_phone_number}/media"

    @property
    def check_url(self) -> str:
        """Return the URL that checks SID and key, and the account's number if it has one, without sending anything."""
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
    if "@" in (url if parts is None else parts.netloc):  # there may be a password before it
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

"""The meaning of a rejection: its cause, whether a retry can help, what to do.

The codes are those of https://developers.kaleyra.io/docs/whatsapp_api_v2_send-video-messages,
https://developers.kaleyra.io/docs/whatsapp-api-v2-error-codes-for-send-message and, for WA429,
https://developers.kaleyra.io/docs/whatsapp-api-v2-error-codes-for-template; the statuses 429 and 503 are those of
https://developers.kaleyra.io/docs/capacity-and-messaging-limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

SUCCESS_CODES = frozenset({"WA200", "WA202"})


class Cause(Enum):
    """What has to change before the request can be accepted."""

    MESSAGE = "the message"
    """The same message is always rejected. Only a code that Kaleyra documents says so."""

    ACCOUNT = "the account, its Connection, or the network's settings"
    """Every message of the account is rejected."""

    KALEYRA = "Kaleyra's state"
    """Kaleyra accepts the message later."""

    GATEWAY = "a proxy, firewall or gateway"
    """The response is not Kaleyra's own; other messages may be accepted."""


@dataclass(frozen=True)
class Failure:
    """The meaning of one kind of rejection.

    :param retry_helps: whether the same request can succeed later without a fix.
    :param advice: the cause and what to do, as text for a person.
    :param cause: what has to change before the request can be accepted.
    """

    retry_helps: bool
    advice: str
    cause: Cause

    @property
    def of_the_account(self) -> bool:
        """Whether every message of the account is rejected."""
        return self.cause is Cause.ACCOUNT


_BY_CODE = {
    "RBC001": Failure(
        False,
        "The Connection is at fault: compare its login (SID), password (API key) and pod with Kaleyra's console.",
        Cause.ACCOUNT,
    ),
    "WA401": Failure(
        False,
        "The sender is at fault: business_phone_number is not a WhatsApp number of this account.",
        Cause.ACCOUNT,
    ),
    "WA-401": Failure(
        False,
        "The account is at fault: the API is not enabled for it, or its number belongs to another version of "
        "the API. Ask Kaleyra's support.",
        Cause.ACCOUNT,
    ),
    "WA400": Failure(False, "The message is at fault: compare its fields with Kaleyra's page.", Cause.MESSAGE),
    "WA429": Failure(True, "Too many requests: send more slowly.", Cause.KALEYRA),
    "WA500": Failure(True, "Kaleyra is at fault, and asks to try again later.", Cause.KALEYRA),
    "E110": Failure(True, "The account's balance is too low: top it up.", Cause.ACCOUNT),
    "WAV2101": Failure(
        False,
        "The account has reached its daily limit: send again tomorrow, or ask Kaleyra to raise the limit.",
        Cause.ACCOUNT,
    ),
}
_FOREIGN = (
    "Kaleyra documents no such response: check the proxies, firewalls and gateways on the way to Kaleyra; if it is "
    "Kaleyra's own, ask its support."
)
_BY_STATUS = {
    401: Failure(False, _FOREIGN, Cause.ACCOUNT),
    403: Failure(False, _FOREIGN, Cause.ACCOUNT),
    404: Failure(
        False,
        "The address is at fault: compare the Connection's pod or host with Kaleyra's console.",
        Cause.ACCOUNT,
    ),
    407: Failure(
        False,
        "The proxy between Airflow and Kaleyra asks for credentials: fix the proxy settings.",
        Cause.ACCOUNT,
    ),
    425: Failure(True, "A gateway was not ready to pass the request on: try again.", Cause.GATEWAY),
    429: Failure(True, "Too many requests: send more slowly.", Cause.KALEYRA),
    503: Failure(True, "The server is overloaded: try again later.", Cause.KALEYRA),
}
_REDIRECT = Failure(
    False,
    "Redirects are not followed, because the API key would go along: set the Connection's host to the API domain "
    "that Kaleyra's console shows.",
    Cause.ACCOUNT,
)


def known_code(code: object) -> bool:
    """Return whether Kaleyra documents the code as a failure, in exactly this spelling."""
    return isinstance(code, str) and code in _BY_CODE


def failure_for(code: str | None, http_status: int) -> Failure:
    """Return the meaning of a rejection, by its code if Kaleyra documents it, otherwise by its HTTP status."""
    if code in _BY_CODE:
        return _BY_CODE[code]
    if 300 <= http_status < 400:
        return _REDIRECT
    return _BY_STATUS.get(http_status) or Failure(False, _FOREIGN, Cause.GATEWAY)

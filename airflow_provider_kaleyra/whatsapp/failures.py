"""What Kaleyra's failures mean to the sender: whose fault each is, whether a retry can help.

The codes are those of "Send Video Messages" and "WhatsApp API v2 error codes for send message"; 429 and 503 are
those of "Capacity and messaging limits".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

SUCCESS_CODES = frozenset({"WA200", "WA202"})


@dataclass(frozen=True)
class Failure:
    """What is known of one kind of failure.

    :param retry_helps: whether the same request can succeed later, with nothing mended in between.
    :param advice: who is at fault, what to do next.
    :param of_the_account: whether every message of the account would be refused alike.
    """

    retry_helps: bool
    advice: str
    of_the_account: bool = False


_BY_CODE = {
    "RBC001": Failure(
        False,
        "The Connection is at fault: compare its login (SID), password (API key) and pod with Kaleyra's console.",
        of_the_account=True,
    ),
    "WA401": Failure(
        False,
        "The sender is at fault: business_phone_number is not a WhatsApp number of this account.",
        of_the_account=True,
    ),
    "WA-401": Failure(
        False,
        "The account is at fault: the API is not enabled for it, or its number belongs to another version of "
        "the API. Ask Kaleyra's support.",
        of_the_account=True,
    ),
    "WA400": Failure(False, "The message is at fault: compare its fields with Kaleyra's page."),
    "WA500": Failure(True, "Kaleyra is at fault, and asks to try again later."),
    "E110": Failure(True, "The account's balance is too low: top it up.", of_the_account=True),
    "WAV2101": Failure(
        False,
        "The account has reached its daily limit: send again tomorrow, or ask Kaleyra to raise the limit.",
        of_the_account=True,
    ),
}
_UNDOCUMENTED = Failure(False, "Kaleyra documents no such answer: ask its support with the code and the message.")
_BY_STATUS = {
    401: replace(_UNDOCUMENTED, of_the_account=True),
    403: replace(_UNDOCUMENTED, of_the_account=True),
    404: Failure(
        False,
        "The address is at fault: compare the Connection's pod or host with Kaleyra's console.",
        of_the_account=True,
    ),
    407: Failure(
        False,
        "The proxy between Airflow and Kaleyra asks for credentials: mend the proxy settings.",
        of_the_account=True,
    ),
    429: Failure(True, "Too many requests: send more slowly."),
    503: Failure(True, "Kaleyra is overloaded: try again later."),
}
_REDIRECT = Failure(
    False,
    "Redirects are not followed, because the API key would go along: set the Connection's host to the API domain "
    "that Kaleyra's console shows.",
    of_the_account=True,
)
_SERVER = Failure(True, "Kaleyra is at fault: try again later.")


def known_code(code: str | None) -> bool:
    """Whether Kaleyra documents the code as a failure."""
    return code in _BY_CODE


def failure_for(code: str | None, http_status: int) -> Failure:
    """What a failure means: the code decides where it is documented, the HTTP status where not."""
    if code in _BY_CODE:
        return _BY_CODE[code]
    if http_status in _BY_STATUS:
        return _BY_STATUS[http_status]
    if 300 <= http_status < 400:
        return _REDIRECT
    return _SERVER if http_status >= 500 else _UNDOCUMENTED

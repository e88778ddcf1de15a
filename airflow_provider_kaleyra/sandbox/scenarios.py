"""The scenarios: a recipient's number selects the response to a message, a file's name the response to an upload."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from airflow_provider_kaleyra.sandbox import responses
from airflow_provider_kaleyra.sandbox.responses import MESSAGE_ID, ResponseData

SLOW_SECONDS = 3.0

REDIRECT_TARGET = "<redirect target>"
"""Placeholder in a header for the URL that the sandbox was started with."""


class Ending(Enum):
    """How a request ends."""

    RESPONSE = "response"
    CLOSED = "closed"
    HUNG = "hung"


@dataclass(frozen=True)
class Scenario:
    """The behaviour that one recipient's number selects.

    :param what_happens: description that ``/sandbox/scenarios`` shows.
    :param accepts: whether the sandbox accepts the message, whatever the client receives.
    :param response: response that the client receives, if the ending is a response.
    :param after_seconds: delay before the response.
    :param once: whether the same message is accepted the next time.
    """

    number: str
    name: str
    what_happens: str
    accepts: bool = False
    response: ResponseData = responses.ACCEPTED
    ending: Ending = Ending.RESPONSE
    after_seconds: float = 0.0
    once: bool = False


DEFAULT_SCENARIO = Scenario("", "", "Accepted.", accepts=True)
"""The scenario of every number that is not in the table."""


def _redirect(status: int) -> ResponseData:
    return ResponseData(status, "", responses.TEXT, (("Location", REDIRECT_TARGET),))


# The last digits are the status or the code, the digits before them a variant. +999 has no real numbers.
SCENARIOS = (
    # Failures of the page "Send Video Messages".
    Scenario(
        "+999000000401",
        "wrong-sid-or-key",
        "401 RBC001: incorrect SID or API key.",
        response=responses.WRONG_SID_OR_KEY,
    ),
    Scenario(
        "+999000001401",
        "wrong-business-number",
        "401 WA401: the business number is missing or not the account's.",
        response=responses.WRONG_BUSINESS_NUMBER,
    ),
    Scenario(
        "+999000002401",
        "account-not-enabled",
        "401 WA-401: the API is not available to this customer.",
        response=responses.ACCOUNT_NOT_ENABLED,
    ),
    Scenario(
        "+999000003401",
        "number-of-other-version",
        "401 WA-401: the business number belongs to another version of the API.",
        response=responses.WRONG_VERSION,
    ),
    Scenario(
        "+999000000400",
        "incorrect-payload",
        "400 WA400: incorrect payload.",
        response=responses.INCORRECT_PAYLOAD,
    ),
    Scenario(
        "+999000000110",
        "low-balance",
        "400 E110: the balance is too low.",
        response=responses.LOW_BALANCE,
    ),
    Scenario(
        "+999000000500",
        "internal-error",
        "500 WA500: internal error, in Kaleyra's envelope.",
        response=responses.INTERNAL_ERROR,
    ),
    # Failures that other pages document.
    Scenario(
        "+999000002101",
        "daily-limit",
        "400 WAV2101: the account's daily limit is reached.",
        response=responses.DAILY_LIMIT,
    ),
    Scenario(
        "+999000000429",
        "too-many-requests",
        "429 without Retry-After.",
        response=responses.TOO_MANY_REQUESTS,
    ),
    Scenario(
        "+999000001429",
        "too-many-requests-retry-after",
        "429 with Retry-After: 2, each time.",
        response=responses.TOO_MANY_REQUESTS.with_header("Retry-After", "2"),
    ),
    Scenario(
        "+999000002429",
        "too-many-requests-once",
        "429 with Retry-After: 1, then the same message is accepted.",
        response=responses.TOO_MANY_REQUESTS.with_header("Retry-After", "1"),
        once=True,
    ),
    Scenario(
        "+999000003429",
        "too-many-requests-for-long",
        "429 with Retry-After: 120, longer than a task waits.",
        response=responses.TOO_MANY_REQUESTS.with_header("Retry-After", "120"),
    ),
    Scenario(
        "+999000000503",
        "overloaded",
        "503 without Retry-After.",
        response=responses.OVERLOADED,
    ),
    Scenario(
        "+999000001503",
        "overloaded-retry-after",
        "503 with Retry-After: 2, each time.",
        response=responses.OVERLOADED.with_header("Retry-After", "2"),
    ),
    # Responses of a proxy between the client and Kaleyra.
    Scenario(
        "+999000001500",
        "internal-error-html",
        "500 as an HTML page, not in Kaleyra's envelope. Not accepted.",
        response=responses.html_page(500, "500 Internal Server Error"),
    ),
    Scenario(
        "+999000000502",
        "bad-gateway",
        "502 as an HTML page. Not accepted.",
        response=responses.html_page(502, "502 Bad Gateway"),
    ),
    Scenario(
        "+999000000504",
        "gateway-timeout",
        "504 as an HTML page. Not accepted.",
        response=responses.html_page(504, "504 Gateway Time-out"),
    ),
    Scenario(
        "+999000000302",
        "redirect-302",
        "302 to the URL that --redirect-to names. Not accepted.",
        response=_redirect(302),
    ),
    Scenario(
        "+999000000307",
        "redirect-307",
        "307 to the URL that --redirect-to names. Not accepted.",
        response=_redirect(307),
    ),
    # No response, or a late one.
    Scenario(
        "+999000000901",
        "hang",
        "Not accepted; no response until the client disconnects.",
        ending=Ending.HUNG,
    ),
    Scenario(
        "+999000001901",
        "hang-after-accepting",
        "Accepted; no response until the client disconnects.",
        accepts=True,
        ending=Ending.HUNG,
    ),
    Scenario(
        "+999000000902",
        "close-before-accepting",
        "Not accepted; the connection is closed without a response.",
        ending=Ending.CLOSED,
    ),
    Scenario(
        "+999000000903",
        "close-after-accepting",
        "Accepted; the connection is closed without a response.",
        accepts=True,
        ending=Ending.CLOSED,
    ),
    Scenario(
        "+999000000904",
        "slow-response",
        f"Accepted at once; the response comes after {SLOW_SECONDS:.0f} seconds.",
        accepts=True,
        after_seconds=SLOW_SECONDS,
    ),
    # A 2xx response that is not the documented one.
    Scenario(
        "+999000000202",
        "accepted-invalid-json",
        "Accepted; the response is the sample on Kaleyra's page, which is not valid JSON.",
        accepts=True,
        response=responses.ACCEPTED_INVALID_JSON,
    ),
    Scenario(
        "+999000001202",
        "accepted-empty-body",
        "Accepted; the response is 202 with an empty body.",
        accepts=True,
        response=ResponseData(202, ""),
    ),
    Scenario(
        "+999000000200",
        "accepted-wa200",
        "Accepted; the response is 200 WA200 instead of 202 WA202.",
        accepts=True,
        response=responses.envelope(200, "WA200", "Request Accepted", {"message_id": MESSAGE_ID}, {}),
    ),
    Scenario(
        "+999000001200",
        "failure-in-200",
        "Not accepted; the response is 200 with the failure E110 in its body.",
        response=ResponseData(200, responses.LOW_BALANCE.body),
    ),
)

_BY_NUMBER = {scenario.number: scenario for scenario in SCENARIOS}
_BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def scenario_of(recipient: str) -> Scenario:
    """Return the scenario of a message to *recipient*."""
    return _BY_NUMBER.get(recipient, DEFAULT_SCENARIO)


def scenario_of_upload(file_name: str) -> Scenario:
    """Return the scenario of an upload: ``internal-error.mp4`` selects the scenario ``internal-error``."""
    return _BY_NAME.get(file_name.rpartition(".")[0], DEFAULT_SCENARIO)

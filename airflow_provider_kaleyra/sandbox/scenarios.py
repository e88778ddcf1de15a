"""The table of what happens: to a message by the recipient's number, to an upload by the file's name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from airflow_provider_kaleyra.sandbox import answers
from airflow_provider_kaleyra.sandbox.answers import MESSAGE_ID, Answer

SLOW_SECONDS = 3.0

REDIRECT_TARGET = "<redirect target>"
"""Stands in a header for the address that the sandbox was started with."""


class Ending(Enum):
    """How a request ends."""

    ANSWERED = "answered"
    CLOSED = "closed"
    HUNG = "hung"


@dataclass(frozen=True)
class Scenario:
    """What one recipient's number calls up.

    :param what_happens: for people, who read it at ``/sandbox/scenarios``.
    :param accepts: whether the message reaches the recipient, whatever the client gets to see.
    :param answer: what the client gets to see, where the ending is an answer.
    :param after_seconds: how long the answer takes.
    :param once: whether the same message is accepted, as usual, the next time.
    """

    number: str
    name: str
    what_happens: str
    accepts: bool = False
    answer: Answer = answers.ACCEPTED
    ending: Ending = Ending.ANSWERED
    after_seconds: float = 0.0
    once: bool = False


ORDINARY = Scenario("", "", "Accepted.", accepts=True)
"""What happens to every number that is not in the table."""


def _redirect(status: int) -> Answer:
    return Answer(status, "", answers.TEXT, (("Location", REDIRECT_TARGET),))


# The last digits are the status or the code; the ones before tell variants apart. Nobody owns a number in +999.
SCENARIOS = (
    # The page's failures.
    Scenario(
        "+999000000401",
        "wrong-sid-or-key",
        "401 RBC001: incorrect SID or API key.",
        answer=answers.WRONG_CALLER,
    ),
    Scenario(
        "+999000001401",
        "wrong-business-number",
        "401 WA401: the business number is missing or not the account's.",
        answer=answers.WRONG_NUMBER,
    ),
    Scenario(
        "+999000002401",
        "account-not-enabled",
        "401 WA-401: the API is not available to this customer.",
        answer=answers.WRONG_ACCOUNT,
    ),
    Scenario(
        "+999000003401",
        "number-of-other-version",
        "401 WA-401: the business number belongs to another version of the API.",
        answer=answers.WRONG_VERSION,
    ),
    Scenario(
        "+999000000400",
        "incorrect-payload",
        "400 WA400: incorrect payload.",
        answer=answers.INCORRECT_PAYLOAD,
    ),
    Scenario(
        "+999000000110",
        "low-balance",
        "400 E110: the balance is too low.",
        answer=answers.LOW_BALANCE,
    ),
    Scenario(
        "+999000000500",
        "internal-error",
        "500 WA500: internal error, in Kaleyra's envelope.",
        answer=answers.INTERNAL_ERROR,
    ),
    # Documented elsewhere.
    Scenario(
        "+999000002101",
        "daily-limit",
        "400 WAV2101: the account's daily limit is reached.",
        answer=answers.DAILY_LIMIT,
    ),
    Scenario(
        "+999000000429",
        "too-many-requests",
        "429 without Retry-After.",
        answer=answers.TOO_MANY_REQUESTS,
    ),
    Scenario(
        "+999000001429",
        "too-many-requests-retry-after",
        "429 with Retry-After: 2, each time.",
        answer=answers.TOO_MANY_REQUESTS.with_header("Retry-After", "2"),
    ),
    Scenario(
        "+999000002429",
        "too-many-requests-once",
        "429 with Retry-After: 1, then the same message is accepted.",
        answer=answers.TOO_MANY_REQUESTS.with_header("Retry-After", "1"),
        once=True,
    ),
    Scenario(
        "+999000003429",
        "too-many-requests-for-long",
        "429 with Retry-After: 120, longer than a task would wait.",
        answer=answers.TOO_MANY_REQUESTS.with_header("Retry-After", "120"),
    ),
    Scenario(
        "+999000000503",
        "overloaded",
        "503 without Retry-After.",
        answer=answers.OVERLOADED,
    ),
    Scenario(
        "+999000001503",
        "overloaded-retry-after",
        "503 with Retry-After: 2, each time.",
        answer=answers.OVERLOADED.with_header("Retry-After", "2"),
    ),
    # Something between the client and Kaleyra.
    Scenario(
        "+999000001500",
        "internal-error-html",
        "500 as an HTML page, not in Kaleyra's envelope. Not accepted.",
        answer=answers.page(500, "500 Internal Server Error"),
    ),
    Scenario(
        "+999000000502",
        "bad-gateway",
        "502 as an HTML page. Not accepted.",
        answer=answers.page(502, "502 Bad Gateway"),
    ),
    Scenario(
        "+999000000504",
        "gateway-timeout",
        "504 as an HTML page. Not accepted.",
        answer=answers.page(504, "504 Gateway Time-out"),
    ),
    Scenario(
        "+999000000302",
        "redirect-302",
        "302 to another host, the one that --redirect-to names. Not accepted.",
        answer=_redirect(302),
    ),
    Scenario(
        "+999000000307",
        "redirect-307",
        "307 to another host, the one that --redirect-to names. Not accepted.",
        answer=_redirect(307),
    ),
    # No answer, or a late one.
    Scenario(
        "+999000000901",
        "hang",
        "Not accepted, and no answer until the client leaves.",
        ending=Ending.HUNG,
    ),
    Scenario(
        "+999000001901",
        "hang-after-accepting",
        "Accepted, but no answer until the client leaves.",
        accepts=True,
        ending=Ending.HUNG,
    ),
    Scenario(
        "+999000000902",
        "close-before-accepting",
        "Not accepted: the connection is closed without an answer.",
        ending=Ending.CLOSED,
    ),
    Scenario(
        "+999000000903",
        "close-after-accepting",
        "Accepted, but the connection is closed without an answer.",
        accepts=True,
        ending=Ending.CLOSED,
    ),
    Scenario(
        "+999000000904",
        "slow-answer",
        f"Accepted at once, answered after {SLOW_SECONDS:.0f} seconds.",
        accepts=True,
        after_seconds=SLOW_SECONDS,
    ),
    # A 2xx that is not the documented one.
    Scenario(
        "+999000000202",
        "accepted-invalid-json",
        "Accepted, and answered with the page's own sample, which is not valid JSON.",
        accepts=True,
        answer=answers.ACCEPTED_AS_PRINTED,
    ),
    Scenario(
        "+999000001202",
        "accepted-empty-body",
        "Accepted, and answered with 202 and an empty body.",
        accepts=True,
        answer=Answer(202, ""),
    ),
    Scenario(
        "+999000000200",
        "accepted-wa200",
        "Accepted, and answered with 200 WA200 instead of 202 WA202.",
        accepts=True,
        answer=answers.enveloped(200, "WA200", "Request Accepted", {"message_id": MESSAGE_ID}, {}),
    ),
    Scenario(
        "+999000001200",
        "failure-in-200",
        "Not accepted: 200 whose body is the failure E110.",
        answer=Answer(200, answers.LOW_BALANCE.body),
    ),
)

_BY_NUMBER = {scenario.number: scenario for scenario in SCENARIOS}
_BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def scenario_of(recipient: str) -> Scenario:
    """Look up what happens to a message to *recipient*."""
    return _BY_NUMBER.get(recipient, ORDINARY)


def scenario_of_upload(file_name: str) -> Scenario:
    """Look up what happens to an upload: a file named ``internal-error.mp4`` is answered by that scenario."""
    return _BY_NAME.get(file_name.rpartition(".")[0], ORDINARY)

"""Kaleyra's answers as plain values: word for word those of the page "Send Video Messages"; others are marked."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

MESSAGE_ID = "<message id>"
"""Stands in a body for the id that the accepted message gets."""

JSON = "application/json"
HTML = "text/html; charset=utf-8"
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: str
    media_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()

    def with_message_id(self, message_id: str) -> Answer:
        """Put the accepted message's id where the body has room for it."""
        return replace(self, body=self.body.replace(MESSAGE_ID, message_id))

    def with_header(self, name: str, value: str) -> Answer:
        """Add one header."""
        return replace(self, headers=(*self.headers, (name, value)))


def enveloped(status: int, code: str, message: str, data: object, error: object) -> Answer:
    """Wrap an answer as Kaleyra does: code, message, data, error."""
    return Answer(status, json.dumps({"code": code, "message": message, "data": data, "error": error}))


def page(status: int, title: str) -> Answer:
    """What a proxy in front of Kaleyra might say: HTML, no envelope."""
    return Answer(status, f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>", HTML)


ACCEPTED = enveloped(202, "WA202", "Request Accepted", {"message_id": MESSAGE_ID}, {})

# The page's own sample, with its two missing commas. A JSON parser refuses it.
ACCEPTED_AS_PRINTED = Answer(
    202,
    """{
"code":"WA202"
"message":"Request Accepted",
"data":{
"message_id":"AXXXXXXXXXXXXXXXXXXX"
}
"error":{}
}
""",
)

_WRONG_CALLER = "Incorrect SID or API key."
WRONG_CALLER = enveloped(401, "RBC001", _WRONG_CALLER, [], {"error": _WRONG_CALLER})

_WRONG_NUMBER = "Phone number is not present or does not belong to the account."
WRONG_NUMBER = enveloped(401, "WA401", _WRONG_NUMBER, {}, {"phone_number": _WRONG_NUMBER})

_PAYLOAD_ERROR = {"payload": "Incorrect payload format"}
INCORRECT_PAYLOAD = enveloped(400, "WA400", "Refer to correct payload format", {}, _PAYLOAD_ERROR)

INTERNAL_ERROR = enveloped(500, "WA500", "Please try again later", {}, {"error": "Internal server error"})

_LOW_BALANCE = "Please check your balance, You have a low balance!"
LOW_BALANCE = enveloped(400, "E110", _LOW_BALANCE, {}, {"balance": _LOW_BALANCE})

_WRONG_ACCOUNT = "API is not available for given customer.Please contact support for more info"
WRONG_ACCOUNT = enveloped(401, "WA-401", _WRONG_ACCOUNT, {}, {"account": _WRONG_ACCOUNT})

_WRONG_VERSION = (
    "The phone number you're using is associated with different Version of our WA API. "
    "Please use the appropriate endpoint."
)
WRONG_VERSION = enveloped(401, "WA-401", _WRONG_VERSION, {}, {"phone_number": _WRONG_VERSION})

# Code and message are documented. The sandbox has no callback profile, so no key of one need be assumed.
NO_PROFILES = enveloped(200, "RBC024", "Profile fetched successfully", [], {})

# Assumed: the error codes' page names the code alone, neither status nor body.
_DAILY_LIMIT = "Account daily limit reached"
DAILY_LIMIT = enveloped(400, "WAV2101", _DAILY_LIMIT, {}, {"error": _DAILY_LIMIT})

# Assumed: the capacity page names the statuses alone.
TOO_MANY_REQUESTS = Answer(429, "Too Many Requests\n", TEXT)
OVERLOADED = Answer(503, "Service Unavailable\n", TEXT)


def incorrect_payload(field: str, problem: str) -> Answer:
    """The page's WA400, which also says what the sandbox found wrong."""
    return enveloped(400, "WA400", "Refer to correct payload format", {}, {field: problem, **_PAYLOAD_ERROR})


def uploaded(media_id: str) -> Answer:
    """The media can be sent. Assumed: the page of uploads shows no answer."""
    return enveloped(200, "WA200", "Media uploaded successfully", {"media_id": media_id}, {})


def phone_number_details(business_phone_number: str) -> Answer:
    """What Kaleyra knows of a business number. Assumed: the page names these facts, but neither keys nor code."""
    details = {
        "phone_number": business_phone_number,
        "verified_name": "Kaleyra sandbox",
        "status": "CONNECTED",
        "quality_rating": "GREEN",
        "throughput": {"level": "STANDARD"},
        "messaging_limit": "TIER_1K",
    }
    return enveloped(200, "WA200", "Phone number details fetched successfully", details, {})

"""Kaleyra's responses as plain values: word for word those of the page "Send Video Messages", except where marked.

https://developers.kaleyra.io/docs/whatsapp_api_v2_send-video-messages
https://developers.kaleyra.io/docs/whatsapp-api-v2-error-codes-for-send-message
https://developers.kaleyra.io/docs/capacity-and-messaging-limits
https://developers.kaleyra.io/docs/whatsapp-api-v2-upload-media-files
https://developers.kaleyra.io/docs/fetch-phone-number-details-api
https://developers.kaleyra.io/docs/platform-apis-get-callback-profiles-detail
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

MESSAGE_ID = "<message id>"
"""Placeholder in a body for the id of the accepted message."""

JSON = "application/json"
HTML = "text/html; charset=utf-8"
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class ResponseData:
    """One HTTP response as a value."""

    status: int
    body: str
    media_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()

    def with_message_id(self, message_id: str) -> ResponseData:
        """Return a copy in which *message_id* replaces the placeholder, if the body has one."""
        return replace(self, body=self.body.replace(MESSAGE_ID, message_id))

    def with_header(self, name: str, value: str) -> ResponseData:
        """Return a copy with one more header."""
        return replace(self, headers=(*self.headers, (name, value)))


def envelope(status: int, code: str, message: str, data: object, error: object) -> ResponseData:
    """Return a response in Kaleyra's envelope: code, message, data, error."""
    return ResponseData(status, json.dumps({"code": code, "message": message, "data": data, "error": error}))


def html_page(status: int, title: str) -> ResponseData:
    """Return a response as a proxy in front of Kaleyra might send it: HTML, without Kaleyra's envelope."""
    return ResponseData(status, f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>", HTML)


ACCEPTED = envelope(202, "WA202", "Request Accepted", {"message_id": MESSAGE_ID}, {})

# The sample on Kaleyra's page: two commas are missing, so it is not valid JSON.
ACCEPTED_INVALID_JSON = ResponseData(
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

_WRONG_SID_OR_KEY = "Incorrect SID or API key."
WRONG_SID_OR_KEY = envelope(401, "RBC001", _WRONG_SID_OR_KEY, [], {"error": _WRONG_SID_OR_KEY})

_WRONG_BUSINESS_NUMBER = "Phone number is not present or does not belong to the account."
WRONG_BUSINESS_NUMBER = envelope(401, "WA401", _WRONG_BUSINESS_NUMBER, {}, {"phone_number": _WRONG_BUSINESS_NUMBER})

_PAYLOAD_ERROR = {"payload": "Incorrect payload format"}
INCORRECT_PAYLOAD = envelope(400, "WA400", "Refer to correct payload format", {}, _PAYLOAD_ERROR)

INTERNAL_ERROR = envelope(500, "WA500", "Please try again later", {}, {"error": "Internal server error"})

_LOW_BALANCE = "Please check your balance, You have a low balance!"
LOW_BALANCE = envelope(400, "E110", _LOW_BALANCE, {}, {"balance": _LOW_BALANCE})

_ACCOUNT_NOT_ENABLED = "API is not available for given customer.Please contact support for more info"
ACCOUNT_NOT_ENABLED = envelope(401, "WA-401", _ACCOUNT_NOT_ENABLED, {}, {"account": _ACCOUNT_NOT_ENABLED})

_WRONG_VERSION = (
    "The phone number you're using is associated with different Version of our WA API. "
    "Please use the appropriate endpoint."
)
WRONG_VERSION = envelope(401, "WA-401", _WRONG_VERSION, {}, {"phone_number": _WRONG_VERSION})

# Code and message are documented. The sandbox has no callback profile, so the keys of a profile need not be assumed.
NO_PROFILES = envelope(200, "RBC024", "Profile fetched successfully", [], {})

# Assumed: the page of error codes names only the code, neither the status nor the body.
_DAILY_LIMIT = "Account daily limit reached"
DAILY_LIMIT = envelope(400, "WAV2101", _DAILY_LIMIT, {}, {"error": _DAILY_LIMIT})

# Assumed: the page of capacity limits names only the statuses.
TOO_MANY_REQUESTS = ResponseData(429, "Too Many Requests\n", TEXT)
OVERLOADED = ResponseData(503, "Service Unavailable\n", TEXT)


def incorrect_payload(field: str, problem: str) -> ResponseData:
    """Return the documented WA400, extended by what the sandbox found wrong."""
    return envelope(400, "WA400", "Refer to correct payload format", {}, {field: problem, **_PAYLOAD_ERROR})


def uploaded(media_id: str) -> ResponseData:
    """Return the response to a successful upload. Assumed: the page of uploads shows no response."""
    return envelope(200, "WA200", "Media uploaded successfully", {"media_id": media_id}, {})


def phone_number_details(business_phone_number: str) -> ResponseData:
    """Return the details of a business number. Assumed: the page lists the details, but neither keys nor code."""
    details = {
        "phone_number": business_phone_number,
        "verified_name": "Kaleyra sandbox",
        "status": "CONNECTED",
        "quality_rating": "GREEN",
        "throughput": {"level": "STANDARD"},
        "messaging_limit": "TIER_1K",
    }
    return envelope(200, "WA200", "Phone number details fetched successfully", details, {})

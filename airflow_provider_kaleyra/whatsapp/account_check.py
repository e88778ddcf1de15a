"""The result of checking an account, described for a person.

Pages: https://developers.kaleyra.io/docs/fetch-phone-number-details-api,
https://developers.kaleyra.io/docs/platform-apis-get-callback-profiles-detail
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_kaleyra.whatsapp.error_codes import failure_for, known_code
from airflow_provider_kaleyra.whatsapp.outcome import (
    NotSent,
    Rejected,
    Response,
    Unknown,
    decode,
    json_object,
    redacted,
    reports_an_error,
)
from airflow_provider_kaleyra.whatsapp.phone_number import masked
from airflow_provider_kaleyra.whatsapp.quoting import excerpt, quoted
from airflow_provider_kaleyra.whatsapp.request import check_request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_provider_kaleyra.whatsapp.account import Account
    from airflow_provider_kaleyra.whatsapp.quoting import Redact

_MAX_FACTS = 20
_MAX_TEXT = 100
_MAX_DEPTH = 5
_COMPARE = "compare the Connection's pod or host with the API Domain in Kaleyra's console"
_EXPLAINED_BY_STATUS = {*range(300, 400), 407, 429, 503}


def verdict(account: Account, result: Response | NotSent | Unknown) -> tuple[bool, str]:
    """Return whether the account can be used, and why.

    :param result: the response to :func:`~.request.check_request`, or why there is none; the API key and the
        number are removed from its quotes.
    """
    redact = check_request(account).redacted
    found = redacted(result, redact)
    if isinstance(found, NotSent):
        return False, (
            f"{account.base_url} could not be reached: {found.reason}. Please {_COMPARE}, and check the network and "
            "proxy of this machine."
        )
    if isinstance(found, Unknown):
        return False, (
            f"No response came from {account.base_url}: {found.reason}. Please {_COMPARE}; if they agree, try again "
            "later or raise the Connection's timeout."
        )
    return _verdict_on(account, found, redact)


def _verdict_on(account: Account, response: Response, redact: Redact) -> tuple[bool, str]:
    """Return whether a response shows that the account can be used, and why."""
    status, body = response.status, response.body
    outcome, content = decode(status, response.headers, body, redact), json_object(body)
    if isinstance(outcome, Rejected) and known_code(outcome.code):
        message = outcome.message.removesuffix(".")
        return False, f"Kaleyra rejected the check: {outcome.code}, {message}. {outcome.meaning.advice}"
    if not 200 <= status < 300 or not _is_success(content):
        advice = f"Please {_COMPARE}, and check the proxy of this machine."
        if status in _EXPLAINED_BY_STATUS:
            advice = failure_for(None, status).advice
        return False, (
            f"The response from {account.base_url} is not Kaleyra's own (HTTP {status}): "
            f"{excerpt(body, redact)}. {advice}"
        )
    if account.business_phone_number is None:
        return True, "SID and API key are right. No WhatsApp business number is set, so none was checked."
    facts = ", ".join(f"{name}: {value}" for name, value in islice(_facts("", content.get("data"), redact), _MAX_FACTS))
    return True, (
        f"SID, API key and WhatsApp business number {masked(account.business_phone_number)} are right. "
        f"Kaleyra reports for the number: {facts or 'nothing'}."
    )


def _is_success(content: Mapping[str, Any]) -> bool:
    """Return whether the body of a 2xx can be Kaleyra's: it has a code or data, a code is text, and no error."""
    code = content.get("code", "")
    return isinstance(code, str) and not content.keys().isdisjoint({"code", "data"}) and not reports_an_error(content)


def _facts(name: str, value: Any, redact: Redact, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Return the names and values in *value*; Kaleyra documents none of them."""
    if isinstance(value, dict | list) and depth == _MAX_DEPTH:
        yield name, "…"
    elif isinstance(value, dict):
        for key, child in value.items():
            yield from _facts(f"{name}.{quoted(key, redact, _MAX_TEXT)}".strip("."), child, redact, depth + 1)
    elif isinstance(value, list):
        for child in value:
            yield from _facts(name, child, redact, depth + 1)
    elif value not in (None, ""):
        yield name, quoted(str(value), redact, _MAX_TEXT)

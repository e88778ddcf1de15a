"""What the check of an account found, as a verdict for a person."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_kaleyra.whatsapp.error_codes import failure_for, known_code
from airflow_provider_kaleyra.whatsapp.outcome import Answer, NotSent, Rejected, Unknown, decode, json_object, redacted
from airflow_provider_kaleyra.whatsapp.phone_number import masked
from airflow_provider_kaleyra.whatsapp.quoting import excerpt, quoted
from airflow_provider_kaleyra.whatsapp.request import checkup_request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_provider_kaleyra.whatsapp.account import Account
    from airflow_provider_kaleyra.whatsapp.quoting import Redact

_MAX_FACTS = 20
_MAX_TEXT = 100
_MAX_DEPTH = 5
_COMPARE = "compare the Connection's pod or host with the API Domain in Kaleyra's console"
_EXPLAINED_BY_STATUS = {*range(300, 400), 407, 429, 503}


def verdict(account: Account, answer: Answer | NotSent | Unknown) -> tuple[bool, str]:
    """Return whether the account can be used, and why; secrets are removed from what it quotes of the response."""
    redact = checkup_request(account).redacted
    found = redacted(answer, redact)
    if isinstance(found, NotSent):
        return False, (
            f"{account.base_url} could not be reached: {found.reason}. Please {_COMPARE}, and check the network and "
            "proxy of this machine."
        )
    if isinstance(found, Unknown):
        return False, (
            f"No answer came from {account.base_url}: {found.reason}. Please {_COMPARE}; if they agree, try again "
            "later or raise the Connection's timeout."
        )
    return _verdict_on(account, found, redact)


def _verdict_on(account: Account, answer: Answer, redact: Redact) -> tuple[bool, str]:
    """Return what a response says of the account."""
    status, body = answer.status, answer.body
    outcome, response = decode(status, answer.headers, body, redact), json_object(body)
    if isinstance(outcome, Rejected) and known_code(outcome.code):
        words = outcome.message.removesuffix(".")
        return False, f"Kaleyra rejected the check: {outcome.code}, {words}. {outcome.meaning.advice}"
    if not 200 <= status < 300 or not _is_success(response):
        advice = f"Please {_COMPARE}, and check the proxy of this machine."
        if status in _EXPLAINED_BY_STATUS:
            advice = failure_for(None, status).advice
        return False, (
            f"The response from {account.base_url} is not Kaleyra's own (HTTP {status}): "
            f"{excerpt(body, redact)}. {advice}"
        )
    if account.business_phone_number is None:
        return True, "SID and API key are right. No WhatsApp business number is set, so none was checked."
    facts = ", ".join(
        f"{name}: {value}" for name, value in islice(_facts("", response.get("data"), redact), _MAX_FACTS)
    )
    return True, (
        f"SID, API key and WhatsApp business number {masked(account.business_phone_number)} are right. "
        f"Kaleyra says of the number: {facts or 'nothing'}."
    )


def _is_success(response: Mapping[str, Any]) -> bool:
    """Return whether a 2xx can be Kaleyra's: a code in text or none, data or a code, no error."""
    code = response.get("code", "")
    return isinstance(code, str) and not response.keys().isdisjoint({"code", "data"}) and not response.get("error")


def _facts(name: str, value: Any, redact: Redact, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Return whatever names and values come: Kaleyra documents none of them."""
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

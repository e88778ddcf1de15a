"""What an account's checkup found: an answer, or none, as a verdict for a person."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_kaleyra.whatsapp.outcome import Answer, NotSent, Rejected, Unknown, decode, excerpt, json_object
from airflow_provider_kaleyra.whatsapp.phone_number import masked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_kaleyra.whatsapp.account import Account

_MAX_FACTS = 20
_MAX_TEXT = 100
_MAX_DEPTH = 5
_COMPARE = "compare the Connection's pod or host with the API Domain in Kaleyra's console"


def verdict(account: Account, answer: Answer | NotSent | Unknown) -> tuple[bool, str]:
    """Whether the account can be used, and why; it quotes the answer, which may echo what was sent."""
    match answer:
        case NotSent(reason):
            return False, (
                f"{account.base_url} could not be reached: {reason}. Please {_COMPARE}, and check the network and "
                "proxy of this machine."
            )
        case Unknown(reason):
            return False, (
                f"No answer came from {account.base_url}: {reason}. Please {_COMPARE}; if they agree, try again later "
                "or raise the Connection's timeout."
            )
    found = json_object(answer.body)
    outcome = decode(answer.status, answer.headers, answer.body)
    if isinstance(outcome, Rejected) and outcome.code is not None:
        words = outcome.message.removesuffix(".")
        return False, f"Kaleyra refused: {outcome.code}, {words}. {outcome.meaning.advice}"
    if not 200 <= answer.status < 300 or found.keys().isdisjoint({"code", "data"}):
        advice = f"Please {_COMPARE}, and check the proxy of this machine."
        if isinstance(outcome, Rejected) and (300 <= answer.status < 400 or answer.status in {407, 429, 503}):
            advice = outcome.meaning.advice
        return False, (
            f"The answer from {account.base_url} is not Kaleyra's own (HTTP {answer.status}): "
            f"{excerpt(answer.body)}. {advice}"
        )
    if account.business_phone_number is None:
        return True, "SID and API key are right. No WhatsApp business number is set, so none was checked."
    facts = ", ".join(f"{name}: {value}" for name, value in islice(_facts("", found.get("data")), _MAX_FACTS))
    return True, (
        f"SID, API key and WhatsApp business number {masked(account.business_phone_number)} are right. "
        f"Kaleyra says of the number: {facts or 'nothing'}."
    )


def _facts(name: str, value: Any, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Whatever keys come: Kaleyra documents none of them."""
    if isinstance(value, dict | list) and depth == _MAX_DEPTH:
        yield name, "…"
    elif isinstance(value, dict):
        for key, child in value.items():
            yield from _facts(f"{name}.{key[:_MAX_TEXT]}".strip("."), child, depth + 1)
    elif isinstance(value, list):
        for child in value:
            yield from _facts(name, child, depth + 1)
    elif value not in (None, ""):
        yield name, str(value)[:_MAX_TEXT]

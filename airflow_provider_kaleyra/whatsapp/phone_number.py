"""Phone numbers in E.164, the format that Kaleyra and WhatsApp require."""

from __future__ import annotations

import re

from airflow_provider_kaleyra.whatsapp.validation import BrokenRule

# ITU-T E.164: a country code, which never starts with 0, and at most 15 digits in all.
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")

_LONGEST_COUNTRY_CODE = 3
_SEPARATORS = " ().-/\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{NON-BREAKING HYPHEN}"
_GROUPING = f"[{re.escape(_SEPARATORS)}]{{0,3}}"
_UNGROUPED = dict.fromkeys(map(ord, _SEPARATORS))


def require_e164(field: str, value: str) -> str:
    """Return the number without surrounding blanks.

    :raises BrokenRule: the number is not E.164 with its ``+``; the message shows it masked.
    """
    number = value.strip()
    if not _E164.fullmatch(number):
        raise BrokenRule(
            field,
            "a phone number in E.164: '+', country code, number, 7 to 15 digits in all, nothing else "
            "(such as +919876543210)",
            f"{masked(number)} ({_flaw(number)})",
        )
    return number


def masked(number: str) -> str:
    """Return a number with most digits replaced, so that it is recognisable but not callable: ``+91********10``."""
    if len(number) < 8:
        return "*" * len(number)
    start = 3 if number.startswith("+") else 0
    return number[:start] + "*" * (min(len(number), 20) - start - 2) + number[-2:]


def hidden_number(text: str, number: str) -> str:
    """Return *text* with *number* masked, with its country code or without, however its digits are grouped.

    :param number: in E.164.
    """
    digits = number.removeprefix("+")
    national = digits[-max(7, len(digits) - _LONGEST_COUNTRY_CODE) :]
    if digits[-2:] not in text or national not in text.translate(_UNGROUPED):  # the first is by far the cheaper
        return text
    country = "".join(f"(?:{digit}{_GROUPING})?" for digit in digits[: -len(national)])
    return re.sub(rf"(?:\+|00)?{country}{_GROUPING.join(national)}", masked(number), text)


def _flaw(number: str) -> str:
    if number == "None":
        return "the text 'None': a template rendered a missing value"
    if not number.startswith("+"):
        return "no leading '+'"
    digits = number[1:]
    if not (digits.isascii() and digits.isdigit()):
        return "something other than digits after the '+'"
    if digits.startswith("0"):
        return "no country code starts with 0"
    return f"{len(digits)} digits"

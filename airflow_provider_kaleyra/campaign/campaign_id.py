"""The rules of a campaign's id."""

from __future__ import annotations

import unicodedata

from airflow_provider_kaleyra.whatsapp.validation import BrokenRule, shown, text_or_none

MAX_CAMPAIGN_ID_LENGTH = 250
"""Characters that the ledger's column takes."""


def require_campaign_id(value: object) -> str:
    """Return a campaign's id without blanks around it; a whole number as its digits.

    A slip must not name a campaign: ``None`` would be one that every broken template shares.

    :raises BrokenRule: the id is missing, or the ledger's column cannot hold it.
    """
    campaign_id = (text_or_none("campaign_id", value) or "").strip()
    # Characters such as a zero-width space are no blanks to Python, and cannot be seen.
    if not any(character.isprintable() and not character.isspace() for character in campaign_id):
        raise BrokenRule("campaign_id", "given", "nothing: it is missing or rendered to blank text")
    if campaign_id == "None":
        raise BrokenRule(
            "campaign_id",
            "a real value",
            "the text 'None': a template rendered a missing value, such as an empty XCom",
        )
    if len(campaign_id) > MAX_CAMPAIGN_ID_LENGTH:
        rule = f"at most {MAX_CAMPAIGN_ID_LENGTH} characters"
        raise BrokenRule("campaign_id", rule, f"{len(campaign_id)}: {shown(campaign_id, 40)}")
    if any(unicodedata.category(character) in {"Cc", "Zl", "Zp"} for character in campaign_id):
        raise BrokenRule("campaign_id", "text without control characters and line breaks", shown(campaign_id))
    return campaign_id

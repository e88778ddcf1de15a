"""The numbers here are those of docs/connection.md, docs/failures.md, docs/media.md and docs/campaigns.md."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kaleyra.transport.resend import CAMPAIGN, JITTER, SEND, UPLOAD, can_be_resent, wait_before_resend
from airflow_provider_kaleyra.whatsapp.media_upload import NoMediaId, Uploaded, UploadRejected
from airflow_provider_kaleyra.whatsapp.outcome import Accepted, NotSent, Rejected, Unknown

RULES = {"send": SEND, "upload": UPLOAD, "campaign": CAMPAIGN}


def rejected(code: str | None, status: int, retry_after: float | None = None) -> Rejected:
    return Rejected(code=code, message="Sorry", http_status=status, retry_after=retry_after)


# An outcome of the first attempt: the seconds that a send, an upload and a message of a campaign wait, or None.
TABLE = [
    (Accepted("AX1"), None, None, None),
    (NotSent("refused"), 0.5, 1.0, 0.5),
    (Unknown("lost"), None, 1.0, None),
    (rejected(None, 429), None, 1.0, 0.5),
    (rejected(None, 429, 0.0), 0.0, 0.0, 0.0),
    (rejected(None, 429, 10.0), 10.0, 10.0, 10.0),
    (rejected(None, 429, 11.0), None, None, 11.0),
    (rejected(None, 429, 600.0), None, None, 600.0),
    (rejected(None, 429, 601.0), None, None, None),
    (rejected(None, 503, 3.0), 3.0, 3.0, 3.0),
    (rejected("WA429", 429), None, 1.0, 0.5),
    (rejected("WA429", 400), None, None, 0.5),
    (rejected("WA429", 400, 3.0), 3.0, 3.0, 3.0),
    (rejected("WA500", 500), None, 1.0, None),
    (rejected("WA500", 500, 3.0), None, 3.0, None),
    (rejected("E110", 400), None, None, None),
    (rejected("E110", 429, 3.0), None, 3.0, None),
    (rejected("WAV2101", 429, 3.0), None, None, None),
    (rejected("WA400", 400, 3.0), None, None, None),
    (rejected("WA401", 401), None, None, None),
    (rejected("RBC001", 401), None, None, None),
    (rejected("FORBIDDEN", 403), None, None, None),
    (rejected(None, 302, 3.0), None, None, None),
    (rejected(None, 425), None, None, None),
    (rejected(None, 425, 3.0), None, 3.0, None),
]


@pytest.mark.parametrize(("outcome", "send", "upload", "campaign"), TABLE, ids=str)
def test_an_outcome_is_followed_by_the_wait_of_the_table(outcome, send, upload, campaign):
    waits = {name: wait_before_resend(outcome, 1, rule) for name, rule in RULES.items()}
    assert waits == {"send": send, "upload": upload, "campaign": campaign}


@pytest.mark.parametrize(
    ("outcome", "wait"),
    [
        (Uploaded("42"), None),
        (NoMediaId("the response has none"), None),
        (UploadRejected(code="WA400", message="Sorry", http_status=400), None),
        (UploadRejected(code=None, message="Sorry", http_status=413, retry_after=3.0), None),
        (UploadRejected(code="WA500", message="Sorry", http_status=500), 1.0),
    ],
    ids=str,
)
def test_an_uploads_own_outcomes_are_known(outcome, wait):
    assert wait_before_resend(outcome, 1, UPLOAD) == wait


@pytest.mark.parametrize(
    ("rule", "waits"), [(SEND, [0.5, 0.5]), (UPLOAD, [1.0, 2.0, 4.0]), (CAMPAIGN, [0.5, 0.5])], ids=RULES
)
def test_attempts_end_after_the_documented_number(rule, waits):
    assert [wait_before_resend(NotSent("refused"), attempt, rule) for attempt in range(1, len(waits) + 3)] == [
        *waits,
        None,
        None,
    ]


@given(st.sampled_from([None, "WA429", "WA500", "E110", "WA400"]), st.integers(100, 599), st.floats(0, 1e9))
def test_a_retry_after_is_waited_for_whole_or_not_at_all(code, status, retry_after):
    for rule in RULES.values():
        assert wait_before_resend(rejected(code, status, retry_after), 1, rule) in {None, retry_after}


@given(st.sampled_from([SEND, CAMPAIGN]), st.integers(1, 10), st.text())
def test_a_message_whose_outcome_is_unknown_is_never_sent_again(rule, attempt, reason):
    assert not can_be_resent(Unknown(reason), rule)
    assert wait_before_resend(Unknown(reason), attempt, rule) is None


def test_all_waits_fit_into_the_documented_limits():
    # docs/connection.md: 22 s for a send, 32 s for an upload, beside the attempts themselves.
    for rule, documented in ((SEND, 22), (UPLOAD, 32)):
        longest = sum(
            max(wait_before_resend(outcome, attempt, rule) or 0.0 for outcome, *_ in TABLE) + JITTER[1]
            for attempt in range(1, rule.attempts)
        )
        assert documented - 1 < longest <= documented


def test_a_rule_is_a_value():
    with pytest.raises(FrozenInstanceError):
        SEND.attempts = 4  # type: ignore[misc]  # which is the point
    assert {field.name for field in fields(SEND)} == {
        "attempts",
        "first_wait",
        "growth",
        "longest_wait",
        "needs_retry_after",
        "resends_unknown",
    }

from __future__ import annotations

import json
from collections import Counter

import pytest

from airflow_provider_kaleyra.campaign.message_builder import Invalid
from airflow_provider_kaleyra.campaign.tally import Tally
from airflow_provider_kaleyra.ledger.values import Step
from airflow_provider_kaleyra.whatsapp.outcome import Accepted, NotSent, Unknown
from tests.campaign.builders import rejected


def full_tally() -> Tally:
    tally = Tally(
        skipped_unknown=1,
        skipped_killed=1,
        duplicates=2,
        already_accepted=3,
        already_rejected=Counter(WA400=2, E110=1),
        claimed_elsewhere=4,
    )
    for outcome in (Accepted("A"), Accepted("B"), rejected("WA400"), rejected(None, 429), NotSent("x"), Unknown("y")):
        tally.count(outcome, retryable=False)
    tally.count_invalid(Invalid(7, "no number"))
    return tally


def test_the_summary_accounts_for_every_row():
    summary = full_tally().summary("diwali", 2.0)
    assert summary["recipients"] == 21
    rejected_ = sum(summary["rejected"].values()) + sum(summary["already_rejected"].values())
    others = ("accepted", "unknown", "not_sent", "invalid", "duplicates", "already_accepted", "claimed_elsewhere")
    assert sum(summary[name] for name in others) + rejected_ == 21
    assert summary["already_rejected"] == {"WA400": 2, "E110": 1}
    assert summary["rejected"] == {"WA400": 1, "HTTP 429": 1}
    assert (summary["unknown"], summary["rate"]) == (3, 2.5)
    assert summary["invalid_rows"] == [{"line": 7, "reason": "no number"}]
    assert json.loads(json.dumps(summary)) == summary


def test_the_summary_stays_small():
    tally = Tally()
    for line in range(100_000):
        tally.count_invalid(Invalid(line, "no number"))
    assert tally.invalid == 100_000
    assert len(json.dumps(tally.summary("diwali", 1.0))) < 3000


def test_progress_is_told_in_one_line():
    assert full_tally().progress(10.0, 121, 20.0) == (
        "21 of 121 done in 10 s, 20.0 messages/s, failures: WA400: 1, HTTP 429: 1, unknown: 1, not_sent: 1, "
        "invalid: 1, about 5 s left"
    )
    assert Tally(accepted=3).progress(10.0, None, 0.0) == "3 done in 10 s, 0.0 messages/s, failures: none"


# How a recipient whom this task does not send to is counted, and whether as a failure.
LEFT = {
    Step.ALREADY_ACCEPTED: ("already_accepted", False),
    Step.ALREADY_REJECTED: ("already_rejected", True),
    Step.DUPLICATE: ("duplicates", False),
    Step.SKIP_UNKNOWN: ("unknown", True),
    Step.SKIP_KILLED: ("unknown", False),
    Step.RECORD_KILLED: ("unknown", False),
    Step.CLAIMED_ELSEWHERE: ("claimed_elsewhere", False),
}


@pytest.mark.parametrize("step", [step for step in Step if step not in {Step.SEND, Step.RECLAIM}])
def test_whoever_is_not_sent_to_is_counted_once_and_as_a_failure_where_the_earlier_try_did(step):
    tally = Tally()
    tally.count_skipped(step, "WA400")
    where, is_failure = LEFT[step]
    assert tally.handled == 1
    assert tally.failures == is_failure
    assert tally.summary("diwali", 1.0)[where] == ({"WA400": 1} if step is Step.ALREADY_REJECTED else 1)


def test_what_is_sent_is_counted_by_its_outcome():
    for step in (Step.SEND, Step.RECLAIM):
        with pytest.raises(ValueError, match="by its outcome"):
            Tally().count_skipped(step)


@pytest.mark.parametrize(
    ("outcome", "step"),
    [
        (rejected("WA400"), Step.ALREADY_REJECTED),
        (Unknown("lost"), Step.SKIP_UNKNOWN),
        (Accepted("A"), Step.ALREADY_ACCEPTED),
    ],
    ids=str,
)
def test_a_recipient_counts_the_same_in_the_try_that_sent_and_in_later_ones(outcome, step):
    first, later = Tally(), Tally()
    first.count(outcome, retryable=False)
    later.count_skipped(step, "WA400")
    assert (later.failures, later.handled) == (first.failures, first.handled)

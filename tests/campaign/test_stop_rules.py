from __future__ import annotations

from collections import Counter

import pytest

from airflow_provider_kaleyra.campaign.stop_rules import (
    UNREACHABLE_IN_A_ROW,
    is_retryable,
    stop_after_outcome,
    stop_at_end,
    stop_before_sending,
)
from airflow_provider_kaleyra.campaign.tally import Tally
from airflow_provider_kaleyra.transport.resend import CAMPAIGN, can_be_resent
from airflow_provider_kaleyra.whatsapp.outcome import Accepted, NotSent, Unknown
from tests.campaign.builders import rejected

# An outcome: whether the same try can send the message again, whether a later one does, how it ends the campaign.
TABLE = [
    (Accepted("AX1"), False, False, None),
    (Unknown("lost"), False, False, None),
    (NotSent("refused"), True, True, None),
    (rejected("RBC001", 401), False, True, False),
    (rejected("WA401", 401), False, True, False),
    (rejected("WA-401", 401), False, True, False),
    (rejected("WAV2101", 400), False, True, False),
    (rejected("E110", 400), False, True, True),
    (rejected("E110", 429), False, True, True),
    (rejected("WA400", 400), False, False, None),
    (rejected("WA500", 500), False, True, None),
    (rejected(None, 429), True, True, None),
    (rejected(None, 503), True, True, None),
    (rejected(None, 503, retry_after=601.0), True, True, True),
    (rejected(None, 302), False, True, False),
    (rejected(None, 401), False, True, False),
    (rejected(None, 403), False, True, False),
    (rejected(None, 404), False, True, False),
    (rejected(None, 407), False, True, False),
    (rejected("WA429", 429), True, True, None),
    (rejected("WA429", 400), True, True, None),
    *((rejected(None, status), False, True, None) for status in (400, 406, 413, 415, 421, 422, 425, 431, 451)),
    (rejected("WA999", 400), False, True, None),
    (rejected("FORBIDDEN", 403), False, True, False),
]


@pytest.mark.parametrize(("outcome", "again", "later", "retry_helps"), TABLE, ids=str)
def test_an_outcome_means_what_the_table_says(outcome, again, later, retry_helps):
    stop = stop_after_outcome(outcome, Tally(), None)
    assert (can_be_resent(outcome, CAMPAIGN), is_retryable(outcome), stop and stop.retry_helps) == (
        again,
        later,
        retry_helps,
    )


def test_a_stop_for_the_account_tells_the_cause_and_what_to_do():
    assert "E110, Sorry. The account's balance is too low" in stop_after_outcome(rejected("E110"), Tally(), None).why


def test_a_network_that_is_down_stops_the_campaign():
    assert stop_after_outcome(NotSent("refused"), Tally(), None, UNREACHABLE_IN_A_ROW - 1) is None
    stop = stop_after_outcome(NotSent("refused"), Tally(), None, UNREACHABLE_IN_A_ROW)
    assert stop.retry_helps
    assert "refused" in stop.why


@pytest.mark.parametrize(
    ("max_failures", "accepted", "failed", "stops"),
    [
        (None, 0, 10_000, False),
        (0, 10, 1, True),
        (5, 10, 5, False),
        (5, 10, 6, True),
        (0.05, 1, 98, False),  # too few to judge a share by
        (0.05, 95, 5, False),
        (0.05, 94, 6, True),
        (0.5, 1000, 900, False),
    ],
)
def test_max_failures_bounds_failures_by_number_or_share(max_failures, accepted, failed, stops):
    tally = Tally(accepted=accepted, rejected=Counter(WA400=failed))
    stop = stop_after_outcome(rejected("WA400"), tally, max_failures)
    assert bool(stop) is stops
    assert stop is None or stop.retry_helps is False


def test_too_many_failures_that_can_pass_are_left_to_a_retry():
    tally = Tally(rejected=Counter(WA500=10), retryable_failures=10)
    assert stop_after_outcome(rejected("WA500", 500), tally, 5).retry_helps


@pytest.mark.parametrize(
    ("tally", "retry_helps"),
    [
        (Tally(), None),
        (Tally(accepted=100), None),
        (Tally(accepted=100, invalid=5, duplicates=3, already_accepted=7, claimed_elsewhere=2), None),
        (Tally(accepted=100, rejected=Counter(WA400=2)), None),
        (Tally(accepted=100, unknown=2, skipped_killed=50), None),
        (Tally(accepted=100, skipped_unknown=50), False),
        (Tally(accepted=100, already_rejected=Counter(WA400=2)), None),
        (Tally(already_accepted=45, already_rejected=Counter(WA400=45)), False),
        (Tally(accepted=10, invalid=2), False),
        (Tally(accepted=100, invalid=10), False),
        (Tally(invalid=3), False),
        (Tally(accepted=100, rejected=Counter(WA500=1), retryable_failures=1), True),
        (Tally(accepted=100, not_sent=1, retryable_failures=1), True),
        (Tally(already_accepted=100, rejected=Counter(WA500=3), retryable_failures=3), True),
    ],
)
def test_a_campaign_ends_as_its_counts_say(tally, retry_helps):
    stop = stop_at_end(tally, 0.05, resend_unknown=False)
    assert (stop and stop.retry_helps) is retry_helps


def test_unknown_outcomes_are_left_to_a_retry_only_where_it_may_send_again():
    tally = Tally(accepted=100, unknown=1)
    assert stop_at_end(tally, 0.05, resend_unknown=False) is None
    assert stop_at_end(tally, 0.05, resend_unknown=True).retry_helps


def test_not_one_valid_row_fails_even_without_a_bound():
    assert stop_at_end(Tally(invalid=1), None, resend_unknown=False).retry_helps is False


@pytest.mark.parametrize("max_failures", [None, 0, 5, 44, 45, 0.05, 0.5])
def test_a_later_try_is_judged_as_the_first_one_was(max_failures):
    first = Tally(accepted=43, rejected=Counter(WA400=40), unknown=5, invalid=2)
    later = Tally(already_accepted=43, already_rejected=Counter(WA400=40), skipped_unknown=5, invalid=2)
    verdicts = [stop_at_end(tally, max_failures, resend_unknown=False) for tally in (first, later)]
    assert verdicts[0] == verdicts[1]


@pytest.mark.parametrize(
    ("max_failures", "accepted", "rejected_before", "stops"),
    [
        (None, 0, 10_000, False),
        (0, 10, 1, True),
        (5, 10, 5, False),
        (5, 10, 6, True),
        (0.05, 1, 98, False),  # too few to judge a share by
        (0.05, 95, 5, False),
        (0.05, 94, 6, True),
    ],
)
def test_rejections_of_earlier_tries_end_the_campaign_before_it_sends(max_failures, accepted, rejected_before, stops):
    tally = Tally(already_accepted=accepted, already_rejected=Counter(WA400=rejected_before))
    stop = stop_before_sending(tally, max_failures)
    assert bool(stop) is stops
    assert stop is None or stop.retry_helps is False


def test_unknown_outcomes_of_earlier_tries_do_not_keep_a_campaign_from_going_on():
    assert stop_before_sending(Tally(already_accepted=100, skipped_unknown=100, skipped_killed=100), 0) is None

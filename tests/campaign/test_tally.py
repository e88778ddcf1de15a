from __future__ import annotations

import json

from airflow_provider_kaleyra.campaign.recipients import Invalid
from airflow_provider_kaleyra.campaign.tally import Tally
from airflow_provider_kaleyra.whatsapp.outcome import Accepted, NotSent, Unknown
from tests.campaign.builders import rejected


def full_tally() -> Tally:
    tally = Tally(left_unknown=1, duplicates=2, already_done=3, claimed_elsewhere=4)
    for outcome in (Accepted("A"), Accepted("B"), rejected("WA400"), rejected(None, 429), NotSent("x"), Unknown("y")):
        tally.count(outcome, is_open=False)
    tally.count_invalid(Invalid(7, "no number"))
    return tally


def test_the_summary_accounts_for_every_row():
    summary = full_tally().summary("diwali", 2.0)
    assert summary["recipients"] == 17
    rejected_ = sum(summary["rejected"].values())
    others = ("accepted", "unknown", "not_sent", "invalid", "duplicates", "already_done", "claimed_elsewhere")
    assert sum(summary[name] for name in others) + rejected_ == 17
    assert summary["rejected"] == {"WA400": 1, "HTTP 429": 1}
    assert (summary["unknown"], summary["rate"]) == (2, 2.5)
    assert summary["invalid_rows"] == [{"line": 7, "reason": "no number"}]
    assert json.loads(json.dumps(summary)) == summary


def test_the_summary_stays_small():
    tally = Tally()
    for line in range(100_000):
        tally.count_invalid(Invalid(line, "no number"))
    assert tally.invalid == 100_000
    assert len(json.dumps(tally.summary("diwali", 1.0))) < 3000


def test_progress_is_told_in_one_line():
    assert full_tally().progress(10.0, 117, 20.0) == (
        "17 of 117 done in 10 s, 20.0 messages/s, failures: WA400: 1, HTTP 429: 1, unknown: 1, not_sent: 1, "
        "invalid: 1, about 5 s left"
    )
    assert Tally(accepted=3).progress(10.0, None, 0.0) == "3 done in 10 s, 0.0 messages/s, failures: none"

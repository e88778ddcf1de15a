from __future__ import annotations

from airflow_provider_kaleyra.campaign.dry_run import dry_run
from tests.campaign.builders import number, prepared


def test_rows_are_counted_as_valid_invalid_or_duplicate():
    recipients = [number(index % 1500) for index in range(4000)] + ["bad", {"to": number(1)}]
    tally, valid = dry_run(prepared(recipients))
    assert (valid, tally.duplicates, tally.invalid) == (1500, 2501, 1)
    assert tally.shown_invalid[0].line == 4001


def test_each_invalid_row_is_logged_until_there_are_very_many(logged):
    dry_run(prepared(["bad"] * 1500))
    told = logged()
    assert "Line 1000 is invalid" in told
    assert "Line 1001 is invalid" not in told
    assert "counted, not logged" in told

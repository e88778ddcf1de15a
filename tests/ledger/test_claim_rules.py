from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from airflow_provider_kaleyra.ledger.claim_rules import KILLED, Claimant, ExistingRow, decide
from airflow_provider_kaleyra.ledger.values import State, Step
from tests.campaign.builders import claimant

ME = claimant(try_number=2)
EARLIER_TRY = {"dag_id": "dag", "run_id": "run", "task_id": "send", "map_index": -1, "try_number": 1}


def existing(state: State, **differences: object) -> ExistingRow:
    known = {"code": None, "claim": "other/1", "fingerprint": "same", "retryable": False} | EARLIER_TRY
    return ExistingRow(state, **known | differences)


# What the ledger holds: what skip does, what resend does.
TABLE = {
    "accepted": (existing(State.ACCEPTED), Step.ALREADY_ACCEPTED, Step.ALREADY_ACCEPTED),
    "accepted, another message": (
        existing(State.ACCEPTED, fingerprint="other"),
        Step.ALREADY_ACCEPTED,
        Step.ALREADY_ACCEPTED,
    ),
    "rejected for good": (existing(State.REJECTED), Step.ALREADY_REJECTED, Step.ALREADY_REJECTED),
    "rejected for good, changed": (existing(State.REJECTED, fingerprint="other"), Step.RECLAIM, Step.RECLAIM),
    "rejected for now": (existing(State.REJECTED, retryable=True), Step.RECLAIM, Step.RECLAIM),
    "not sent": (existing(State.NOT_SENT), Step.RECLAIM, Step.RECLAIM),
    "unknown": (existing(State.UNKNOWN), Step.SKIP_UNKNOWN, Step.RECLAIM),
    "unknown, another run": (existing(State.UNKNOWN, run_id="other"), Step.SKIP_UNKNOWN, Step.RECLAIM),
    "unknown, because its try was killed": (existing(State.UNKNOWN, code=KILLED), Step.SKIP_KILLED, Step.RECLAIM),
    "claimed by an earlier try": (existing(State.CLAIMED), Step.RECORD_KILLED, Step.RECLAIM),
    "claimed by this try in another process": (
        existing(State.CLAIMED, try_number=2),
        Step.CLAIMED_ELSEWHERE,
        Step.CLAIMED_ELSEWHERE,
    ),
    "claimed by a later try": (existing(State.CLAIMED, try_number=3), Step.CLAIMED_ELSEWHERE, Step.CLAIMED_ELSEWHERE),
    "claimed by another run": (existing(State.CLAIMED, run_id="other"), Step.CLAIMED_ELSEWHERE, Step.CLAIMED_ELSEWHERE),
    "claimed by another map index": (
        existing(State.CLAIMED, map_index=3),
        Step.CLAIMED_ELSEWHERE,
        Step.CLAIMED_ELSEWHERE,
    ),
    "claimed by another task": (
        existing(State.CLAIMED, task_id="other"),
        Step.CLAIMED_ELSEWHERE,
        Step.CLAIMED_ELSEWHERE,
    ),
    "claimed by another DAG": (existing(State.CLAIMED, dag_id="other"), Step.CLAIMED_ELSEWHERE, Step.CLAIMED_ELSEWHERE),
}


def test_the_table_has_every_state():
    assert {row[0].state for row in TABLE.values()} == set(State)


@pytest.mark.parametrize("case", TABLE)
def test_a_recipient_with_a_row_is_handled_as_the_table_says(case):
    row, skip, resend = TABLE[case]
    assert decide(row, ME, ME.claim(7), "same", "skip") is skip
    assert decide(row, ME, ME.claim(7), "same", "resend") is resend


def test_the_row_just_inserted_is_sent():
    assert decide(existing(State.CLAIMED, claim=ME.claim(7)), ME, ME.claim(7), "same", "skip") is Step.SEND


@pytest.mark.parametrize("state", State)
def test_what_this_process_has_claimed_before_is_a_duplicate_whatever_became_of_it(state):
    mine = existing(state, claim=ME.claim(1), retryable=True)
    assert decide(mine, ME, ME.claim(11), "same", "resend") is Step.DUPLICATE


def test_nothing_that_was_accepted_is_ever_sent_again():
    for retryable in (False, True):
        for on_unknown in ("skip", "resend"):
            row = existing(State.ACCEPTED, retryable=retryable, fingerprint="other", run_id="other")
            assert decide(row, ME, ME.claim(1), "same", on_unknown) is Step.ALREADY_ACCEPTED


def test_a_claimant_is_identified_by_its_task_instance():
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=4, try_number=3)
    assert replace(Claimant.of(ti, "x"), token="") == Claimant("d", "r", "t", 4, 3, "")
    assert replace(Claimant.of(None, "x"), token="") == Claimant("", "", "x", -1, 1, "")


def test_two_processes_of_one_try_have_claims_of_their_own():
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=None, try_number=1)
    assert Claimant.of(ti, "x").claim(1) != Claimant.of(ti, "x").claim(1)
    assert len(Claimant.of(ti, "x").claim(10**9)) <= 64

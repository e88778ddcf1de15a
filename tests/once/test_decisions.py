from __future__ import annotations

import itertools
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_kaleyra.exceptions import KaleyraStateStoreError
from airflow_provider_kaleyra.message_fields import fingerprint
from airflow_provider_kaleyra.once.decisions import SEND_KEY, Change, SendRecord, State, Step, decide
from airflow_provider_kaleyra.once.store import SendRecordStore, TaskStateStore
from airflow_provider_kaleyra.whatsapp.outcome import Accepted, NotSent, Rejected, Unknown

MODES = ("fail", "resend", "skip")
IN_DOUBT = {"fail": Step.FAIL, "resend": Step.RESEND, "skip": Step.SKIP}

THIS = SendRecord(
    state=State.SENDING,
    try_number=2,
    max_tries=3,
    sent_at="2026-01-02T03:04:05+00:00",
    to="+12*******23",
    refs={"ref": "customer1"},
    request_sha256="request",
    recipient_sha256="recipient",
    fields_sha256="written",
)
CHANGES = {
    Change.NONE: {},
    Change.RENDERED: {"request_sha256": "another request"},
    Change.EDITED: {"request_sha256": "another request", "fields_sha256": "another text"},
}


def earlier(state: State, *, cleared: bool = False, **differences: object) -> SendRecord:
    message_id = "AX1" if state is State.ACCEPTED else None
    send = replace(THIS, state=state, try_number=1, message_id=message_id, **differences)
    return replace(send, max_tries=1) if cleared else send


# Recorded state, whether the task was cleared since, how the request changed: the step (None: on_unknown_outcome).
TABLE = {
    (State.ACCEPTED, False, Change.NONE): Step.RETURN_ID,
    (State.ACCEPTED, False, Change.RENDERED): Step.RETURN_ID,
    (State.ACCEPTED, False, Change.EDITED): Step.RETURN_ID,
    (State.ACCEPTED, True, Change.NONE): Step.RETURN_ID,
    (State.ACCEPTED, True, Change.RENDERED): Step.RETURN_ID,
    (State.ACCEPTED, True, Change.EDITED): Step.SEND,
    **{(State.SENDING, cleared, change): None for cleared in (False, True) for change in CHANGES},
    **{(State.UNKNOWN, False, change): None for change in CHANGES},
    **{(State.UNKNOWN, True, change): Step.SEND for change in CHANGES},
    **{(State.REJECTED, cleared, change): Step.SEND for cleared in (False, True) for change in CHANGES},
    **{(State.NOT_SENT, cleared, change): Step.SEND for cleared in (False, True) for change in CHANGES},
}


def test_the_table_has_every_case():
    assert set(TABLE) == set(itertools.product(State, (False, True), CHANGES))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("case", "step"), TABLE.items(), ids=str)
def test_a_try_does_what_the_table_says(case, step, mode):
    state, cleared, change = case
    assert decide(earlier(state, cleared=cleared, **CHANGES[change]), THIS, mode) is (step or IN_DOUBT[mode])


@pytest.mark.parametrize("mode", MODES)
def test_without_a_record_the_try_sends(mode):
    assert decide(None, THIS, mode) is Step.SEND


def test_another_recipient_after_a_clear_is_sent_to():
    wrong_number = earlier(State.ACCEPTED, cleared=True, recipient_sha256="another", request_sha256="another")
    assert decide(wrong_number, THIS, "fail") is Step.SEND


@pytest.mark.parametrize("mode", MODES)
def test_the_outcome_of_a_map_index_whose_recipient_changed_is_unknown(mode):
    mapped = replace(THIS, mapped=True)
    moved = earlier(State.ACCEPTED, cleared=True, recipient_sha256="another", request_sha256="another")
    assert decide(moved, mapped, mode) is IN_DOUBT[mode]


@pytest.mark.parametrize("mode", MODES)
def test_a_map_index_whose_fields_an_earlier_task_changed_is_not_sent_again(mode):
    mapped = replace(THIS, mapped=True)
    changed = earlier(State.ACCEPTED, cleared=True, request_sha256="another", fields_sha256="another")
    assert decide(changed, mapped, mode) is Step.RETURN_ID


@pytest.mark.parametrize("retries_now", [0, 1, 2, 5])
def test_retries_changed_in_the_dag_file_are_no_clear(retries_now):
    """Airflow does not change max_tries with the file, so the file's retries must be ignored."""
    unknown = earlier(State.UNKNOWN)
    now = SendRecord.of_try(
        SimpleNamespace(try_number=2, max_tries=unknown.max_tries, map_index=-1, retries=retries_now)
    )
    assert decide(unknown, now, "fail") is Step.FAIL


@pytest.mark.parametrize("state", [State.SENDING, State.UNKNOWN])
def test_a_reported_send_is_sent_after_a_clear_and_not_before(state):
    reported = earlier(state, cleared=True, reason="lost").reported_by(THIS)
    assert (reported.state, reported.refs) == (State.UNKNOWN, THIS.refs)
    assert decide(reported, replace(THIS, try_number=3), "fail") is Step.FAIL
    assert decide(reported, replace(THIS, try_number=3, max_tries=4), "fail") is Step.SEND


def test_the_report_of_a_map_index_names_its_new_recipient():
    mapped = replace(THIS, mapped=True, to="+12*******99", recipient_sha256="new")
    reported = earlier(State.ACCEPTED, cleared=True).reported_by(mapped)
    assert (reported.state, reported.recipient_sha256, reported.message_id) == (State.UNKNOWN, "new", None)
    assert "message id AX1" in str(reported.reason)
    assert decide(reported, mapped, "fail") is Step.FAIL
    assert decide(reported, replace(mapped, max_tries=4), "fail") is Step.SEND


@pytest.mark.parametrize(
    ("outcome", "state", "known"),
    [
        (Accepted("AX1"), State.ACCEPTED, {"message_id": "AX1"}),
        (Rejected(code="E110", message="Low", http_status=400), State.REJECTED, {"reason": "E110, Low"}),
        (Rejected(code=None, message="busy", http_status=429), State.REJECTED, {"reason": "no code, busy"}),
        (NotSent("connection refused"), State.NOT_SENT, {"reason": "connection refused"}),
        (Unknown("lost"), State.UNKNOWN, {"reason": "lost"}),
    ],
)
def test_each_outcome_is_recorded(outcome, state, known):
    assert THIS.with_outcome(outcome) == replace(THIS, state=state, **known)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("max_tries", [0, 3])
def test_a_send_is_read_as_it_was_stored(state, max_tries):
    send = replace(earlier(state), max_tries=max_tries)
    assert SendRecord.from_json(json.loads(json.dumps(send.to_json()))) == send


def test_unknown_fields_of_a_newer_version_are_ignored():
    assert SendRecord.from_json(THIS.to_json() | {"colour": "blue"}) == THIS


@pytest.mark.parametrize(
    "stored",
    [
        "text",
        7,
        [],
        ["state", "max_tries", "try_number"],
        {},
        {"state": "delivered", "try_number": 1, "max_tries": 1},
        {"state": "rejected"},
        {"state": "rejected", "try_number": 1},
        {"state": "rejected", "try_number": 1, "max_tries": "1"},
        {"state": "rejected", "try_number": 1, "max_tries": 1, "refs": "r"},
        {"state": "rejected", "try_number": 1, "max_tries": 1, "reason": 7},
        {"state": "rejected", "try_number": 1, "max_tries": 1, "to": None},
        {"state": "rejected", "try_number": 1, "max_tries": 1, "sent_at": 7},
        {"state": "accepted", "try_number": 1, "max_tries": 1},
        {"state": "accepted", "try_number": 1, "max_tries": 1, "message_id": 5},
        {"state": ["accepted"], "try_number": 1, "max_tries": 1},
        {"state": "accepted", "try_number": 1, "max_tries": 1, "message_id": "\ud83c"},
        {"state": "rejected", "try_number": 1, "max_tries": 1, "to": "\ud83c"},
    ],
)
@pytest.mark.parametrize("max_tries", [0, 1, 2])
def test_an_unreadable_record_is_an_unknown_outcome_until_reported_and_cleared(stored, max_tries):
    now = replace(THIS, max_tries=max_tries)
    damaged = SendRecord.from_json(stored)
    assert decide(damaged, now, "fail") is Step.FAIL
    reported = SendRecord.from_json(damaged.reported_by(now).to_json())
    assert SEND_KEY in str(reported.reason)
    assert decide(reported, now, "fail") is Step.FAIL
    assert decide(reported, replace(now, max_tries=max_tries + 1), "fail") is Step.SEND


def test_a_stored_record_is_small_and_shows_no_number():
    stored = json.dumps(replace(THIS, recipient_sha256=fingerprint({"to": "+12025550123"}), reason="r" * 500).to_json())
    assert "2025550123" not in stored
    assert len(stored) < 2000


@pytest.mark.parametrize(("map_index", "mapped"), [(None, False), (-1, False), (0, True), (7, True)])
def test_a_record_has_the_numbers_of_its_task_instance(map_index, mapped):
    send = SendRecord.of_try(SimpleNamespace(try_number=4, max_tries=5, map_index=map_index))
    assert (send.state, send.try_number, send.max_tries, send.mapped) == (State.SENDING, 4, 5, mapped)


def test_only_an_accepted_send_without_a_clear_settles_a_try_whatever_it_would_send():
    settling = {
        (state, cleared): earlier(state, cleared=cleared).settles(
            SendRecord.of_try(SimpleNamespace(try_number=2, max_tries=3))
        )
        for state in State
        for cleared in (False, True)
    }
    assert {case: message_id for case, message_id in settling.items() if message_id} == {(State.ACCEPTED, False): "AX1"}


def test_a_fingerprint_depends_on_the_values_only():
    assert fingerprint({"a": "1", "b": None}) == fingerprint({"a": "1"})
    assert fingerprint({"a": "1", "b": "2"}) == fingerprint({"b": "2", "a": "1"})
    assert len({fingerprint(values) for values in ({"a": "1"}, {"b": "1"}, {"a": "2"}, {"a": 1}, {})}) == 5
    assert fingerprint({"a": object()}) == fingerprint({"a": object()})


class Store:
    def __init__(self) -> None:
        self.values: dict[str, object] = {}

    def get(self, key: str) -> object:
        return self.values.get(key)

    def set(self, key: str, value: object) -> None:
        self.values[key] = json.loads(json.dumps(value))


def test_the_store_has_the_last_send_under_one_key():
    store = Store()
    records = SendRecordStore(TaskStateStore(store))
    assert records.read() is None
    records.write(THIS)
    records.write(earlier(State.ACCEPTED))
    assert records.read() == earlier(State.ACCEPTED)
    assert list(store.values) == [SEND_KEY]


def test_without_a_store_nothing_is_recorded():
    records = SendRecordStore(TaskStateStore(None))
    records.write(THIS)
    assert records.read() is None


class BrokenStore:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def get(self, key: str) -> object:
        raise self.error

    def set(self, key: str, value: object) -> None:
        raise self.error


def test_an_error_of_the_store_is_raised_with_its_cause():
    records = SendRecordStore(TaskStateStore(BrokenStore(OSError("no route"))))
    with pytest.raises(KaleyraStateStoreError, match=r"could not be read \(OSError: no route\)"):
        records.read()
    with pytest.raises(KaleyraStateStoreError, match=r"could not be written \(OSError: no route\)"):
        records.write(THIS)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit()])
def test_an_interrupt_is_not_caught_by_the_store(error):
    records = SendRecordStore(TaskStateStore(BrokenStore(error)))
    for call in (records.read, lambda: records.write(THIS)):
        with pytest.raises(type(error)):
            call()


@settings(max_examples=300, deadline=None)
@given(
    mode=st.sampled_from(MODES),
    retries=st.integers(0, 3),
    ends=st.lists(st.sampled_from([*State, "killed before"]), min_size=1, max_size=12),
    clears=st.sets(st.integers(0, 11)),
    cleared_with=st.lists(st.integers(0, 3), min_size=12, max_size=12),
)
def test_a_second_video_needs_resend_or_a_clear_after_the_report(mode, retries, ends, clears, cleared_with):
    """Simulate a task at random: each try renders differently and has a random end, with Clears at any time."""
    records, max_tries = SendRecordStore(TaskStateStore(Store())), retries
    perhaps_accepted, reported_and_cleared, reported = 0, 0, False
    for number, end in enumerate(ends, 1):
        if number - 1 in clears:
            max_tries = number - 1 + cleared_with[number - 1]
            reported_and_cleared += reported
            reported = False
        this = replace(THIS, try_number=number, max_tries=max_tries, request_sha256=f"rendered by try {number}")
        earlier = records.read()
        step = decide(earlier, this, mode)
        if step in {Step.FAIL, Step.SKIP}:
            records.write(earlier.reported_by(this))
            reported = True
        elif step in {Step.SEND, Step.RESEND} and end != "killed before":
            records.write(this)
            perhaps_accepted += end in {State.SENDING, State.ACCEPTED, State.UNKNOWN}
            reported = end is State.UNKNOWN
            if end is not State.SENDING:
                outcome = {
                    State.ACCEPTED: Accepted("AX1"),
                    State.UNKNOWN: Unknown("lost"),
                    State.REJECTED: Rejected(code="E110", message="Low", http_status=400),
                    State.NOT_SENT: NotSent("connection refused"),
                }[end]
                records.write(this.with_outcome(outcome))
    if mode != "resend":
        assert perhaps_accepted <= 1 + reported_and_cleared

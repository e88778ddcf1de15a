from __future__ import annotations

import json
import math
import os
import re
import runpy
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy as sa
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_kaleyra.campaign.requirements import MAX_CAMPAIGN_ID_LENGTH
from airflow_provider_kaleyra.exceptions import (
    KaleyraCampaignError,
    KaleyraCampaignFailedError,
    KaleyraConfigError,
    KaleyraError,
    KaleyraFileError,
    KaleyraMessageError,
)
from airflow_provider_kaleyra.operators.campaign import KaleyraSendVideoCampaignOperator
from dev.sandbox import RunningSandbox, connection_to, running_sandbox
from tests.campaign.builders import number
from tests.support.http_server import RawServer, raw_response, raw_server

LINK = "https://example.com/v.mp4"
LOW_BALANCE, BAD_PAYLOAD, INTERNAL_ERROR = "+999000000110", "+999000000400", "+999000000500"
CLOSED_AFTER_ACCEPTING, SLOW = "+999000000903", "+999000000904"


@pytest.fixture(scope="module")
def _running():
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(_running: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> RunningSandbox:
    _running.clear()
    monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", connection_to(_running))
    return _running


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "ledger.db"
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    return path


def operator(recipients: object, **fields: object) -> KaleyraSendVideoCampaignOperator:
    known = {"task_id": "send", "campaign_id": "diwali", "ledger_conn_id": "ledger", "media_link": LINK}
    return KaleyraSendVideoCampaignOperator(
        **known | {"recipients": recipients, "messages_per_second": 1000, "max_failures": None} | fields
    )


def context(try_number: int = 1, **differences: object) -> dict[str, object]:
    known = {"dag_id": "dag", "run_id": "run", "task_id": "send", "map_index": -1, "try_number": try_number}
    return {"ti": SimpleNamespace(**known | differences)}


def received(sandbox: RunningSandbox) -> list[str]:
    return sorted(message["to"] for message in sandbox.messages())


def table(path: Path) -> dict[str, str]:
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        found = dict(connection.execute(sa.text("SELECT recipient, state FROM kaleyra_sends")).fetchall())
    engine.dispose()
    return found


@pytest.mark.parametrize(
    ("variable", "value"), [("REQUESTS_CA_BUNDLE", "/none.pem"), ("HTTPS_PROXY", "socks5://me:secret@proxy:1080")]
)
def test_certificates_or_a_proxy_that_cannot_be_used_claim_nobody(monkeypatch, ledger, variable, value):
    connection = {"conn_type": "kaleyra", "login": "SID", "password": "key"}
    extra = {"business_phone_number": "+12025550100"}
    monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", json.dumps(connection | {"extra": extra}))
    monkeypatch.setenv(variable, value)
    with pytest.raises(KaleyraConfigError, match=f"^Nothing was sent: .*{variable}") as raised:
        operator([number(1)]).execute(context())
    assert "secret" not in str(raised.value)
    assert not ledger.exists()


def test_every_recipient_gets_the_video_once_whoever_runs_it_again(sandbox):
    recipients = [number(index) for index in range(120)]
    first = operator([*recipients, recipients[0], "12345"]).execute(context())
    assert (first["accepted"], first["duplicates"], first["invalid"], first["stopped"]) == (120, 1, 1, None)
    for again in (context(try_number=2), context(run_id="another"), context(dag_id="another"), {}):
        summary = operator(recipients).execute(again)
        assert (summary["accepted"], summary["already_accepted"]) == (0, 120)
    assert received(sandbox) == recipients
    assert len(sandbox.requests()) == 120


def test_another_campaign_sends_to_the_same_people(sandbox):
    operator([number(1)]).execute(context())
    assert operator([number(1)], campaign_id="holi").execute(context())["accepted"] == 1


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".ndjson"])
@pytest.mark.parametrize("prefix", ["", "file://"])
def test_recipients_come_from_a_file(sandbox, tmp_path, suffix, prefix):
    rows = [{"to": number(index), "name": f"Ashá {index}"} for index in range(3)]
    file = tmp_path / f"recipients{suffix}"
    if suffix == ".csv":
        lines = ["to,name", *(f"{row['to']},{row['name']}" for row in rows)]
        file.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    else:
        file.write_text("\n".join(json.dumps(row) for row in rows))
    summary = operator(f"{prefix}{file}", caption="Dear $name").execute(context())
    assert summary["accepted"] == 3
    assert {message["content"]["caption"] for message in sandbox.messages()} == {f"Dear Ashá {i}" for i in range(3)}


def test_rows_in_another_encoding_are_invalid_and_stop_nothing(sandbox, tmp_path):
    file = tmp_path / "latin.csv"
    file.write_bytes(f"to,caption\n{number(1)},Ol\xe1\n{number(2)},Ola\n".encode("latin-1"))
    summary = operator(str(file)).execute(context())
    assert (summary["accepted"], summary["invalid"]) == (1, 1)
    assert summary["invalid_rows"][0]["line"] == 2


def test_a_row_overrides_the_operators_fields(sandbox):
    rows = [{"to": number(1), "ref": "own", "caption": "$5 {{ ds }}"}, {"to": number(2)}]
    operator(rows, ref="all", caption="Hello").execute(context())
    messages = {message["to"]: message for message in sandbox.messages()}
    assert messages[number(1)]["extra_info"]["ref"] == "own"
    assert messages[number(1)]["content"]["caption"] == "$5 {{ ds }}"
    assert (messages[number(2)]["extra_info"]["ref"], messages[number(2)]["content"]["caption"]) == ("all", "Hello")


def test_templates_are_rendered_and_what_they_render_to_is_data():
    task = operator("{{ params.file }}", campaign_id="c-{{ ds }}", caption="on {{ ds }}")
    task.render_template_fields({"ds": "2026-01-01", "params": {"file": "s3://bucket/{{ ds }}.csv"}})
    assert (task.campaign_id, task.caption) == ("c-2026-01-01", "on 2026-01-01")
    assert task.recipients == "s3://bucket/{{ ds }}.csv"


def test_a_failure_of_the_account_stops_the_campaign_and_the_retry_goes_on(sandbox, ledger):
    recipients = [*(number(index) for index in range(5)), LOW_BALANCE, *(number(index) for index in range(5, 300))]
    with pytest.raises(KaleyraCampaignError, match="E110") as error:
        operator(recipients, messages_per_second=100, max_connections=1).execute(context())
    assert not isinstance(error.value, AirflowFailException)
    assert error.value.summary["rejected"] == {"E110": 1}
    assert len(sandbox.requests()) < 20
    assert "claimed" not in table(ledger).values()
    rest = [to for to in recipients if to != LOW_BALANCE]
    assert operator(rest).execute(context(try_number=2))["stopped"] is None
    assert received(sandbox) == sorted(rest)


def test_a_wrong_key_fails_at_once_and_nobody_is_lost_once_it_is_mended(sandbox, monkeypatch):
    good = json.loads(os.environ["AIRFLOW_CONN_KALEYRA_DEFAULT"])
    monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", json.dumps(good | {"password": "wrong"}))
    recipients = [number(index) for index in range(200)]
    with pytest.raises(KaleyraCampaignFailedError, match=r"RBC001.*login \(SID\)"):
        operator(recipients, max_connections=5).execute(context())
    monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", json.dumps(good))
    assert operator(recipients).execute(context(try_number=2))["accepted"] == 200
    assert received(sandbox) == recipients


def test_a_refusal_that_can_pass_fails_the_task_and_is_all_that_the_retry_sends(sandbox):
    recipients = [number(1), INTERNAL_ERROR, number(2)]
    for try_number in (1, 2):
        with pytest.raises(KaleyraCampaignError, match="a retry sends only those") as error:
            operator(recipients).execute(context(try_number))
        assert error.value.summary["rejected"] == {"WA500": 1}
    assert [request["to"] for request in sandbox.requests()].count(INTERNAL_ERROR) == 2
    assert received(sandbox) == [number(1), number(2)]


def test_refusals_for_good_are_reported_and_not_repeated(sandbox):
    recipients = [number(1), BAD_PAYLOAD]
    assert operator(recipients).execute(context())["rejected"] == {"WA400": 1}
    again = operator(recipients).execute(context(2))
    assert (again["already_accepted"], again["already_rejected"]) == (1, {"WA400": 1})
    assert len(sandbox.requests()) == 2


@pytest.mark.parametrize("max_failures", [0, 0.05])
def test_more_failures_than_allowed_fail_the_task_with_the_summary(sandbox, max_failures):
    with pytest.raises(KaleyraCampaignFailedError, match="max_failures") as error:
        operator([number(1), BAD_PAYLOAD], max_failures=max_failures).execute(context())
    assert error.value.summary["rejected"] == {"WA400": 1}


def test_an_unknown_outcome_is_left_alone_or_sent_again_as_the_user_says(sandbox):
    recipients = [number(1), CLOSED_AFTER_ACCEPTING]
    assert operator(recipients).execute(context())["unknown"] == 1
    assert operator(recipients).execute(context(2))["unknown"] == 1
    assert received(sandbox).count(CLOSED_AFTER_ACCEPTING) == 1
    with pytest.raises(KaleyraCampaignError):
        operator(recipients, on_unknown_outcome="resend").execute(context(3))
    assert received(sandbox).count(CLOSED_AFTER_ACCEPTING) == 2


def test_a_strict_campaign_sends_nothing_if_one_row_is_invalid(sandbox, ledger):
    with pytest.raises(KaleyraCampaignFailedError, match="strict=True") as error:
        operator([number(1), "12345"], strict=True).execute(context())
    assert error.value.summary["invalid_rows"][0]["line"] == 2
    assert sandbox.requests() == []
    assert operator([number(1)], strict=True).execute(context())["accepted"] == 1


def test_a_dry_run_touches_neither_kaleyra_nor_the_ledger(sandbox, ledger):
    summary = operator([number(1), number(1), "12345"], dry_run=True, ledger_conn_id="none").execute(context())
    assert (summary["would_send"], summary["duplicates"], summary["invalid"]) == (1, 1, 1)
    assert (summary["recipients"], summary["accepted"]) == (3, 0)
    assert sandbox.requests() == []
    assert not ledger.exists()


def test_airflows_own_dry_run_checks_the_rows(sandbox, logged):
    operator([number(1), "12345"]).dry_run()
    assert "Line 2 is invalid" in logged()
    assert sandbox.requests() == []


def test_not_one_valid_row_fails_the_task(sandbox):
    with pytest.raises(KaleyraCampaignFailedError, match="not one row"):
        operator(["12345"]).execute(context())


def test_no_recipients_are_no_failure(sandbox):
    assert operator([]).execute(context())["recipients"] == 0


@pytest.mark.parametrize(
    ("recipients", "told"),
    [
        ("['+919800000001']", "rendered to text"),
        ("None", "missing value"),
        ("+919800000001", "put it into a list"),
        ("s3://bucket/recipients.xlsx", ".csv, .jsonl"),
        (7, "type int"),
        ({"to": "+919800000001"}, "type dict"),
    ],
)
def test_what_recipients_cannot_be_is_told_with_its_likely_cause(sandbox, recipients, told):
    with pytest.raises(KaleyraMessageError, match="recipients of task 'send' cannot be used") as error:
        operator(recipients).execute(context())
    assert told in str(error.value)


def test_a_csv_without_a_column_to_sends_nothing(sandbox, tmp_path):
    file = tmp_path / "recipients.csv"
    file.write_text("phone\n+919800000001\n")
    with pytest.raises(KaleyraMessageError, match="column 'to'"):
        operator(str(file)).execute(context())


def test_a_caption_with_a_broken_placeholder_sends_nothing(sandbox):
    with pytest.raises(KaleyraMessageError, match=r"\$\$ for a dollar"):
        operator([number(1)], caption="$5 off").execute(context())


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"on_unknown_outcome": "fail"}, "'skip' or 'resend'"),
        ({"messages_per_second": 0}, "messages_per_second"),
        ({"messages_per_second": 1e9}, "messages_per_second"),
        ({"max_connections": 0}, "max_connections"),
        ({"checkpoint_every": 0}, "checkpoint_every"),
        ({"checkpoint_every": 10_000}, "checkpoint_every"),
        ({"max_failures": -1}, "max_failures"),
        ({"max_failures": 1.5}, "max_failures"),
        ({"max_failures": True}, "max_failures"),
        ({"max_failures": Decimal("0.05")}, "max_failures"),  # it would count as a number, not as a share
        ({"messages_per_second": True}, "messages_per_second"),
        ({"messages_per_second": Decimal(5)}, "messages_per_second"),
        ({"max_connections": 1.5}, "max_connections"),
        ({"max_connections": math.inf}, "max_connections"),
        ({"max_connections": 10**9}, "max_connections"),
        ({"checkpoint_every": 1.5}, "checkpoint_every"),
        ({"on_unknown_outcome": ["skip"]}, "'skip' or 'resend'"),
        ({"strict": "False"}, "strict"),
        ({"dry_run": "False"}, "dry_run"),
    ],
)
def test_settings_that_cannot_be_used_fail_while_the_dag_is_parsed(settings, told):
    with pytest.raises(KaleyraConfigError, match="of task 'send' cannot be used") as error:
        operator([], **settings)
    assert told in str(error.value)


@pytest.mark.parametrize("business_phone_number", ["12345", ["+12025550100"], 4.2])
def test_a_sender_that_cannot_be_used_claims_nobody(sandbox, ledger, business_phone_number):
    with pytest.raises(KaleyraConfigError, match=r"^Nothing was sent: the argument business_phone_number must be"):
        operator([number(1)], business_phone_number=business_phone_number).execute(context())
    assert not ledger.exists()


def test_a_blank_sender_counts_as_none(sandbox, monkeypatch):
    assert operator([number(1)], business_phone_number=" ").execute(context())["accepted"] == 1
    connection = json.loads(os.environ["AIRFLOW_CONN_KALEYRA_DEFAULT"]) | {"extra": {}}
    monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", json.dumps(connection))
    with pytest.raises(KaleyraConfigError, match="business_phone_number"):
        operator([number(2)], business_phone_number=" ").execute(context())


def test_recipients_that_can_be_read_once_are_not_skipped_by_strict(sandbox):
    assert operator(iter([number(1)])).execute(context())["accepted"] == 1
    with pytest.raises(KaleyraMessageError, match=r"recipients of task 'send' cannot be used: .*strict"):
        operator(iter([number(2)]), strict=True).execute(context())


def test_recipients_that_fail_while_they_are_read_can_be_retried(sandbox):
    class Failing:
        """The list of an earlier task, which Airflow's API server returns row by row."""

        def __iter__(self):
            yield number(1)
            raise RuntimeError("API_SERVER_ERROR")

    with pytest.raises(KaleyraFileError, match=r"The recipients cannot be read: .*RuntimeError: API_SERVER_ERROR"):
        operator(Failing()).execute(context())


def test_a_campaign_without_a_sender_sends_nothing(sandbox, monkeypatch):
    connection = json.loads(os.environ["AIRFLOW_CONN_KALEYRA_DEFAULT"]) | {"extra": {}}
    monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", json.dumps(connection))
    with pytest.raises(KaleyraConfigError, match="business_phone_number"):
        operator([number(1)]).execute(context())
    summary = operator([number(1)], business_phone_number=sandbox.business_phone_number).execute(context())
    assert summary["accepted"] == 1


@pytest.mark.parametrize(
    ("connection", "told"),
    [
        ({"conn_type": "sqlite", "host": ":memory:"}, "forgets"),
        ({"conn_type": "kaleyra"}, "leads to no PostgreSQL or SQLite database"),
        ({"conn_type": "nothing_known"}, "Install its provider"),
    ],
)
def test_a_ledger_that_cannot_be_one_sends_nothing(sandbox, monkeypatch, connection, told):
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps(connection))
    with pytest.raises(KaleyraConfigError, match="ledger_conn_id") as error:
        operator([number(1)]).execute(context())
    assert told in str(error.value)
    assert sandbox.requests() == []


class Ended(BaseException):
    """What Airflow raises from a signal handler."""


@pytest.mark.parametrize("raises", [False, True], ids=["as Airflow 3 does", "as Airflow 2 does"])
def test_sigterm_ends_the_campaign_with_all_that_was_sent_recorded(sandbox, ledger, raises):
    recipients = [SLOW, *(number(index) for index in range(2000))]
    task = operator(recipients, messages_per_second=100)

    def on_sigterm(signum, frame) -> None:
        task.on_kill()
        if raises:
            raise Ended

    before = signal.signal(signal.SIGTERM, on_sigterm)
    timer = threading.Timer(1.5, lambda: os.kill(os.getpid(), signal.SIGTERM))
    try:
        timer.start()
        with pytest.raises(Ended if raises else KaleyraCampaignError):
            task.execute(context())
    finally:
        timer.cancel()
        signal.signal(signal.SIGTERM, before)
    states = table(ledger)
    assert {to for to, state in states.items() if state == "accepted"} == set(received(sandbox))
    assert states[SLOW] == "accepted"  # its answer was awaited
    assert set(states.values()) == {"accepted", "not_sent"}
    assert 30 < len(sandbox.requests()) < 200


def test_the_example_sends_to_everybody_in_its_file(sandbox, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_LEDGER", os.environ["AIRFLOW_CONN_LEDGER"])
    [dag] = dags_in(Path(__file__).parents[2] / "example_dags" / "example_campaign.py")
    summary = dag.get_task("send").execute({})
    assert (summary["accepted"], summary["invalid"]) == (3, 0)
    captions = {message["content"]["caption"] for message in sandbox.messages()}
    assert captions == {f"Happy Diwali, {name}!" for name in ("Asha", "Ravi", "Meera")}


def dags_in(file: Path) -> list[DAG]:
    names = runpy.run_path(str(file), init_globals={"__name__": "example"})
    return [value for value in names.values() if isinstance(value, DAG)]


def test_errors_survive_pickling():
    import pickle

    error = KaleyraCampaignFailedError("why", {"campaign_id": "diwali", "accepted": 1})
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.summary) == (KaleyraCampaignFailedError, str(error), error.summary)
    assert isinstance(again, KaleyraError)


def test_making_an_operator_reads_no_connection():
    assert operator([], kaleyra_conn_id="none", ledger_conn_id="none").ledger_conn_id == "none"


def test_every_field_of_message_recipients_and_connections_is_templated():
    assert set(KaleyraSendVideoCampaignOperator.template_fields) == {
        *("campaign_id", "recipients", "ledger_conn_id", "kaleyra_conn_id", "business_phone_number"),
        *("media_id", "media_link", "media_file", "caption", "ref", "ref1", "ref2", "wa_source"),
    }


def test_mapped_tasks_send_each_their_part():
    with DAG("mapped", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None):
        mapped = KaleyraSendVideoCampaignOperator.partial(
            task_id="send", campaign_id="diwali", ledger_conn_id="ledger", media_link=LINK
        ).expand(recipients=[[number(1)], [number(2)]])
    unmapped = mapped.unmap({"recipients": [number(2)]})
    assert isinstance(unmapped, KaleyraSendVideoCampaignOperator)
    assert (unmapped.recipients, unmapped.campaign_id) == ([number(2)], "diwali")


def test_importing_the_operator_is_light():
    program = """
import sys
from airflow.providers.common.compat.sdk import BaseOperator
before = set(sys.modules)
import airflow_provider_kaleyra.operators.campaign
print(*sorted(set(sys.modules) - before))
"""
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = process.stdout.split("\n")[-2].split()
    assert "airflow_provider_kaleyra.operators.campaign" in loaded
    assert len(loaded) <= 15
    assert not {"requests", "aiohttp", "sqlalchemy", "airflow_provider_kaleyra.campaign"} & set(loaded)


def test_a_campaign_takes_no_longer_than_its_pace(sandbox):
    started = time.monotonic()
    summary = operator([number(index) for index in range(40)], messages_per_second=20).execute(context())
    assert summary["accepted"] == 40
    assert time.monotonic() - started >= 1.9


def failures_of(error: KaleyraCampaignError) -> str:
    return re.search(r"\d+ failures among \d+ recipients are more than max_failures=[\d.]*\d", str(error))[0]


@contextmanager
def rejecting(numbers: set[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[RawServer]:
    """A raw server that rejects some recipients as Kaleyra does, and accepts the others."""
    account = {
        "login": "HXAP1",
        "password": "a-key-of-some-length",
        "extra": {"business_phone_number": "+999100000000"},
    }
    headers = ("Content-Type: application/json", "Connection: close")

    def respond(connection: socket.socket) -> None:
        to = json.loads(server.received[-1].body)["messaging_object"]["to"]
        if to in numbers:
            body = {"code": "WA400", "message": "Incorrect payload", "data": {}, "error": {}}
            connection.sendall(raw_response("400 Bad Request", json.dumps(body).encode(), *headers))
        else:
            body = {"code": "WA200", "message": "OK", "data": {"message_id": f"A{to}"}, "error": {}}
            connection.sendall(raw_response("202 Accepted", json.dumps(body).encode(), *headers))

    with raw_server(respond) as server:
        connection = {"conn_type": "kaleyra", "host": server.url} | account
        monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", json.dumps(connection))
        yield server


def test_half_of_them_rejected_is_red_in_each_try_with_the_same_numbers(monkeypatch, ledger, logged):
    """45 of 90 rejected, then a retry, then a Clear with nothing changed; then each of the three ways to end it."""
    recipients = [number(index) for index in range(90)]
    bad = set(recipients[::2])

    def run(try_number: int, rows: object = recipients, max_failures: float | None = 0.05, **fields: object):
        return operator(rows, max_failures=max_failures, **fields).execute(context(try_number, max_tries=try_number))

    with rejecting(bad, monkeypatch) as server:
        found = []
        for try_number in (1, 2, 3):
            with pytest.raises(KaleyraCampaignFailedError) as error:
                run(try_number)
            found.append(failures_of(error.value))
            summary = error.value.summary
            rejected = Counter(summary["rejected"]) + Counter(summary["already_rejected"])
            assert (rejected, summary["recipients"]) == (Counter(WA400=45), 90)
            assert summary["accepted"] + summary["already_accepted"] == 45
            assert len(server.received) == 90  # nothing was sent by the later tries
        assert found == ["45 failures among 90 recipients are more than max_failures=0.05"] * 3
        assert re.search(r"45 recipients are skipped and count as failures: .*rejected \(WA400: 45\)", logged())

        query = re.search(r"This query lists them: (SELECT .+;)", logged())[1]
        with closing(sqlite3.connect(ledger)) as database:
            assert {row[0] for row in database.execute(query)} == bad

        allowed = run(4, max_failures=45)
        assert (allowed["already_rejected"], allowed["stopped"]) == ({"WA400": 45}, None)
        assert run(5, max_failures=None)["already_rejected"] == {"WA400": 45}
        assert run(6, [to for to in recipients if to not in bad])["already_accepted"] == 45
        assert len(server.received) == 90
        bad.clear()
        changed = run(7, caption="Changed")
        assert (changed["accepted"], changed["already_accepted"], changed["already_rejected"]) == (45, 45, {})
        assert len(server.received) == 135


def test_a_number_that_comes_twice_counts_the_same_in_each_try_and_its_first_row_counts(monkeypatch):
    """Wherever the second row stands, and although it has another message."""
    recipients = [number(index) for index in range(30)]
    twice = [*recipients, *({"to": to, "caption": "Another"} for to in recipients)]
    with rejecting(set(recipients[:5]), monkeypatch) as server:
        for try_number in (1, 2, 3):
            summary = operator(twice, max_failures=5, checkpoint_every=7).execute(context(try_number))
            assert (summary["recipients"], summary["duplicates"]) == (60, 30)
            assert Counter(summary["rejected"]) + Counter(summary["already_rejected"]) == Counter(WA400=5)
            assert summary["accepted"] + summary["already_accepted"] == 25
        assert len(server.received) == 30


@pytest.mark.parametrize("max_failures", [0, 10, 0.05])
def test_a_campaign_that_rejections_stopped_on_its_way_stops_again_and_sends_nothing(monkeypatch, max_failures):
    recipients = [number(index) for index in range(1000)]
    with rejecting(set(recipients[::3]), monkeypatch) as server:
        sent = set()
        for try_number in (1, 2, 3):
            with pytest.raises(KaleyraCampaignFailedError, match="max_failures") as error:
                operator(recipients, max_failures=max_failures, max_connections=1, messages_per_second=200).execute(
                    context(try_number)
                )
            sent.add(len(server.received))
        assert len(sent) == 1
        assert error.value.summary["already_rejected"]["WA400"] > max_failures


def test_whoever_was_rejected_is_named_although_the_try_ends_with_an_error(sandbox, logged):
    operator([BAD_PAYLOAD]).execute(context())

    def broken() -> Iterator[str]:
        yield BAD_PAYLOAD
        raise KaleyraFileError("the rest cannot be read")

    with pytest.raises(KaleyraFileError):
        operator(broken(), checkpoint_every=1).execute(context(2))
    log = logged()
    assert "1 recipients are skipped and count as failures" in log
    assert "rejected (WA400: 1)" in log


def test_unknown_outcomes_count_as_failures_in_each_try(sandbox):
    recipients = [number(1), CLOSED_AFTER_ACCEPTING]
    found = []
    for try_number in (1, 2, 3):
        with pytest.raises(KaleyraCampaignFailedError) as error:
            operator(recipients, max_failures=0).execute(context(try_number))
        assert error.value.summary["unknown"] == 1
        found.append(failures_of(error.value))
    assert found == ["1 failures among 2 recipients are more than max_failures=0"] * 3
    assert len(sandbox.requests()) == 2


def test_recipients_of_a_killed_try_are_named_and_do_not_fail_the_task(sandbox, ledger, logged):
    recipients = [number(index) for index in range(4)]
    operator(recipients[:2]).execute(context())
    with closing(sqlite3.connect(ledger)) as database, database:
        database.execute("UPDATE kaleyra_sends SET state = 'claimed' WHERE recipient = ?", [number(1)])
    for try_number in (2, 3):
        summary = operator(recipients, max_failures=0).execute(context(try_number))
        assert (summary["unknown"], summary["recipients"]) == (1, 4)
    query = re.search(r"1 recipients are skipped: the outcome .* This query lists them: (SELECT .+;)", logged())[1]
    with closing(sqlite3.connect(ledger)) as database:
        assert [row[0] for row in database.execute(query)] == [number(1)]


@pytest.mark.parametrize(
    ("campaign_id", "told"),
    [
        ("", "missing or rendered to blank"),
        (" \n", "missing or rendered to blank"),
        (None, "missing or rendered to blank"),
        ("None", "the text 'None'"),
        (" None ", "the text 'None'"),
        (["diwali"], "a value of type list"),
        (True, "a value of type bool"),
        (b"diwali", "a value of type bytes"),
        ("x" * 251, "at most 250 characters"),
        ("a\0b", "control characters"),
        ("a\nb", "control characters"),
        ("a\u2028b", "line breaks"),
        ("\u200b \ufeff\u200f", "missing or rendered to blank"),
        ("a\ud800b", "half a surrogate pair"),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_campaign_id_that_cannot_be_one_fails_before_anything_is_opened(ledger, campaign_id, told, dry_run):
    task = operator("/no/such/file.csv", campaign_id=campaign_id, dry_run=dry_run, kaleyra_conn_id="none")
    with pytest.raises(KaleyraMessageError, match="campaign_id of task 'send' cannot be used: it must be") as error:
        task.execute(context())
    assert told in str(error.value)
    with pytest.raises(KaleyraMessageError, match="campaign_id of task 'send' cannot be used: it must be"):
        task.dry_run()
    assert not ledger.exists()


@pytest.mark.parametrize("campaign_id", ["x" * 250, "दिवाली \u200d 🎉", 20261020, "it's; DROP TABLE kaleyra_sends --"])
def test_any_other_campaign_id_is_one(sandbox, campaign_id, logged):
    recipients = [number(1), BAD_PAYLOAD]
    assert operator(recipients, campaign_id=campaign_id).execute(context())["campaign_id"] == str(campaign_id)
    again = operator(recipients, campaign_id=f" {campaign_id}\n").execute(context(2))
    assert (again["already_accepted"], again["already_rejected"]) == (1, {"WA400": 1})


def test_the_ledgers_column_holds_the_longest_campaign_id(sandbox, ledger):
    operator([number(1)]).execute(context())
    engine = sa.create_engine(f"sqlite:///{ledger}")
    columns = {column["name"]: column["type"] for column in sa.inspect(engine).get_columns("kaleyra_sends")}
    engine.dispose()
    assert columns["campaign_id"].length == MAX_CAMPAIGN_ID_LENGTH


def test_settings_of_another_type_fail_while_the_dag_is_parsed():
    for settings in ({"max_failures": "5"}, {"messages_per_second": "fast"}, {"max_failures": float("nan")}):
        with pytest.raises(KaleyraConfigError, match="of task 'send' cannot be used"):
            operator([], **settings)


@pytest.mark.parametrize("strict", [False, True])
def test_a_task_that_is_ended_before_it_executes_sends_nothing(sandbox, ledger, strict):
    task = operator([number(1)], strict=strict)
    task.on_kill()
    with pytest.raises(KaleyraCampaignError, match="Airflow ended the task before anything was sent") as error:
        task.execute(context())
    assert not isinstance(error.value, AirflowFailException)  # the retry sends
    assert sandbox.requests() == []
    task.on_kill()  # after its end, which is not remembered
    assert task.execute(context(2))["accepted"] == 1


def test_a_try_does_not_obey_a_request_that_stopped_an_earlier_try(sandbox):
    task = operator([number(index) for index in range(200)], messages_per_second=50)
    first = task.prepare_for_execution()  # Airflow's copy for each try, which shares the attributes
    timer = threading.Timer(0.5, first.on_kill)
    timer.start()
    with pytest.raises(KaleyraCampaignError, match="Airflow ended the task"):
        first.execute(context())
    timer.join()
    task.messages_per_second = 1000
    assert task.prepare_for_execution().execute(context(2))["stopped"] is None
    assert len(received(sandbox)) == 200


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("moment", [0.0, 0.01, 0.03, 0.06, 0.1, 0.2, 0.3])
def test_a_task_that_is_ended_in_its_first_moments_stops(sandbox, ledger, moment, strict):
    recipients = [number(index) for index in range(3000)]
    task = operator(recipients, messages_per_second=100, strict=strict)
    before = signal.signal(signal.SIGALRM, lambda signum, frame: task.on_kill())
    signal.setitimer(signal.ITIMER_REAL, moment or 1e-6)
    started = time.monotonic()
    try:
        with pytest.raises(KaleyraCampaignError, match="Airflow ended the task"):
            task.execute(context())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - started < 25
    assert len(sandbox.requests()) < 1000
    states = set(table(ledger).values()) if ledger.exists() and ledger.stat().st_size else set()
    assert states <= {"accepted", "not_sent"}


def test_a_dry_run_obeys_a_stop(sandbox):
    task = operator((number(index) for index in range(10_000_000)), dry_run=True)
    timer = threading.Timer(1.0, task.on_kill)
    timer.start()
    with pytest.raises(KaleyraCampaignError, match="before anything was sent"):
        task.execute(context())
    timer.join()

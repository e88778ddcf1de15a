"""A campaign ends when Airflow says so, although its table in PostgreSQL is locked."""

from __future__ import annotations

import json
import re
import signal
import time

import pytest
import sqlalchemy as sa

from dev.sandbox import connection_to, running_sandbox
from tests.campaign.builders import number
from tests.support.campaign_process import campaign_process


@pytest.mark.slow
@pytest.mark.parametrize("raises", [False, True], ids=["as Airflow 3 does", "as Airflow 2 does"])
def test_sigterm_ends_a_campaign_whose_table_is_locked(postgres, monkeypatch, raises):
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", postgres.replace("postgresql+psycopg2", "postgres"))
    people = [number(index) for index in range(3000)]
    fields = {"campaign_id": "diwali", "ledger_conn_id": "ledger", "media_link": "https://example.com/v.mp4"}
    engine = sa.create_engine(postgres)
    with running_sandbox() as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", connection_to(sandbox))
        with campaign_process(**fields, recipients=people, messages_per_second=50, raises=raises) as process:
            end = time.monotonic() + 60
            while len(sandbox.requests()) < 60:
                assert time.monotonic() < end
                time.sleep(0.1)
            with engine.connect() as other, other.begin():
                other.execute(sa.text("LOCK TABLE kaleyra_sends IN ACCESS EXCLUSIVE MODE"))
                time.sleep(1)
                process.send_signal(signal.SIGTERM)
                started = time.monotonic()
                told, _ = process.communicate(timeout=60)
                assert time.monotonic() - started < 30
        # The ledger gives up by itself, or the main thread does not wait for it: whichever comes first.
        assert re.search("raised Ended" if raises else "raised Kaleyra(Campaign|Ledger)Error", told)
        messages = sandbox.messages()
        with engine.connect() as connection:
            found = connection.execute(sa.text("SELECT recipient, state FROM kaleyra_sends"))
            states = {row.recipient: row.state for row in found}
        unrecorded = [message for message in messages if states[message["to"]] != "accepted"]
        assert unrecorded
        for message in unrecorded:
            assert f"accepted, message id {message['message_id']}" in told
        with campaign_process(**fields, recipients=people[:200], try_number=2) as process:
            told, _ = process.communicate(timeout=60)
        summary = json.loads(told.partition("returned ")[2].splitlines()[0])
        assert summary["recipients"] == 200
        assert len(sandbox.messages()) == len({message["to"] for message in sandbox.messages()})
    engine.dispose()

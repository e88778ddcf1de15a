"""A campaign that sends a file: one upload, one id for all."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from airflow_provider_kaleyra.exceptions import KaleyraMessageError, KaleyraPermanentError
from airflow_provider_kaleyra.once import upload
from airflow_provider_kaleyra.operators.campaign import KaleyraSendVideoCampaignOperator
from tests.campaign.builders import number
from tests.operators.conftest import Store, uploads

REFUSED = "+999000000400"


@pytest.fixture
def sandbox(sandbox, monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "ledger.db")}))
    return sandbox


def run(recipients, store=None, *, try_number=1, **fields) -> dict[str, object]:
    known = {"task_id": "send", "campaign_id": "diwali", "ledger_conn_id": "ledger", "max_failures": None}
    task = KaleyraSendVideoCampaignOperator(**known | {"recipients": recipients, "messages_per_second": 1000} | fields)
    ti = SimpleNamespace(dag_id="dag", run_id="run", task_id="send", map_index=-1, try_number=try_number)
    return task.execute({"ti": ti} | ({} if store is None else {"task_state_store": store}))


def ids_sent(sandbox) -> list[str]:
    return [message["content"]["id"] for message in sandbox.get("/sandbox/messages").json()]


def test_one_upload_serves_all(sandbox, video):
    summary = run([number(index) for index in range(50)], media_file=f"file://{video}", caption="Diwali")
    (media_id,) = uploads(sandbox)
    assert summary["accepted"] == 50
    assert ids_sent(sandbox) == [media_id] * 50


def test_a_row_may_name_media_of_its_own(sandbox, video):
    link = "https://example.com/v.mp4"
    run([number(1), {"to": number(2), "media_link": link}], media_file=str(video))
    contents = {message["to"]: message["content"] for message in sandbox.get("/sandbox/messages").json()}
    assert contents == {number(1): {"id": uploads(sandbox)[0]}, number(2): {"link": link}}


def test_a_later_try_uses_the_id_of_the_earlier(sandbox, video):
    store = Store()
    run([number(1)], store, media_file=str(video))
    assert run([number(1), number(2)], store, try_number=2, media_file=str(video))["accepted"] == 1
    assert ids_sent(sandbox) == uploads(sandbox) * 2


def test_another_id_of_the_same_file_makes_no_other_message(sandbox, video, logged):
    for try_number in (1, 2):
        summary = run([number(1), REFUSED], try_number=try_number, media_file=str(video))
    assert len(uploads(sandbox)) == 2
    assert (summary["accepted"], summary["already_accepted"], summary["already_rejected"]) == (0, 1, {"WA400": 1})
    assert len(sandbox.get("/sandbox/requests").json()) == 2
    assert "with another message than now" not in logged()


def test_an_id_is_renewed_while_the_campaign_goes_on(sandbox, video, monkeypatch):
    start = datetime.now(UTC)
    moments = iter([start] + [start + timedelta(days=10 * day) for day in range(6)])

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return next(moments)

    monkeypatch.setattr(upload, "datetime", Clock)
    run([number(index) for index in range(6)], media_file=str(video))
    assert len(set(ids_sent(sandbox))) == 2
    assert set(ids_sent(sandbox)) == set(uploads(sandbox))


@pytest.mark.parametrize("name", ["account-not-enabled.mp4", "incorrect-payload.mp4"])
def test_nobody_is_claimed_where_the_upload_fails(sandbox, video, name):
    with pytest.raises(KaleyraPermanentError, match=name):
        run([number(1)], media_file=str(video.rename(video.with_name(name))))
    assert sandbox.get("/sandbox/requests").json() == []
    summary = run([number(1)], media_link="https://example.com/v.mp4")
    assert summary["accepted"] == 1


@pytest.mark.parametrize("other", ["media_id", "media_link"])
def test_a_file_beside_another_source_is_refused(sandbox, video, other):
    with pytest.raises(KaleyraMessageError, match="media_file with another"):
        run([number(1)], media_file=str(video), **{other: "https://example.com/v.mp4"})
    assert uploads(sandbox) == sandbox.get("/sandbox/requests").json() == []


def test_a_dry_run_looks_into_the_file_and_uploads_nothing(sandbox, video):
    assert run([number(1)], media_file=str(video), dry_run=True)["would_send"] == 1
    video.write_bytes(b"")
    with pytest.raises(KaleyraMessageError, match="empty file"):
        run([number(1)], media_file=str(video), dry_run=True)
    assert uploads(sandbox) == []

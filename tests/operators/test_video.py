from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_kaleyra.exceptions import (
    KaleyraConfigError,
    KaleyraMessageError,
    KaleyraPermanentError,
    KaleyraRejectedError,
    KaleyraUnknownOutcomeError,
)
from airflow_provider_kaleyra.operators.video import KaleyraSendVideoOperator

URL = "https://api.in.kaleyra.io/v2/HXAP16XXXXXX97IN/whatsapp/+12025550100/messages"
TO = "+12025550123"
ACCEPTED = {"code": "WA202", "message": "Request Accepted", "data": {"message_id": "AX1"}, "error": {}}


@pytest.fixture(autouse=True)
def _connection(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = {
        "conn_type": "kaleyra",
        "login": "HXAP16XXXXXX97IN",
        "password": "a-very-secret-key",
        "extra": {"business_phone_number": "+12025550100"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", json.dumps(connection))


def operator(**fields: object) -> KaleyraSendVideoOperator:
    return KaleyraSendVideoOperator(**{"task_id": "send", "to": TO, "media_id": "42"} | fields)


def test_the_message_id_is_returned(requests_mock):
    requests_mock.post(URL, status_code=202, json=ACCEPTED)
    assert operator().execute({}) == "AX1"


def test_one_line_tells_recipient_message_id_and_refs(requests_mock, logged):
    requests_mock.post(URL, status_code=202, json=ACCEPTED)
    operator(ref="customer1", ref2="d").execute({})
    lines = [line for line in logged().splitlines() if "accepted" in line.lower()]
    assert lines
    assert "accepted the video to +12*******23: message id AX1, ref 'customer1', ref2 'd'." in lines[0]


def test_every_field_of_message_and_connection_is_templated():
    assert set(KaleyraSendVideoOperator.template_fields) == {
        "to",
        "media_id",
        "media_link",
        "caption",
        "ref",
        "ref1",
        "ref2",
        "wa_source",
        "business_phone_number",
        "kaleyra_conn_id",
    }


def test_fields_are_rendered_from_the_context(requests_mock):
    requests_mock.post(URL.replace("+12025550100", "+12025550199"), status_code=202, json=ACCEPTED)
    names = KaleyraSendVideoOperator.template_fields
    task = operator(
        media_id=None, **{name: f"{{{{ {name} }}}}" for name in names if name not in {"media_id", "to"}}, to="{{ to }}"
    )
    rendered = {
        "to": TO,
        "media_link": "https://example.com/v.mp4",
        "caption": "Diwali",
        "ref": "a",
        "ref1": "b",
        "ref2": "c",
        "wa_source": "api",
        "business_phone_number": "+12025550199",
        "kaleyra_conn_id": "kaleyra_default",
    }
    task.render_template_fields(rendered)
    task.execute(rendered)
    assert json.loads(requests_mock.last_request.body.getvalue()) == {
        "messaging_object": {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": TO,
            "type": "video",
            "video": {"link": "https://example.com/v.mp4", "caption": "Diwali"},
        },
        "extra_info": {"ref": "a", "ref1": "b", "ref2": "c", "wa_source": "api"},
    }


@pytest.mark.parametrize(
    ("sources", "told"),
    [
        ({"media_id": None}, "neither"),
        ({"media_id": ""}, "neither"),
        ({"media_id": None, "media_link": ""}, "neither"),
        ({"media_id": "42", "media_link": "https://example.com/v.mp4"}, "both"),
    ],
)
def test_what_no_rendering_can_mend_fails_while_the_dag_is_parsed(sources, told):
    with pytest.raises(KaleyraMessageError, match=f"Task 'send' .*{told}"):
        operator(**sources)


@pytest.mark.parametrize("media_link", ["{{ params.link }}", "{% if x %}https://example.com/v.mp4{% endif %}"])
def test_a_template_may_render_to_either_source(requests_mock, media_link):
    requests_mock.post(URL, status_code=202, json=ACCEPTED)
    task = operator(media_link=media_link)
    context = {"params": {"link": ""}, "x": False}
    task.render_template_fields(context)
    assert task.execute(context) == "AX1"


def test_rendering_to_both_sources_sends_nothing(requests_mock):
    task = operator(media_link="{{ link }}")
    task.render_template_fields({"link": "https://example.com/v.mp4"})
    with pytest.raises(KaleyraMessageError, match="both"):
        task.execute({})
    assert requests_mock.call_count == 0


@pytest.mark.parametrize(
    ("status", "code", "retried"),
    [
        (401, "RBC001", False),
        (401, "WA401", False),
        (401, "WA-401", False),
        (400, "WA400", False),
        (400, "WAV2101", False),
        (400, "E110", True),
        (500, "WA500", True),
    ],
)
def test_airflow_retries_only_refusals_that_can_pass(requests_mock, status, code, retried):
    requests_mock.post(URL, status_code=status, json={"code": code, "message": "Sorry", "data": {}, "error": {}})
    with pytest.raises(KaleyraRejectedError, match=f"{code}, Sorry") as error:
        operator().execute({})
    assert isinstance(error.value, AirflowFailException) is not retried
    assert isinstance(error.value, KaleyraPermanentError) is not retried


def test_airflow_does_not_retry_an_unknown_outcome(requests_mock):
    requests_mock.post(URL, status_code=502, text="<h1>Bad Gateway</h1>")
    with pytest.raises(KaleyraUnknownOutcomeError) as error:
        operator().execute({})
    assert isinstance(error.value, AirflowFailException)


def test_a_connection_that_cannot_be_used_fails_at_once(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_BAD", json.dumps({"conn_type": "kaleyra", "login": "S"}))
    with pytest.raises(KaleyraConfigError, match="Mend Connection 'bad': its password"):
        operator(kaleyra_conn_id="bad").execute({})


def test_dry_run_shows_the_request_without_its_secrets(requests_mock, logged):
    operator(caption="Diwali").dry_run()
    told = logged()
    assert "POST https://api.in.kaleyra.io/v2/HXAP16XXXXXX97IN/whatsapp/+12*******00/messages" in told
    assert "Diwali" in told
    assert "api-key: ***" in told
    assert not any(secret in told for secret in ("a-very-secret-key", TO))
    assert requests_mock.call_count == 0


def test_making_an_operator_reads_no_connection():
    assert operator(kaleyra_conn_id="there_is_none").kaleyra_conn_id == "there_is_none"


def test_mapped_tasks_send_each_their_own():
    with DAG("mapped", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None):
        mapped = KaleyraSendVideoOperator.partial(task_id="send", media_id="42").expand(to=[TO, "+12025550199"])
    unmapped = mapped.unmap({"to": "+12025550199"})
    assert isinstance(unmapped, KaleyraSendVideoOperator)
    assert (unmapped.to, unmapped.media_id) == ("+12025550199", "42")


def test_importing_the_operator_is_light():
    program = """
import sys
from airflow.providers.common.compat.sdk import BaseOperator
before = set(sys.modules)
import airflow_provider_kaleyra.operators.video
print(*sorted(set(sys.modules) - before))
"""
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = process.stdout.split("\n")[-2].split()
    assert "airflow_provider_kaleyra.operators.video" in loaded
    assert len(loaded) <= 15
    assert not {"requests", "aiohttp"} & set(loaded)

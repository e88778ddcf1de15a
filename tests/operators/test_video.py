from __future__ import annotations

import json
import subprocess
import sys
from contextlib import nullcontext
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
import requests
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, AirflowSkipException

from airflow_provider_kaleyra.exceptions import (
    KaleyraConfigError,
    KaleyraError,
    KaleyraMessageError,
    KaleyraPermanentError,
    KaleyraRejectedError,
    KaleyraResendError,
    KaleyraStateStoreError,
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


def test_one_log_line_has_recipient_message_id_and_refs(requests_mock, logged):
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
        "media_file",
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
    ("sources", "expected"),
    [
        ({"media_id": None}, "neither"),
        ({"media_id": ""}, "neither"),
        ({"media_id": None, "media_link": ""}, "neither"),
        ({"media_id": "42", "media_link": "https://example.com/v.mp4"}, "both"),
    ],
)
def test_fields_that_no_rendering_makes_valid_fail_when_the_dag_is_parsed(sources, expected):
    with pytest.raises(KaleyraMessageError, match=f"Task 'send' .*{expected}"):
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
def test_airflow_retries_only_temporary_rejections(requests_mock, status, code, retried):
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


class Store:
    """Airflow's task state store, which fails at the writes that are named (0 is the first)."""

    def __init__(self, *failing_writes: int) -> None:
        self.states: list[str] = []
        self.failing_writes = failing_writes
        self.writes = 0
        self.value: str | None = None

    def get(self, key: str) -> object:
        return None if self.value is None else json.loads(self.value)

    def set(self, key: str, value: object) -> None:
        self.writes += 1
        if self.writes - 1 in self.failing_writes:
            raise OSError("the store is down")
        self.value = json.dumps(value)
        self.states.append(json.loads(self.value)["state"])


def tries(store: Store, *numbers: int, max_tries: int = 3) -> list[dict[str, object]]:
    return [
        {"ti": SimpleNamespace(try_number=n, max_tries=max_tries, map_index=-1), "task_state_store": store}
        for n in numbers
    ]


def lost(request, context):
    request.body.read()
    raise requests.ConnectionError("lost")


class Killed(BaseException):
    """As SIGTERM, Ctrl-C and an execution_timeout end a task: by no Exception."""


def killed(request, context):
    request.body.read()
    raise Killed


ANSWERS = {
    "accepted": {"status_code": 202, "json": ACCEPTED},
    "rejected": {"status_code": 500, "json": {"code": "WA500", "message": "Sorry", "data": {}, "error": {}}},
    "not_sent": {"exc": requests.ConnectTimeout("timed out")},
    "unknown": {"json": lost},
}


@pytest.mark.parametrize("state", ANSWERS)
def test_a_send_is_recorded_before_and_its_outcome_after(requests_mock, monkeypatch, state):
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    requests_mock.post(URL, **ANSWERS[state])
    store = Store()
    (context,) = tries(store, 1)
    with nullcontext() if state == "accepted" else pytest.raises(KaleyraError):
        operator(ref="customer1").execute(context)
    assert store.states == ["sending", state]
    assert store.get("kaleyra_send")["refs"] == {"ref": "customer1"}


@pytest.mark.parametrize(
    ("variable", "value"), [("REQUESTS_CA_BUNDLE", "/none.pem"), ("HTTPS_PROXY", "socks5://me:secret@proxy:1080")]
)
def test_a_clear_after_certificates_or_a_proxy_were_fixed_sends(requests_mock, monkeypatch, variable, value):
    requests_mock.post(URL, status_code=202, json=ACCEPTED)
    monkeypatch.setenv(variable, value)
    store = Store()
    with pytest.raises(KaleyraConfigError, match=variable):
        operator().execute(*tries(store, 1))
    assert store.states == ["sending", "not_sent"]
    assert "secret" not in str(store.value)
    monkeypatch.delenv(variable)
    assert operator().execute(*tries(store, 2, max_tries=4)) == "AX1"
    assert requests_mock.call_count == 1


def test_a_retry_after_an_acceptance_returns_its_id_and_sends_nothing(requests_mock, logged):
    requests_mock.post(URL, status_code=202, json=ACCEPTED)
    store = Store()
    first, second = tries(store, 1, 2)
    operator().execute(first)
    assert operator(caption="rendered otherwise").execute(second) == "AX1"
    assert requests_mock.call_count == 1
    assert "Nothing is sent, because an earlier try sent it: try 1 to +12*******23" in logged()


@pytest.mark.parametrize("broken", [{"to": "None"}, {"kaleyra_conn_id": "there_is_none"}])
def test_a_retry_finds_the_accepted_id_even_if_it_could_not_send(requests_mock, broken):
    requests_mock.post(URL, status_code=202, json=ACCEPTED)
    store = Store()
    first, second = tries(store, 1, 2)
    operator().execute(first)
    assert operator(**broken).execute(second) == "AX1"


def test_a_clear_after_an_acceptance_sends_nothing_and_logs_how_to_send_again(requests_mock, logged):
    requests_mock.post(URL, status_code=202, json=ACCEPTED)
    store = Store()
    operator().execute(*tries(store, 1, max_tries=3))
    assert operator().execute(*tries(store, 2, max_tries=4)) == "AX1"
    assert requests_mock.call_count == 1
    assert "delete 'kaleyra_send' from the task instance's state store" in logged()


def test_a_clear_after_an_acceptance_sends_an_edited_message(requests_mock):
    requests_mock.post(URL, status_code=202, json=ACCEPTED)
    store = Store()
    operator().execute(*tries(store, 1, max_tries=3))
    operator(caption="edited").execute(*tries(store, 2, max_tries=4))
    assert requests_mock.call_count == 2


def test_a_template_that_renders_differently_is_not_an_edit(requests_mock):
    requests_mock.post(URL, status_code=202, json=ACCEPTED)
    store = Store()
    for number, max_tries in ((1, 3), (2, 4)):
        (context,) = tries(store, number, max_tries=max_tries)
        task = operator(caption="{{ ti.try_number }}")
        task.render_template_fields(context)
        assert task.caption == str(number)
        assert task.execute(context) == "AX1"
    assert requests_mock.call_count == 1


def test_the_outcome_of_a_killed_send_is_unknown_and_sent_after_a_clear(requests_mock):
    requests_mock.post(URL, [{"json": killed}, {"status_code": 202, "json": ACCEPTED}])
    store = Store()
    first, second, third = tries(store, 1, 2, 3)
    with pytest.raises(Killed):
        operator(ref="customer1").execute(first)
    assert store.states == ["sending"]
    for context in (second, third):
        with pytest.raises(KaleyraUnknownOutcomeError, match=r"its try was killed or timed out.* ref 'customer1'\)"):
            operator().execute(context)
    assert requests_mock.call_count == 1
    assert operator().execute(*tries(store, 4, max_tries=6)) == "AX1"


def test_a_clear_before_the_report_does_not_send(requests_mock):
    requests_mock.post(URL, [{"json": killed}, {"status_code": 202, "json": ACCEPTED}])
    store = Store()
    with pytest.raises(Killed):
        operator().execute(*tries(store, 1, max_tries=0))
    with pytest.raises(KaleyraUnknownOutcomeError):
        operator().execute(*tries(store, 2, max_tries=1))
    assert requests_mock.call_count == 1
    assert operator().execute(*tries(store, 3, max_tries=2)) == "AX1"


@pytest.mark.parametrize(
    ("mode", "kind", "retried"),
    [
        ("fail", KaleyraUnknownOutcomeError, False),
        ("resend", KaleyraResendError, True),
        ("skip", AirflowSkipException, False),
    ],
)
@pytest.mark.parametrize("store", [Store, lambda: None], ids=["with a state store", "before Airflow 3.3"])
def test_an_unknown_outcome_ends_the_try_as_on_unknown_outcome_says(requests_mock, store, mode, kind, retried):
    requests_mock.post(URL, json=lost)
    with pytest.raises(kind) as error:
        operator(on_unknown_outcome=mode, ref="customer1").execute(*tries(store(), 1))
    assert isinstance(error.value, AirflowFailException | AirflowSkipException) is not retried
    assert "(sent at " in str(error.value)
    assert "ref 'customer1'" in str(error.value)
    assert "if it is not there, clear the task to send it again" in str(error.value)
    assert TO not in str(error.value)


@pytest.mark.parametrize(
    ("mode", "sent"),
    [("fail", 1), ("resend", 2), ("skip", 1)],
)
def test_a_try_after_an_unknown_outcome_does_as_on_unknown_outcome_says(requests_mock, logged, mode, sent):
    requests_mock.post(URL, [{"json": lost}, {"status_code": 202, "json": ACCEPTED}])
    store = Store()
    first, second = tries(store, 1, 2)
    with pytest.raises(Exception, match="Outcome unknown"):
        operator(on_unknown_outcome=mode).execute(first)
    if mode == "resend":
        assert operator(on_unknown_outcome=mode).execute(second) == "AX1"
        assert "This try will send again, although Kaleyra may have accepted that one" in logged()
    else:
        with pytest.raises((KaleyraUnknownOutcomeError, AirflowSkipException)):
            operator(on_unknown_outcome=mode).execute(second)
    assert requests_mock.call_count == sent


def test_an_error_of_the_store_before_the_send_sends_nothing(requests_mock):
    requests_mock.post(URL, status_code=202, json=ACCEPTED)
    with pytest.raises(KaleyraStateStoreError) as error:
        operator().execute(*tries(Store(0), 1))
    assert not isinstance(error.value, AirflowFailException)
    assert requests_mock.call_count == 0


def test_an_error_of_the_store_after_the_acceptance_does_not_lose_the_id(requests_mock, logged):
    requests_mock.post(URL, status_code=202, json=ACCEPTED)
    store = Store(1)
    assert operator().execute(*tries(store, 1)) == "AX1"
    log = logged()
    assert "message id AX1" in log
    assert "the store is down" in log
    assert store.states == ["sending"]


def test_an_error_of_the_store_after_a_rejection_does_not_hide_it(requests_mock):
    requests_mock.post(URL, **ANSWERS["rejected"])
    with pytest.raises(KaleyraRejectedError, match="WA500"):
        operator().execute(*tries(Store(1), 1))


@pytest.mark.parametrize("value", ["ignore", "", None, "Fail", ["fail"]])
def test_an_invalid_on_unknown_outcome_fails_when_the_dag_is_parsed(value):
    with pytest.raises(KaleyraConfigError, match=r"Task 'send' is invalid: .* one of 'fail', 'resend', 'skip'; found"):
        operator(on_unknown_outcome=value)


def test_a_connection_that_cannot_be_used_fails_at_once(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_BAD", json.dumps({"conn_type": "kaleyra", "login": "S"}))
    with pytest.raises(KaleyraConfigError, match="Connection 'bad' cannot be used: its password"):
        operator(kaleyra_conn_id="bad").execute({})


def test_dry_run_shows_the_request_without_its_secrets(requests_mock, logged):
    operator(caption="Diwali").dry_run()
    log = logged()
    assert "POST https://api.in.kaleyra.io/v2/HXAP16XXXXXX97IN/whatsapp/+12*******00/messages" in log
    assert "Diwali" in log
    assert "api-key: ***" in log
    assert not any(secret in log for secret in ("a-very-secret-key", TO))
    assert requests_mock.call_count == 0


def test_making_an_operator_reads_no_connection():
    assert operator(kaleyra_conn_id="there_is_none").kaleyra_conn_id == "there_is_none"


def test_each_mapped_task_sends_its_own_message():
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

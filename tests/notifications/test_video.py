from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from inspect import signature

import pytest
from airflow import __version__ as airflow_version

from airflow_provider_kaleyra.exceptions import (
    KaleyraError,
    KaleyraMessageError,
    KaleyraNoResendError,
    KaleyraPermanentError,
    KaleyraUnreachableError,
)
from airflow_provider_kaleyra.notifications.video import KaleyraVideoNotifier
from airflow_provider_kaleyra.operators.video import KaleyraSendVideoOperator
from airflow_provider_kaleyra.whatsapp.message import MESSAGE_FIELDS
from tests.support.http_server import RawServer, raw_response, raw_server

TO = "+12025550123"
ACCEPTED = raw_response("202 Accepted", b'{"code": "WA202", "data": {"message_id": "AX1"}}')
AIRFLOW = tuple(int(part) for part in airflow_version.split(".")[:2])


class Dag:
    """As much of a DAG as rendering asks for."""

    user_defined_macros = user_defined_filters = None
    render_template_as_native_obj = False

    def get_template_env(self, **_: object) -> object:
        from jinja2.sandbox import SandboxedEnvironment

        return SandboxedEnvironment()


def notifier(**fields: object) -> KaleyraVideoNotifier:
    return KaleyraVideoNotifier(**{"to": TO, "media_id": "42"} | fields)


def use_connection(monkeypatch: pytest.MonkeyPatch, server: RawServer, conn_id: str = "kaleyra_default") -> None:
    connection = {
        "conn_type": "kaleyra",
        "login": "HXAP16XXXXXX97IN",
        "password": "a-very-secret-key",
        "host": server.url,
        "extra": {"business_phone_number": "+12025550100", "timeout": 5},
    }
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))


def notify(notifier: KaleyraVideoNotifier) -> None:
    notifier.notify({})


def async_notify(notifier: KaleyraVideoNotifier) -> None:
    asyncio.run(notifier.async_notify({}))


both_ways = pytest.mark.parametrize("way", [notify, async_notify])


@both_ways
def test_the_video_is_sent_and_its_message_id_logged(monkeypatch, logged, way):
    with raw_server(ACCEPTED) as server:
        use_connection(monkeypatch, server)
        way(notifier(caption="Diwali", ref="r"))
    (received,) = server.received
    assert json.loads(received.body) == {
        "messaging_object": {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": TO,
            "type": "video",
            "video": {"id": "42", "caption": "Diwali"},
        },
        "extra_info": {"ref": "r"},
    }
    log = logged()
    assert "Kaleyra accepted the video to +12*******23: message id AX1." in log
    assert not any(secret in log for secret in (TO, "a-very-secret-key"))


@both_ways
@pytest.mark.parametrize(
    ("served", "kind"),
    [
        (raw_response("401 Unauthorized", b'{"code": "RBC001", "message": "no", "data": []}'), KaleyraPermanentError),
        (raw_response("502 Bad Gateway", b"<h1>Bad Gateway</h1>"), KaleyraNoResendError),
        (lambda connection: None, KaleyraNoResendError),
    ],
)
def test_an_error_is_raised_and_the_send_not_repeated(monkeypatch, way, served, kind):
    with raw_server(served) as server:
        use_connection(monkeypatch, server)
        with pytest.raises(KaleyraError) as error:
            way(notifier())
    assert type(error.value) is kind
    assert len(server.received) == 1


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between attempts, not waited for."""
    waited: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waited.append)
    return waited


@both_ways
def test_a_short_retry_after_is_waited_for(monkeypatch, waits, way):
    busy = raw_response("429 Too Many Requests", b"busy", "Retry-After: 4")
    with raw_server(busy, ACCEPTED) as server:
        use_connection(monkeypatch, server)
        way(notifier())
    assert len(server.received) == 2
    assert len(waits) == 1
    assert 4 < waits[0] < 5


@both_ways
def test_a_send_that_was_not_transmitted_is_attempted_three_times(monkeypatch, waits, way):
    with raw_server(ACCEPTED) as server:
        use_connection(monkeypatch, server)
    with pytest.raises(KaleyraUnreachableError, match="was not sent"):
        way(notifier())
    assert len(waits) == 2


@both_ways
def test_a_broken_rule_sends_nothing(monkeypatch, way):
    with raw_server(ACCEPTED) as server:
        use_connection(monkeypatch, server)
        with pytest.raises(KaleyraMessageError, match="to must be"):
            way(notifier(to="12025550123"))
    assert server.received == []


def test_airflow_renders_every_field(monkeypatch):
    names = KaleyraVideoNotifier.template_fields
    fields = {name: f"{{{{ value_of_{name} }}}}" for name in names if name != "media_id"}
    values = {
        "to": TO,
        "media_link": "https://example.com/v.mp4",
        "caption": "Diwali",
        "ref": "a",
        "ref1": "b",
        "ref2": "c",
        "wa_source": "api",
        "business_phone_number": "+12025550199",
        "kaleyra_conn_id": "other",
    }
    with raw_server(ACCEPTED) as server:
        use_connection(monkeypatch, server, "other")
        notifier(media_id=None, **fields)(
            {"dag": Dag()} | {f"value_of_{name}": value for name, value in values.items()}
        )
    (received,) = server.received
    assert "/whatsapp/+12025550199/messages" in received.request_line
    assert json.loads(received.body) == {
        "messaging_object": {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": TO,
            "type": "video",
            "video": {"link": "https://example.com/v.mp4", "caption": "Diwali"},
        },
        "extra_info": {"ref": "a", "ref1": "b", "ref2": "c", "wa_source": "api"},
    }


def test_one_notifier_serves_several_tasks_each_with_its_own_fields(monkeypatch):
    shared = notifier(to="{{ number }}", ref="{{ task }}")
    with raw_server(ACCEPTED) as server:
        use_connection(monkeypatch, server)
        shared({"dag": Dag(), "number": "+12025550101", "task": "first"})
        shared({"dag": Dag(), "number": "+12025550102", "task": "second"})
    sent = [json.loads(received.body) for received in server.received]
    assert [message["messaging_object"]["to"] for message in sent] == ["+12025550101", "+12025550102"]
    assert [message["extra_info"]["ref"] for message in sent] == ["first", "second"]


def test_its_fields_are_the_operators():
    # An upload is too slow for a callback.
    fields = [name for name in KaleyraSendVideoOperator.template_fields if name != "media_file"]
    assert list(KaleyraVideoNotifier.template_fields) == fields
    own = [name for name in signature(KaleyraVideoNotifier).parameters if name != "kwargs"]
    assert own == list(KaleyraVideoNotifier.template_fields)
    assert own[:8] == list(MESSAGE_FIELDS)


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ({"media_id": None}, "neither"),
        ({"media_id": "", "media_link": ""}, "neither"),
        ({"media_link": "https://example.com/v.mp4"}, "both"),
    ],
)
def test_fields_that_no_rendering_makes_valid_fail_when_the_dag_is_parsed(sources, expected):
    with pytest.raises(KaleyraMessageError, match=expected):
        notifier(**sources)
    notifier(media_link="{{ params.link }}")


def test_making_a_notifier_reads_no_connection():
    assert notifier(kaleyra_conn_id="there_is_none").kaleyra_conn_id == "there_is_none"


def test_importing_the_notifier_is_light():
    program = """
import sys
from airflow.providers.common.compat.sdk import BaseNotifier
before = set(sys.modules)
import airflow_provider_kaleyra.notifications.video
print(*sorted(set(sys.modules) - before))
"""
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = process.stdout.split("\n")[-2].split()
    assert "airflow_provider_kaleyra.notifications.video" in loaded
    assert len(loaded) <= 20
    assert not {"requests", "aiohttp", "tenacity"} & set(loaded)


def test_the_event_loop_is_not_blocked_by_a_slow_response(monkeypatch):
    def slow(connection: object) -> None:
        time.sleep(1.5)
        connection.sendall(ACCEPTED)

    async def heartbeats_during_a_notification() -> int:
        beats = 0

        async def heart() -> None:
            nonlocal beats
            while True:
                await asyncio.sleep(0.01)
                beats += 1

        beating = asyncio.create_task(heart())
        await notifier().async_notify({})
        beating.cancel()
        return beats

    with raw_server(slow) as server:
        use_connection(monkeypatch, server)
        beats = asyncio.run(heartbeats_during_a_notification())
    assert len(server.received) == 1
    # Some 150 fit into the time until the response; a blocked loop would have none.
    assert beats > 50


async def cancelled_while_sending(server: RawServer) -> None:
    """Cancel a notification once the server has its request, as a triggerer does that stops."""
    sending = asyncio.create_task(notifier().async_notify({}))
    async with asyncio.timeout(10):
        while not server.received:
            await asyncio.sleep(0.01)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending


@pytest.mark.parametrize(
    ("served", "expected"),
    [
        (ACCEPTED, "Kaleyra accepted the video to +12*******23: message id AX1."),
        (
            raw_response("401 Unauthorized", b'{"code": "RBC001", "message": "no", "data": []}'),
            "The notification was cancelled while it was sent: Kaleyra ",
        ),
    ],
)
def test_a_cancelled_notification_ends_its_send_and_logs_the_outcome(monkeypatch, logged, served, expected):
    def slow(connection: object) -> None:
        time.sleep(0.5)
        connection.sendall(served)

    with raw_server(slow) as server:
        use_connection(monkeypatch, server)
        asyncio.run(cancelled_while_sending(server))  # which waits for the loop's threads
    assert len(server.received) == 1
    assert expected in logged()


def test_a_deadline_awaits_the_notifier_with_its_own_context(monkeypatch):
    """As Airflow's triggerer does: the class, called with the kwargs and a context, and awaited."""
    with raw_server(ACCEPTED) as server:
        use_connection(monkeypatch, server)

        async def trigger() -> None:
            context = {"dag_run": {"dag_id": "late_dag"}, "deadline": {}}
            await KaleyraVideoNotifier(to=TO, media_id="42", ref="{{ dag_run.dag_id }}", context=context)

        asyncio.run(trigger())
    assert json.loads(server.received[0].body)["extra_info"] == {"ref": "late_dag"}


def test_a_deadline_alert_accepts_the_notifier_as_its_callback():
    from airflow.sdk.definitions import deadline

    try:
        from airflow.sdk.definitions.callback import AsyncCallback
    except ImportError:  # Airflow 3.1
        AsyncCallback = deadline.AsyncCallback  # noqa: N806
    from datetime import timedelta

    callback = AsyncCallback(KaleyraVideoNotifier, kwargs={"to": TO, "media_id": "42"})
    alert = deadline.DeadlineAlert(
        reference=deadline.DeadlineReference.DAGRUN_QUEUED_AT, interval=timedelta(minutes=5), callback=callback
    )
    assert alert.callback.path == "airflow_provider_kaleyra.notifications.video.KaleyraVideoNotifier"
    assert json.loads(json.dumps(alert.callback.kwargs)) == {"to": TO, "media_id": "42"}

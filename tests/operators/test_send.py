"""A second kind of message on the base of all operators that send one: what it costs, and what it gets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator

from airflow_provider_kaleyra.exceptions import KaleyraMessageError, KaleyraNoResendError
from airflow_provider_kaleyra.message_fields import SENDER_FIELDS, MessageFields
from airflow_provider_kaleyra.notifications._send import SendMessageNotifier
from airflow_provider_kaleyra.operators._send import SendMessageOperator
from airflow_provider_kaleyra.operators.campaign import KaleyraSendVideoCampaignOperator
from airflow_provider_kaleyra.operators.video import KaleyraSendVideoOperator
from airflow_provider_kaleyra.whatsapp.message import Message
from airflow_provider_kaleyra.whatsapp.validation import BrokenRule
from tests.operators.conftest import Store
from tests.support.http_server import raw_response, raw_server

TO = "+12025550123"
ACCEPTED = raw_response("202 Accepted", b'{"code": "WA202", "data": {"message_id": "AX1"}}')


@dataclass(frozen=True, kw_only=True)
class TextMessage(Message):
    type: ClassVar[str] = "text"
    noun: ClassVar[str] = "text"

    text: str

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.text:
            raise BrokenRule("text", "given", "nothing")

    def content(self) -> dict[str, Any]:
        return {"body": self.text}


class TextFields(MessageFields):
    message_type = TextMessage
    message_fields: ClassVar[tuple[str, ...]] = ("to", "text", "ref", "ref1", "ref2", "wa_source")


class SendTextOperator(TextFields, SendMessageOperator):
    template_fields: Sequence[str] = (*TextFields.message_fields, *SENDER_FIELDS)

    def __init__(
        self,
        *,
        to,
        text,
        ref=None,
        ref1=None,
        ref2=None,
        wa_source=None,
        business_phone_number=None,
        kaleyra_conn_id="kaleyra_default",
        on_unknown_outcome="fail",
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self._set_fields(locals())


class TextNotifier(TextFields, SendMessageNotifier):
    template_fields: Sequence[str] = (*TextFields.message_fields, *SENDER_FIELDS)

    def __init__(
        self,
        *,
        to,
        text,
        ref=None,
        ref1=None,
        ref2=None,
        wa_source=None,
        business_phone_number=None,
        kaleyra_conn_id="kaleyra_default",
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self._set_fields(locals())


@pytest.fixture
def serve(monkeypatch):
    def use(server) -> None:
        extra = {"business_phone_number": "+12025550100", "timeout": 5}
        connection = {"conn_type": "kaleyra", "login": "S", "password": "k", "host": server.url, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", json.dumps(connection))

    return use


def context(store: Store, try_number: int) -> dict[str, object]:
    return {"ti": SimpleNamespace(try_number=try_number, max_tries=3, map_index=-1), "task_state_store": store}


def test_it_is_sent_recorded_and_not_sent_again(serve, logged):
    store = Store()
    with raw_server(ACCEPTED) as server:
        serve(server)
        for try_number in (1, 2):
            operator = SendTextOperator(task_id="send", to=TO, text="{{ word }}", ref="r")
            operator.render_template_fields({"word": "Hello"})
            assert operator.execute(context(store, try_number)) == "AX1"
    (received,) = server.received
    assert json.loads(received.body) == {
        "messaging_object": {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": TO,
            "type": "text",
            "text": {"body": "Hello"},
        },
        "extra_info": {"ref": "r"},
    }
    assert "Kaleyra accepted the text to +12*******23: message id AX1, ref 'r'." in logged()


def test_its_unknown_outcome_is_not_repeated(serve):
    store = Store()
    with raw_server(lambda connection: None) as server:
        serve(server)
        for try_number in (1, 2):
            with pytest.raises(KaleyraNoResendError, match="Kaleyra may have accepted the text to"):
                SendTextOperator(task_id="send", to=TO, text="Hello").execute(context(store, try_number))
    assert len(server.received) == 1


def test_a_broken_rule_sends_nothing():
    with pytest.raises(KaleyraMessageError, match="Nothing was sent: text must be given"):
        SendTextOperator(task_id="send", to=TO, text="").execute({})


def test_its_notifier_sends_it_too(serve):
    with raw_server(ACCEPTED) as server:
        serve(server)
        TextNotifier(to=TO, text="Hello").notify({})
        asyncio.run(TextNotifier(to=TO, text="Hello").async_notify({}))
    assert len(server.received) == 2


class PlainOperator(BaseOperator):
    def __init__(self, *, field: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.field = field


@pytest.mark.parametrize(
    ("kind", "fields", "expanded"),
    [
        (SendTextOperator, {"text": "Hello"}, {"to": [TO]}),
        (KaleyraSendVideoOperator, {"media_id": "42"}, {"to": [TO]}),
        (
            KaleyraSendVideoCampaignOperator,
            {"media_id": "42", "campaign_id": "diwali", "ledger_conn_id": "ledger"},
            {"recipients": [[TO]]},
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_mapped_task_gets_airflows_own_defaults(kind, fields, expanded):
    with DAG("mapped", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None):
        mapped = kind.partial(task_id="send", **fields).expand(**expanded)
        plain = PlainOperator.partial(task_id="plain").expand(field=["a"])
    names = ("inlets", "outlets", "executor_config", "on_failure_callback")
    assert [getattr(mapped, name) for name in names] == [getattr(plain, name) for name in names]
    assert list(mapped.inlets) == list(mapped.outlets) == []

"""Values that the campaign's tests share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow_provider_kaleyra.campaign.message_builder import Invalid, MessageBuilder
from airflow_provider_kaleyra.campaign.readers import rows_of_list
from airflow_provider_kaleyra.ledger.claim_rules import Claimant
from airflow_provider_kaleyra.ledger.values import PreparedMessage
from airflow_provider_kaleyra.whatsapp.account import Account
from airflow_provider_kaleyra.whatsapp.message import VideoMessage
from airflow_provider_kaleyra.whatsapp.outcome import Rejected
from airflow_provider_kaleyra.whatsapp.request import Request, video_request

ACCOUNT = Account(
    sid="HXAP1600000097IN",
    api_key="a-very-secret-key",
    base_url="http://127.0.0.1:9",
    business_phone_number="+999100000000",
)


def request_for(message: VideoMessage) -> Request:
    return video_request(ACCOUNT, message)


def number(index: int) -> str:
    return f"+9198{index:08d}"


def prepared(recipients: Iterable[Any], **fields: str) -> list[PreparedMessage | Invalid]:
    builder = MessageBuilder(VideoMessage, {"media_id": "42"} | fields, request_for)
    return list(builder.build(rows_of_list(recipients)))


def claimant(**differences: Any) -> Claimant:
    known = {"dag_id": "dag", "run_id": "run", "task_id": "send", "map_index": -1, "try_number": 1}
    return Claimant(**known | differences)


def rejected(code: str | None, http_status: int = 400, **more: Any) -> Rejected:
    return Rejected(code=code, message="Sorry", http_status=http_status, **more)

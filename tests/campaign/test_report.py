"""What a campaign's task logs and raises at its end."""

from __future__ import annotations

import logging

from airflow_provider_kaleyra.campaign.recorder import Unfinished
from airflow_provider_kaleyra.campaign.report import unfinished_error
from airflow_provider_kaleyra.campaign.runner import Runner
from airflow_provider_kaleyra.campaign.settings import Settings
from airflow_provider_kaleyra.campaign.thread import StopRequest
from airflow_provider_kaleyra.exceptions import KaleyraCampaignError
from airflow_provider_kaleyra.ledger.values import ClaimResult, SendResult, Step
from airflow_provider_kaleyra.whatsapp.outcome import Accepted, NotSent, Unknown
from tests.campaign.builders import number, prepared, rejected
from tests.campaign.test_runner import LedgerInMemory


def test_each_outcome_that_is_not_recorded_is_logged_with_a_masked_number(caplog):
    outcomes = [Accepted("AX1"), rejected("WA400"), NotSent("refused"), Unknown("lost")]
    messages = prepared([number(index) for index in range(4)])
    settled = [
        SendResult(ClaimResult(message, Step.SEND, "claim"), outcome, retryable=False)
        for message, outcome in zip(messages, outcomes, strict=True)
    ]
    Unfinished(claimed=3, in_flight=2, settled=settled).log()
    for words in ("accepted, message id AX1", "rejected, WA400", "not sent", "unknown"):
        assert words in caplog.text
    assert "2 more messages were sent" in caplog.text
    assert "3 more recipients were claimed" in caplog.text
    assert number(1) not in caplog.text


def test_nothing_is_logged_if_everything_is_recorded(caplog):
    Unfinished(claimed=0, in_flight=0, settled=[]).log()
    assert caplog.text == ""


def test_a_campaign_that_did_not_end_in_time_fails_so_that_airflow_retries(caplog):
    caplog.set_level(logging.INFO)
    stop = StopRequest()
    stop.set("Airflow ended the task")
    for runner in (None, Runner([], LedgerInMemory(), Settings())):
        error = unfinished_error(stop, runner, "diwali")
        assert type(error) is KaleyraCampaignError
        assert "Airflow ended the task, and the campaign did not end within 0 s" in str(error)

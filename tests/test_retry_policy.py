from __future__ import annotations

import os
import pickle
import subprocess
import sys
from datetime import timedelta
from importlib.metadata import version
from types import SimpleNamespace

import pytest

from airflow_provider_kaleyra.exceptions import error_for, unknown_outcome
from airflow_provider_kaleyra.whatsapp.outcome import NotSent, Rejected

HAS_POLICIES = tuple(map(int, version("apache-airflow").split(".")[:2])) >= (3, 3)
SUBJECT = "the video to +91********10"

if HAS_POLICIES:
    from airflow.sdk import DAG, RetryAction, RetryDecision

    from airflow_provider_kaleyra.operators.video import KaleyraSendVideoOperator
    from airflow_provider_kaleyra.retry_policy import KaleyraRetryPolicy


def rejected(http_status: int, code: str | None = None, retry_after: float | None = None) -> Exception:
    return error_for(SUBJECT, Rejected(code=code, message="no", http_status=http_status, retry_after=retry_after))


def decision(error: BaseException, try_number: int = 1, max_tries: int = 5, retries: int = 5) -> RetryDecision:
    context = {"task": SimpleNamespace(retries=retries)}
    return KaleyraRetryPolicy().evaluate(error, try_number, max_tries, context)


@pytest.mark.parametrize(("try_number", "minutes"), [(1, 5), (2, 10), (3, 15), (4, 15)])
@pytest.mark.parametrize(("code", "status"), [("WA500", 500), ("WA429", 429), ("WA429", 400)])
def test_wa429_and_wa500_wait_as_long_as_kaleyra_asks(try_number, minutes, code, status):
    made = decision(rejected(status, code, retry_after=1.0), try_number)
    assert (made.action, made.retry_delay) == (RetryAction.RETRY, timedelta(minutes=minutes))
    assert made.reason == f"{code}, Kaleyra asks to wait: try again after {60 * minutes} s"


@pytest.mark.parametrize(
    ("try_number", "max_tries", "minutes"),
    [
        (3, 4, 5),  # failed at try 2 of 3 and was cleared: 2 + 2
        (4, 4, 10),
    ],
)
def test_a_clear_restarts_the_waits(try_number, max_tries, minutes):
    made = decision(rejected(500, "WA500"), try_number, max_tries, retries=2)
    assert made.retry_delay == timedelta(minutes=minutes)


def test_retries_lowered_in_the_dag_file_do_not_disturb_the_waits():
    assert decision(rejected(500, "WA500"), try_number=1, max_tries=5, retries=1).retry_delay == timedelta(minutes=5)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("asked", "seconds"), [(0.0, 0), (120.0, 120), (7200.0, 900)])
def test_retry_after_is_used_up_to_15_minutes(status, asked, seconds):
    made = decision(rejected(status, retry_after=asked))
    assert (made.action, made.retry_delay) == (RetryAction.RETRY, timedelta(seconds=seconds))
    assert f"HTTP {status}" in made.reason


@pytest.mark.parametrize("error", [rejected(429), rejected(503), error_for(SUBJECT, NotSent("connection refused"))])
def test_without_a_retry_after_the_wait_doubles_and_varies(error):
    for try_number, seconds in ((1, 30), (2, 60), (3, 120), (7, 900), (60, 900)):
        waits = [decision(error, try_number, 60, 60).retry_delay.total_seconds() for _ in range(20)]
        assert seconds * 0.75 <= min(waits) < max(waits) <= seconds * 1.25


def test_low_balance_leaves_time_for_a_top_up():
    assert decision(rejected(400, "E110")).retry_delay == timedelta(minutes=30)


@pytest.mark.parametrize(
    "error",
    [
        rejected(502, "WA999"),
        rejected(425),
        unknown_outcome(SUBJECT, "lost", "resend"),
        ValueError("not ours"),
        KeyboardInterrupt(),
    ],
)
def test_other_errors_use_airflows_delay(error):
    assert decision(error) == RetryDecision.default()


def test_it_decides_without_a_context():
    assert KaleyraRetryPolicy().evaluate(rejected(500, "WA500"), 2, 5).retry_delay == timedelta(minutes=10)


def test_it_serialises_with_the_dag():
    from airflow.serialization.serialized_objects import DagSerialization

    with DAG("policy", schedule=None) as dag:
        KaleyraSendVideoOperator(
            task_id="send", to="+12025550123", media_id="42", retries=3, retry_policy=KaleyraRetryPolicy()
        )
    serialised = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
    assert serialised.get_task("send").has_retry_policy


@pytest.mark.parametrize(
    "again",
    [
        lambda policy: KaleyraRetryPolicy.deserialize(policy.serialize()),
        lambda policy: pickle.loads(pickle.dumps(policy)),
    ],
)
def test_it_can_be_stored_and_loaded_again(again):
    twin = again(KaleyraRetryPolicy())
    assert type(twin) is KaleyraRetryPolicy
    assert twin.evaluate(rejected(500, "WA500"), 1, 5).retry_delay == timedelta(minutes=5)


def test_an_older_airflow_gets_an_import_error_with_what_to_do():
    done = subprocess.run(
        [sys.executable, "-c", "import airflow_provider_kaleyra.retry_policy"],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: KaleyraRetryPolicy cannot be imported: it needs Airflow 3.3 or later")
    assert f"this is Airflow {version('apache-airflow')}" in last

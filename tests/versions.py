"""What an Airflow cannot run, by name, and why: the one list of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limit:
    """Tests that only some versions of Airflow run.

    :param tests: how the ids of the tests start; the longest start that fits counts.
    :param why: what those versions have, for whoever reads that the others skipped.
    :param first: the first version that runs them.
    :param before: the first version that no longer does.
    """

    tests: str
    why: str
    first: tuple[int, int] = (0, 0)
    before: tuple[int, int] = (99, 0)


STATE_STORE = "Airflow has a task state store, which keeps records across the tries of a task"
NO_DATABASE = "Airflow finds out that a Connection is missing without a database"
LIMITS = [
    Limit("tests/connection/test_form.py::test_airflow_3_", "Airflow makes the form without FAB", first=(3, 1)),
    Limit("tests/connection/test_form.py::test_airflow_2_", "Airflow makes the form with FAB", before=(3, 0)),
    Limit("tests/connection/test_reading.py::test_the_api_server_", "tasks read through the API server", first=(3, 0)),
    Limit("tests/connection/test_reading.py::test_the_api_server_that_denies_", "it reports a denial", first=(3, 2)),
    Limit("tests/hooks/test_kaleyra.py::test_the_test_reports_a_missing_", NO_DATABASE, first=(3, 0)),
    Limit("tests/files/test_object_storage.py::test_a_missing_connection_is_named", NO_DATABASE, first=(3, 0)),
    Limit("tests/files/test_object_storage.py::test_a_password_and_a_signature", NO_DATABASE, first=(3, 0)),
    Limit("tests/files/test_s3.py::test_a_missing_connection_fails_", NO_DATABASE, first=(3, 0)),
    Limit("tests/ledger/test_connection.py::test_a_connection_that_does_not_exist_", NO_DATABASE, first=(3, 0)),
    Limit("tests/notifications/test_video.py::test_a_deadline_", "Airflow has deadline alerts", first=(3, 1)),
    Limit("tests/airflow/test_notifier.py::test_a_missed_deadline_", "Airflow has deadline alerts", first=(3, 1)),
    Limit("tests/test_docs.py::test_a_python_block_runs[failures.md-1]", "Airflow has retry policies", first=(3, 3)),
    Limit("tests/test_docs.py::test_a_python_block_runs[notifier.md-2]", "deadlines have this import", first=(3, 2)),
    Limit("tests/test_retry_policy.py::", "Airflow has retry policies", first=(3, 3)),
    Limit("tests/test_retry_policy.py::test_an_older_airflow_", "Airflow has no retry policies", before=(3, 3)),
    Limit("tests/airflow/test_examples.py::test_a_cleared_task_", STATE_STORE, first=(3, 3)),
    Limit("tests/airflow/test_fault_matrix.py::Test", STATE_STORE, first=(3, 3)),
    Limit("tests/airflow/test_foreign_responses.py::Test", "the document's table is of that version", first=(3, 3)),
    Limit("tests/airflow/test_send_once.py::", STATE_STORE, first=(3, 3)),
    Limit("tests/airflow/test_send_once.py::test_an_unknown_outcome_", "every Airflow"),
    Limit("tests/airflow/test_campaign.py::test_marking_", "the API marks a task as failed", first=(3, 0)),
    Limit("tests/airflow/test_ui.py::", "the UI is the one that the tests walk through", first=(3, 3)),
    Limit("tests/services/test_celery.py::", "the heartbeat's settings have these names", first=(3, 0)),
]


def skipped_because(test: str, airflow: tuple[int, ...]) -> str | None:
    """Return why that Airflow cannot run that test; None if it can."""
    limit = max(
        (limit for limit in LIMITS if test.startswith(limit.tests)), key=lambda one: len(one.tests), default=None
    )
    if limit is None or limit.first <= airflow < limit.before:
        return None
    since = f"from Airflow {limit.first[0]}.{limit.first[1]} on" if airflow < limit.first else ""
    until = f"before Airflow {limit.before[0]}.{limit.before[1]}" if airflow >= limit.before else ""
    return f"only {since}{until}, {limit.why}"

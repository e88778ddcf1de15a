from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_kaleyra import exceptions
from airflow_provider_kaleyra.exceptions import (
    ON_UNKNOWN_OUTCOME,
    KaleyraCampaignError,
    KaleyraCampaignFailedError,
    KaleyraConfigError,
    KaleyraError,
    KaleyraLedgerError,
    KaleyraMessageError,
    KaleyraNoResendError,
    KaleyraPermanentError,
    KaleyraRejectedError,
    KaleyraStateStoreError,
    KaleyraUnknownOutcomeError,
    KaleyraUnreachableError,
    error_for,
    unknown_outcome,
)
from airflow_provider_kaleyra.whatsapp.outcome import NotSent, Rejected, Unknown

SUBJECT = "the video to +91********10"
LOW_BALANCE = Rejected(
    code="E110", message="Low balance", details={"balance": "1 cent", "same": "Low balance"}, http_status=400
)
WRONG_KEY = Rejected(code="RBC001", message="Incorrect SID or API key.", http_status=401)
KINDS = [kind for _, kind in inspect.getmembers(exceptions, inspect.isclass) if kind.__module__ == exceptions.__name__]


def tree_in_docstring() -> list[tuple[str, str | None, bool]]:
    """Return the classes in the docstring's tree: name, base, and whether it has a ×."""
    found, path = [], []
    for line in str(exceptions.__doc__).splitlines():
        if match := re.match(r"    ([│├└─ ]*)(Kaleyra\w+)( ×)?", line):
            depth = len(match[1]) // 4
            path[depth:] = [match[2]]
            found.append((match[2], path[depth - 1] if depth else None, bool(match[3])))
    return found


def test_every_class_has_the_same_base():
    assert all(issubclass(kind, KaleyraError) for kind in KINDS)
    assert issubclass(KaleyraError, AirflowException)


def test_the_tree_in_the_docstring_is_the_tree():
    def parent(kind: type) -> str | None:
        return next((base.__name__ for base in kind.__bases__ if base in KINDS), None)

    actual = {(kind.__name__, parent(kind), issubclass(kind, AirflowFailException)) for kind in KINDS}
    assert set(tree_in_docstring()) == actual
    assert len(tree_in_docstring()) == len(KINDS)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in {KaleyraError, KaleyraUnknownOutcomeError}])
def test_each_docstring_says_whether_airflow_retries(kind):
    summary = str(kind.__doc__).partition("\n")[0]
    assert summary.endswith("no retry.") == issubclass(kind, AirflowFailException)
    assert "retr" in summary


@pytest.mark.parametrize(
    "error",
    [error_for(SUBJECT, failed) for failed in (NotSent("REASON"), Unknown("REASON"))]
    + [error_for(SUBJECT, Rejected(code="REASON", message="no", http_status=400))]
    + [unknown_outcome(SUBJECT, "REASON", mode) for mode in ON_UNKNOWN_OUTCOME]
    + [KaleyraStateStoreError(operation, OSError("REASON")) for operation in ("read", "written")]
    + [KaleyraLedgerError("REASON", "Check it.")],
)
def test_the_reason_is_in_the_first_100_characters_and_what_to_do_ends_the_text(error):
    assert "REASON" in str(error)[:100]
    assert str(error).endswith(".")


def test_one_class_catches_every_unknown_outcome():
    for mode in ("fail", "resend"):
        error = unknown_outcome(SUBJECT, "timed out", mode)
        assert isinstance(error, KaleyraUnknownOutcomeError)
        assert isinstance(error, AirflowFailException) == (mode == "fail")


@pytest.mark.parametrize(
    "error",
    [
        KaleyraConfigError("Fix it."),
        KaleyraMessageError("Fix it."),
        error_for(SUBJECT, LOW_BALANCE),
        error_for(SUBJECT, WRONG_KEY),
        error_for(SUBJECT, NotSent("connection refused")),
        error_for(SUBJECT, Unknown("timed out")),
        unknown_outcome(SUBJECT, "timed out", "resend"),
        KaleyraStateStoreError("read", OSError("no route")),
        KaleyraCampaignError("why", {"campaign_id": "c"}),
        KaleyraCampaignFailedError("why", {"campaign_id": "c"}),
        KaleyraLedgerError("no connection", "Check it."),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("again", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
def test_errors_survive_pickling(error, again):
    twin = again(error)
    assert type(twin) is type(error)
    assert str(twin) == str(error)
    assert twin.__dict__ == error.__dict__


@pytest.mark.parametrize(
    ("failed", "kind"),
    [
        (LOW_BALANCE, KaleyraRejectedError),
        (WRONG_KEY, KaleyraPermanentError),
        (NotSent("connection refused"), KaleyraUnreachableError),
        (Unknown("timed out"), KaleyraNoResendError),
    ],
)
def test_each_failed_outcome_has_its_error(failed, kind):
    error = error_for(SUBJECT, failed)
    assert type(error) is kind
    assert SUBJECT in str(error)


def test_a_rejection_has_all_of_the_response_and_what_to_do():
    error = error_for(SUBJECT, LOW_BALANCE)
    assert isinstance(error, KaleyraRejectedError)
    assert str(error) == (
        "Kaleyra rejected the video to +91********10: E110, Low balance (HTTP 400; balance: 1 cent). "
        "The account's balance is too low: top it up."
    )
    assert (error.code, error.message, error.http_status, error.retry_after) == ("E110", "Low balance", 400, None)
    assert error.details == {"balance": "1 cent", "same": "Low balance"}


@pytest.mark.parametrize(
    ("code", "reason"), [(None, "HTTP 403, 'Forbidden'"), ("FORBIDDEN", "FORBIDDEN, 'Forbidden' (HTTP 403)")]
)
def test_a_rejection_that_kaleyra_does_not_document_names_the_gateway_and_the_reason_first(code, reason):
    error = error_for(SUBJECT, Rejected(code=code, message="'Forbidden'", http_status=403))
    start = f"Kaleyra, or a gateway before it, rejected {SUBJECT}: {reason}. Kaleyra documents no such response"
    assert str(error).startswith(start)
    assert len(start.partition(reason)[0]) < 100


@pytest.mark.parametrize("mode", ON_UNKNOWN_OUTCOME)
def test_an_unknown_outcome_says_what_happened_and_where_to_check(mode):
    text = str(unknown_outcome(SUBJECT, "timed out", mode))
    assert text.startswith(
        f"Outcome unknown: timed out. Kaleyra may have accepted {SUBJECT}. Sending it again could send it twice"
    )
    assert text.endswith("check Kaleyra's report for the message; if it is not there, clear the task to send it again.")

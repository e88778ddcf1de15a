"""All errors of this package, as one tree.

::

    KaleyraError (AirflowException)
    ├── KaleyraConfigError ×               a Connection, an operator or the installation cannot be used
    ├── KaleyraConnectionUnreadableError   Airflow could not read the Connection; a retry can help
    ├── KaleyraMessageError ×              the message, or its video, breaks a documented rule
    ├── KaleyraFileError                   reading a file, a folder or recipients failed; a retry can help
    │   └── KaleyraUnusableFileError ×     the file is missing, is not a file or cannot be read by Airflow
    ├── KaleyraRejectedError               Kaleyra rejected the request; a retry can help
    │   └── KaleyraPermanentError ×        Kaleyra rejected the request and would reject it again
    ├── KaleyraUnreachableError            no connection to Kaleyra: the request was not transmitted
    ├── KaleyraUploadError                 the upload returned no media id
    ├── KaleyraStateStoreError             Airflow's task state store failed before the message was sent
    ├── KaleyraUnknownOutcomeError         the message was transmitted, and may or may not have been accepted
    │   ├── KaleyraNoResendError ×         it must not be sent again without a decision of yours
    │   └── KaleyraResendError             on_unknown_outcome="resend": Airflow's retry sends it again
    ├── KaleyraCampaignError               the campaign is not complete; a retry continues it
    │   └── KaleyraCampaignFailedError ×   the campaign is not complete until somebody fixes the cause
    └── KaleyraLedgerError                 the ledger's database failed; a retry continues the campaign

Those with × are :class:`AirflowFailException` too: Airflow fails the task without a retry. After all others Airflow
retries, as often as the task's ``retries`` allow. Such a retry is safe, except that the one after a KaleyraResendError
may send the message twice. If an operator or a hook that sends one message raises any error other than a
KaleyraUnknownOutcomeError, that call had no message accepted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSkipException

if TYPE_CHECKING:
    from airflow_provider_kaleyra.whatsapp.outcome import Failed, Rejected

OnUnknownOutcome = Literal["fail", "resend", "skip"]
ON_UNKNOWN_OUTCOME: tuple[OnUnknownOutcome, ...] = get_args(OnUnknownOutcome)


class KaleyraError(AirflowException):
    """Base of all errors that this package raises."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), self.args, self.__dict__)


class KaleyraConfigError(KaleyraError, AirflowFailException):
    """A Connection, an operator or the installation cannot be used; the error names what to fix, no retry."""


class KaleyraConnectionUnreadableError(KaleyraError):
    """Airflow's API server or a secrets backend failed to return the Connection; Airflow retries."""


class KaleyraMessageError(KaleyraError, AirflowFailException):
    """A field of the message, or its video, breaks a documented rule; nothing was sent, no retry."""


class KaleyraRejectedError(KaleyraError):
    """Kaleyra rejected the message or the upload; a retry can help, and Airflow retries.

    :param subject: what was rejected, such as ``the video to +91********10``.
    :param rejected: the outcome, as the response describes it.
    """

    def __init__(self, subject: str, rejected: Rejected) -> None:
        status = f"HTTP {rejected.http_status}"
        more = [f"{name}: {value}" for name, value in rejected.details.items() if value != rejected.message]
        if rejected.code:
            more.insert(0, status)
        reason = f"{rejected.code or status}, {rejected.message}" + (f" ({'; '.join(more)})" if more else "")
        who = "Kaleyra" if rejected.is_documented else "Kaleyra, or a gateway before it,"
        super().__init__(f"{who} rejected {subject}: {reason}. {rejected.meaning.advice}")
        #: Kaleyra's code, such as ``WA401``, or what a response that is not Kaleyra's has in its place, or None.
        self.code = rejected.code
        #: The message of the response.
        self.message = rejected.message
        #: What the response says about single fields, by their names.
        self.details = rejected.details
        #: The HTTP status of the response.
        self.http_status = rejected.http_status
        #: Seconds to wait before the next request, from ``Retry-After``; None if the response has none.
        self.retry_after = rejected.retry_after


class KaleyraPermanentError(KaleyraRejectedError, AirflowFailException):
    """Kaleyra rejected the message or the upload, and would reject it again until the cause is fixed; no retry."""


class KaleyraUnreachableError(KaleyraError):
    """No connection to Kaleyra could be opened, so the request was not transmitted; Airflow retries."""


class KaleyraFileError(KaleyraError):
    """Reading a file, a folder or recipients failed; a retry can help, and Airflow retries."""


class KaleyraUnusableFileError(KaleyraFileError, AirflowFailException):
    """A file is missing, is not a file, or Airflow has no permission to read it; no retry."""


class KaleyraUploadError(KaleyraError):
    """The upload returned no media id; nothing was sent, and Airflow's retry uploads again."""


class KaleyraStateStoreError(KaleyraError):
    """Airflow's task state store failed before the message was sent, so nothing was sent; Airflow retries.

    :param operation: the operation that failed, ``read`` or ``written``.
    :param cause: the error of the store.
    """

    def __init__(self, operation: str, cause: Exception) -> None:
        super().__init__(
            f"Nothing was sent: Airflow's task state store could not be {operation} ({type(cause).__name__}: {cause}). "
            "It records each send, so that no message is sent twice. Check the log of Airflow's API server; a retry is "
            "safe."
        )


class KaleyraUnknownOutcomeError(KaleyraError):
    """The message was transmitted, and may or may not have been accepted. Base of the two errors that report it."""


class KaleyraNoResendError(KaleyraUnknownOutcomeError, AirflowFailException):
    """The outcome is unknown, and a retry could send the message twice; no retry."""


class KaleyraResendError(KaleyraUnknownOutcomeError):
    """The outcome is unknown, with ``on_unknown_outcome="resend"``: Airflow's retry may send it twice."""


class KaleyraCampaignError(KaleyraError):
    """The campaign is not complete; Airflow's retry continues it.

    :param reason: why it is not complete, and what to do.
    :param summary: the summary that the task would have returned.
    """

    def __init__(self, reason: str, summary: dict[str, Any]) -> None:
        super().__init__(f"Campaign {summary['campaign_id']!r}: {reason.rstrip('.')}. So far: {summary}")
        #: The summary that the task would have returned.
        self.summary = summary


class KaleyraCampaignFailedError(KaleyraCampaignError, AirflowFailException):
    """The campaign is not complete, and a retry does not help: fix the cause, then clear the task; no retry."""


class KaleyraLedgerError(KaleyraError):
    """The ledger's database failed; Airflow's retry continues the campaign.

    :param reason: why it failed.
    :param advice: what to do.
    """

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(f"The ledger's database failed: {reason}. {advice}")


def error_for(subject: str, failed: Failed) -> KaleyraError:
    """Return the error to raise for a failed outcome.

    :param subject: what should have been sent, such as ``the video to +91********10``.
    :param failed: the outcome.
    """
    from airflow_provider_kaleyra.whatsapp.outcome import (
        NotSent,
        Rejected,
        Unknown,
    )  # loaded when needed, not while a DAG is parsed

    match failed:
        case Rejected():
            kind = KaleyraRejectedError if failed.meaning.retry_helps else KaleyraPermanentError
            return kind(subject, failed)
        case NotSent(reason):
            return KaleyraUnreachableError(
                f"Kaleyra could not be reached, so {subject} was not sent: {reason}. Compare the Connection's pod or "
                "host with Kaleyra's console, and check the worker's network and proxy."
            )
        case Unknown(reason):
            return _no_resend(subject, reason)


def unknown_outcome(subject: str, reason: str, on_unknown_outcome: OnUnknownOutcome) -> AirflowException:
    """Return the exception to raise for a send whose outcome is unknown.

    :param subject: what was sent, with everything that identifies it in Kaleyra's report.
    :param reason: why the outcome is unknown.
    :param on_unknown_outcome: the user's choice for this case.
    """
    match on_unknown_outcome:
        case "resend":
            return KaleyraResendError(
                f"{_unknown(subject, reason)}, which on_unknown_outcome='resend' accepts: Airflow's next try sends it. "
                f"If this was the last try, {_CHECK_AND_CLEAR}"
            )
        case "skip":
            return AirflowSkipException(
                f"{_unknown(subject, reason)}, so the task is skipped, as on_unknown_outcome='skip' says: "
                f"{_CHECK_AND_CLEAR}"
            )
    return _no_resend(subject, reason)


def _no_resend(subject: str, reason: str) -> KaleyraNoResendError:
    return KaleyraNoResendError(f"{_unknown(subject, reason)}, so Airflow does not retry: {_CHECK_AND_CLEAR}")


def _unknown(subject: str, reason: str) -> str:
    return f"Outcome unknown: {reason}. Kaleyra may have accepted {subject}. Sending it again could send it twice"


_CHECK_AND_CLEAR = "check Kaleyra's report for the message; if it is not there, clear the task to send it again."


def _rebuilt(kind: type[KaleyraError], args: tuple[Any, ...], attributes: dict[str, Any]) -> KaleyraError:
    """Restore a pickled error without calling its constructor, which takes other arguments."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error

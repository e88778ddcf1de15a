"""All errors of this package, as one tree.

::

    KaleyraError (AirflowException)
    ├── KaleyraConfigError ×               a Connection, an operator or the installation cannot be used
    ├── KaleyraConnectionUnreadableError   Airflow could not read the Connection; a retry can help
    ├── KaleyraMessageError ×              the message, or its video, breaks a documented rule
    ├── KaleyraFileError                   reading a file or a folder failed; a retry can help
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

Those with × are :class:`AirflowFailException` too: Airflow fails the task without a retry. After all others a retry is
safe, except that the retry after a KaleyraResendError may send the message twice. An operator or hook that sends one
message sent nothing if it raises any error but a KaleyraUnknownOutcomeError.
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
    """A Connection, an operator or the installation cannot be used; the message names what to fix."""


class KaleyraConnectionUnreadableError(KaleyraError):
    """Airflow's API server or a secrets backend failed to return the Connection; a retry can help."""


class KaleyraMessageError(KaleyraError, AirflowFailException):
    """A field of the message, or its video, breaks a documented rule; nothing was sent."""


class KaleyraRejectedError(KaleyraError):
    """Kaleyra refused the message, for now.

    :param subject: what was refused, such as ``the video to +91********10``.
    :param rejected: Kaleyra's answer.
    """

    def __init__(self, subject: str, rejected: Rejected) -> None:
        status = f"HTTP {rejected.http_status}"
        more = [f"{name}: {value}" for name, value in rejected.details.items() if value != rejected.message]
        if rejected.code:
            more.insert(0, status)
        words = f"{rejected.code or status}, {rejected.message}" + (f" ({'; '.join(more)})" if more else "")
        who = "Kaleyra" if rejected.is_documented else "Kaleyra, or a gateway before it,"
        super().__init__(f"{who} rejected {subject}: {words}. {rejected.meaning.advice}")
        #: Kaleyra's code, such as ``WA401``, or what a response that is not Kaleyra's has in its place, or None.
        self.code = rejected.code
        #: Kaleyra's words.
        self.message = rejected.message
        #: What Kaleyra says of single fields.
        self.details = rejected.details
        #: The HTTP status of the answer.
        self.http_status = rejected.http_status
        #: Seconds that Kaleyra asks to wait before the next try, if it says so.
        self.retry_after = rejected.retry_after


class KaleyraPermanentError(KaleyraRejectedError, AirflowFailException):
    """Kaleyra refused the message, and will refuse it again until someone mends the cause."""


class KaleyraUnreachableError(KaleyraError):
    """No connection to Kaleyra could be opened, so the request was not transmitted."""


class KaleyraFileError(KaleyraError):
    """Reading a file or a folder failed; a retry can help."""


class KaleyraUnusableFileError(KaleyraFileError, AirflowFailException):
    """A file is missing, is not a file, or Airflow may not read it; a retry does not help."""


class KaleyraUploadError(KaleyraError):
    """The upload returned no media id; nothing was sent, and a retry uploads again."""


class KaleyraStateStoreError(KaleyraError):
    """Airflow's task state store failed before the message was sent, so nothing was sent.

    :param what: what could not be done, ``read`` or ``written``.
    :param cause: the error of the store.
    """

    def __init__(self, what: str, cause: Exception) -> None:
        super().__init__(
            f"Airflow's task state store could not be {what}, so this try sent nothing: the store keeps a video from "
            "being sent twice. Check the log of Airflow's API server; a retry is safe. "
            f"({type(cause).__name__}: {cause})"
        )


class KaleyraUnknownOutcomeError(KaleyraError):
    """The message was transmitted, and may or may not have been accepted. Base of the two errors that say so."""


class KaleyraNoResendError(KaleyraUnknownOutcomeError, AirflowFailException):
    """The outcome is unknown, and a retry could send the message twice: Airflow does not retry."""


class KaleyraResendError(KaleyraUnknownOutcomeError):
    """The outcome is unknown, and ``on_unknown_outcome="resend"`` accepts that Airflow's retry sends it twice."""


class KaleyraCampaignError(KaleyraError):
    """The campaign is not complete; a retry continues it.

    :param why: what stopped it.
    :param summary: what the task would have returned.
    """

    def __init__(self, why: str, summary: dict[str, Any]) -> None:
        super().__init__(f"Campaign {summary['campaign_id']!r}: {why.rstrip('.')}. So far: {summary}")
        #: What the task would have returned.
        self.summary = summary


class KaleyraCampaignFailedError(KaleyraCampaignError, AirflowFailException):
    """The campaign is not complete, and a retry does not help: fix the cause, then clear the task."""


class KaleyraLedgerError(KaleyraError):
    """The ledger's database failed.

    :param what: what could not be done.
    :param advice: what it means, what to do next.
    """

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(f"The ledger's database failed: {what}. {advice}")


def error_for(subject: str, failed: Failed) -> KaleyraError:
    """The error that tells of a failed outcome.

    :param subject: what was to be sent, such as ``the video to +91********10``.
    """
    from airflow_provider_kaleyra.whatsapp.outcome import NotSent, Rejected, Unknown  # not while a DAG is parsed

    match failed:
        case Rejected():
            kind = KaleyraRejectedError if failed.meaning.retry_helps else KaleyraPermanentError
            return kind(subject, failed)
        case NotSent(reason):
            return KaleyraUnreachableError(
                f"Kaleyra could not be reached, so {subject} was not sent: {reason}. Compare the Connection's pod or "
                "host with Kaleyra's console, and check the network and proxy of the worker."
            )
        case Unknown(reason):
            return _no_resend(subject, reason)


def unknown_outcome(subject: str, reason: str, on_unknown_outcome: OnUnknownOutcome) -> AirflowException:
    """Return what to raise when the outcome of a send is unknown.

    :param subject: what was sent, with everything that identifies it in Kaleyra's report.
    :param reason: why the outcome is unknown.
    :param on_unknown_outcome: what the user chose to do then.
    """
    match on_unknown_outcome:
        case "resend":
            return KaleyraResendError(
                f"{_unknown(subject, reason)}, which on_unknown_outcome='resend' accepts: Airflow's next try sends it. "
                f"If no try is left, {_LOOK_AND_CLEAR}"
            )
        case "skip":
            return AirflowSkipException(
                f"{_unknown(subject, reason)}, so the task is skipped, as on_unknown_outcome='skip' says: "
                f"{_LOOK_AND_CLEAR}"
            )
    return _no_resend(subject, reason)


def _no_resend(subject: str, reason: str) -> KaleyraNoResendError:
    return KaleyraNoResendError(f"{_unknown(subject, reason)}, so you decide: {_LOOK_AND_CLEAR}")


def _unknown(subject: str, reason: str) -> str:
    return f"Outcome unknown: {reason}. Kaleyra may have accepted {subject}. Sending it again could send it twice"


_LOOK_AND_CLEAR = "look for the message in Kaleyra's report, and clear the task to send it again if it is not there."


def _rebuilt(kind: type[KaleyraError], args: tuple[Any, ...], attributes: dict[str, Any]) -> KaleyraError:
    """Restore a pickled error without calling its constructor, which takes other arguments."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error

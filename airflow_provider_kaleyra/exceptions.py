"""What can go wrong, as one tree.

::

    KaleyraError (AirflowException)
    ├── KaleyraConfigError ×          the Connection or the operator cannot be used as it is set up; nothing was sent
    ├── KaleyraMessageError ×         the message breaks a documented rule; nothing was sent
    ├── KaleyraRejectedError          Kaleyra refused the message; a retry can help
    │   └── KaleyraPermanentError ×   Kaleyra refused the message; no retry can help
    ├── KaleyraUnreachableError       the message never left; a retry is safe
    ├── KaleyraFileError              a file or its folder cannot be read for now; a retry is safe
    ├── KaleyraUploadError            the video has no media id yet; nothing was sent, a retry is safe
    ├── KaleyraMemoryError            what earlier tries sent cannot be told; nothing was sent, a retry is safe
    ├── KaleyraUnknownOutcomeError ×  the message left, no answer told whether it was taken
    └── KaleyraResendError            the same, where the user wants it sent again: a retry may send it twice

Those with × are :class:`AirflowFailException` too: Airflow fails the task without a retry. A campaign's own branch
stands in :mod:`~airflow_provider_kaleyra.campaign.errors`.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSkipException

from airflow_provider_kaleyra.whatsapp.outcome import Failed, NotSent, Rejected, Unknown

OnUnknownOutcome = Literal["fail", "resend", "skip"]
ON_UNKNOWN_OUTCOME: tuple[OnUnknownOutcome, ...] = get_args(OnUnknownOutcome)


class KaleyraError(AirflowException):
    """The root of all that this package raises."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), self.args, self.__dict__)


class KaleyraConfigError(KaleyraError, AirflowFailException):
    """The Connection, or the operator, cannot be used; the message says which of its fields to mend."""


class KaleyraMessageError(KaleyraError, AirflowFailException):
    """A field of the message breaks a documented rule of Kaleyra's; nothing was sent."""


class KaleyraRejectedError(KaleyraError):
    """Kaleyra refused the message, for now.

    :param subject: what was refused, such as ``the video to +91********10``.
    :param rejected: Kaleyra's answer.
    """

    def __init__(self, subject: str, rejected: Rejected) -> None:
        details = "; ".join(f"{name}: {value}" for name, value in rejected.details.items() if value != rejected.message)
        words = f"{rejected.code or 'no code of its own'}, {rejected.message}"
        super().__init__(
            f"Kaleyra refused {subject}: {words} (HTTP {rejected.http_status}{'; ' + details if details else ''}). "
            f"{rejected.meaning.advice}"
        )
        #: Kaleyra's code, such as ``WA401``, or None where the answer was not Kaleyra's own.
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
    """No connection to Kaleyra came about, so nothing was sent."""


class KaleyraFileError(KaleyraError):
    """Reading a file or its folder failed, which may pass."""


class KaleyraUploadError(KaleyraError):
    """No answer told a media id; nothing was sent."""


class KaleyraMemoryError(KaleyraError):
    """Airflow's task state store failed, which tells what earlier tries sent; so nothing was sent.

    :param what: what could not be done, ``read`` or ``written``.
    """

    def __init__(self, what: str, cause: Exception) -> None:
        super().__init__(
            f"Airflow's task state store could not be {what}, so this try sent nothing: the store keeps a video from "
            "being sent twice. Look into the log of Airflow's API server; a retry is safe. "
            f"({type(cause).__name__}: {cause})"
        )


class KaleyraUnknownOutcomeError(KaleyraError, AirflowFailException):
    """The message left, and nothing tells whether Kaleyra took it: a retry might send it twice."""


class KaleyraResendError(KaleyraError):
    """The message left, nothing tells whether Kaleyra took it, and the user wants it sent again all the same."""


def error_for(subject: str, failed: Failed) -> KaleyraError:
    """The error that tells of a failed outcome.

    :param subject: what was to be sent, such as ``the video to +91********10``.
    """
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
            return KaleyraUnknownOutcomeError(f"{_doubt(subject, reason)}, so it is left to you: {_LOOK_AND_CLEAR}")


def unknown_outcome(subject: str, reason: str, on_unknown_outcome: OnUnknownOutcome) -> AirflowException:
    """What to raise when nobody knows whether Kaleyra took the message.

    :param subject: what was sent, with all that finds it in Kaleyra's report.
    """
    match on_unknown_outcome:
        case "resend":
            return KaleyraResendError(
                f"{_doubt(subject, reason)}, which on_unknown_outcome='resend' accepts: Airflow's next try will. "
                f"If there is none left, {_LOOK_AND_CLEAR}"
            )
        case "skip":
            return AirflowSkipException(
                f"{_doubt(subject, reason)}, so the task is skipped, as on_unknown_outcome='skip' says: "
                f"{_LOOK_AND_CLEAR}"
            )
    return error_for(subject, Unknown(reason))


def _doubt(subject: str, reason: str) -> str:
    return f"Nobody knows whether Kaleyra took {subject}: {reason}. Sending again could send it twice"


_LOOK_AND_CLEAR = "look for the message in Kaleyra's report, and clear the task to send it again if it is not there."


def _rebuilt(kind: type[KaleyraError], args: tuple[Any, ...], attributes: dict[str, Any]) -> KaleyraError:
    """Restore a pickled error without calling its constructor, which takes other arguments."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error

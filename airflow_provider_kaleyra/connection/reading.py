"""Read a Connection from Airflow: return its fields, or raise an error that says why it cannot be read."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Self

from airflow.providers.common.compat.sdk import AirflowException, AirflowNotFoundException

from airflow_provider_kaleyra.exceptions import KaleyraConfigError, KaleyraConnectionUnreadableError, KaleyraError
from airflow_provider_kaleyra.whatsapp.secret import Secret
from airflow_provider_kaleyra.whatsapp.validation import shown_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow.providers.common.compat.sdk import Connection

_NOT_FOUND = "CONNECTION_NOT_FOUND"
# A retry does not help: the Connection was encrypted with another key, or is not what Airflow can parse.
_PERMANENT = (PermissionError, ValueError, TypeError, LookupError, AttributeError, ImportError, AirflowException)


@dataclass(frozen=True, repr=False)
class ConnectionFields:
    """The fields of an Airflow Connection. Its ``repr`` shows none of them.

    :param password: wrapped at once; None if it is blank.
    """

    conn_type: str | None
    login: str | None
    password: Secret | None
    host: str | None
    schema: str | None
    port: int | None
    extra: str | None

    def __post_init__(self) -> None:
        # Nothing here can raise, so no error's traceback holds the password.
        object.__setattr__(self, "password", _secret(self.password))


# Implemented in C, so that no Python frame holds the Connection, whose repr shows the password.
_fields = attrgetter(*ConnectionFields.__dataclass_fields__)


def read_fields(conn_id: str, get_connection: Callable[[str], Connection]) -> ConnectionFields:
    """Read a Connection.

    :param conn_id: the id of the Connection.
    :param get_connection: Airflow's function that reads it.
    :raises KaleyraConfigError: the Connection is missing, or Airflow cannot decode what is stored.
    :raises KaleyraConnectionUnreadableError: Airflow's API server or a secrets backend failed; a retry can help.
    """
    conn_id = require_conn_id("kaleyra_conn_id", conn_id, "Name a Connection of type kaleyra.")
    try:
        return ConnectionFields(*_fields(get_connection(conn_id)))
    except Exception as cause:  # noqa: BLE001 - a secrets backend may raise anything
        error = read_error(conn_id, cause) or _missing(conn_id)
    # Outside of the handler: the cause's text may quote the password, and so may its traceback's variables.
    raise error


def require_conn_id(field: str, value: object, advice: str) -> str:
    """Return the id of a Connection.

    :param field: the name of the operator's field, for the error.
    :param value: the value of that field.
    :param advice: what to do if it is no id.
    :raises KaleyraConfigError: the value is not text, or blank.
    """
    conn_id = str.__str__(value) if isinstance(value, str) else ""
    if not conn_id.strip():
        raise KaleyraConfigError(
            f"The Connection cannot be read: {field} must be its id; found {shown_value(value)}. {advice}"
        )
    return conn_id


def read_error(conn_id: str, cause: Exception, shown_id: str | None = None) -> KaleyraError | None:
    """Return the error to raise for a Connection that Airflow could not read; None if the Connection is missing.

    Airflow also reports a Connection as missing if a secrets backend or its API server failed, so each of them is asked
    again.

    :param conn_id: the id of the Connection.
    :param cause: what Airflow raised.
    :param shown_id: the id for the error, if a part of it must not be shown.
    """
    shown_id = shown_id or conn_id
    if not isinstance(cause, AirflowNotFoundException):
        return _unreadable(shown_id, "Airflow", _Failure.of(cause))
    for backend in _backends():
        name = type(backend).__name__
        try:
            failure = _asked(backend, conn_id)
        except Exception as error:  # noqa: BLE001 - a secrets backend may raise anything
            failure = _Failure.of(error)
        if failure is not None and failure.kind != _NOT_FOUND:
            return _unreadable(shown_id, name, failure)
    return None


def _secret(value: object) -> Secret | None:
    # In a Connection's JSON, Airflow 3 does not convert a number to text.
    text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return Secret(text) if text else None


@dataclass(frozen=True)
class _Failure:
    """Why a Connection could not be read, without the error's text, which may quote the password.

    :param kind: the name of the error's type, or of Airflow's own error.
    :param permanent: whether a retry would fail in the same way.
    """

    kind: str
    permanent: bool

    @classmethod
    def of(cls, error: Any) -> Self:
        """Return why Airflow or one of its secrets backends failed."""
        kind = type(error).__name__
        # By name, because Airflow 2 has no such type, and a worker of Airflow 3 need not have cryptography.
        if kind == "AirflowRuntimeError":
            return cls.of_response(error.error)
        return cls(kind, permanent=isinstance(error, _PERMANENT) or kind == "InvalidToken")

    @classmethod
    def of_response(cls, response: Any) -> Self:
        """Return why the API server did not return the Connection."""
        error = getattr(response, "error", None)
        if error is None:
            return cls("it found the Connection when asked again", permanent=False)
        return cls(str(error.value), permanent=error.value in {_NOT_FOUND, "PERMISSION_DENIED"})


def _unreadable(conn_id: str, reader: str, failure: _Failure) -> KaleyraError:
    text = f"Connection {conn_id!r} could not be read: {reader} failed ({failure.kind}). Nothing was sent."
    if not failure.permanent:
        return KaleyraConnectionUnreadableError(
            f"{text} A retry can help; if it fails again, check Airflow's API server and its secrets backend."
        )
    if failure.kind in {"PERMISSION_DENIED", "AirflowSecretsBackendAccessDenied", "PermissionError"}:
        return KaleyraConfigError(f"{text} Allow this task to read the Connection.")
    return KaleyraConfigError(
        f"{text} Check that the Connection is valid JSON or a valid URI, and that AIRFLOW__CORE__FERNET_KEY holds the "
        "key that it was stored with; or store it again."
    )


def _missing(conn_id: str) -> KaleyraError:
    return KaleyraConfigError(
        f"Connection {conn_id!r} is missing: Airflow does not find it. Add it in Admin > Connections, "
        f"or with: airflow connections add {shlex.quote(conn_id)} --conn-type kaleyra --conn-login <Account SID> "
        "--conn-password <API key>. If it is there, check the log of Airflow's API server: a Connection that it "
        "cannot decrypt is reported as missing."
    )


def _backends() -> Iterable[Any]:
    try:
        from airflow.sdk.execution_time.supervisor import ensure_secrets_backend_loaded
    except ImportError:  # Airflow 2
        from airflow.configuration import ensure_secrets_loaded

        return ensure_secrets_loaded()
    return ensure_secrets_backend_loaded()


def _asked(backend: Any, conn_id: str) -> _Failure | None:
    """Return why a backend does not return the Connection; None if it has no such Connection."""
    if type(backend).__name__ != "ExecutionAPISecretsBackend":
        return None if backend.get_connection(conn_id=conn_id) is None else _Failure.of_response(None)
    # This one returns None for every error: ask Airflow's API server directly.
    from airflow.sdk.execution_time.comms import GetConnection
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    return _Failure.of_response(SUPERVISOR_COMMS.send(GetConnection(conn_id=conn_id)))

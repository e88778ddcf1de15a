"""What a database's error means, and whether a retry can help: pure decisions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError, SQLAlchemyError

from airflow_provider_kaleyra.whatsapp.phone_number import masked

PRINT_DDL = "python -m airflow_provider_kaleyra.ledger.ddl"

_LONGEST_REASON = 300
_NUMBER = re.compile(r"\+?\d{6,}")
# libpq tries several addresses, and with or without TLS.
_ATTEMPT = re.compile(r"(?=connection to server (?:at|on) )")

# Classes of PostgreSQL's SQLSTATE that pass: a lost connection, a standby or an ended transaction (25), a conflict, too
# many connections, a lock, a restart, a fault of the system or of the server itself.
_PASSING_STATES = frozenset({"08", "25", "40", "53", "55", "57", "58", "XX"})
_PROTOCOL_VIOLATION = "08P01"  # pgbouncer reports every error with this code
_PASSING_IN_SQLITE = frozenset({5, 6, 10})  # SQLITE_BUSY, SQLITE_LOCKED, SQLITE_IOERR
_LASTING_WITHOUT_A_STATE = (ProgrammingError, DataError, IntegrityError, NotSupportedError)

# SQLSTATEs that do not pass, with what to do.
_ACCESS = "Check the Connection's login and password, and pg_hba.conf of the server."
_DATABASE = "Check the Connection's schema, which names the database."
_SCHEMA = "Check search_path, and the role's right USAGE on the schema."
_RIGHTS = f"Grant the role its rights; `{PRINT_DDL} postgresql` prints them."
_TLS = "Check sslmode, sslrootcert, sslcert and sslkey in the Connection's extras, and that the server offers TLS."
_POOL_MODE = "Set pool_mode of pgbouncer to transaction or session."
_EXTRAS = "Check the Connection's extras; pgbouncer takes no options, unless its ignore_startup_parameters names them."
_BY_STATE = {"28": _ACCESS, "3D": _DATABASE, "3F": _SCHEMA, "42501": _RIGHTS, "22023": _EXTRAS}
_LACKS_RIGHT = {"42501", "3F000"}  # insufficient_privilege, invalid_schema_name

# Messages of libpq and pgbouncer, which report no SQLSTATE.
_BY_WORDS = {
    r"authentication failed|no password supplied|pg_hba\.conf|no such user": _ACCESS,
    r'role ".*" (does not exist|is not permitted)': _ACCESS,
    r'database ".*" does not exist|no such database': _DATABASE,
    r"permission denied": _RIGHTS,
    r"not allowed in statement pooling mode": _POOL_MODE,
    r"does not support SSL|certificate verify failed|server certificate for|sslmode": _TLS,
    r"certificate file|private key file|certificate required|alert (unknown ca|bad certificate)": _TLS,
    r"invalid (dsn|connection option|connection URI|port number|integer value)|invalid .* value:": _EXTRAS,
    r"unsupported startup parameter|invalid value for parameter|unrecognized configuration parameter": _EXTRAS,
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a database failed.

    :param reason: the database's message, without phone numbers.
    :param passes: whether another attempt can succeed.
    :param advice: what to do; empty if that is not known.
    """

    reason: str
    passes: bool
    advice: str = ""


def failure_of(error: SQLAlchemyError) -> Failure:
    """Return what an error means; one that is not known to last is taken to pass."""
    if not isinstance(error, DBAPIError):
        return Failure(type(error).__name__, passes=False)
    text, state = str(error.orig).strip(), _state_of(error)
    if (code := getattr(error.orig, "sqlite_errorcode", None)) is not None:
        passes = code & 0xFF in _PASSING_IN_SQLITE
        advice = "" if passes else "Check the path in the Connection's host, and that the worker may write there."
        return Failure(quoted(text), passes, advice)
    if state and state != _PROTOCOL_VIOLATION:
        advice = next((advice for prefix, advice in _BY_STATE.items() if state.startswith(prefix)), "")
        return Failure(quoted(text), state[:2] in _PASSING_STATES, advice)
    # libpq reports each host, and TLS or not, as an attempt of its own: the failure lasts only if all of them do.
    attempts = [attempt for attempt in _ATTEMPT.split(text) if attempt.startswith("connection to")] or [text]
    advices = [next((advice for words, advice in _BY_WORDS.items() if re.search(words, one)), "") for one in attempts]
    passes = not all(advices) and not isinstance(error, _LASTING_WITHOUT_A_STATE)
    return Failure(quoted(text), passes, "" if passes else advices[0])


def lacks_right(error: DBAPIError) -> bool:
    """Return whether PostgreSQL rejected a statement because the role lacks a right."""
    return _state_of(error) in _LACKS_RIGHT


def _state_of(error: DBAPIError) -> str | None:
    """Return PostgreSQL's SQLSTATE, where the driver has one."""
    original: Any = error.orig
    return getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)


def quoted(text: str) -> str:
    """Return the first line of an error's text, printable, with long numbers masked.

    The lines below quote rows and statements, which hold phone numbers.
    """
    line = next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")
    line = "".join(character if character.isprintable() else "?" for character in line)
    return _NUMBER.sub(lambda number: masked(number[0]), line)[:_LONGEST_REASON].rstrip(".")

"""Settings that an Airflow Connection of type Kaleyra holds: the account and the timeout."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_kaleyra.connection.reading import read_fields
from airflow_provider_kaleyra.exceptions import KaleyraConfigError
from airflow_provider_kaleyra.whatsapp.account import DEFAULT_POD, POD_BASE_URLS, Account
from airflow_provider_kaleyra.whatsapp.request import GIVEN_SENDER
from airflow_provider_kaleyra.whatsapp.validation import BrokenRule, shown, text_or_none

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_kaleyra.connection.reading import ConnectionFields

_T = TypeVar("_T")

CONN_TYPE = "kaleyra"
DEFAULT_TIMEOUT = 30.0

# The fields of an Account, as Airflow's connection form names them.
_FORM_FIELDS = {
    "sid": "login (Account SID)",
    "api_key": "password (API key)",
    "base_url": "host (with schema and port)",
    "business_phone_number": "extra 'business_phone_number'",
}


@dataclass(frozen=True)
class ConnectionSettings:
    """The settings that a Connection holds.

    :param account: the account at Kaleyra.
    :param timeout: seconds to wait for a response once connected.
    """

    account: Account
    timeout: float = DEFAULT_TIMEOUT


def read_connection(conn_id: str, get_connection: Callable[[str], Connection]) -> ConnectionSettings:
    """Read a Connection of type Kaleyra; blank fields are ignored.

    :param conn_id: the id of the Connection.
    :param get_connection: Airflow's function that reads it.
    :raises KaleyraConfigError: the Connection is missing or of another type, or one of its fields cannot be used.
    :raises KaleyraConnectionUnreadableError: Airflow could not read it; a retry can help.
    """
    fields = read_fields(conn_id, get_connection)
    try:
        return settings_of(fields)
    except BrokenRule as broken:
        raise config_error(conn_id, broken) from None


def settings_of(fields: ConnectionFields) -> ConnectionSettings:
    """Return the settings of a Connection whose fields were read.

    :raises BrokenRule: names the field that cannot be used.
    """
    try:
        return _settings_of(fields)
    except BrokenRule as broken:
        if fields.password is None:
            raise
        # The key may have been pasted into another field.
        raise BrokenRule(broken.field, broken.rule, fields.password.hidden_in(broken.found)) from None


def _settings_of(fields: ConnectionFields) -> ConnectionSettings:
    _require_type(fields.conn_type)
    extra = _extra(fields.extra)
    return ConnectionSettings(
        account=Account(
            sid=_required("sid", text_or_none("sid", fields.login)).strip(),
            api_key=_required("api_key", fields.password),
            base_url=_base_url(fields, extra),
            business_phone_number=text_or_none("business_phone_number", extra.get("business_phone_number")),
        ),
        timeout=_timeout(extra.get("timeout")),
    )


def config_error(conn_id: str | None, broken: BrokenRule) -> KaleyraConfigError:
    """Return the error that names the field of the Connection to fix, or the sender that was given instead of its own.

    :param conn_id: the id of the Connection; None if Airflow tests one that has no id yet.
    """
    if broken.field == GIVEN_SENDER:
        return KaleyraConfigError(
            f"Nothing was sent: the {broken.field} must be {broken.rule}; found {broken.found}. Fix the argument, or "
            "remove it: the Connection's number is then the sender."
        )
    field = _FORM_FIELDS.get(broken.field, broken.field)
    connection = f"Connection {conn_id!r}" if conn_id else "This Connection"
    return KaleyraConfigError(
        f"{connection} cannot be used: its {field} must be {broken.rule}; found {broken.found}. Fix that field."
    )


def _require_type(conn_type: object) -> None:
    """Reject a Connection of another service, whose password would otherwise be sent to Kaleyra."""
    text = str(conn_type or "").strip()
    if text.lower() != CONN_TYPE:
        raise BrokenRule("type", repr(CONN_TYPE), shown(text, 40) if text else "none")


def _extra(text: str | None) -> Mapping[str, Any]:
    rule = 'a JSON object, such as {"pod": "in"}'
    try:
        extra = json.loads(text) if text and text.strip() else {}
    except (ValueError, RecursionError):
        raise BrokenRule("extra", rule, "text that is not JSON") from None
    if not isinstance(extra, dict):
        raise BrokenRule("extra", rule, f"a JSON value of type {type(extra).__name__}")
    return extra


def _required(field: str, value: _T | None) -> _T:
    if value is None:
        raise BrokenRule(field, "given: Kaleyra's console shows it", "nothing")
    return value


def _base_url(fields: ConnectionFields, extra: Mapping[str, Any]) -> str:
    """Return the API's URL. The host overrides the pod; it may include its own scheme and port."""
    pod = (text_or_none("extra 'pod'", extra.get("pod")) or DEFAULT_POD).strip().lower()
    if pod not in POD_BASE_URLS:
        raise BrokenRule("extra 'pod'", f"one of {', '.join(POD_BASE_URLS)}", shown(pod))
    host = text_or_none("base_url", fields.host)
    if host is None:
        return POD_BASE_URLS[pod]
    url = host.strip().rstrip("/")
    if "://" not in url:
        url = f"{(fields.schema or '').strip() or 'https'}://{url}"
    # Airflow's form stores an empty port as 0; a host given as a whole URL may include its port.
    named = re.search(r":\d+$", url)
    return f"{url}:{fields.port}" if fields.port and not named else url


def _timeout(value: object) -> float:
    if value is None or (isinstance(value, str) and not value.strip()):
        return DEFAULT_TIMEOUT
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]  # any JSON value
    except (ValueError, TypeError, OverflowError):
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise BrokenRule("extra 'timeout'", "a positive number of seconds", shown(str(value)))
    return seconds

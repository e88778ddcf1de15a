"""Reading an Airflow Connection of type Kaleyra."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_kaleyra.exceptions import KaleyraConfigError
from airflow_provider_kaleyra.whatsapp.account import DEFAULT_POD, POD_BASE_URLS, Account
from airflow_provider_kaleyra.whatsapp.rules import BrokenRule, shown, text_or_none

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Connection

DEFAULT_TIMEOUT = 30.0

# What Account calls its fields, and where a person finds them in Airflow's connection form.
_FORM_FIELDS = {
    "sid": "login (Account SID)",
    "api_key": "password (API key)",
    "base_url": "host (with schema and port)",
    "business_phone_number": "extra 'business_phone_number'",
}


@dataclass(frozen=True)
class ConnectionSettings:
    """What a Connection says.

    :param timeout: seconds to wait for an answer once connected.
    """

    account: Account
    timeout: float = DEFAULT_TIMEOUT


def read_connection(connection: Connection) -> ConnectionSettings:
    """Turn a Connection into what the transports need; blank fields count as not given.

    :raises KaleyraConfigError: names the field of the Connection to mend.
    """
    try:
        return settings_of(connection)
    except BrokenRule as broken:
        raise config_error(connection.conn_id, broken) from None


def settings_of(connection: Connection) -> ConnectionSettings:
    """As :func:`read_connection`.

    :raises BrokenRule: names the field of the Connection to mend.
    """
    extra = _extra(connection.extra)
    return ConnectionSettings(
        account=Account(
            sid=_required("sid", connection.login),
            api_key=_required("api_key", connection.password),
            base_url=_base_url(connection, extra),
            business_phone_number=text_or_none("business_phone_number", extra.get("business_phone_number")),
        ),
        timeout=_timeout(extra.get("timeout")),
    )


def config_error(conn_id: str | None, broken: BrokenRule) -> KaleyraConfigError:
    """Say which field of which Connection to mend; without an id, of this one."""
    field = _FORM_FIELDS.get(broken.field, broken.field)
    connection = f"Connection {conn_id!r}" if conn_id else "this Connection"
    return KaleyraConfigError(f"Mend {connection}: its {field} must be {broken.rule}; found {broken.found}.")


def _extra(text: str | None) -> Mapping[str, Any]:
    rule = 'a JSON object, such as {"pod": "in"}'
    try:
        extra = json.loads(text) if text and text.strip() else {}
    except (ValueError, RecursionError):
        raise BrokenRule("extra", rule, "text that is not JSON") from None
    if not isinstance(extra, dict):
        raise BrokenRule("extra", rule, f"a JSON value of type {type(extra).__name__}")
    return extra


def _required(field: str, value: object) -> str:
    text = text_or_none(field, value)
    if text is None:
        raise BrokenRule(field, "given: Kaleyra's console shows it", "nothing")
    return text.strip()


def _base_url(connection: Connection, extra: Mapping[str, Any]) -> str:
    """The host overrides the pod; it may carry its own scheme and port."""
    pod = (text_or_none("extra 'pod'", extra.get("pod")) or DEFAULT_POD).strip().lower()
    if pod not in POD_BASE_URLS:
        raise BrokenRule("extra 'pod'", f"one of {', '.join(POD_BASE_URLS)}", shown(pod))
    host = text_or_none("base_url", connection.host)
    if host is None:
        return POD_BASE_URLS[pod]
    url = host.strip().rstrip("/")
    if "://" not in url:
        url = f"{(connection.schema or '').strip() or 'https'}://{url}"
    # Airflow's form stores an empty port as 0; a host given as a whole URL may name its port itself.
    named = re.search(r":\d+$", url)
    return f"{url}:{connection.port}" if connection.port and not named else url


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

"""The choice of a proxy, the same for both transports."""

from __future__ import annotations

import base64
import ipaddress
import re
import socket
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from airflow_provider_kaleyra.exceptions import KaleyraConfigError
from airflow_provider_kaleyra.whatsapp.redaction import without_key

if TYPE_CHECKING:
    from collections.abc import Mapping

_PORTS = {"http": 80, "https": 443}
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def proxy_for(url: str, environment: Mapping[str, str]) -> str | None:
    """Return the URL of the proxy for a request to *url*, or None if the request goes directly to its host.

    ``<scheme>_proxy`` comes before ``all_proxy``, and each name in lower case before the one in upper case. A
    loopback address has no proxy, nor has a host that ``no_proxy`` lists. The result always has a scheme, and its
    user and password are percent-encoded.

    :raises KaleyraConfigError: the proxy cannot be used; the message does not quote it, because of its password.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    port = parts.port or _PORTS.get(parts.scheme)
    no_proxy = _value("no_proxy", environment)[1]
    if _is_loopback(host) or any(_excepts(entry, host, port) for entry in re.split(r"[\s,]+", no_proxy) if entry):
        return None
    for name in (f"{parts.scheme}_proxy", "all_proxy"):
        variable, value = _value(name, environment)
        if value:
            return _normalized(variable, value)
    return None


def without_passwords(text: str, environment: Mapping[str, str]) -> str:
    """Return *text* without the passwords of the proxies that the environment names, and without any part of one.

    They are found as plain text, percent-encoded, as Basic credentials, and escaped for JSON or HTML.
    """
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        for variable in (name, name.upper()):
            value = environment.get(variable, "")
            credentials = (value.partition("://")[2] or value).rpartition("@")[0]
            user, _, password = credentials.partition(":")
            if not password:
                continue
            plain = unquote(password)
            for secret in (base64.b64encode(f"{unquote(user)}:{plain}".encode()).decode(), password, plain):
                text = without_key(text, secret)
    return re.sub(r"://[^/\s]*@", "://", text)


def _value(name: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """Return the environment variable in use, and its value; a blank value is treated as unset."""
    variable = name if name in environment else name.upper()
    return variable, environment.get(variable, "").strip()


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return address.is_loopback if address else host == "localhost" or host.endswith(".localhost")


def _address(host: str) -> _Address | None:
    """Return *host* as an IP address, an IPv4 address in IPv6 notation as IPv4; None if it is a name."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        try:  # name resolution accepts 127.1 and 0x7f000001 as addresses
            return ipaddress.IPv4Address(socket.inet_aton(host)) if re.match(r"[0-9]", host) else None
        except OSError:
            return None
    return getattr(address, "ipv4_mapped", None) or address


def _excepts(entry: str, host: str, port: int | None) -> bool:
    """Return whether an entry of ``no_proxy`` names the host: as a name, a domain, an address or a network."""
    if entry == "*":
        return True
    with_port = re.fullmatch(r"(\[.*\]|[^:]*):(\d+)", entry)
    if with_port:
        entry, entry_port = with_port.groups()
        if entry_port != str(port):
            return False
    address = _address(host)
    if address is None:
        domain = entry.lower().removeprefix("*").strip(".")
        return bool(domain) and f".{host}".endswith(f".{domain}")
    try:
        return address in ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return address == _address(entry)


def _normalized(variable: str, value: str) -> str:
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host, port = parts.hostname or "", parts.port
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        f"{user}{password}".encode("latin-1")  # the encoding of HTTP headers
        usable = re.fullmatch(r"[\w.-]+|[0-9a-f:.%]+", host) and not re.search(r"\s", value) and ":" not in user
    except ValueError:
        usable = None
    if not usable or "@" in parts.path + parts.query + parts.fragment:
        raise KaleyraConfigError(
            f"Nothing was sent: the proxy in the environment variable {variable} is not a URL such as "
            "http://proxy.example.com:3128. Fix it; a user and a password in it must be percent-encoded."
        )
    if parts.scheme not in {"http", "https"}:
        raise KaleyraConfigError(
            f"Nothing was sent: {variable} names a proxy of type {parts.scheme!r}; only http and https can be used. "
            "Name such a proxy, or list Kaleyra's host in NO_PROXY."
        )
    credentials = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user or password else ""
    return f"{parts.scheme}://{credentials}{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}"

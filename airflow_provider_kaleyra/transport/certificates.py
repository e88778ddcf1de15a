"""The TLS settings of both transports: certificates are always verified."""

from __future__ import annotations

import os
import ssl
import sys
from functools import lru_cache
from pathlib import Path

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from airflow_provider_kaleyra.exceptions import KaleyraConfigError

_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # as requests reads them


def verifying_context() -> ssl.SSLContext:
    """Return a TLS context that trusts the authorities named by the environment, by default those of certifi.

    :raises KaleyraConfigError: the certificates cannot be read.
    """
    variable = next((name for name in _VARIABLES if os.environ.get(name)), None)
    bundle = os.environ[variable] if variable else DEFAULT_CA_BUNDLE_PATH
    try:
        file = Path(bundle).stat()
        return _loaded(bundle, file.st_mtime_ns, file.st_size)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        reason = f"{type(error).__name__}: {getattr(error, 'strerror', None) or error}"
    advice = f"Fix the environment variable {variable}" if variable else "Install the package certifi again"
    raise KaleyraConfigError(
        f"Nothing was sent: the certificate bundle cannot be read ({reason}). {advice}; it is {bundle!r}."
    )


@lru_cache(maxsize=8)  # reading some hundred certificates takes longer than sending a message
def _loaded(bundle: str, _changed: int, _size: int) -> ssl.SSLContext:
    # Not ssl.create_default_context(), which writes the session's keys to the file named by SSLKEYLOGFILE.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if sys.version_info >= (3, 13):  # as create_default_context() and urllib3 do there
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(["http/1.1"])
    if Path(bundle).is_dir():
        os.listdir(bundle)  # noqa: PTH208 - raises for an unreadable folder, which load_verify_locations() ignores
        context.load_verify_locations(capath=bundle)
    else:
        context.load_verify_locations(cafile=bundle)
    return context

"""The hook's session of requests: its proxy, its certificates, its connections."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter

from airflow_provider_kaleyra.transport import HEADERS
from airflow_provider_kaleyra.transport.certificates import verifying_context
from airflow_provider_kaleyra.transport.deadline import POOL_CLASSES, TlsSocket
from airflow_provider_kaleyra.transport.proxies import proxy_for

if TYPE_CHECKING:
    import ssl


def new_session() -> requests.Session:
    """Return a session that uses the proxies of the environment, but no credentials from ``.netrc``.

    :raises KaleyraConfigError: the environment names a certificate bundle that cannot be read.
    """
    session = _Session()
    session.headers.update(HEADERS)
    session.auth = lambda request: request
    context = verifying_context()
    context.sslsocket_class = TlsSocket  # asyncio, which shares the context, does not use this class
    adapter = _Adapter(context)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def proxies_for(url: str) -> dict[str, str]:
    """Return the proxies for a request to *url*, in the form of requests.

    :raises KaleyraConfigError: the environment names a proxy that cannot be used.
    """
    proxy = proxy_for(url, os.environ)
    return {"all": proxy} if proxy else {}


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Follow no redirect, because it would get the API key, and read no body for one."""

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:  # noqa: ARG002
        """Choose the proxy by :func:`proxies_for`, for the user's own requests, too; always verify certificates."""
        return {"proxies": proxies or proxies_for(url), "stream": bool(stream), "verify": True, "cert": cert}


class _Adapter(HTTPAdapter):
    """An adapter whose connections follow the exchange's deadline and share one TLS context."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOL_CLASSES

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, proxy_ssl_context=self._context, **kwargs)
        manager.pool_classes_by_scheme = POOL_CLASSES
        return manager

    def build_connection_pool_key_attributes(
        self,
        request: requests.PreparedRequest,
        verify: Any,  # noqa: ARG002 - certificates are always verified
        cert: Any = None,
    ) -> Any:
        host, pool = super().build_connection_pool_key_attributes(request, True, cert)
        return host, {**pool, "ssl_context": self._context}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Do nothing: the TLS context verifies; the overridden method would load certificates for each connection."""

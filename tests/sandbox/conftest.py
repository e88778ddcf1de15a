"""A sandbox in this process, on a real socket."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import requests

from airflow_provider_kaleyra.sandbox.account import SandboxAccount
from airflow_provider_kaleyra.sandbox.app import create_app
from airflow_provider_kaleyra.sandbox.server import SandboxServer

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCOUNT = SandboxAccount()
MESSAGES_PATH = f"/v2/{ACCOUNT.sid}/whatsapp/{ACCOUNT.business_phone_number}/messages"
HEADERS = {"api-key": ACCOUNT.api_key, "Content-Type": "application/json", "cache-control": "no-cache"}


def video(to: str = "+919876543210", **extra_info: str) -> dict[str, Any]:
    """Return the sample message of Kaleyra's page."""
    payload: dict[str, Any] = {
        "messaging_object": {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": to,
            "type": "video",
            "video": {"id": "1166846181421424", "caption": "Splendid festive celebrations"},
        }
    }
    return payload | ({"extra_info": extra_info} if extra_info else {})


class Client(requests.Session):
    """HTTP client of one sandbox: takes paths instead of URLs, and does not follow redirects."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.trust_env = False
        self.headers.update(HEADERS)

    def connection(self) -> str:
        """Return a Connection to the sandbox, in the JSON form of an environment variable."""
        return json.dumps(
            {
                "conn_type": "kaleyra",
                "host": self.url,
                "login": ACCOUNT.sid,
                "password": ACCOUNT.api_key,
                "extra": {"business_phone_number": ACCOUNT.business_phone_number},
            }
        )

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs["allow_redirects"] = False
        return super().request(method, self.url + url, *args, **{"timeout": 60, **kwargs})


@contextmanager
def served(**options: Any) -> Iterator[str]:
    """Run a sandbox on a free port, and yield its URL."""
    listening = threading.Event()
    ports = []

    def on_listening(port: int) -> None:
        ports.append(port)
        listening.set()

    server = SandboxServer(create_app(**options), "127.0.0.1", 0, on_listening)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert listening.wait(30)
        yield f"http://127.0.0.1:{ports[0]}"
    finally:
        server.should_exit = True
        thread.join(30)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    with served() as url:
        yield url


@pytest.fixture
def client(sandbox_url: str) -> Iterator[Client]:
    with Client(sandbox_url) as client:
        client.delete("/sandbox/messages")
        yield client

"""The sandbox as a process: start, printed address, end."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_kaleyra.sandbox.media import SAMPLE_MEDIA_ID
from dev.sandbox import RunningSandbox, running_sandbox
from tests.sandbox.conftest import HEADERS, video

STOP_SIGNALS = [signal.SIGINT, signal.SIGTERM]


def send(sandbox: RunningSandbox, to: str = "+919876543210", timeout: float = 60) -> requests.Response:
    headers = HEADERS | {"api-key": sandbox.api_key}
    return requests.post(sandbox.messages_url, json=video(to), headers=headers, timeout=timeout)


def test_the_options_set_the_account() -> None:
    with running_sandbox("--sid", "HX1", "--api-key", "k", "--business-phone-number", "+999123") as sandbox:
        assert (sandbox.sid, sandbox.api_key, sandbox.business_phone_number) == ("HX1", "k", "+999123")
        assert sandbox.url.startswith("http://127.0.0.1:")
        assert send(sandbox).status_code == 202
        assert len(sandbox.messages()) == len(sandbox.requests()) == 1
        sandbox.clear()
        assert sandbox.messages() == sandbox.requests() == []
        assert sandbox.stderr() == ""


def test_the_options_add_media() -> None:
    with running_sandbox("--media-id", "7", "--media-id", "8") as sandbox:
        headers = HEADERS | {"api-key": sandbox.api_key}
        statuses = {}
        for media_id in ("7", "8", SAMPLE_MEDIA_ID, "42"):
            message = video()
            message["messaging_object"]["video"] = {"id": media_id}
            statuses[media_id] = requests.post(
                sandbox.messages_url, json=message, headers=headers, timeout=60
            ).status_code
    assert statuses == {"7": 202, "8": 202, SAMPLE_MEDIA_ID: 202, "42": 400}


def test_uploads_are_deleted_when_it_ends() -> None:
    folders = set(Path(tempfile.gettempdir()).glob("kaleyra-sandbox-*"))
    with running_sandbox() as sandbox:
        headers = {"api-key": sandbox.api_key}
        files: dict[str, Any] = {"file": ("v.mp4", b"\0\0\0\x10ftypisom\0\0\0\0"), "type": (None, "video/mp4")}
        media_url = sandbox.messages_url.removesuffix("messages") + "media"
        assert requests.post(media_url, files=files, headers=headers, timeout=60).status_code == 200
        (own_folder,) = (
            folder
            for folder in set(Path(tempfile.gettempdir()).glob("kaleyra-sandbox-*")) - folders
            if (folder / sandbox.get("/sandbox/uploads")[0]["media_id"]).exists()
        )
    assert not own_folder.exists()


def test_two_sandboxes_listen_on_different_ports() -> None:
    with running_sandbox() as one, running_sandbox() as other:
        assert one.url != other.url


@pytest.mark.parametrize("number", STOP_SIGNALS, ids=str)
def test_it_ends_without_output(number: signal.Signals) -> None:
    with running_sandbox() as sandbox:
        with requests.Session() as idle:
            idle.get(f"{sandbox.url}/sandbox/messages", timeout=10)
            sandbox.process.send_signal(number)
            assert sandbox.process.wait(20) == 0
        assert sandbox.stderr() == ""


@pytest.mark.parametrize("number", STOP_SIGNALS, ids=str)
@pytest.mark.parametrize("to", ["+999000000901", "+999000000904"], ids=["hang", "slow"])
def test_it_ends_while_a_response_is_pending(number: signal.Signals, to: str) -> None:
    with running_sandbox() as sandbox, ThreadPoolExecutor() as pool:
        response = pool.submit(send, sandbox, to)
        while not sandbox.requests():
            assert not response.done()
        sandbox.process.send_signal(number)
        assert sandbox.process.wait(20) == 0
        assert isinstance(response.exception(20), requests.ConnectionError)
        assert sandbox.stderr() == ""


def test_it_ends_while_a_request_is_incomplete() -> None:
    with running_sandbox() as sandbox:
        host, _, port = sandbox.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as connection:
            path = sandbox.messages_url.removeprefix(sandbox.url)
            connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode())
            sandbox.messages()  # processed after the incomplete request
            sandbox.process.send_signal(signal.SIGTERM)
            assert sandbox.process.wait(20) == 0
        assert sandbox.stderr() == ""


def test_a_client_that_disconnects_early_is_not_an_error() -> None:
    with running_sandbox() as sandbox:
        host, _, port = sandbox.url.removeprefix("http://").partition(":")
        path = sandbox.messages_url.removeprefix(sandbox.url)
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode())
        with pytest.raises(requests.ReadTimeout):
            send(sandbox, "+999000000901", timeout=0.3)
        assert send(sandbox).status_code == 202
        assert [request["status"] for request in sandbox.requests()] == ["hung", 202]
        sandbox.process.terminate()
        sandbox.process.wait(20)
        assert sandbox.stderr() == ""


def test_the_response_to_a_body_that_is_too_long_can_be_read() -> None:
    with running_sandbox() as sandbox, requests.Session() as session:
        headers = HEADERS | {"api-key": sandbox.api_key}
        response = session.post(sandbox.messages_url, data=b" " * 5_000_000, headers=headers, timeout=60)
        assert (response.status_code, response.json()["code"]) == (400, "WA400")
        assert session.post(sandbox.messages_url, json=video(), headers=headers, timeout=60).status_code == 202


def test_hundreds_of_requests_are_all_served() -> None:
    with running_sandbox() as sandbox, ThreadPoolExecutor(32) as pool:
        responses = list(pool.map(lambda _: send(sandbox), range(400)))
        assert {response.status_code for response in responses} == {202}
        assert len({response.json()["data"]["message_id"] for response in responses}) == 400
        assert len(sandbox.messages()) == len(sandbox.requests()) == 400


def test_listening_for_other_machines_prints_a_warning() -> None:
    with running_sandbox("--host", "0.0.0.0") as sandbox:
        assert "0.0.0.0 can be reached by others" in sandbox.stderr()


def test_a_port_that_is_in_use_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        command = [sys.executable, "-m", "airflow_provider_kaleyra.sandbox", "--port", str(occupied.getsockname()[1])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert done.stdout == ""
    assert "address already in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_stopped_sandbox_releases_its_port() -> None:
    with running_sandbox() as sandbox:
        port = int(sandbox.url.rpartition(":")[2])
    with running_sandbox(port=port) as again:
        assert again.url == sandbox.url

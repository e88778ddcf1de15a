"""Fixtures for operators that send a file: a sandbox, a Connection to it, a video, a state store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sandbox.conftest import Client, served
from tests.support.video import mp4


class Store(dict):
    """A task state store."""

    def set(self, key, value):
        self[key] = value


@pytest.fixture(scope="module")
def _sandbox():
    with served() as url, Client(url) as client:
        yield client


@pytest.fixture
def sandbox(_sandbox, monkeypatch) -> Client:
    """A sandbox that holds nothing yet, and that kaleyra_default leads to."""
    _sandbox.delete("/sandbox/uploads")
    _sandbox.delete("/sandbox/messages")
    monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", _sandbox.connection())
    return _sandbox


@pytest.fixture
def video(tmp_path) -> Path:
    path = tmp_path / "v.mp4"
    path.write_bytes(mp4())
    return path


def uploads(sandbox: Client) -> list[str]:
    """The media ids that the sandbox gave."""
    return [upload["media_id"] for upload in sandbox.get("/sandbox/uploads").json()]

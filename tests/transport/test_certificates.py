"""An unreadable certificate bundle is a KaleyraConfigError of both transports."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from pathlib import Path

import pytest
import trustme

from airflow_provider_kaleyra.exceptions import KaleyraConfigError
from airflow_provider_kaleyra.transport import aio, blocking
from airflow_provider_kaleyra.whatsapp.outcome import Accepted, NotSent
from tests.support.http_server import raw_server
from tests.transport.test_transport import ACCEPTED, _send_aio, _send_blocking, request_to


@pytest.fixture(autouse=True)
def _no_bundle_of_this_machine(monkeypatch):
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(params=[_send_blocking, _send_aio], ids=["blocking", "aio"])
def send_to(request):
    return lambda url: request.param(url, request_to(url), timeout=3)[0]


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server(authority):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(tls)
    with raw_server(ACCEPTED, tls=tls) as running:
        yield running


def unreadable(path: Path, kind: str) -> Path:
    match kind:
        case "empty":
            path.write_bytes(b"")
        case "no PEM":
            path.write_bytes(b"\x00\xff" * 1000)
        case "broken":
            path.write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
        case "a key":
            path.write_bytes(trustme.CA().private_key_pem.bytes())
        case "a loop":
            path.symlink_to(path)
    return path


@pytest.mark.parametrize("kind", ["missing", "empty", "no PEM", "broken", "a key", "a loop"])
@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_bundle_that_cannot_be_read_is_a_config_error(monkeypatch, tmp_path, variable, kind):
    bundle = unreadable(tmp_path / "bundle.pem", kind)
    monkeypatch.setenv(variable, str(bundle))
    messages = []
    for open_session in (blocking.new_session, lambda: asyncio.run(aio.new_session("https://kaleyra.invalid"))):
        with pytest.raises(KaleyraConfigError) as raised:
            open_session()
        messages.append(str(raised.value))
        assert raised.value.__context__ is None
    assert messages[0] == messages[1]
    assert messages[0].startswith("Nothing was sent: the certificate bundle cannot be read (")
    assert variable in messages[0]
    assert str(bundle) in messages[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission_is_a_config_error(monkeypatch, tmp_path):
    folder = tmp_path / "certificates"
    folder.mkdir(mode=0)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(folder))
    with pytest.raises(KaleyraConfigError, match="PermissionError"):
        blocking.new_session()


def test_blank_variables_are_ignored(monkeypatch, send_to, server, authority, tmp_path):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "")
    assert isinstance(send_to(server.url), NotSent)  # certifi does not have its authority, so verification fails
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(tmp_path / "authority.pem"))
    assert send_to(server.url) == Accepted("AX1")


def test_a_renewed_bundle_is_read_again(monkeypatch, send_to, server, authority, tmp_path):
    bundle = tmp_path / "authority.pem"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    trustme.CA().cert_pem.write_to_path(str(bundle))
    assert isinstance(send_to(server.url), NotSent)
    authority.cert_pem.write_to_path(str(bundle))
    os.utime(bundle, (time.time() + 1, time.time() + 1))
    assert send_to(server.url) == Accepted("AX1")


def test_nothing_is_sent_to_a_certificate_for_another_host(monkeypatch, send_to, authority, tmp_path):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("kaleyra.example").configure_cert(tls)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))
    with raw_server(ACCEPTED, tls=tls) as server:
        assert isinstance(send_to(server.url), NotSent)
    assert server.received == []


def test_verification_cannot_be_switched_off_on_a_session(server):
    with blocking.new_session() as session:
        session.verify = False
        assert isinstance(blocking.send(session, request_to(server.url), 3), NotSent)
    assert server.received == []


def test_the_keys_of_a_tls_session_are_written_nowhere(monkeypatch, send_to, server, authority, tmp_path):
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    assert send_to(server.url) == Accepted("AX1")
    assert not (tmp_path / "keys").exists()

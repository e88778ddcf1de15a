"""The choice of a proxy, the same for both transports."""

from __future__ import annotations

import base64
import html
import json
import socket
import ssl
import threading
from contextlib import closing, suppress
from urllib.parse import quote

import pytest
import trustme

from airflow_provider_kaleyra.exceptions import KaleyraConfigError
from airflow_provider_kaleyra.transport.proxies import proxy_for, without_passwords
from airflow_provider_kaleyra.whatsapp.outcome import Accepted, NotSent
from tests.support.hostile_server import hostile_server
from tests.support.http_server import raw_response, raw_server
from tests.transport.test_transport import ACCEPTED, _send_aio, _send_blocking, request_to

URL = "https://api.in.kaleyra.io/v2"
PROXY = "http://proxy:3128"


@pytest.fixture(params=[_send_blocking, _send_aio], ids=["blocking", "aio"])
def send_to(request):
    return lambda url: request.param(url, request_to(url), timeout=3)[0]


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": PROXY}, PROXY),
        ({"https_proxy": PROXY, "HTTPS_PROXY": "http://other:1"}, PROXY),
        ({"https_proxy": "", "HTTPS_PROXY": PROXY}, None),
        ({"HTTP_PROXY": PROXY}, None),
        ({"ALL_PROXY": PROXY}, PROXY),
        ({"all_proxy": PROXY}, PROXY),
        ({"HTTPS_PROXY": " ", "ALL_PROXY": PROXY}, PROXY),
        ({"HTTPS_PROXY": PROXY, "ALL_PROXY": "http://other:1"}, PROXY),
        ({"HTTPS_PROXY": "proxy:3128"}, PROXY),
        ({"HTTPS_PROXY": "proxy"}, "http://proxy"),
        ({"HTTPS_PROXY": "HTTP://Proxy:3128/"}, PROXY),
        ({"HTTPS_PROXY": "https://proxy:3128"}, "https://proxy:3128"),
        ({"HTTPS_PROXY": "[fd00::1]:3128"}, "http://[fd00::1]:3128"),
        ({"HTTPS_PROXY": "me:p@ss@proxy:3128"}, "http://me:p%40ss@proxy:3128"),
        ({"HTTPS_PROXY": "http://me:p%2Fs@proxy:3128"}, "http://me:p%2Fs@proxy:3128"),
    ],
)
def test_the_environment_names_the_proxy(environment, proxy):
    assert proxy_for(URL, environment) == proxy


@pytest.mark.parametrize(
    ("host", "no_proxy", "proxied"),
    [
        ("api.in.kaleyra.io", "", True),
        ("api.in.kaleyra.io", "*", False),
        ("api.in.kaleyra.io", "api.in.kaleyra.io", False),
        ("api.in.kaleyra.io", "API.in.Kaleyra.io", False),
        ("API.IN.KALEYRA.IO", "api.in.kaleyra.io", False),
        ("api.in.kaleyra.io", "kaleyra.io", False),
        ("api.in.kaleyra.io", " example.com , .kaleyra.io", False),
        ("api.in.kaleyra.io", "example.com *.kaleyra.io", False),
        ("api.in.kaleyra.io", "aleyra.io,io.example,10.0.0.0/8,:,.", True),
        ("api.in.kaleyra.io", "kaleyra.io:443", False),
        ("api.in.kaleyra.io", "kaleyra.io:8443", True),
        ("10.1.2.3", "10.0.0.0/8", False),
        ("10.1.2.3", "10.1.2.3:443", False),
        ("10.1.2.3", "11.0.0.0/8,10.1.2.4,2.3", True),
        ("[fd00::1]", "fd00::/8", False),
        ("[fd00::1]", "[fd00::1]:443", False),
    ],
)
def test_no_proxy_lists_hosts_domains_addresses_and_networks(host, no_proxy, proxied):
    for name in ("no_proxy", "NO_PROXY"):
        assert (proxy_for(f"https://{host}/v2", {"ALL_PROXY": PROXY, name: no_proxy}) == PROXY) is proxied


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST.", "sandbox.localhost", "127.0.0.1", "127.8.9.10", "127.1", "[::1]", "[::ffff:127.0.0.1]"],
)
def test_a_loopback_address_has_no_proxy(host):
    for scheme in ("http", "https"):
        environment = {"HTTP_PROXY": PROXY, "HTTPS_PROXY": PROXY, "ALL_PROXY": "no url : at all"}
        assert proxy_for(f"{scheme}://{host}:8080/v2", environment) is None


@pytest.mark.parametrize(
    "proxy",
    [
        "http://me:secret@proxy:port",
        "http://me:secret@proxy:99999",
        "http://me:secret@",
        "me:sec/ret@proxy:3128",
        "http://me:sec#ret@proxy:3128",
        "http://me:1/secret@proxy:3128",
        "http://me:sec ret@proxy:3128",
        "http://me:secret\u20ac@proxy:3128",
        "http://m%3Ae:secret@proxy:3128",
        "http://me:secret@[::1",
        "socks5://me:secret@proxy:1080",
        "socks5h://me:secret@proxy:1080",
        "ftp://me:secret@proxy",
    ],
)
@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "ALL_PROXY"])
def test_a_proxy_that_cannot_be_used_is_an_error_without_its_password(variable, proxy):
    with pytest.raises(KaleyraConfigError, match=f"^Nothing was sent: .*{variable}") as raised:
        proxy_for(URL, {variable: proxy})
    assert not any(part in f"{raised.value!r}{raised.value.__context__}" for part in ("secret", "ret@", "/sec"))


@pytest.mark.parametrize("password", ["p@ss!", "p%40ss!", "a/b", "%2F%3a"])
def test_a_password_is_hidden_however_it_is_encoded(password):
    plain = password.replace("%40", "@").replace("%2F", "/").replace("%3a", ":")
    basic = base64.b64encode(f"me:{plain}".encode()).decode()
    text = f"at http://me:{password}@proxy:3128 with {plain}, {password} and {basic}"
    assert without_passwords(text, {"https_proxy": f"http://me:{password}@proxy:3128"}) == (
        "at http://proxy:3128 with ***, *** and ***"
    )


@pytest.mark.parametrize("password", ['p@ss:w/rd%21&<x>"', "correct-horse-battery"])
@pytest.mark.parametrize(
    "echo",
    [
        lambda plain, basic: plain,
        lambda plain, basic: f"for {basic[:-6]}",
        lambda plain, basic: html.escape(plain),
        lambda plain, basic: json.dumps(plain),
        lambda plain, basic: quote(plain, safe="").lower(),
        lambda plain, basic: plain[:10],
    ],
)
def test_no_part_of_a_password_that_a_proxy_echoes_is_shown(send_to, monkeypatch, password, echo):
    basic = base64.b64encode(f"me:{password}".encode()).decode()
    with raw_server(raw_response(f"407 Unknown user: {echo(password, basic)}")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:{quote(password, safe='')}@127.0.0.1:{proxy.port}")
        outcome = send_to("https://kaleyra.invalid")
    assert isinstance(outcome, NotSent)
    assert "407 Unknown user: " in outcome.reason or "HTTP 407, Unknown user: " in outcome.reason
    parts = [password[start : start + 5] for start in range(len(password) - 4)] + [basic[8:16], "%2fs", "&amp;"]
    assert not any(part in outcome.reason for part in parts), outcome.reason


@pytest.mark.parametrize(
    "response", [b"HTTP/1.1 200 Connection established\r\n\r\n", b"HTTP/1.0 200\r\nVia: p\r\n\r\n"]
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_message_goes_through_a_proxys_tunnel(send_to, monkeypatch, tmp_path, scheme, response):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))
    tls = {name: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for name in ("kaleyra.invalid", "127.0.0.1")}
    for name, context in tls.items():
        authority.issue_cert(name).configure_cert(context)

    def tunnel(client: socket.socket, stopped: threading.Event) -> None:
        assert client.recv(65_536).startswith(b"CONNECT kaleyra.invalid:443 ")
        with socket.create_connection(("127.0.0.1", server.port)) as upstream:
            client.sendall(response)
            client.settimeout(0.01)
            upstream.settimeout(0.01)
            while not stopped.is_set():
                for source, target in ((client, upstream), (upstream, client)):
                    with suppress(TimeoutError):
                        if not (piece := source.recv(65_536)):
                            return
                        target.sendall(piece)

    with (
        raw_server(ACCEPTED, tls=tls["kaleyra.invalid"]) as server,
        hostile_server(tunnel, tls["127.0.0.1"] if scheme == "https" else None) as port,
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://127.0.0.1:{port}")
        assert send_to("https://kaleyra.invalid") == Accepted("AX1")
    assert len(server.received) == 1


def test_both_transports_reach_a_proxy_without_a_scheme(send_to, monkeypatch):
    for variable in ("HTTPS_PROXY", "ALL_PROXY"):
        with raw_server(
            raw_response("407 Proxy Authentication Required"), raw_response("407 no entry for sec%ret")
        ) as proxy:
            monkeypatch.setenv(variable, f"me:sec%25ret@127.0.0.1:{proxy.port}")
            outcomes = [send_to("https://kaleyra.invalid"), send_to("https://kaleyra.invalid")]
            monkeypatch.delenv(variable)
        for outcome, received in zip(outcomes, proxy.received, strict=True):
            assert isinstance(outcome, NotSent)
            assert "sec" not in outcome.reason
            assert received.request_line.startswith("CONNECT kaleyra.invalid:443 ")
            assert received.headers["Proxy-Authorization"] == f"Basic {base64.b64encode(b'me:sec%ret').decode()}"


def test_an_unreachable_proxy_is_named_without_its_password(send_to, monkeypatch):
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:p%40ss-word@127.0.0.1:{port}")
    outcome = send_to("https://kaleyra.invalid")
    assert isinstance(outcome, NotSent)
    assert not any(part in outcome.reason for part in ("ss-word", "me:"))


def test_a_loopback_address_is_reached_without_the_proxy(send_to, monkeypatch):
    with raw_server(raw_response("407 Proxy Authentication Required")) as proxy, raw_server(ACCEPTED) as server:
        for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(variable, proxy.url)
        assert send_to(server.url) == Accepted("AX1")
        assert send_to(server.url.replace("127.0.0.1", "localhost")) == Accepted("AX1")
    assert proxy.received == []


def test_a_request_of_the_users_own_uses_the_same_proxy(monkeypatch):
    from airflow_provider_kaleyra.transport.blocking import new_session

    with (
        raw_server(raw_response("200 OK", b"by proxy")) as proxy,
        raw_server(raw_response("200 OK", b"direct")) as server,
    ):
        monkeypatch.setenv("HTTP_PROXY", f"127.0.0.1:{proxy.port}")
        with new_session() as session:
            assert session.get("http://kaleyra.invalid/v1").content == b"by proxy"
            assert session.get(server.url).content == b"direct"

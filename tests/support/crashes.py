"""Every way in which a task of this package fails, reported by the real Sentry SDK with all local variables.

Run in a process of its own, because Sentry's integrations patch logging, http.client and aiohttp for good: prints one
JSON object with what Sentry would have sent for each failure. The key is random, so that no source line that Sentry
quotes contains it, and stays in this module's globals, so that no local variable of this module does.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import secrets
import signal
import socket
import struct
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import sentry_sdk
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.scrubber import EventScrubber
from sentry_sdk.transport import Transport

from airflow_provider_kaleyra.exceptions import KaleyraError
from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook
from airflow_provider_kaleyra.notifications.video import KaleyraVideoNotifier
from airflow_provider_kaleyra.operators.campaign import KaleyraSendVideoCampaignOperator
from airflow_provider_kaleyra.operators.media import KaleyraUploadMediaOperator
from airflow_provider_kaleyra.operators.video import KaleyraSendVideoOperator
from tests.support.http_server import raw_response, raw_server
from tests.support.video import mp4

KEY = "A" + secrets.token_hex(16)  # as long as a key of Kaleyra's
TO = "+12025550123"
MESSAGE = {"to": TO, "media_id": "42"}
FOLDER = Path(tempfile.mkdtemp(prefix="kaleyra-crashes-"))
CASES: dict[str, Callable[[], object]] = {}

log = logging.getLogger("tests.crashes")


class Killed(BaseException):
    """What Airflow raises inside a task that runs into its execution_timeout."""


def case(function: Callable[[], object]) -> Callable[[], object]:
    CASES[function.__name__] = function
    return function


def use_connection(**fields: Any) -> None:
    known = {
        "conn_type": "kaleyra",
        "login": "HXAP16XXXXXX97IN",
        "password": KEY,
        "host": "http://127.0.0.1:9",
        "extra": {"business_phone_number": "+12025550100", "timeout": 2},
    }
    os.environ["AIRFLOW_CONN_KALEYRA_DEFAULT"] = json.dumps(known | fields)


def echo(status: str, code: str | None = None) -> bytes:
    """A response that quotes the request's headers, in Kaleyra's envelope if it has a code."""
    if code is None:
        return raw_response(status, f"<h1>{status}</h1> api-key: {KEY}".encode())
    error = {"api-key": KEY, KEY: "in a name"}
    return raw_response(
        status, json.dumps({"code": code, "message": f"No: {KEY}", "data": {}, "error": error}).encode()
    )


@contextmanager
def responding(status: str, code: str | None = None) -> Iterator[None]:
    with raw_server(echo(status, code)) as server:
        use_connection(host=server.url)
        yield


def closed(connection: socket.socket) -> None:
    """Close the connection without a response."""


def silent(connection: socket.socket) -> None:
    """Respond only when the client has given up."""
    connection.recv(1)


@contextmanager
def served_by(peer: Callable[[socket.socket], None]) -> Iterator[None]:
    with raw_server(peer) as server:
        use_connection(host=server.url)
        yield


def send() -> str:
    return KaleyraHook().send_video(**MESSAGE)


def asend() -> None:
    asyncio.run(KaleyraVideoNotifier(**MESSAGE).async_notify({}))


def operator(**fields: Any) -> KaleyraSendVideoOperator:
    return KaleyraSendVideoOperator(task_id="send", **MESSAGE, **fields)


def campaign(**fields: Any) -> object:
    os.environ["AIRFLOW_CONN_LEDGER"] = json.dumps({"conn_type": "sqlite", "host": str(FOLDER / "ledger.db")})
    known: dict[str, Any] = {
        "campaign_id": secrets.token_hex(4),
        "recipients": [f"+1202555{index:04d}" for index in range(20)],
        "media_id": "42",
        "ledger_conn_id": "ledger",
        "messages_per_second": 100,
        "max_failures": 0,
    }
    return KaleyraSendVideoCampaignOperator(task_id="campaign", **known | fields).execute({})


def video() -> Path:
    path = FOLDER / "v.mp4"
    path.write_bytes(mp4())
    return path


@case
def a_field_of_the_message_breaks_a_rule() -> None:
    use_connection()
    KaleyraHook().send_video(to="12", media_id="42")


@case
def the_connection_is_missing() -> None:
    KaleyraHook("nowhere").send_video(**MESSAGE)


@case
def the_connection_is_of_another_service() -> None:
    use_connection(conn_type="slack", extra={"token": KEY})
    send()


@case
def the_connections_extra_is_not_an_object() -> None:
    use_connection(extra=f'["{KEY}"]')
    send()


@case
def the_pod_is_unknown() -> None:
    use_connection(host=None, extra={"pod": "us", "api_key": KEY})
    send()


@case
def the_timeout_is_no_number() -> None:
    use_connection(extra={"timeout": "soon", "api_key": KEY})
    asend()


@case
def the_key_has_a_blank() -> None:
    use_connection(password=f"{KEY} {KEY}")
    send()


@case
def the_sid_cannot_be_used() -> None:
    use_connection(login="a/b")
    send()


@case
def the_host_cannot_be_used() -> None:
    use_connection(host="http://api.in.kaleyra.io")
    asend()


@case
def there_is_no_sender() -> None:
    use_connection(extra={})
    send()


@case
def airflow_fails_to_read_the_connection() -> None:
    def get_connection(conn_id: str) -> object:
        uri = f"kaleyra://S:{KEY}@"
        raise ConnectionError(f"lost while reading {uri}")

    with patch.object(KaleyraHook, "get_connection", staticmethod(get_connection)):
        send()


@case
def airflow_fails_to_decrypt_the_connection() -> None:
    class Encrypted:
        conn_type, login, host, schema, port, extra = "kaleyra", "S", None, None, None, None

        @property
        def password(self) -> str:
            raise ValueError(f"Can't decrypt {KEY}")

        def __repr__(self) -> str:
            return f"Connection(password={KEY!r})"

    with patch.object(KaleyraHook, "get_connection", staticmethod(lambda conn_id: Encrypted())):
        send()


@case
def kaleyra_rejects_the_message() -> None:
    with responding("400 Bad Request", "WA400"):
        send()


@case
def kaleyra_rejects_the_key() -> None:
    with responding("401 Unauthorized", "RBC001"):
        send()


@case
def kaleyra_rejects_the_message_for_now() -> None:
    with responding("500 Internal Server Error", "WA500"):
        send()


@case
def kaleyra_rejects_the_message_inside_a_loop() -> None:
    with responding("400 Bad Request", "WA400"):
        asend()


@case
def a_proxy_rejects_the_message() -> None:
    with responding("403 Forbidden"):
        operator().execute({})


@case
def kaleyra_cannot_be_reached() -> None:
    use_connection()
    send()


@case
def kaleyra_cannot_be_reached_inside_a_loop() -> None:
    use_connection()
    asend()


@case
def a_gateway_responds() -> None:
    with responding("502 Bad Gateway"):
        send()


@case
def a_gateway_responds_inside_a_loop() -> None:
    with responding("502 Bad Gateway"):
        asend()


@case
def the_response_cannot_be_read() -> None:
    with responding("200 OK"):
        operator().execute({})


@case
def the_connection_is_lost() -> None:
    with served_by(closed):
        send()


@case
def the_connection_is_lost_inside_a_loop() -> None:
    with served_by(closed):
        asend()


@case
def the_response_is_late() -> None:
    with served_by(silent):
        operator().execute({})


@case
def the_user_wants_it_sent_again() -> None:
    with served_by(closed):
        operator(on_unknown_outcome="resend").execute({})


@case
def the_task_state_store_fails() -> None:
    class Store:
        def get(self, name: str) -> object:
            raise OSError("no route to the API server")

        def set(self, name: str, value: object) -> None:
            raise OSError("no route to the API server")

    with responding("202 Accepted", "WA202"):
        operator().execute({"task_state_store": Store(), "ti": SimpleNamespace(try_number=1)})


@case
def an_upload_is_rejected() -> None:
    with responding("401 Unauthorized", "WA401"):
        KaleyraHook().upload_media(video())


@case
def an_upload_returns_no_media_id() -> None:
    with responding("200 OK", "WA200"):
        KaleyraUploadMediaOperator(task_id="upload", file=str(video())).execute({})


@case
def a_file_is_missing() -> None:
    use_connection()
    KaleyraUploadMediaOperator(task_id="upload", file=str(FOLDER / "none.mp4")).execute({})


@case
def a_file_fails_while_it_is_sent() -> None:
    def inspected(shown: str, size: int, read_at: object) -> object:
        from airflow_provider_kaleyra.whatsapp.video_file import inspect

        found = inspect(shown, size, read_at)
        (FOLDER / "v.mp4").write_bytes(b"")
        return found

    with responding("200 OK", "WA200"), patch("airflow_provider_kaleyra.files.upload.inspect", inspected):
        KaleyraHook().upload_media(video())


@case
def a_notification_fails() -> None:
    with responding("401 Unauthorized", "RBC001"):
        KaleyraVideoNotifier(**MESSAGE).notify({})


@case
def a_campaign_exceeds_its_failures() -> None:
    with responding("400 Bad Request", "WA400"):
        campaign()


@case
def a_campaign_has_the_wrong_key() -> None:
    with responding("401 Unauthorized", "RBC001"):
        campaign()


@case
def a_campaign_cannot_reach_kaleyra() -> None:
    use_connection()
    campaign(max_failures=None)


@case
def a_campaigns_ledger_fails() -> None:
    with responding("202 Accepted", "WA202"):
        os.environ["AIRFLOW_CONN_NO_LEDGER"] = json.dumps({"conn_type": "sqlite", "host": str(FOLDER / "no" / "file")})
        campaign(ledger_conn_id="no_ledger")


def use_ledger(**fields: Any) -> None:
    os.environ["AIRFLOW_CONN_OTHER_LEDGER"] = json.dumps({"login": "somebody", "password": KEY} | fields)


@contextmanager
def postgres_that_rejects_the_password() -> Iterator[int]:
    """A server that behaves as PostgreSQL does if a password is wrong; its port."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.settimeout(10)
                    reject(connection)

    def reject(connection: socket.socket) -> None:
        while struct.unpack("!II", connection.recv(8))[1] != 3 << 16:  # it asks for encryption first
            connection.sendall(b"N")
        connection.recv(1024)
        connection.sendall(b"R" + struct.pack("!II", 8, 3))  # asks for the password in clear text
        connection.recv(1024)
        fields = b'SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user "somebody"\0\0'
        connection.sendall(b"E" + struct.pack("!I", 4 + len(fields)) + fields)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(20)


@case
def a_campaigns_ledger_is_a_slack_connection() -> None:
    use_connection()
    use_ledger(conn_type="slack", extra={"token": KEY})
    campaign(ledger_conn_id="other_ledger")


@case
def a_campaigns_ledger_is_an_http_connection() -> None:
    use_connection()
    use_ledger(conn_type="http", host="127.0.0.1")
    campaign(ledger_conn_id="other_ledger")


@case
def a_campaigns_ledger_has_a_wrong_password() -> None:
    use_connection()
    with postgres_that_rejects_the_password() as port:
        use_ledger(conn_type="postgres", host="127.0.0.1", port=port, schema="marketing")
        campaign(ledger_conn_id="other_ledger")


@case
def a_campaigns_ledger_has_an_extra_that_cannot_be_used() -> None:
    use_connection()
    use_ledger(conn_type="postgres", host="127.0.0.1", port=9, extra={"sslpassword": KEY, "cursor": "nothing"})
    campaign(ledger_conn_id="other_ledger")


@case
def a_campaigns_connection_is_missing() -> None:
    campaign(kaleyra_conn_id="nowhere")


@case
def aiohttp_fails_in_an_unforeseen_way() -> None:
    async def write_headers(writer: object, status_line: str, headers: object) -> None:
        raise RuntimeError("unforeseen")

    with responding("202 Accepted", "WA202"), patch("aiohttp.http_writer.StreamWriter.write_headers", write_headers):
        campaign()


@case
def the_task_is_killed_while_it_awaits_the_response() -> None:
    def kill(*args: object) -> None:
        raise Killed

    earlier = signal.signal(signal.SIGALRM, kill)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with served_by(silent):
            send()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)


@case
def the_test_button_fails() -> None:
    with responding("401 Unauthorized", "RBC001"):
        works, why = KaleyraHook().test_connection()
    log.error("The test says %s: %s", works, why)


@case
def a_local_variable_holds_the_key() -> None:
    """The control: this is what all others would show if one of their variables held the key."""
    use_connection()
    connection = json.loads(os.environ["AIRFLOW_CONN_KALEYRA_DEFAULT"])
    raise KaleyraError(f"found in one of {len(connection)} fields")


class Captured(Transport):
    """A transport that keeps what it shall send."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.sent: list[str] = []

    def capture_envelope(self, envelope: sentry_sdk.envelope.Envelope) -> None:
        self.sent += [item.payload.get_bytes().decode() for item in envelope.items]


def forms_of_the_key() -> dict[str, str]:
    """What no report may contain: parts of the key, too, because values may be cut."""
    return {
        "its start": KEY[:12],
        "its middle": KEY[10:22],
        "its end": KEY[-12:],
        "base64": base64.b64encode(KEY.encode()).decode()[:16],
        "hexadecimal": KEY.encode().hex()[:24],
    }


def report(transport: Captured, provoke: Callable[[], object]) -> dict[str, Any]:
    """Provoke a failure, report it as Airflow would, and describe what was sent."""
    transport.sent.clear()
    error = None
    try:
        provoke()
    except BaseException as raised:
        error = raised
        sentry_sdk.capture_exception(raised)
        log.exception("Task failed with exception")
    sentry_sdk.flush()
    reported = "\n".join(transport.sent)
    return {
        "error": f"{type(error).__name__}: {error}",
        "kinds": [kind.__name__ for kind in type(error).__mro__],
        "traceback": "".join(traceback.format_exception(error)) if error else "",
        "variables": reported.count('"vars"'),
        "key": [form for form, text in forms_of_the_key().items() if text in f"{reported} {error!r}"],
        "around": [reported[max(0, at - 300) : at + 60] for at in [reported.find(KEY[10:22])] if at >= 0],
    }


def tree(kind: type[KaleyraError] = KaleyraError) -> list[str]:
    """The names of all errors of the package."""
    return [kind.__name__, *(name for child in kind.__subclasses__() for name in tree(child))]


def main() -> None:
    transport = Captured()
    sentry_sdk.init(
        dsn="http://public@127.0.0.1:9/1",
        transport=transport,
        include_local_variables=True,
        attach_stacktrace=True,
        add_full_stack=True,
        send_default_pii=True,
        max_value_length=100_000,
        event_scrubber=EventScrubber(denylist=[], pii_denylist=[]),  # which hides variables by their names
        integrations=[LoggingIntegration(level=logging.DEBUG, event_level=logging.ERROR)],
    )
    reports = {name: report(transport, provoke) for name, provoke in CASES.items()}
    json.dump({"tree": tree(), "reports": reports}, sys.stdout)


if __name__ == "__main__":
    main()

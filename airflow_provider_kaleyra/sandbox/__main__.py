"""The sandbox's command line."""

from __future__ import annotations

import argparse
import ipaddress
import signal
import sys
from typing import TextIO

from airflow_provider_kaleyra.sandbox.account import SandboxAccount
from airflow_provider_kaleyra.sandbox.app import DEFAULT_REDIRECT_TO, create_app
from airflow_provider_kaleyra.sandbox.media import SAMPLE_MEDIA_ID
from airflow_provider_kaleyra.sandbox.server import SandboxServer


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM arrives."""
    options = _parser().parse_args(arguments)
    account = SandboxAccount(options.sid, options.api_key, options.business_phone_number)
    if not _is_loopback(options.host):
        _print(f"Warning: {options.host} can be reached by others, who can read every message.", sys.stderr)
    # After its shutdown, uvicorn raises the signal that stopped it a second time.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))

    def on_listening(port: int) -> None:
        host = f"[{options.host}]" if ":" in options.host else options.host
        _print(f"Sandbox of Kaleyra at http://{host}:{port} ({account})", sys.stdout)

    app = create_app(account, options.redirect_to, {SAMPLE_MEDIA_ID, *options.media_id})
    SandboxServer(app, options.host, options.port, on_listening).run()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_kaleyra.sandbox",
        description="A local stand-in for Kaleyra. Open its address in a browser to see the recipient's phone.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    account = SandboxAccount()
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", default=8089, type=int, help="port to listen on; 0 picks a free one")
    parser.add_argument("--sid", default=account.sid, help="SID of the simulated account")
    parser.add_argument("--api-key", default=account.api_key, help="API key of that account")
    parser.add_argument(
        "--business-phone-number", default=account.business_phone_number, help="WhatsApp number of that account"
    )
    parser.add_argument(
        "--redirect-to", default=DEFAULT_REDIRECT_TO, help="URL that the redirect scenarios name in Location"
    )
    parser.add_argument(
        "--media-id",
        action="append",
        default=[],
        help=f"id of media that the account has, in addition to {SAMPLE_MEDIA_ID}; repeatable",
    )
    return parser


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _print(line: str, stream: TextIO) -> None:
    print(line, file=stream, flush=True)


if __name__ == "__main__":
    main()

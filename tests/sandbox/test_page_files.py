"""The files of the page, without a browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.sandbox.conftest import Client


def test_the_page_and_all_its_files_are_served(client: Client) -> None:
    page = client.get("/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    names = set(re.findall(r'(?:src|href)="(sandbox/page/[^"]+)"', page.text))
    assert names == {"sandbox/page/icon.svg", "sandbox/page/style.css", "sandbox/page/phone.js"}
    assert {client.get(f"/{name}").status_code for name in names} == {200}


def test_the_content_security_policy_forbids_other_hosts(client: Client) -> None:
    policy = client.get("/").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_the_script_never_turns_data_into_markup(client: Client) -> None:
    script = client.get("/sandbox/page/phone.js").text
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script)


@pytest.mark.parametrize(
    "path", ["/sandbox/page/__init__.py", "/sandbox/page/..%2Fapp.py", "/docs", "/redoc", "/openapi.json"]
)
def test_no_other_file_is_served(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404

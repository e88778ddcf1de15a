"""Without a browser, browser tests are skipped; in CI they fail, because a skip would hide them."""

from __future__ import annotations

import shutil

import pytest

from tests.support.browser import chromium


@pytest.fixture(autouse=True)
def _no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)


def test_a_browser_test_is_skipped_without_a_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception), chromium():
        pass


def test_a_browser_test_fails_in_ci_without_a_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="CI needs a browser"), chromium():
        pass

"""A video is uploaded and sent by the hook, and plays in a browser on the recipient's phone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook
from dev.sandbox import connection_to, running_sandbox
from tests.support.browser import chromium
from tests.support.video import FFMPEG, SIZE, mp4, mp4_by_ffmpeg

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.browser


def without_encoder(path: Path) -> tuple[int, int]:
    path.write_bytes(mp4())
    return SIZE


def by_ffmpeg(path: Path) -> tuple[int, int]:
    mp4_by_ffmpeg(path)
    return 320, 180


@pytest.mark.parametrize("make", [without_encoder, by_ffmpeg] if FFMPEG else [without_encoder])
def test_an_uploaded_video_plays_on_the_phone(make, tmp_path, monkeypatch):
    size = make(tmp_path / "diwali.mp4")
    with running_sandbox() as sandbox, chromium() as browser:
        monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", connection_to(sandbox))
        hook = KaleyraHook()
        media_id = hook.upload_media(f"file://{tmp_path}/diwali.mp4")
        hook.send_video(to="+12025550123", media_id=media_id, caption="Shubh Diwali")
        page = browser.new_page()
        console_errors: list[str] = []
        page.on("console", lambda message: console_errors.append(message.text) if message.type == "error" else None)
        page.goto(sandbox.url)
        bubble = page.get_by_role("article")
        bubble.get_by_text("Shubh Diwali").wait_for()
        assert bubble.locator("code").inner_text() == media_id
        played = page.evaluate("""async () => {
            const video = document.querySelector("video");
            const ended = new Promise((resolve) => video.addEventListener("ended", resolve, { once: true }));
            video.muted = true;
            await video.play();
            await ended;
            return video.currentTime;
        }""")
        assert played == pytest.approx(2, abs=0.1)
        properties = page.evaluate("""() => {
            const video = document.querySelector("video");
            return [video.videoWidth, video.videoHeight, Math.round(video.duration), video.error];
        }""")
        assert properties == [*size, 2, None]
        assert console_errors == []
        assert json.dumps(sandbox.messages()).count(media_id) == 2

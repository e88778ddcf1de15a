"""The trigger that waits for videos, in an event loop of its own."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable

import pytest
from airflow.triggers.base import TriggerEvent

from airflow_provider_kaleyra.exceptions import KaleyraFileError, KaleyraMessageError
from airflow_provider_kaleyra.triggers import video_folder
from airflow_provider_kaleyra.triggers.video_folder import KaleyraVideoFolderTrigger

VIDEOS = ["s3://bucket/videos/v.mp4"]
DENIED, BROKEN = KaleyraMessageError("may not read"), KaleyraFileError("out of reach")


def trigger(timeout: float = 60, poke_interval: float = 0.01) -> KaleyraVideoFolderTrigger:
    return KaleyraVideoFolderTrigger("s3://bucket/videos", ["*.mp4"], 60, poke_interval, time.time() + timeout)


@pytest.fixture
def checks(monkeypatch) -> Callable[..., list[tuple[object, ...]]]:
    """Return these results for the next checks of the folder, one after the other; the last one repeatedly."""

    def see(*results: list[str] | Exception) -> list[tuple[object, ...]]:
        asked: list[tuple[object, ...]] = []

        def list_videos(*arguments):
            result = results[min(len(asked), len(results) - 1)]
            asked.append(arguments)
            if isinstance(result, Exception):
                raise result
            return result

        monkeypatch.setattr(video_folder, "list_videos", list_videos)
        return asked

    return see


def payload(of: KaleyraVideoFolderTrigger) -> dict[str, object]:
    async def events() -> list[TriggerEvent]:
        return [event async for event in of.run()]

    (event,) = asyncio.run(events())
    return event.payload


def test_it_can_be_stored_in_airflows_database():
    path, arguments = trigger().serialize()
    assert path == "airflow_provider_kaleyra.triggers.video_folder.KaleyraVideoFolderTrigger"
    again = KaleyraVideoFolderTrigger(**json.loads(json.dumps(arguments)))
    assert again.serialize() == (path, arguments)


def test_it_checks_until_there_is_a_video(checks):
    asked = checks([], [], VIDEOS)
    assert payload(trigger()) == {"videos": VIDEOS}
    assert asked == [("s3://bucket/videos", ["*.mp4"], 60)] * 3


def test_it_ends_at_the_timeout(checks):
    asked = checks([])
    assert payload(trigger(timeout=0.1, poke_interval=60)) == {"videos": []}
    assert len(asked) == 2


def test_a_permanent_error_is_reported_at_once(checks):
    checks([], DENIED)
    assert payload(trigger()) == {"error": "may not read", "kind": "KaleyraMessageError", "retry": False}


def test_after_a_temporary_error_the_folder_is_checked_again(checks, logged):
    checks(BROKEN, [], BROKEN, VIDEOS)
    assert payload(trigger()) == {"videos": VIDEOS}
    assert logged().count("out of reach") >= 2


def test_an_error_that_lasts_too_long_is_reported(checks, monkeypatch):
    monkeypatch.setattr(video_folder, "MAX_FAILURE_SECONDS", 0.1)
    checks([], BROKEN)
    start = time.monotonic()
    assert payload(trigger()) == {"error": "out of reach", "kind": "KaleyraFileError", "retry": True}
    assert time.monotonic() - start >= 0.1


def test_a_store_that_fails_at_the_timeout_is_reported_as_an_error(checks):
    checks([], BROKEN)
    assert payload(trigger(timeout=0.05)) == {"error": "out of reach", "kind": "KaleyraFileError", "retry": True}


def test_a_slow_store_blocks_neither_the_loop_nor_the_cancelling(monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(video_folder, "list_videos", lambda *_: release.wait(10) and [])

    async def cancelled() -> float:
        start = time.monotonic()
        waiting = asyncio.ensure_future(anext(trigger().run()))
        await asyncio.sleep(0.2)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        taken = time.monotonic() - start
        release.set()
        return taken

    assert asyncio.run(cancelled()) < 2


def test_two_triggers_check_at_the_same_time(monkeypatch):
    both = threading.Barrier(2, timeout=5)
    monkeypatch.setattr(video_folder, "list_videos", lambda *_: both.wait() is not None and VIDEOS)

    async def two() -> list[TriggerEvent]:
        return await asyncio.gather(*(anext(trigger().run()) for _ in range(2)))

    assert [event.payload for event in asyncio.run(two())] == [{"videos": VIDEOS}] * 2

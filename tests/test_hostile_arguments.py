"""Every public callable returns a result or raises a KaleyraError, whatever its arguments are."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException, TaskDeferred

from airflow_provider_kaleyra.exceptions import KaleyraError
from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook
from airflow_provider_kaleyra.notifications.video import KaleyraVideoNotifier
from airflow_provider_kaleyra.operators.campaign import KaleyraSendVideoCampaignOperator
from airflow_provider_kaleyra.operators.media import KaleyraUploadMediaOperator
from airflow_provider_kaleyra.operators.video import KaleyraSendVideoOperator
from airflow_provider_kaleyra.sensors.video_folder import KaleyraVideoFolderSensor
from tests.sandbox.conftest import Client, served
from tests.support.video import mp4

TO = "+12025550123"


class Hostile:
    """Object whose every method fails."""

    def _fail(self, *_: object) -> Any:
        raise RuntimeError("hostile")

    __str__ = __repr__ = __eq__ = __bool__ = __len__ = __iter__ = __fspath__ = __contains__ = _fail
    __int__ = __float__ = __index__ = __lt__ = __gt__ = __add__ = __format__ = __getitem__ = _fail
    __hash__ = object.__hash__


class HostileText(str):
    __slots__ = ()

    def _fail(self, *_: object) -> Any:
        raise RuntimeError("hostile")

    __str__ = __repr__ = __eq__ = __len__ = __iter__ = strip = encode = lower = startswith = _fail  # type: ignore[assignment]
    __hash__ = str.__hash__


class HostileNumber(int):
    def _fail(self, *_: object) -> Any:
        raise RuntimeError("hostile")

    __str__ = __repr__ = __eq__ = __format__ = _fail
    __hash__ = int.__hash__


VALUES: dict[str, Any] = {
    "none": None,
    "true": True,
    "number": 7,
    "negative": -1,
    "huge number": 10**5000,
    "fraction": 1.5,
    "not a number": float("nan"),
    "infinite": float("inf"),
    "bytes": b"\xff",
    "list": ["a", None, 7],
    "empty list": [],
    "dict": {"to": {"to": 7}},
    "class": Hostile,
    "function": lambda: None,
    "empty": "",
    "blank": " \n",
    "text None": "None",
    "half a surrogate pair": "\ud83c",
    "huge text": "x" * 300_000,
    "NUL": "v\0.mp4",
    "path with NUL": Path("v\0.mp4"),
    "no URL": "://",
    "broken URL": "https://[",
    "unknown scheme": "nowhere://bucket/v.mp4",
    "broken path": "file://\ud83c",
    "huge path": "/" + "x/" * 100_000,
    "hostile": Hostile(),
    "hostile text": HostileText(TO),
    "hostile number": HostileNumber(7),
    "rows": [
        Hostile(),
        HostileText(TO),
        HostileNumber(7),
        {"to": Hostile()},
        {"to": TO, "caption": Hostile()},
        {"to": TO, "ref": 10**5000},
    ],
}


@dataclass(frozen=True)
class Target:
    """A public callable.

    :param arguments: those that work; one of them after the other is replaced.
    :param call: calls it.
    """

    name: str
    arguments: dict[str, Any]
    call: Callable[..., Any]


VIDEO = {
    "to": TO,
    "media_id": "1166846181421424",
    "media_link": None,
    "caption": "c",
    "ref": "r",
    "ref1": None,
    "ref2": None,
    "wa_source": "api",
    "business_phone_number": None,
}
FILE = {"file": "{file}", "mime_type": None, "business_phone_number": None}
CONNECTION = {"kaleyra_conn_id": "kaleyra_default"}
CAMPAIGN = {name: VIDEO[name] for name in VIDEO if name != "to"} | CONNECTION | {"recipients": [TO], "media_file": None}
LEDGER = {"campaign_id": "c", "ledger_conn_id": "ledger"}
SETTINGS: dict[str, Any] = {
    "on_unknown_outcome": "skip",
    "messages_per_second": 1000,
    "max_connections": 2,
    "checkpoint_every": 2,
    "max_failures": None,
}
FOLDER = {"folder": "{folder}", "pattern": "*.mp4", "settled_after": 0}
CONTEXT: Any = {}


def rendered(instance: Any, arguments: dict[str, Any]) -> Any:
    """The instance, as if its templates had rendered to these values."""
    for name, value in arguments.items():
        setattr(instance, name, value)
    return instance


def video_operator(arguments: dict[str, Any]) -> Any:
    return rendered(KaleyraSendVideoOperator(task_id="t", to=TO, media_id="42"), arguments)


def campaign_operator(arguments: dict[str, Any]) -> Any:
    operator = KaleyraSendVideoCampaignOperator(
        task_id="t", campaign_id="c", recipients=[TO], media_id="42", ledger_conn_id="l", messages_per_second=1000
    )
    return rendered(operator, arguments)


def configured_campaign(settings: dict[str, Any]) -> Any:
    """The operator with these settings, which are no templates."""
    return KaleyraSendVideoCampaignOperator(
        task_id="t", campaign_id="c", recipients=[TO, TO], media_id="42", ledger_conn_id="ledger", **settings
    )


def notifier(arguments: dict[str, Any]) -> Any:
    return rendered(KaleyraVideoNotifier(to=TO, media_id="42"), arguments)


def sensor(arguments: dict[str, Any], *, deferrable: bool) -> Any:
    return rendered(
        KaleyraVideoFolderSensor(task_id="t", folder="f", timeout=1, poke_interval=0.1, deferrable=deferrable),
        arguments,
    )


TARGETS = [
    Target("hook.send_video", VIDEO, lambda a: KaleyraHook().send_video(**a)),
    Target("hook.upload_media", FILE, lambda a: KaleyraHook().upload_media(**a)),
    Target("video.execute", VIDEO | CONNECTION | {"media_file": None}, lambda a: video_operator(a).execute(CONTEXT)),
    Target("video.dry_run", VIDEO | {"media_file": None}, lambda a: video_operator(a).dry_run()),
    Target(
        "video.execute with a file",
        VIDEO | {"media_id": None, "media_file": "{file}"},
        lambda a: video_operator(a).execute(CONTEXT),
    ),
    Target(
        "upload.execute",
        FILE | CONNECTION,
        lambda a: rendered(KaleyraUploadMediaOperator(task_id="t", file="f"), a).execute(CONTEXT),
    ),
    Target("notifier.notify", VIDEO | CONNECTION, lambda a: notifier(a).notify(CONTEXT)),
    Target("notifier.async_notify", VIDEO, lambda a: asyncio.run(notifier(a).async_notify(CONTEXT))),
    Target("campaign.dry_run", CAMPAIGN | LEDGER, lambda a: campaign_operator(a).dry_run()),
    Target("campaign.execute", CAMPAIGN | LEDGER, lambda a: campaign_operator(a).execute(CONTEXT)),
    Target("campaign.execute with settings", SETTINGS, lambda a: configured_campaign(a).execute(CONTEXT)),
    Target("sensor.poke", FOLDER, lambda a: sensor(a, deferrable=False).poke(CONTEXT)),
    Target("sensor.execute", FOLDER, lambda a: sensor(a, deferrable=True).execute(CONTEXT)),
]
# What else is public in the hook, and why it is not called here.
NOT_CALLED = {
    "get_conn": "has no parameters",
    "test_connection": "has no parameters",
    "get_connection_form_widgets": "has no parameters",
    "get_ui_field_behaviour": "has no parameters",
    "send": "has a Request, which request_for returns",
    "request_for": "has a Message, which is valid by its type",
    "send_message": "has a Message, which is valid by its type",
    "settings": "has no parameters",
}


@pytest.fixture(scope="module")
def sandbox():
    with served() as url, Client(url) as client:
        yield client


@pytest.fixture
def fill(sandbox, tmp_path, monkeypatch):
    """Replace the placeholder in an argument by the path of a real video."""
    monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", sandbox.connection())
    ledger = {"conn_type": "sqlite", "host": str(tmp_path / "ledger.db")}
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps(ledger))
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    video = tmp_path / "v.mp4"
    video.write_bytes(mp4())
    places = {"{file}": str(video), "{folder}": str(tmp_path)}
    return lambda arguments: {
        name: places.get(value, value) if isinstance(value, str) and type(value) is str else value
        for name, value in arguments.items()
    }


@pytest.mark.parametrize(
    ("target", "argument"),
    [(target, argument) for target in TARGETS for argument in target.arguments],
    ids=lambda value: value.name if isinstance(value, Target) else value,
)
def test_only_a_kaleyra_error_comes_out(fill, target, argument):
    escaped = {}
    for name, value in VALUES.items():
        try:
            target.call(fill(target.arguments) | {argument: value})
        except (KaleyraError, AirflowSkipException) as error:
            str(error).encode()  # what every log can hold
        except TaskDeferred:
            pass  # how a deferrable sensor waits
        except BaseException as error:  # noqa: BLE001 - any other exception fails this test
            escaped[name] = repr(error)
    assert escaped == {}


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_what_is_replaced_works(fill, target):
    target.call(fill(target.arguments))


def test_every_public_method_of_the_hook_is_called_or_listed():
    public = {name for name in vars(KaleyraHook) if not name.startswith("_") and callable(getattr(KaleyraHook, name))}
    called = {target.name.removeprefix("hook.") for target in TARGETS if target.name.startswith("hook.")}
    assert public - called <= set(NOT_CALLED)
    for target in TARGETS[:2]:
        method = getattr(KaleyraHook, target.name.removeprefix("hook."))
        assert set(inspect.signature(method).parameters) - {"self"} == set(target.arguments)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(KaleyraVideoNotifier, name) for name in VIDEO]
    + [(KaleyraSendVideoOperator, name) for name in (*VIDEO, "on_unknown_outcome", "media_file")],
)
def test_a_constructor_raises_nothing_else_either(kind, name):
    working = {"to": TO, "media_id": "42"} | ({"task_id": "t"} if kind is KaleyraSendVideoOperator else {})
    for value in VALUES.values():
        with suppress(KaleyraError):
            kind(**working | {name: value})

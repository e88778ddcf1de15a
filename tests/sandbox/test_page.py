"""The page with the recipient's phone, in a real browser."""

from __future__ import annotations

import io
import wave
from typing import TYPE_CHECKING, Any

import pytest
import requests

from airflow_provider_kaleyra.sandbox.media import SAMPLE_MEDIA_ID
from tests.sandbox.conftest import HEADERS, MESSAGES_PATH, Client, served
from tests.support.browser import chromium

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

LINK = "http://videos.invalid/awesome-view.mp4"
PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1280, "height": 800}
TO = "+919876543210"
HOSTILE = "<img src=x onerror='window.attacked=1'><script>window.attacked=1</script><b>bold</b>"
LONG = "x" * 255


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    with served(media_ids=[SAMPLE_MEDIA_ID, *map(str, range(100)), LONG, HOSTILE]) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, client: Client, request: pytest.FixtureRequest) -> Iterator[Page]:
    """Open the page of an empty sandbox; requests to other hosts get a clip as their response."""
    context = browser.new_context(viewport=getattr(request, "param", DESKTOP))
    context.set_default_timeout(20_000)
    page = context.new_page()
    page.route(
        lambda url: not url.startswith(client.url), lambda route: route.fulfill(body=clip(), content_type="audio/wav")
    )
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console",
        lambda message: errors.append(message.text) if "Content Security Policy" in message.text else None,
    )
    page.goto(client.url)
    page.get_by_role("status").get_by_text("Live").wait_for()
    yield page
    context.close()
    assert errors == []


def clip() -> bytes:
    """Return a minute of silence, which browsers play and which needs no encoder."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(8000)
        sound.writeframes(b"\x80" * 8000 * 60)
    return file.getvalue()


def send(
    client: Client, to: str = TO, *, kind: str = "video", extra_info: dict[str, str] | None = None, **content: str
) -> str:
    payload: dict[str, Any] = {
        "messaging_object": {"messaging_product": "whatsapp", "to": to, "type": kind, kind: content}
    }
    if extra_info:
        payload["extra_info"] = extra_info
    response = client.post(MESSAGES_PATH, json=payload)
    assert response.ok
    return response.json()["data"]["message_id"]


def test_the_empty_page_shows_how_to_send_the_first_message(page: Page, client: Client) -> None:
    page.get_by_role("heading", name="No message yet").wait_for()
    command = page.get_by_label("Command").inner_text()
    assert client.url + MESSAGES_PATH in command
    assert HEADERS["api-key"] in command
    connection = page.get_by_label("Connection").inner_text()
    assert "AIRFLOW_CONN_KALEYRA_DEFAULT" in connection
    assert client.url in connection


def test_the_command_on_the_empty_page_works(page: Page, client: Client) -> None:
    shown = page.get_by_label("Command").inner_text()
    body = shown.split("-d '")[1].rstrip().removesuffix("'")
    response = requests.post(client.url + MESSAGES_PATH, data=body, headers=HEADERS, timeout=10)
    assert response.status_code == 202
    page.get_by_text("Hello!").first.wait_for()


def test_a_message_appears_automatically_with_all_its_fields(page: Page, client: Client) -> None:
    refs = {"ref": "customer1", "ref1": "marketing", "ref2": "dictionary", "wa_source": "api"}
    send(client, id="1166846181421424", caption="Splendid\n\nशुभ दीपावली 🪔", extra_info=refs)
    bubble = page.get_by_role("article")
    bubble.wait_for()
    assert bubble.locator(".caption").inner_text() == "Splendid\n\nशुभ दीपावली 🪔"
    assert bubble.locator("code").inner_text() == "1166846181421424"
    assert bubble.locator("video").count() == 0
    assert bubble.get_by_role("listitem").all_inner_texts() == [f"{name} {value}" for name, value in refs.items()]
    assert bubble.locator("time").get_attribute("datetime")
    assert not page.get_by_role("heading", name="No message yet").is_visible()


def test_the_scenario_of_a_message_is_shown(page: Page, client: Client) -> None:
    send(client, "+999000000200", id="1")
    page.get_by_role("article").get_by_text("accepted-wa200").wait_for()


def test_numbers_are_masked(page: Page, client: Client) -> None:
    send(client, id="1")
    page.get_by_role("article").wait_for()
    assert page.locator("#sender").inner_text() == "+99 ••••• 0000"
    assert page.locator("#recipient").inner_text() == "on the phone of +91 ••••• 3210"
    assert TO not in page.content()


def test_a_link_gets_a_player(page: Page, client: Client) -> None:
    send(client, link=LINK, caption="Watch this")
    video = page.locator("video")
    video.wait_for()
    assert video.get_attribute("src") == LINK
    assert video.get_attribute("controls") is not None
    assert video.get_attribute("aria-label") == "Video: Watch this"


def test_a_player_keeps_playing_while_messages_arrive(page: Page, client: Client) -> None:
    send(client, link=LINK)
    page.locator("video").wait_for()
    page.evaluate("""async () => {
        window.player = document.querySelector("video");
        player.muted = true;
        await player.play();
    }""")
    send(client, link=LINK, caption="second")
    page.get_by_text("second").first.wait_for()
    before = page.evaluate("player.currentTime")
    assert page.evaluate("document.querySelector('video') === player && !player.paused && player.isConnected")
    page.wait_for_function("before => player.currentTime > before", arg=before)


def test_a_video_that_cannot_be_played_is_reported(page: Page, client: Client) -> None:
    page.route(LINK, lambda route: route.fulfill(status=404))
    send(client, link=LINK, caption="Gone")
    page.get_by_text("be played here").wait_for()
    assert page.get_by_role("link", name=LINK).get_attribute("rel") == "noopener noreferrer"


def test_a_link_that_is_not_http_is_shown_as_text(page: Page, client: Client) -> None:
    links = ["javascript:window.attacked=1", "data:text/html,x", "file:///etc/passwd", "//x", "blob:x", ""]
    messages = [
        {
            "message_id": f"{kind} {link}",
            "received_at": "2026-01-01T00:00:00+00:00",
            "sender": "+999100000000",
            "to": TO,
            "type": kind,
            "content": {"link": link},
            "extra_info": {},
            "scenario": None,
        }
        for kind in ("video", "image", "document")
        for link in links
    ]
    # The sandbox rejects such a link, but the page must be safe without that check.
    page.route("**/sandbox/messages", lambda route: route.fulfill(json=messages))
    page.get_by_role("article").nth(len(messages) - 1).wait_for()
    assert page.locator(".tile div > span").all_text_contents() == links * 3
    assert page.locator("[role=log]").locator("[src], [href]").count() == 0


def test_hostile_text_is_shown_as_text(page: Page, client: Client) -> None:
    send(client, id=HOSTILE, caption=HOSTILE, extra_info={"ref": HOSTILE})
    send(client, kind="text", body=HOSTILE)
    send(client, kind="<b>x</b>", id=HOSTILE)
    page.get_by_role("article").nth(2).wait_for()
    assert page.locator(".caption").all_inner_texts() == [HOSTILE, HOSTILE]
    assert page.locator("[role=log]").locator("img, script, b:not(.tags b)").count() == 0
    assert page.evaluate("window.attacked") is None


def test_only_the_video_is_loaded_from_another_host(page: Page, client: Client) -> None:
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.reload()
    send(client, link=LINK)
    send(client, id="1", caption="last")
    page.get_by_text("last").first.wait_for()
    page.get_by_text("Test numbers").click()
    page.get_by_text("+999000000429").wait_for()
    other_hosts = {url for url in requested if not url.startswith(client.url)}
    assert other_hosts == {LINK}
    assert len(requested) > 5


@pytest.mark.parametrize("page", [PHONE], indirect=True, ids=["360px"])
def test_the_page_fits_a_phone(page: Page, client: Client) -> None:
    def overflow() -> int:
        return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")

    page.get_by_role("heading", name="No message yet").wait_for()
    assert overflow() <= 0
    send(client, link=f"{LINK}?{LONG}", caption=LONG, extra_info={"ref": LONG, "ref1": LONG})
    send(client, id=LONG)
    for number in range(8):
        send(client, f"+99900000100{number}", id="1")
    page.get_by_role("article").first.wait_for()
    page.locator("#phones button").nth(8).wait_for()
    page.locator("#phones button").last.click()
    page.get_by_role("article").nth(1).wait_for()
    assert overflow() <= 0
    log = page.get_by_role("log")
    assert log.evaluate("box => box.scrollWidth - box.clientWidth") <= 0
    assert log.bounding_box()["height"] > 400


def test_each_recipient_has_a_phone(page: Page, client: Client) -> None:
    send(client, caption="for one", id="1")
    page.get_by_role("article").wait_for()
    send(client, "+919812345678", caption="for another", id="2")
    other = page.get_by_role("navigation", name="Phones").get_by_role("button").filter(has_text="5678")
    other.get_by_text("1 new").wait_for()
    assert page.locator(".caption").all_inner_texts() == ["for one"]
    other.click()
    assert page.locator(".caption").all_inner_texts() == ["for another"]
    assert other.get_attribute("aria-current") == "true"
    assert other.get_by_text("new").count() == 0


def test_new_messages_do_not_scroll_a_reader_of_older_ones(page: Page, client: Client) -> None:
    for number in range(12):
        send(client, id=str(number), caption=f"caption {number}")
    page.get_by_role("article").nth(11).wait_for()
    log = page.get_by_role("log")
    log.evaluate("box => box.scrollTo(0, 0)")
    send(client, id="99", caption="the newest")
    button = page.get_by_role("button", name="New message")
    button.wait_for()
    assert log.evaluate("box => box.scrollTop") == 0
    button.click()
    page.wait_for_function(
        """() => {
            const box = document.querySelector("[role=log]");
            return box.scrollTop + box.clientHeight > box.scrollHeight - 5;
        }"""
    )
    assert not button.is_visible()


def test_deleting_the_messages_clears_the_page(page: Page, client: Client) -> None:
    send(client, id="1", caption="before")
    page.get_by_text("before").first.wait_for()
    client.delete("/sandbox/messages")
    page.get_by_role("heading", name="No message yet").wait_for()
    send(client, id="2", caption="after")
    page.get_by_text("after").first.wait_for()
    assert page.locator(".caption").all_inner_texts() == ["after"]


def test_the_button_deletes_the_messages(page: Page, client: Client) -> None:
    send(client, id="1")
    page.get_by_role("article").wait_for()
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete messages and requests").click()
    page.get_by_role("heading", name="No message yet").wait_for()
    assert client.get("/sandbox/messages").json() == []


def test_a_stopped_sandbox_is_reported(browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    with served() as url:
        page.goto(url)
        page.get_by_role("status").get_by_text("Live").wait_for()
    page.get_by_role("status").get_by_text("Sandbox not reachable").wait_for()
    context.close()


def test_screen_readers_can_announce_new_messages(page: Page, client: Client) -> None:
    send(client, id="1")
    page.get_by_role("log", name="Messages").get_by_role("article").wait_for()
    for landmark in ("banner", "navigation", "main", "complementary"):
        assert page.get_by_role(landmark).count() >= 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(page: Page, client: Client, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    send(client, "+999000000200", id="1", caption="words", extra_info={"ref": "customer1"})
    page.get_by_role("article").wait_for()
    assert page.evaluate(WEAKEST_CONTRAST) >= 4.5


# The contrast (WCAG) of each text with the nearest opaque background, after the bubbles have faded in.
WEAKEST_CONTRAST = """async () => {
    await Promise.all(document.getAnimations().map((animation) => animation.finished));
    const channels = (color) => color.match(/[\\d.]+/g).map(Number);
    const luminance = (color) => {
        const [r, g, b] = channels(color).map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const background = (node) => {
        for (; node; node = node.parentElement) {
            const color = getComputedStyle(node).backgroundColor;
            if ((channels(color)[3] ?? 1) > 0) return color;
        }
        return "rgb(255, 255, 255)";
    };
    let weakest = 21;
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const parent = texts.currentNode.parentElement;
        if (!texts.currentNode.data.trim() || !parent.checkVisibility() || parent.closest("noscript")) continue;
        const both = [getComputedStyle(parent).color, background(parent)];
        const [dim, bright] = both.map(luminance).sort((a, b) => a - b);
        weakest = Math.min(weakest, (bright + 0.05) / (dim + 0.05));
    }
    return weakest;
}"""

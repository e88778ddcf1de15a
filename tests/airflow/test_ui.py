"""Airflow's own UI: add the Connection, test it, run an example, and check the result."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dev.airflow import RunningAirflow, running_airflow
from dev.sandbox import RunningSandbox, running_sandbox
from tests.support.browser import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = [pytest.mark.airflow, pytest.mark.browser]

ROOT = Path(__file__).parents[2]
CONN_ID = "kaleyra_default"
Picture = Callable[[str], None]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def airflow(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAirflow]:
    """One without a Connection, which the browser adds; without a browser it need not start."""
    folder = tmp_path_factory.mktemp("dags")
    (folder / "example.py").write_text((ROOT / "example_dags" / "example_send_video.py").read_text())
    with running_airflow(folder) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1100, "height": 820}, locale="en-US")
    page.set_default_timeout(30_000)
    yield page
    page.close()


@pytest.fixture
def picture(page: Page) -> Picture:
    """Save a screenshot for the documentation, if UPDATE_IMAGES is set."""

    def take(name: str) -> None:
        if os.environ.get("UPDATE_IMAGES"):
            page.wait_for_timeout(800)  # until what moves has come to rest
            page.screenshot(path=ROOT / "docs" / "images" / f"{name}.png")

    return take


def fill_in(dialog: Locator, sandbox: RunningSandbox, api_key: str) -> None:
    host, _, port = sandbox.url.rpartition(":")
    for name, value in {"host": host, "port": port, "login": sandbox.sid, "password": api_key}.items():
        dialog.locator(f"input[name='{name}']").fill(value)


def open_extras(dialog: Locator) -> None:
    dialog.get_by_role("button", name="Extra Fields", exact=True).click()
    dialog.locator("#element_business_phone_number").wait_for()


def save(page: Page) -> None:
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Save").click()
    dialog.wait_for(state="hidden")


def verdict_of_the_button(page: Page) -> dict[str, object]:
    with page.expect_response(lambda one: one.url.endswith("/connections/test")) as response:
        page.get_by_role("button", name="Test Connection").click()
    assert response.value.ok, response.value.text()
    return response.value.json()


def test_a_connection_is_added_stored_and_tested(airflow, sandbox, page, picture):
    from playwright.sync_api import expect

    page.goto(f"{airflow.url}/connections")
    page.get_by_role("button", name="Add Connection").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Connection ID").fill(CONN_ID)
    dialog.get_by_role("combobox").first.fill("Kaleyra")
    page.get_by_role("option", name="Kaleyra").click()
    picture("connection-form-3.3")
    fill_in(dialog, sandbox, "a-wrong-key")
    open_extras(dialog)
    dialog.get_by_role("combobox").last.click()
    assert page.get_by_role("option").all_inner_texts() == ["in", "sg", "eu", "na"]
    picture("connection-extras-3.3")
    page.get_by_role("option", name="eu").click()
    dialog.locator("#element_business_phone_number").fill(sandbox.business_phone_number)
    dialog.locator("input[name='element_timeout']").fill("5")
    dialog.locator("input[name='element_timeout']").press("Tab")
    save(page)

    page.reload()
    page.get_by_role("button", name="Edit Connection").click()
    host, _, port = sandbox.url.rpartition(":")
    kept = {name: dialog.locator(f"input[name='{name}']").input_value() for name in ("host", "port", "login")}
    assert kept == {"host": host, "port": port, "login": sandbox.sid}
    assert dialog.locator("input[name='password']").input_value() == "***"
    open_extras(dialog)
    assert dialog.locator("input[name='element_pod']").input_value() == "eu"
    assert dialog.locator("#element_business_phone_number").input_value() == sandbox.business_phone_number
    assert dialog.locator("input[name='element_timeout']").input_value() == "5"
    dialog.get_by_role("button", name="Close").click()
    dialog.wait_for(state="hidden")

    verdict = verdict_of_the_button(page)
    assert (verdict["status"], "RBC001" in verdict["message"]) == (False, True)
    assert "a-wrong-key" not in verdict["message"]
    page.get_by_text("login (SID), password (API key)").wait_for()
    expect(page.locator("button[aria-label='Test Connection'] svg")).to_have_css("color", "rgb(255, 0, 0)")
    picture("connection-test-red-3.3")

    page.reload()
    page.get_by_role("button", name="Edit Connection").click()
    dialog.locator("input[name='password']").fill(sandbox.api_key)
    save(page)
    verdict = verdict_of_the_button(page)
    assert verdict["status"], verdict
    assert "status: CONNECTED" in verdict["message"]
    expect(page.locator("button[aria-label='Test Connection'] svg")).to_have_css("color", "rgb(0, 128, 0)")
    picture("connection-test-green-3.3")
    assert sandbox.messages() == []


def test_the_example_is_run_and_shows_message_id_and_fields_but_no_key(airflow, sandbox, page, picture):
    number = sandbox.business_phone_number
    if not any(row["conn_id"] == CONN_ID for row in airflow.sql("SELECT conn_id FROM connection")):
        extra = f'{{"business_phone_number": "{number}"}}'
        airflow.cli(
            *("connections", "add", CONN_ID, "--conn-type=kaleyra", f"--conn-host={sandbox.url}"),
            *(f"--conn-login={sandbox.sid}", f"--conn-password={sandbox.api_key}", f"--conn-extra={extra}"),
        )
    airflow.wait(60, "the example to be parsed", lambda: airflow.sql("SELECT dag_id FROM serialized_dag"))
    page.goto(f"{airflow.url}/dags/example_send_video")
    page.get_by_role("button", name="Trigger").click()
    page.get_by_role("dialog").get_by_role("button", name="Trigger").click()
    started = "SELECT run_id FROM dag_run WHERE run_type = 'manual'"  # not the scheduled one
    airflow.wait(60, "the run to be started", lambda: airflow.sql(started))
    (run_id,) = [row["run_id"] for row in airflow.sql(started)]
    assert airflow.wait_for_run("example_send_video", run_id) == "success"
    message_id = airflow.xcom("example_send_video", run_id, "send_by_media_id")
    assert message_id in {message["message_id"] for message in sandbox.messages()}

    run = f"{airflow.url}/dags/example_send_video/runs/{run_id}"
    page.goto(run)
    page.get_by_text("send_by_media_id").first.wait_for()
    picture("example-run-3.3")
    page.goto(f"{run}/tasks/send_by_media_id/xcom")
    page.get_by_text(message_id).first.wait_for()
    assert sandbox.api_key not in page.content()
    picture("example-xcom-3.3")
    page.goto(f"{run}/tasks/send_by_media_id/rendered_templates")
    page.get_by_text(re.compile("1166846181421424")).first.wait_for()
    page.get_by_text("+12025550123").first.wait_for()
    page.get_by_text(re.compile(r"Good morning! .* \(20\d\d-\d\d-\d\d\)")).first.wait_for()
    assert sandbox.api_key not in page.content()
    picture("example-rendered-3.3")

"""Attaching a WebUI in a browser: tried first, with the verdict on the same page, then followed as it becomes ready."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client
from playwright.sync_api import Browser, Page, expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from tests.contract.simulator_process import SimulatorProcess
from tests.factories import make_user
from tests.integration.chromium import CHROMIUM
from webui.models import Boot, Node, NodeState

LONG_MS = 60_000

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium at /usr/bin/chromium"),
]


@pytest.fixture
def page(browser: Browser, live_server: LiveServer, client: Client) -> Iterator[Page]:
    """On a telephone, by somebody who may do everything."""
    client.force_login(make_user("root", is_superuser=True))
    context = browser.new_context(base_url=live_server.url, viewport={"width": 390, "height": 844})
    session = client.cookies["sessionid"].value
    context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    yield opened
    context.close()
    assert complaints == []


def test_webui_is_tried_attached_and_watched(page: Page, tmp_path: Path, settings: Settings) -> None:
    settings.STABLENEW_SETTLE_S = 0.0
    with SimulatorProcess(tmp_path, "--api-auth", "anna:right") as server:
        page.goto("/nodes/")
        page.get_by_role("link", name="Attach a server").first.click()
        page.get_by_label("Address").fill(server.url)
        page.get_by_role("button", name="Test the connection").press("Enter")
        verdict = page.locator("#verdict")
        expect(verdict).to_contain_text("It wants a user and password.", timeout=LONG_MS)
        page.get_by_label("User").fill("anna")
        page.get_by_label("Password").fill("right")
        page.get_by_role("button", name="Test the connection").click()
        expect(verdict).to_contain_text("It works.", timeout=LONG_MS)
        expect(page.get_by_label("Password")).to_have_value("right")
        page.get_by_label("Name").fill("gpu2")
        page.get_by_role("button", name="Attach it").click()
    expect(page.get_by_role("heading", name="gpu2")).to_be_visible(timeout=LONG_MS)
    node = Node.objects.get()
    Boot.objects.create(node=node, generation=1, begun_because="Waiting for the WebUI.")
    Node.objects.update(state=NodeState.READY, generation=1, checkpoint="dream.safetensors")
    expect(page.locator("#node-live")).to_contain_text("dream.safetensors", timeout=LONG_MS)
    expect(page.locator("#node-boots")).to_contain_text("Waiting for the WebUI.", timeout=LONG_MS)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

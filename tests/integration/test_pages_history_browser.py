"""History and viewer in a browser: keys, selections, and rows that stay where they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, Page, Route, expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from jobs.models import Job, OutputImage
from tests.factories import make_pack, make_runner, make_user, submit
from tests.integration.chromium import CHROMIUM
from tests.integration.finished_jobs import claim, complete, fail, show_preview

PATIENCE_MS = 30_000

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium at /usr/bin/chromium"),
]


@pytest.fixture
def page(
    browser: Browser, live_server: LiveServer, client: Client, settings: Settings, tmp_path: Path
) -> Iterator[Page]:
    """A page of an operator who is logged in; it fails the test when the browser complains."""
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"
    settings.STABLENEW_THUMBNAIL_DIR = tmp_path / "thumbnails"
    settings.STABLENEW_PREVIEW_DIR = tmp_path / "previews"
    client.force_login(make_user("otto", operator=True))
    context = browser.new_context(base_url=live_server.url, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    context.add_cookies(
        [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}]
    )
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    context.close()
    assert not complaints


def see(page: Page, path: str) -> None:
    expect(page).to_have_url(re.compile(re.escape(path) + "$"), timeout=PATIENCE_MS)
    # The address changes before the page's script is there, which keys are for.
    page.wait_for_load_state("load")


def test_from_the_history_by_keys_to_a_picture_through_its_neighbours_and_back(page: Page) -> None:
    runner = make_runner()
    submit(make_pack("castles"), repeat=2)
    complete(runner)
    complete(runner, pictures=2)
    first, second = OutputImage.objects.filter(job__outputs__image_index=1).distinct().order_by("image_index")
    older = OutputImage.objects.order_by("pk")[0]
    page.goto(reverse("history") + "?pack=castles")
    page.keyboard.press("j")
    page.keyboard.press("v")
    see(page, f"/pictures/{first.pk}/?pack=castles")
    page.keyboard.press("ArrowRight")
    see(page, f"/pictures/{second.pk}/?pack=castles")
    page.keyboard.press("j")
    see(page, f"/pictures/{older.pk}/?pack=castles")
    page.keyboard.press("ArrowLeft")
    see(page, f"/pictures/{second.pk}/?pack=castles")
    page.keyboard.press("k")
    see(page, f"/pictures/{first.pk}/?pack=castles")
    page.keyboard.press("u")
    see(page, "/history/?pack=castles")


def test_seed_of_a_picture_is_copied(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    submit()
    complete(make_runner())
    page.goto(reverse("picture", args=[OutputImage.objects.get().pk]))
    page.get_by_role("button", name="Copy the seed").click()
    expect(page.locator("#say")).to_have_text("Copied.", timeout=PATIENCE_MS)
    assert page.evaluate("navigator.clipboard.readText()") == "7"


def test_rows_do_not_move_when_their_pictures_come(page: Page) -> None:
    runner = make_runner()
    submit(repeat=3)
    complete(runner)
    fail(runner)
    complete(runner)
    held: list[Route] = []
    page.route("**/thumb/*", lambda route: held.append(route))
    page.goto(reverse("history"), wait_until="domcontentloaded")
    rows = page.locator("[data-row]")
    expect(rows).to_have_count(3)
    while len(held) < 2:
        page.wait_for_timeout(20)
    before = [row.bounding_box() for row in rows.all()]
    held[0].continue_()
    held[1].continue_()
    for picture in page.locator(".thumb img").all():
        expect(picture).to_have_js_property("naturalWidth", 64, timeout=PATIENCE_MS)
    assert [row.bounding_box() for row in rows.all()] == before


def test_chosen_rows_run_again_by_key_and_news_wait_until_r(page: Page) -> None:
    runner = make_runner()
    submit(repeat=3)
    complete(runner)
    fail(runner)
    page.goto(reverse("history"))
    rows = page.locator("[data-row]")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator(".action-bar [data-count]")).to_have_text("1", timeout=PATIENCE_MS)
    complete(runner)
    expect(page.get_by_role("link", name="1 more: show")).to_be_visible(timeout=PATIENCE_MS)
    expect(rows).to_have_count(2)
    page.keyboard.press("r")
    expect(rows).to_have_count(3, timeout=PATIENCE_MS)
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("e")
    expect(page.get_by_text("queued again")).to_be_visible(timeout=PATIENCE_MS)
    see(page, "/history/")
    assert Job.objects.filter(rerun_of__isnull=False).count() == 1


def test_picture_in_the_making_is_on_the_running_jobs_page(page: Page) -> None:
    runner = make_runner()
    submit()
    claimed = claim(runner)
    page.goto(reverse("job", args=[claimed.job_id]))
    expect(page.get_by_text("no progress is known yet")).to_be_visible(timeout=PATIENCE_MS)
    show_preview(runner, claimed, number=1_700_000_000_000)
    shown = page.get_by_alt_text("The picture so far")
    expect(shown).to_be_visible(timeout=PATIENCE_MS)
    expect(shown).to_have_js_property("naturalWidth", 64, timeout=PATIENCE_MS)

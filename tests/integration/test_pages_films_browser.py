"""Films in a browser: they play, their player keeps its keys, and pages with them are clean at every width."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from jobs.models import Job
from tests.e2e.axe import findings, load_axe
from tests.factories import make_user
from tests.integration.chromium import CHROMIUM
from tests.integration.film_runs import run_film

PATIENCE_MS = 60_000
#: Where a person wants to look at the pages.
SCREENSHOTS = os.environ.get("FILM_SCREENSHOTS", "")
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium at /usr/bin/chromium"),
]


@pytest.fixture
def page(
    browser: Browser, live_server: LiveServer, client: Client, settings: Settings, tmp_path: Path
) -> Iterator[Page]:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"
    settings.STABLENEW_INPUT_DIR = tmp_path / "inputs"
    settings.STABLENEW_THUMBNAIL_DIR = tmp_path / "thumbnails"
    client.force_login(make_user("otto", operator=True))
    context = browser.new_context(
        base_url=live_server.url, viewport={"width": 1280, "height": 900}, reduced_motion="reduce"
    )
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


@pytest.fixture
def film() -> Job:
    job, _, _ = run_film()
    return job


def state(page: Page, name: str) -> Any:
    return page.locator("video").evaluate(f"(film) => film.{name}")


def needs_codec(page: Page) -> None:
    if not page.evaluate("document.createElement('video').canPlayType('video/mp4; codecs=\"avc1.64000a\"')"):
        pytest.skip("this Chromium has no H.264")


def test_nothing_is_loaded_before_somebody_plays_it(page: Page, film: Job) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(reverse("job", args=[film.pk]), wait_until="networkidle")
    expect(page.locator("video")).to_have_js_property("paused", value=True)
    file = reverse("output", args=[film.results[0].pk])
    assert any(url.partition("?")[0].endswith("/poster/") for url in asked)
    assert not [url for url in asked if url.partition("?")[0].endswith(file)]


def test_it_plays_by_keys_after_a_seek_and_its_time_goes_on(page: Page, film: Job) -> None:
    page.goto(reverse("picture", args=[film.results[0].pk]))
    needs_codec(page)
    page.keyboard.press("f")
    expect(page.locator("video")).to_be_focused()
    page.locator("video").evaluate(
        "(film) => new Promise((done) => { film.onseeked = done; film.preload = 'auto'; film.load();"
        " film.onloadedmetadata = () => { film.currentTime = 0.2; }; })"
    )
    assert state(page, "currentTime") == pytest.approx(0.2)
    page.keyboard.press("Space")
    while state(page, "currentTime") <= 0.25:
        page.wait_for_timeout(20)


def test_arrow_keys_lead_to_the_next_result_unless_the_player_has_the_focus(page: Page, film: Job) -> None:
    again, _, _ = run_film()
    address = reverse("picture", args=[again.results[0].pk])
    page.goto(address)
    page.keyboard.press("f")
    expect(page.locator("video")).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert page.url.endswith(address)
    page.locator("video").evaluate("(film) => film.blur()")
    page.keyboard.press("ArrowRight")
    page.wait_for_url(f"**{reverse('picture', args=[film.results[0].pk])}")
    page.keyboard.press("f")
    page.keyboard.press("k")
    page.wait_for_url(f"**{address}")


def test_pages_with_films_are_clean_at_every_width_and_in_both_schemes(page: Page, film: Job) -> None:
    [result] = film.results
    addresses = {
        "job": reverse("job", args=[film.pk]),
        "viewer": reverse("picture", args=[result.pk]),
        "history": reverse("history"),
        "queue": reverse("queue"),
        "submission": reverse("submission", args=[film.record.submission_id]),
    }
    found = []
    for name, address in addresses.items():
        for width in (1280, 390):
            for scheme in SCHEMES:
                page.set_viewport_size({"width": width, "height": 900})
                page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                page.goto(address, wait_until="load")
                wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
                load_axe(page)
                found += [f"{name} {width} {scheme}: {one}" for one in findings(page)]
                found += [f"{name} {width}: it scrolls sideways"] * wide
                if SCREENSHOTS:
                    page.wait_for_load_state("networkidle")
                    page.screenshot(path=f"{SCREENSHOTS}/{name}-{width}-{scheme}.png", full_page=True)
    assert not found

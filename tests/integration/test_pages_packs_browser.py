"""Packs in a browser: the drop zone, choosing by key, a preview that follows the options, progress by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, Page, Route, expect
from pytest_django.live_server_helper import LiveServer

from jobs.models import Job, PromptPack
from tests.factories import make_node, make_pack, make_runner, make_user, submit
from tests.integration.chromium import CHROMIUM
from tests.integration.finished_jobs import complete

#: For what waits for the server; a loaded machine takes its time.
PATIENCE_MS = 20_000

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium at /usr/bin/chromium"),
]


@pytest.fixture
def page(browser: Browser, live_server: LiveServer, client: Client) -> Iterator[Page]:
    """A page of an operator who is logged in; it fails the test when the browser complains."""
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
    # A preview that a newer one replaces is given up, and htmx writes that down.
    expected = ("htmx:sendAbort", "htmx:afterRequest")
    assert not [words for words in complaints if not words.startswith(expected)]


DROP = """input => {
  const dropped = new DataTransfer();
  for (const [name, text] of [["a.txt", "an ant"], ["b.txt", "a bee"]]) dropped.items.add(new File([text], name));
  input.files = dropped.files;
}"""


def test_packs_are_dropped_chosen_by_key_previewed_and_submitted_as_one(page: Page) -> None:
    page.goto(reverse("packs"))
    zone = page.get_by_label("Pack files")
    zone.evaluate(DROP)
    page.get_by_role("button", name="Import").click()
    expect(page.locator("[data-row]")).to_have_count(2)
    expect(page.get_by_role("button", name="Submit packs")).to_be_disabled()
    # The rows are seen before the page's script is there, which keys are for.
    page.wait_for_load_state("load")
    expect(page.get_by_text("No pack is chosen:")).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.get_by_text("2 chosen.")).to_be_visible()
    page.keyboard.press("s")
    expect(page.get_by_role("heading", name="Submit 2 packs")).to_be_visible()
    page.get_by_label("Repeat").fill("3")
    page.get_by_role("button", name="Submit 6 jobs").click()
    expect(page.get_by_role("heading", name="0 of 6 jobs ended")).to_be_visible()
    runner = make_runner(make_node())
    complete(runner)
    expect(page.get_by_role("heading", name="1 of 6 jobs ended")).to_be_visible()
    expect(page).to_have_title(re.compile(r"^16 % – Submission"))
    page.get_by_role("button", name="Cancel the 5 that wait").click()
    page.get_by_role("button", name="Cancel 5 waiting jobs").click()
    expect(page.get_by_role("heading", name="All 6 jobs ended")).to_be_visible()
    assert Job.objects.count() == 6


def test_late_preview_never_overwrites_a_newer_one(page: Page) -> None:
    make_pack("castles")
    page.goto(reverse("pack", args=[PromptPack.objects.get().pk]))
    expect(page.get_by_role("button", name="Submit 1 job")).to_be_visible()
    held: list[Route] = []

    def hold_the_first(route: Route) -> None:
        if "repeat=2&" in (route.request.post_data or ""):
            held.append(route)
        else:
            route.continue_()

    page.route("**/packs/dry-run/", hold_the_first)
    page.get_by_label("Repeat").fill("2")
    page.wait_for_function("() => document.querySelector('#dry-run').classList.contains('htmx-request')")
    page.get_by_label("Repeat").fill("3")
    expect(page.get_by_role("button", name="Submit 3 jobs")).to_be_visible()
    assert held
    late = page.request.post(
        reverse("pack-dry-run"), data=held[0].request.post_data or "", headers=held[0].request.all_headers()
    )
    assert "Submit 2 jobs" in late.text()
    held[0].fulfill(response=late)
    page.wait_for_timeout(500)
    expect(page.get_by_role("button", name="Submit 3 jobs")).to_be_visible()


def test_long_difference_and_rows_stay_within_a_phone(page: Page) -> None:
    first = make_pack("castles", text="a castle " * 60 + "\nneg: blurry\nstray\n\n" + "x" * 400 + "\n")
    make_pack(
        "castles", text="a tower " * 60 + "\n\n" + "y" * 400 + " [[place]]\n", document='{"preset_data": {}}'
    )
    made = submit(first, repeat=2)
    page.set_viewport_size({"width": 390, "height": 800})
    for name, arguments in (
        ("packs", []),
        ("pack", [first.pack_id]),
        ("pack-diff", [first.pack_id]),
        ("submission", [made.submission.pk]),
    ):
        page.goto(reverse(name, args=arguments))
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390, f"{name} is {wide} px wide"

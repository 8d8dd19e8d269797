"""From a picture to a playing film through a browser, on the real stack with its simulators of all three kinds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tests.e2e.axe import findings, load_axe
from tests.e2e.queueing import submit
from tests.e2e.screenshots import overflow_px
from tests.e2e.stack import Stack, listens
from tests.journeys.conftest import CHROMIUM, PASSWORD
from tests.promises import PATIENCE_S
from tests.sample_pictures import picture

pytestmark = [
    pytest.mark.stack,
    pytest.mark.browser,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not CHROMIUM, reason="needs Chromium: apt-get install chromium"),
]

#: Long enough that somebody sees it and cancels.
MANY_STEPS = "100"
PLAYS_H264 = "() => document.createElement('video').canPlayType('video/mp4; codecs=\"avc1.64000a\"') !== ''"


@pytest.fixture
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, stack: Stack) -> Iterator[Page]:
    """Of the admin, signed in to an installation that `up` runs; whatever scripts complain of fails the test."""
    stack.env |= {
        "STABLENEW_SIMULATE_WORKERS": "on",
        "STABLENEW_SIMULATOR_OPTIONS": "--any-name --seconds-per-step 0.01",
        "STABLENEW_SIMULATOR_WORKER_OPTIONS": "--any-name --seconds-per-step 0.3",
    }
    stack.python(
        "from django.contrib.auth.models import User\n"
        f"result = User.objects.create_superuser('admin', password={PASSWORD!r}).pk"
    )
    process = stack.spawn("up", ["up", "--port", str(stack.web_port)])
    stack.wait_until(lambda: process.poll() is not None or listens(stack.web_port), "the pages are there")
    ready = "SELECT count(*) FROM webui_node WHERE state = 'READY'"
    stack.wait_until(lambda: process.poll() is not None or stack.sql(ready) == [(3,)], "all nodes are ready")
    assert process.poll() is None, stack.log("up")
    context = browser.new_context(base_url=stack.web_url, viewport={"width": 1280, "height": 1000})
    opened = context.new_page()
    opened.set_default_timeout(PATIENCE_S * 1000)
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("dialog", lambda dialog: dialog.accept())
    opened.goto("/")
    opened.get_by_label("User name").fill("admin")
    opened.get_by_label("Password").fill(PASSWORD)
    opened.get_by_role("button", name="Log in").click()
    expect(opened.get_by_role("heading", name="Queue", exact=True)).to_be_visible()
    yield opened
    context.close()
    assert complaints == []


def submit_button(page: Page) -> Locator:
    return page.get_by_role("region", name="What it makes").get_by_role("button", name="Submit")


def make_it_small(page: Page, steps: str) -> None:
    for label, value in (("Width", "192"), ("Height", "128"), ("Frames", "33"), ("Frames per second", "8")):
        page.get_by_label(label, exact=True).fill(value)
    page.get_by_label("Steps", exact=True).fill(steps)


def a_film_from_an_upload(page: Page, folder: Path) -> None:
    """Two files, one of them no picture; the button says what is missing until all is there."""
    good, bad = folder / "lamp.png", folder / "notes.png"
    good.write_bytes(picture(40, (960, 640)))
    bad.write_bytes(b"hello")
    page.get_by_role("navigation", name="Main").get_by_role("link", name="New video").click()
    expect(submit_button(page)).to_be_disabled()
    expect(page.get_by_text("Choose a picture first.").locator("visible=true").first).to_be_visible()
    page.get_by_label("Pictures", exact=True).set_input_files([good, bad])
    expect(page.get_by_text("notes.png is no picture")).to_be_visible()
    expect(page.get_by_role("list", name="Chosen pictures").get_by_role("listitem")).to_have_count(1)
    page.get_by_role("list", name="Chosen pictures").get_by_text("lamp.png").click()
    expect(page.get_by_role("list", name="Chosen pictures").locator("input")).to_be_checked()
    expect(page.locator("#why-not")).to_have_text("Write a prompt first.")
    make_it_small(page, "4")
    page.get_by_label("Prompt", exact=True).fill("the lamp turns")
    expect(page.get_by_text("192 × 128 · 33 frames, 4.1 s at 8 per second")).to_be_visible()
    expect(page.get_by_text("1 worker for films is ready.")).to_be_visible()
    submit_button(page).click()
    expect(page.get_by_text("1 job for 1 film was queued.")).to_be_visible()
    expect(page.get_by_role("heading", name="All 1 job ended")).to_be_visible()


def pictures_of_one_edit_are_put_in_order(page: Page, folder: Path) -> None:
    files = [folder / "boat.png", folder / "quay.png"]
    for shade, file in enumerate(files):
        file.write_bytes(picture(80 + shade, (320, 240)))
    page.goto("/new/edit/")
    page.get_by_label("Pictures", exact=True).set_input_files(files)
    chosen = page.get_by_role("list", name="Chosen pictures").get_by_role("listitem")
    expect(chosen.last).to_contain_text("320 × 240")
    later = page.get_by_role("button", name="Later: boat.png")
    expect(later).to_be_hidden()
    page.get_by_label("One edit of all these pictures").check()
    later.click()
    expect(later).to_be_focused()
    expect(chosen.last).to_contain_text("boat.png")


def it_plays_after_a_seek(page: Page) -> None:
    page.get_by_role("list", name="Pictures").get_by_role("link").first.click()
    film = page.locator("video")
    expect(film).to_be_visible()
    # The film is seen before the page's script is there, which keys are for.
    page.wait_for_load_state("load")
    if not page.evaluate(PLAYS_H264):
        pytest.skip("this Chromium has no H.264, so the film was made and did not play")
    page.keyboard.press("f")
    expect(film).to_be_focused()
    film.evaluate("(one) => { one.preload = 'auto'; one.load(); }")
    page.wait_for_function("() => document.querySelector('video').readyState >= 1")
    film.evaluate(
        "(one) => new Promise((done) => { one.onseeked = () => done(); one.currentTime = one.duration / 2; })"
    )
    page.keyboard.press("Space")
    page.wait_for_function(
        "() => { const one = document.querySelector('video'); return one.currentTime > one.duration / 2; }"
    )


def animate_three_pictures_and_cancel_the_first(page: Page, stack: Stack) -> None:
    jobs = submit(
        stack,
        "bay",
        "a lighthouse\n\na castle\n\na water mill",
        overrides={"txt2img.steps": 2, "txt2img.width": 192, "txt2img.height": 128},
    )
    for job_id in jobs:
        stack.wait_job(job_id, "COMPLETED")
    [(submission_id,)] = stack.sql("SELECT max(id) FROM jobs_submission")
    page.goto(f"/submissions/{submission_id}/")
    expect(page.get_by_role("heading", name="All 3 jobs ended")).to_be_visible()
    page.keyboard.press("a")
    expect(page.get_by_role("heading", name="New video")).to_be_visible()
    chosen = page.get_by_role("list", name="Chosen pictures").get_by_role("listitem")
    expect(chosen).to_have_count(3)
    expect(chosen.first).to_contain_text(f"Job {jobs[0]}, picture 1")
    make_it_small(page, MANY_STEPS)
    page.get_by_label("Prompt", exact=True).fill("waves roll in")
    page.set_viewport_size({"width": 390, "height": 844})
    expect(submit_button(page)).to_have_text(re.compile("Submit 3 films"))
    assert overflow_px(page) == 0
    load_axe(page)
    assert findings(page) == []
    page.set_viewport_size({"width": 1280, "height": 1000})
    submit_button(page).click()
    expect(page.get_by_text("3 jobs for 3 films were queued.")).to_be_visible()
    [(first,)] = stack.sql("SELECT min(id) FROM jobs_job WHERE kind = 'i2v' AND status <> 'COMPLETED'")
    page.goto(f"/jobs/{first}/")
    expect(page.get_by_text(re.compile(rf"Step [1-9]\d* of {MANY_STEPS}"))).to_be_visible()
    page.get_by_role("button", name=f"Cancel job {first}").click()
    expect(page.get_by_role("heading", name=re.compile(f"Job {first}.*Cancelled", re.I))).to_be_visible()
    stack.wait_job(first + 1, "RUNNING", "COMPLETED")
    page.goto(f"/jobs/{jobs[0]}/")
    expect(page.get_by_role("link", name=f"job {first}")).to_be_visible()


def test_films_from_an_upload_and_of_results_watched_played_and_cancelled(
    stack: Stack, page: Page, tmp_path: Path
) -> None:
    a_film_from_an_upload(page, tmp_path)
    pictures_of_one_edit_are_put_in_order(page, tmp_path)
    animate_three_pictures_and_cancel_the_first(page, stack)
    page.goto("/submissions/1/")
    it_plays_after_a_seek(page)

"""What only a browser shows: live parts, lists that hold still, forms that answer while one types."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from jobs import services
from jobs.lifecycle import EventType, JobStatus
from jobs.models import Job, Runner
from jobs.moves import move_job
from tests.factories import make_node, make_pack, make_runner, make_running_job, make_user, submit
from tests.integration.finished_jobs import claim, complete, fail

CHROMIUM = Path("/usr/bin/chromium")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium at /usr/bin/chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Playwright runs an event loop in this thread, which Django would take for asynchronous code.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def page(browser: Browser, live_server: LiveServer, client: Client) -> Iterator[Page]:
    """A page of an operator who is logged in; it fails the test when the browser complains."""
    client.force_login(make_user("otto", is_superuser=True, is_staff=True))
    context = browser.new_context(base_url=live_server.url, viewport={"width": 1280, "height": 900})
    context.add_cookies(
        [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}]
    )
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    context.close()
    # The one test that takes the server away makes htmx and the browser say so.
    expected = ("Failed to load resource", "htmx:sendError", "htmx:afterRequest")
    assert not [words for words in complaints if not words.startswith(expected)]


def test_queue_page_follows_what_happens_without_a_reload(page: Page) -> None:
    runner = make_runner(make_node("alpha"))
    page.goto("/")
    expect(page.get_by_text("No jobs yet.")).to_be_visible()
    submit(repeat=3)
    expect(page.locator("#lists tbody tr")).to_have_count(3)
    expect(page).to_have_title("(3) Queue – StableNew")
    job, claimed = make_running_job(runner)
    expect(page.get_by_role("link", name=f"Job {claimed.job_id}", exact=True)).to_be_visible()
    Runner.objects.filter(pk=runner.pk).update(
        progress_version=7,
        progress={
            "job_id": claimed.job_id,
            "stage": "txt2img",
            "stage_index": 0,
            "stage_total": 1,
            "step": 15,
            "steps": 20,
            "progress": 0.75,
            "elapsed_s": 3.0,
            "eta_s": 1.0,
        },
    )
    expect(page.get_by_role("progressbar")).to_have_attribute("value", "75")
    services.pause(by="ada", reason="lunch")
    expect(page.get_by_text("Paused by ada")).to_be_visible()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    assert job.pk


def test_list_holds_still_under_the_pointer_until_it_leaves_or_asks(page: Page) -> None:
    make_runner()
    submit(repeat=3)
    page.goto("/")
    rows = page.locator("section[aria-labelledby=queue-head] tbody tr")
    rows.first.hover()
    submit(repeat=2)
    expect(page.get_by_text("The lists have changed.")).to_be_visible()
    expect(rows).to_have_count(3)
    page.mouse.move(5, 5)
    expect(rows).to_have_count(5)
    rows.first.get_by_role("button").focus()
    submit()
    expect(page.get_by_role("button", name="Show now")).to_be_visible()
    expect(rows).to_have_count(5)
    page.get_by_role("button", name="Show now").click()
    expect(rows).to_have_count(6)


def test_cancel_in_the_list_answers_in_its_place(page: Page) -> None:
    make_runner()
    first = submit(repeat=2).job_ids[0]
    page.goto("/")
    page.get_by_role("button", name=f"Cancel job {first}").click()
    expect(page.get_by_text(f"Job {first} is cancelled.")).to_be_visible()
    page.mouse.move(5, 5)
    expect(page.locator("section[aria-labelledby=queue-head] tbody tr")).to_have_count(1)


def test_reason_that_is_being_typed_survives_the_polls(page: Page) -> None:
    make_runner()
    page.goto("/")
    page.locator("#pause-reason").fill("new GPU")
    submit()
    expect(page.locator("section[aria-labelledby=queue-head] tbody tr")).to_have_count(1)
    expect(page.locator("#pause-reason")).to_have_value("new GPU")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused by otto")).to_be_visible()
    expect(page.get_by_text("new GPU")).to_be_visible()


def test_page_says_when_the_server_is_away_and_recovers(page: Page) -> None:
    make_runner()
    page.goto("/")
    note = page.get_by_text("The server does not answer.")
    expect(note).to_be_hidden()
    page.context.set_offline(True)
    expect(note).to_be_visible()
    page.context.set_offline(False)
    expect(note).to_be_hidden()
    submit()
    expect(page.locator("#lists tbody tr")).to_have_count(1)


def test_upload_dry_run_and_submit(page: Page, tmp_path: Path) -> None:
    make_runner()
    text = tmp_path / "castles.txt"
    text.write_text("a castle in [[place]]\nneg: blurry\n")
    page.goto(reverse("packs"))
    page.get_by_label("Pack files").set_input_files(text)
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_role("heading", name="castles")).to_be_visible()
    made = page.locator("#dry-run")
    expect(made).to_contain_text("This cannot be submitted yet.")
    expect(page.get_by_role("button", name="Submit")).to_be_disabled()
    page.get_by_label("Matrix").fill("place=fog,rain")
    page.get_by_label("Repeat").fill("2")
    page.get_by_label("Repeat").press("Tab")
    expect(made).to_contain_text("4 records")
    expect(made).to_contain_text("a castle in fog")
    page.get_by_role("button", name="Submit 4 jobs").click()
    expect(page.get_by_role("status").filter(has_text="4 jobs for 4 pictures were queued.")).to_be_visible()
    assert Job.objects.count() == 4


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_scrolls_sideways_on_a_phone(page: Page, theme: str) -> None:
    runner = make_runner(make_node("alpha", checkpoint="a-checkpoint-with-a-very-long-name.safetensors"))
    revision = make_pack(
        "a_pack_with_a_name_that_is_longer_than_a_phone_is_wide_and_has_no_blanks",
        text="a castle " * 60 + "\nneg: blurry\nstray\n\nunbroken" + "x" * 300 + "\n",
    )
    submit(revision, repeat=3)
    ended = [complete(runner, pictures=2), fail(runner)]
    urls = [reverse(name) for name in ("queue", "queued", "history", "jobs", "packs", "events")]
    urls += [reverse("job", args=[job.pk]) for job in ended] + [reverse("pack", args=[revision.pack_id])]
    urls += [reverse("submission", args=[1]), "/nothing/", reverse("login")]
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    page.set_viewport_size({"width": 390, "height": 844})
    for url in urls:
        page.goto(url)
        page.wait_for_load_state("networkidle") if url == reverse("login") else page.wait_for_timeout(150)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{url} is {wide} px too wide"


def test_everything_on_the_queue_page_can_be_reached_by_keyboard(page: Page) -> None:
    make_runner()
    submit()
    page.goto("/")
    seen: list[str] = []
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate("(document.activeElement.innerText || document.activeElement.id || '').trim()")
        )
    text = " | ".join(seen)
    assert seen[0] == "Skip to the content"
    for name in ("Queue", "History", "Packs", "Debug Hub", "Log out", "pause-reason", "Pause", "Cancel"):
        assert re.search(rf"\b{name}\b", text), name


def test_account_of_a_job_stays_through_the_polls_of_its_page_and_follows_by_its_own(page: Page) -> None:
    runner = make_runner(make_node("alpha"))
    [job_id] = submit().job_ids
    page.goto(reverse("job", args=[job_id]))
    expect(page.get_by_text("It is next in the queue and starts as soon as a node is free.")).to_be_visible()
    claimed = claim(runner)
    expect(page.get_by_text("It is running on alpha.")).to_be_visible()
    expect(page.get_by_text("the WebUI has not told any progress yet")).to_be_visible()
    page.evaluate("document.querySelector('#job-account section').dataset.seen = 'yes'")
    Runner.objects.filter(pk=runner.pk).update(progress_version=5, progress=None)
    fresh = page.locator(f'#job-live[hx-get$=".{5}"]')
    expect(fresh).to_have_count(1)
    expect(page.locator("#job-account section[data-seen]")).to_have_count(1)
    services.cancel(job_id, by="ada")
    expect(page.get_by_text(re.compile("^ada asked at .* to cancel it"))).to_be_visible()
    move_job(
        job_id,
        JobStatus.CANCELLED,
        event=EventType.CANCELLED,
        run_token=claimed.run_token,
        data={"by": "ada"},
    )
    expect(page.get_by_text(re.compile("^It was cancelled by ada at"))).to_be_visible()
    expect(page.locator("[data-poll]")).to_have_count(0)
    expect(page.get_by_role("button", name=f"Run job {job_id} again")).to_be_visible()


def test_requests_of_a_job_are_read_when_somebody_opens_them(page: Page) -> None:
    runner = make_runner(make_node("alpha"))
    submit()
    job = complete(runner)
    page.goto(reverse("job", args=[job.pk]))
    expect(page.get_by_text("Sent: POST /sdapi/v1/txt2img")).to_have_count(0)
    page.get_by_text("Every request with its fields").click()
    page.get_by_text("Sent: POST /sdapi/v1/txt2img").click()
    expect(page.get_by_role("cell", name="a lighthouse on a cliff, evening light").first).to_be_visible()

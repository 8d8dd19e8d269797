"""People at the pages of a real installation: every step through a browser, on real processes, without a reload."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tests.e2e.processes import worker
from tests.e2e.queueing import posted_jobs, submit
from tests.e2e.recovering import add_faulty, set_faults
from tests.e2e.screenshots import overflow_px
from tests.e2e.stack import Stack
from tests.journeys.conftest import CHROMIUM, PASSWORD
from tests.promises import PATIENCE_S

pytestmark = [
    pytest.mark.stack,
    pytest.mark.browser,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not CHROMIUM, reason="needs Chromium: apt-get install chromium"),
]

ROWS = (
    "a lighthouse",
    "a dragon over the bay",
    "a castle",
    "a water mill",
    "a wind mill",
    "a stone bridge",
    "a quiet harbour",
)
SETTINGS = "txt2img.steps=30\ntxt2img.width=256\ntxt2img.height=192"


@pytest.fixture
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, stack: Stack) -> Iterator[Page]:
    """Of somebody who has not logged in yet; whatever its scripts complain of fails the test."""
    stack.python(
        "from django.contrib.auth.models import User\n"
        f"result = User.objects.create_superuser('admin', password={PASSWORD!r}).pk"
    )
    context = browser.new_context(base_url=stack.web_url, viewport={"width": 1280, "height": 1000})
    opened = context.new_page()
    opened.set_default_timeout(PATIENCE_S * 1000)
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("dialog", lambda dialog: dialog.accept())
    yield opened
    context.close()
    assert complaints == []


def log_in(page: Page) -> None:
    page.goto("/")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Queue", exact=True)).to_be_visible()


def count(page: Page, word: str) -> Locator:
    """The number of jobs that the page gives under this word."""
    return (
        page.get_by_role("list", name="Counts").get_by_role("link", name=re.compile(word)).locator(".number")
    )


def rows(page: Page) -> Locator:
    return page.locator("#lists [data-row]")


def go_to(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Main").get_by_role("link", name=re.compile(f"^{name}")).click()


def mark(page: Page) -> None:
    page.evaluate("() => { window.sameDocument = true; }")


def assert_not_reloaded(page: Page) -> None:
    assert page.evaluate("() => window.sameDocument === true")


# --- a day without trouble ----------------------------------------------------------------------------------


def import_and_submit(page: Page, folder: Path) -> None:
    path = folder / "bay.txt"
    path.write_text("\n\n".join(ROWS))
    go_to(page, "Packs")
    page.get_by_label("Pack files").set_input_files(path)
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_role("heading", name="bay").first).to_be_visible()
    made = page.get_by_role("region", name="What it makes")
    expect(made).to_contain_text(f"{len(ROWS)} records")
    page.get_by_label("Settings", exact=True).fill("txt2img.steps=thirty")
    expect(made.get_by_role("button", name="Submit")).to_be_disabled()
    page.get_by_label("Settings", exact=True).fill(SETTINGS)
    expect(made).to_contain_text("256 × 192")
    made.get_by_role("button", name=f"Submit {len(ROWS)} jobs").click()
    expect(page.get_by_text(f"{len(ROWS)} jobs for {len(ROWS)} pictures were queued.")).to_be_visible()


def watch_the_first_job_to_its_end(page: Page) -> None:
    go_to(page, "Queue")
    mark(page)
    running = page.get_by_role("article", name="Running on simulator")
    expect(running.get_by_role("link", name="Job 1", exact=True)).to_be_visible()
    expect(running.get_by_text(re.compile(r"step \d+ of 30"))).to_be_visible()
    preview = running.get_by_role("img", name="The picture so far")
    expect(preview).to_be_visible()
    page.wait_for_function(
        "() => [...document.querySelectorAll('img.preview')].some((image) => image.naturalWidth > 0)"
    )
    expect(count(page, "completed")).to_have_text("1")
    expect(running.get_by_role("link", name="Job 2", exact=True)).to_be_visible()
    expect(rows(page)).to_have_count(len(ROWS) - 2)
    assert_not_reloaded(page)


def pause_and_reorder(page: Page) -> None:
    """Job 6 to the front with the mouse."""
    page.get_by_label("Why pause?").fill("new GPU")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused by admin").first).to_be_visible()
    expect(page.get_by_text("new GPU").first).to_be_visible()
    page.get_by_role("button", name="Actions for job 6").click()
    page.get_by_role("button", name="To the front").locator("visible=true").first.click()
    expect(rows(page).first).to_contain_text("job 6")


def filter_choose_move_and_cancel_by_keys(page: Page) -> None:
    """The two mills to the front in their order, then one of them away: no hand touches the mouse."""
    page.mouse.move(2, 2)
    press = page.keyboard.press
    press("?")
    expect(page.get_by_role("heading", name="Keys of this page")).to_be_visible()
    press("Escape")
    expect(page.get_by_role("heading", name="Keys of this page")).to_be_hidden()
    press("/")
    expect(page.get_by_label("Words of the prompt")).to_be_focused()
    page.keyboard.type("mill")
    expect(rows(page)).to_have_count(2)
    press("Tab")
    press("Tab")
    for _ in range(2):
        press("j")
        press("x")
    expect(page.get_by_role("group", name="What to do with the chosen jobs")).to_contain_text("2 chosen")
    press("f")
    expect(page.get_by_role("status").filter(has_text=re.compile("2 waiting jobs moved"))).to_be_visible()
    page.goto("/")
    expect(rows(page).nth(0)).to_contain_text("a water mill")
    expect(rows(page).nth(1)).to_contain_text("a wind mill")
    expect(rows(page).nth(2)).to_contain_text("a stone bridge")
    press("j")
    press("j")
    press("k")
    press("j")
    press("x")
    press("c")
    expect(page.get_by_role("heading", name="Cancel 1 waiting job?")).to_be_visible()
    expect(page.get_by_role("link", name="Change nothing")).to_be_focused()
    press("Shift+Tab")
    press("Enter")
    expect(count(page, "cancelled")).to_have_text("1")
    expect(rows(page)).to_have_count(len(ROWS) - 3)


def cancel_what_runs_and_resume_on_a_phone(page: Page, stack: Stack) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    mark(page)
    assert worker(stack).is_running()
    page.get_by_role("button", name="Cancel job 2").click()
    expect(count(page, "cancelled")).to_have_text("2")
    expect(page.get_by_text("Nothing is running while the queue is paused.")).to_be_visible()
    assert_not_reloaded(page)
    assert overflow_px(page) == 0
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("article", name="Running on simulator")).to_be_visible()


def lose_and_regain_the_server(page: Page, stack: Stack) -> None:
    """It dies while jobs run; the page says so, and goes on by itself when it is there again."""
    mark(page)
    note = page.locator("#offline")
    expect(note).to_be_hidden()
    stack.kill("web")
    stack.processes["web"].wait()
    expect(note).to_be_visible()
    expect(note).to_contain_text("The server does not answer")
    stack.start_web()
    expect(note).to_be_hidden()
    expect(count(page, "completed")).to_have_text(str(len(ROWS) - 2))
    expect(page.get_by_text("The queue is empty.")).to_be_visible()
    assert overflow_px(page) == 0
    assert_not_reloaded(page)


def test_a_day_at_the_queue_from_the_login_to_the_last_picture(
    stack: Stack, page: Page, tmp_path: Path
) -> None:
    # The first is looked at while it is drawn, the second until it is cancelled.
    add_faulty(stack, "slow=0.4~lighthouse", "slow=4~dragon", seconds_per_step=0.1)
    stack.start_node()
    stack.start_web()
    stack.wait_ready()
    log_in(page)
    import_and_submit(page, tmp_path)
    watch_the_first_job_to_its_end(page)
    pause_and_reorder(page)
    filter_choose_move_and_cancel_by_keys(page)
    cancel_what_runs_and_resume_on_a_phone(page, stack)
    lose_and_regain_the_server(page, stack)
    # The WebUI was asked in the order that the page showed: 5, a wind mill, was cancelled.
    assert posted_jobs(stack) == [1, 2, 4, 6, 3, 7]


# --- trouble ------------------------------------------------------------------------------------------------


def see_the_recovery(page: Page, job_page: Page, job_id: int) -> None:
    """The WebUI dies of the job: seen on the queue page and on the job's own, which both stay open."""
    node = page.get_by_role("article", name="Node simulator")
    expect(node).to_contain_text(re.compile("Restarting|Starting"))
    expect(job_page.get_by_text("WebUI crash suspected")).to_be_visible()
    expect(node).to_contain_text("Ready")
    expect(job_page.get_by_text("Retry started")).to_be_visible()
    expect(job_page.get_by_role("heading", name=re.compile(f"Job {job_id}.*Completed", re.I))).to_be_visible()
    expect(job_page.get_by_text("retries 1").first).to_be_visible()
    expect(job_page.get_by_role("img", name="Picture 1 of txt2img")).to_be_visible()
    for one in (page, job_page):
        assert_not_reloaded(one)


def download_the_evidence(page: Page, stack: Stack, job_id: int) -> None:
    page.goto(f"/jobs/{job_id}/")
    evidence = page.get_by_role("region", name="Evidence")
    for name in ("stage_failure_payload.json", "webui_tail.log"):
        with page.expect_download() as download:
            evidence.get_by_role("link", name=name).first.click()
        content = Path(download.value.path()).read_bytes()
        kept = list((stack.folder / "outputs").glob(f"*/{job_id}/**/{name}"))
        assert content in [path.read_bytes() for path in kept]
        assert download.value.suggested_filename.endswith(name)


def run_one_again(page: Page, job_id: int) -> None:
    page.get_by_role("button", name=f"Run again: job {job_id}").click()
    again = page.get_by_role("link", name=re.compile(r"^job \d+$", re.I)).last
    expect(again).to_be_visible()
    expect(page.get_by_role("status").filter(has_text="again")).to_be_visible()


def retry_all_of_one_cause(page: Page, number: int) -> None:
    go_to(page, "Failures")
    page.get_by_role("button", name=f"Run {number} again").click()
    expect(page.get_by_role("heading", name=re.compile(rf"{number} "))).to_be_visible()
    page.get_by_role("main").get_by_role("button", name=re.compile("Run")).click()
    expect(
        page.get_by_text("No failure waits for you.").or_(page.get_by_role("link", name="Back to the list"))
    ).to_be_visible()
    go_to(page, "Queue")


def test_a_crash_is_seen_as_it_happens_and_failures_are_inspected_and_run_again(
    stack: Stack, page: Page
) -> None:
    add_faulty(stack, "once die~dragon", "422~typo", boot_seconds=6, seconds_per_step=0.05)
    stack.start_node()
    stack.start_web()
    stack.wait_ready()
    log_in(page)
    mark(page)
    job_page = page.context.new_page()
    job_page.set_default_timeout(PATIENCE_S * 1000)
    [crashing] = submit(stack, "dragons", "a dragon")
    job_page.goto(f"/jobs/{crashing}/")
    mark(job_page)
    see_the_recovery(page, job_page, crashing)
    job_page.close()

    wrong = submit(stack, "wrong", "a typo\n\nanother typo\n\nthe last typo")
    expect(count(page, "failed")).to_have_text("3")
    expect(page.get_by_role("heading", name=re.compile("Needs attention"))).to_be_visible()
    expect(page).to_have_title(re.compile("StableNew"))
    download_the_evidence(page, stack, wrong[0])
    set_faults(stack)
    run_one_again(page, wrong[0])
    retry_all_of_one_cause(page, 2)
    expect(count(page, "completed")).to_have_text("4")
    expect(count(page, "failed")).to_have_text("3")
    stack.wait_ledger(completed=4, failed=3, queued=0, running=0)

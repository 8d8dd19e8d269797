"""What only a browser shows: live parts, lists that hold still, forms that answer while one types."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, Dialog, Locator, Page, Route, expect
from pytest_django.live_server_helper import LiveServer

from jobs.bulk import acts
from jobs.lifecycle import EventType, JobStatus
from jobs.models import Job, Runner
from jobs.queue import control
from jobs.queue.claims import Claim
from jobs.queue.moves import move_job
from tests.factories import make_node, make_pack, make_runner, make_running_job, make_user, submit
from tests.integration.chromium import CHROMIUM
from tests.integration.finished_jobs import claim, complete, fail

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium at /usr/bin/chromium"),
]


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
    expected = (
        "Failed to load resource",
        "htmx:sendError",
        "htmx:afterRequest",
        "Response Status Error Code 502",
    )
    assert not [words for words in complaints if not words.startswith(expected)]


def rows(page: Page) -> Locator:
    return page.locator("#lists tbody tr")


def look(page: Page) -> None:
    """Poll now: an idle page looks only every few seconds."""
    page.evaluate("htmx.trigger(document.body, 'live')")


def finish(claimed: Claim) -> None:
    move_job(claimed.job_id, JobStatus.COMPLETED, event=EventType.COMPLETED, run_token=claimed.run_token)


def leave(page: Page) -> None:
    """Pointer and focus away from every list."""
    page.mouse.move(5, 5)
    page.evaluate("document.activeElement.blur()")


# --- live parts --------------------------------------------------------------------------------------
def test_queue_page_follows_what_happens_without_a_reload(page: Page) -> None:
    runner = make_runner(make_node("alpha"))
    page.goto("/")
    expect(page.get_by_text("No jobs yet.")).to_be_visible()
    submit(repeat=3)
    expect(rows(page)).to_have_count(3)
    expect(page).to_have_title("(3) StableNew")
    _, claimed = make_running_job(runner)
    expect(page.get_by_role("link", name=f"Job {claimed.job_id}", exact=True)).to_be_visible()
    expect(page.locator("#icon")).to_have_attribute("href", re.compile("favicon-busy"))
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
    finish(claimed)
    # Parts of one answer carry versions of their own; none of them may pass for the answer's.
    for completed in (2, 3):
        expect(page.locator(".counts")).to_contain_text(re.compile(rf"{completed - 1}\s*completed"))
        Runner.objects.filter(pk=runner.pk).update(progress_version=7 * completed)
        complete(runner)
    expect(page.locator("#recent li")).to_have_count(3)
    control.pause(by="ada", reason="lunch")
    expect(page.get_by_text("Paused by ada")).to_be_visible()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()


def test_failure_is_told_in_navigation_icon_and_groups_as_it_happens(page: Page) -> None:
    runner = make_runner()
    submit(repeat=2)
    page.goto("/")
    expect(page.locator("#icon")).to_have_attribute("href", re.compile("favicon.svg"))
    fail(runner)
    expect(page.get_by_role("link", name=re.compile("^Failures *1 need attention"))).to_be_visible()
    expect(page.locator("#icon")).to_have_attribute("href", re.compile("favicon-warning"))
    expect(page.get_by_role("heading", name=re.compile("^Needs attention"))).to_be_visible()


@pytest.mark.parametrize("hand", ["pointer", "focus", "choice"])
def test_list_holds_still_under_a_hand_and_says_how_much_has_changed(page: Page, hand: str) -> None:
    make_runner()
    pack = make_pack()
    submit(pack, repeat=3)
    page.goto("/")
    if hand == "pointer":
        rows(page).first.hover()
    elif hand == "focus":
        page.keyboard.press("j")
    else:
        rows(page).first.get_by_role("checkbox").check()
        leave(page)
    submit(pack)
    submit(pack)
    note = page.locator("[data-changed]")
    expect(note).to_contain_text("2 changed, press r.")
    # The note itself must not push the rows away from under the pointer.
    look(page)
    page.wait_for_timeout(1500)
    expect(note).to_contain_text("2 changed, press r.")
    expect(rows(page)).to_have_count(3)
    page.keyboard.press("r")
    expect(rows(page)).to_have_count(5)
    expect(note).to_be_hidden()
    if hand == "choice":
        expect(rows(page).first.get_by_role("checkbox")).to_be_checked()
        page.get_by_role("button", name="Clear").click()
    if hand == "focus":
        expect(rows(page).first.locator("[data-open]")).to_be_focused()
    leave(page)
    submit()
    expect(rows(page)).to_have_count(6)


def test_late_answer_never_overwrites_a_newer_one(page: Page) -> None:
    make_runner()
    submit(repeat=2)
    page.goto("/")
    old = page.request.get("/live").text()
    submit(repeat=3)
    expect(page).to_have_title("(5) StableNew")
    expect(rows(page)).to_have_count(5)
    page.route("**/live?*", lambda route: route.fulfill(status=200, content_type="text/html", body=old))
    with page.expect_response("**/live?*"):
        look(page)
    with page.expect_response("**/live?*"):
        look(page)
    expect(page).to_have_title("(5) StableNew")
    expect(rows(page)).to_have_count(5)
    page.unroute("**/live?*")
    submit()
    expect(rows(page)).to_have_count(6)


def test_answer_for_another_filter_does_not_replace_the_list(page: Page) -> None:
    make_runner()
    submit(make_pack("castles"), repeat=2)
    submit(make_pack("ships"), repeat=3)
    page.goto("/")
    unfiltered = page.request.get("/live").text()
    page.get_by_label("Pack", exact=True).select_option("castles")
    expect(rows(page)).to_have_count(2)
    page.route(
        "**/live?*", lambda route: route.fulfill(status=200, content_type="text/html", body=unfiltered)
    )
    with page.expect_response("**/live?*"):
        look(page)
    with page.expect_response("**/live?*"):
        look(page)
    expect(rows(page)).to_have_count(2)


def test_polls_rest_while_nobody_looks(page: Page) -> None:
    make_runner()
    submit()
    page.goto("/")
    page.wait_for_load_state("networkidle")
    page.evaluate("Object.defineProperty(document, 'hidden', {get: () => window.away, configurable: true})")
    page.evaluate("window.away = true")
    page.wait_for_timeout(300)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(2500)
    assert asked == []
    with page.expect_request("**/live?*"):
        page.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")


def test_page_says_when_the_server_is_away_and_recovers(page: Page) -> None:
    make_runner()
    submit()
    page.goto("/")
    note = page.locator("#offline")
    expect(note).to_be_hidden()
    page.context.set_offline(True)
    expect(note).to_be_visible()
    expect(page.locator("#say")).to_contain_text("The server does not answer")
    page.context.set_offline(False)
    expect(note).to_be_hidden()
    expect(page.locator("#say")).to_have_text("The server answers again.")
    page.route("**/live?*", lambda route: route.fulfill(status=502, body="<h1>Bad Gateway</h1>"))
    expect(note).to_be_visible()
    expect(page.get_by_text("Bad Gateway")).to_have_count(0)
    page.unroute("**/live?*")
    expect(note).to_be_hidden()
    submit()
    expect(rows(page)).to_have_count(2)


def test_important_changes_are_said_once_and_not_at_every_poll(page: Page) -> None:
    page.clock.install()
    make_runner()
    submit()
    page.goto("/")
    page.evaluate(
        "window.said = []; new MutationObserver(() => said.push(document.querySelector('#say').textContent))"
        ".observe(document.querySelector('#say'), {childList: true})"
    )
    control.pause(by="ada")
    page.clock.run_for(1500)
    expect(page.get_by_text("Paused by ada")).to_be_visible()
    control.resume(by="ada")
    page.clock.run_for(4500)
    expect(page.get_by_text("Paused by ada")).to_be_hidden()
    control.pause(by="bob")
    page.clock.run_for(1500)
    expect(page.get_by_text("Paused by bob")).to_be_visible()
    page.clock.run_for(30_000)
    [said] = page.evaluate("said")
    assert re.fullmatch(r"The queue was paused by bob at [0-9:]+\.", said)


def test_reason_that_is_being_typed_survives_the_polls(page: Page) -> None:
    make_runner()
    page.goto("/")
    page.locator("#pause-reason").fill("new GPU")
    submit()
    expect(rows(page)).to_have_count(1)
    expect(page.locator("#pause-reason")).to_have_value("new GPU")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused by otto")).to_be_visible()
    expect(page.get_by_text("new GPU")).to_be_visible()


# --- the list ----------------------------------------------------------------------------------------
def test_cancel_in_the_list_asks_and_answers_in_its_place(page: Page) -> None:
    make_runner()
    first, second = submit(repeat=2).job_ids
    page.goto("/")
    asked: list[str] = []

    def answer(dialog: Dialog) -> None:
        """No at first, then yes."""
        asked.append(dialog.message)
        if len(asked) == 1:
            dialog.dismiss()
        else:
            dialog.accept()

    page.on("dialog", answer)
    page.get_by_role("button", name=f"Actions for job {first}").click()
    for _ in range(2):
        page.get_by_role("button", name=f"Cancel job {first}").click()
    expect(page.get_by_text(f"Job {first} is cancelled.")).to_be_visible()
    assert len(asked) == 2
    assert f"Cancel job {first}?" in asked[0]
    leave(page)
    expect(rows(page)).to_have_count(1)
    assert Job.objects.get(pk=second).status == JobStatus.QUEUED


def test_row_moves_to_the_front_without_a_reload(page: Page) -> None:
    make_runner()
    ids = submit(repeat=3).job_ids
    page.goto("/")
    page.evaluate("window.same = true")
    page.get_by_role("button", name=f"Actions for job {ids[2]}").click()
    page.get_by_role("button", name="To the front").click()
    expect(page.get_by_text("1 waiting job moved to the front.")).to_be_visible()
    expect(rows(page).first).to_have_id(f"row-{ids[2]}")
    assert page.evaluate("window.same")


def test_filter_answers_while_one_types_and_lives_in_the_address(page: Page) -> None:
    make_runner()
    submit(make_pack("castles", text="a castle in fog\n"), repeat=2)
    submit(make_pack("ships", text="a ship at sea\n"), repeat=3)
    page.goto("/")
    page.keyboard.press("/")
    page.keyboard.type("fog")
    expect(rows(page)).to_have_count(2)
    expect(page).to_have_url(re.compile("text=fog"))
    page.reload()
    expect(rows(page)).to_have_count(2)
    expect(page.get_by_text("Only jobs with “fog” in the prompt.")).to_be_visible()
    page.get_by_role("link", name="Show all").click()
    expect(rows(page)).to_have_count(5)
    page.go_back()
    expect(rows(page)).to_have_count(2)
    expect(page.get_by_role("heading", name="Queue")).to_be_visible()


def answer_while_pressed(page: Page, late: list[Route]) -> None:
    """Presses, and what is held back arrives in the middle of it."""
    page.mouse.down()
    with page.expect_response(late[0].request.url):
        late[0].continue_()
    page.unroute_all()
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")


def test_a_press_is_not_lost_to_a_part_that_arrives_in_the_middle_of_it(page: Page) -> None:
    """It would move the link away from under the pointer, and then no click happens."""
    make_runner()
    submit(make_pack("ships", text="a ship at sea\n"), repeat=3)
    late: list[Route] = []
    with page.expect_request("**/nodes/strip/"):
        page.route("**/nodes/strip/", lambda route: late.append(route))
        page.goto("/?text=ship")
    link = page.get_by_role("link", name="Show all")
    link.hover()
    answer_while_pressed(page, late)
    page.mouse.up()
    expect(page).to_have_url(re.compile("/$"))


@pytest.mark.parametrize(
    ("address", "part"), [("**/nodes/strip/", "#node-strip"), ("**/failures/", "#failure-summary")]
)
def test_what_arrives_during_a_press_is_shown_after_it(page: Page, address: str, part: str) -> None:
    runner = make_runner()
    submit()
    fail(runner)
    late: list[Route] = []
    with page.expect_request(address):
        page.route(address, lambda route: late.append(route))
        page.goto("/")
    page.get_by_role("heading", name="Queue").hover()
    answer_while_pressed(page, late)
    expect(page.locator(part)).to_have_count(0)
    page.mouse.up()
    expect(page.locator(part)).to_be_visible()


def test_shift_chooses_a_range_and_the_bar_says_how_many(page: Page) -> None:
    make_runner()
    ids = submit(repeat=6).job_ids
    page.goto("/")
    boxes = page.locator("[data-select]")
    bar = page.locator(".action-bar")
    expect(bar).to_be_hidden()
    boxes.nth(1).check()
    boxes.nth(4).click(modifiers=["Shift"])
    expect(bar).to_contain_text("4 chosen")
    boxes.nth(4).uncheck()
    boxes.nth(2).click(modifiers=["Shift"])
    expect(bar).to_contain_text("1 chosen")
    page.get_by_label("Choose all rows of this page").check()
    expect(bar).to_contain_text("6 chosen")
    page.get_by_label("Choose all rows of this page").uncheck()
    expect(bar).to_be_hidden()
    boxes.nth(5).check()
    bar.get_by_label("Priority").select_option("High")
    bar.get_by_role("button", name="Set priority").click()
    expect(page.get_by_text("1 waiting job now with high priority.")).to_be_visible()
    expect(rows(page).first).to_have_id(f"row-{ids[5]}")


def test_keys_walk_choose_act_and_ask_before_they_destroy(page: Page) -> None:
    make_runner()
    ids = submit(repeat=4).job_ids
    page.goto("/")
    for key in "jjjk":
        page.keyboard.press(key)
    expect(page.locator(f"#job-{ids[1]}")).to_be_focused()
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator(".action-bar")).to_contain_text("2 chosen")
    page.keyboard.press("f")
    expect(page.get_by_text("2 waiting jobs moved to the front.")).to_be_visible()
    expect(rows(page).first).to_have_id(f"row-{ids[1]}")
    page.keyboard.press("c")
    expect(page.get_by_role("heading", name="Cancel 2 waiting jobs?")).to_be_visible()
    expect(page.get_by_role("link", name="Change nothing")).to_be_focused()
    assert not Job.objects.filter(status=JobStatus.CANCELLED).exists()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("2 waiting jobs cancelled.")).to_be_visible()
    assert set(Job.objects.filter(status=JobStatus.CANCELLED).values_list("pk", flat=True)) == set(ids[1:3])
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"/jobs/{ids[0]}/$"))


def test_pause_key_asks_why_and_resumes(page: Page) -> None:
    make_runner()
    submit()
    page.goto("/")
    page.keyboard.press("p")
    page.keyboard.type("pizza, jx?")
    page.keyboard.press("Enter")
    expect(page.get_by_text("pizza, jx?")).to_be_visible()
    page.keyboard.press("p")
    expect(page.get_by_text("The queue goes on.")).to_be_visible()


def test_help_lists_the_keys_of_this_page(page: Page) -> None:
    make_runner()
    page.goto("/")
    page.keyboard.press("?")
    help_ = page.locator("#help")
    expect(help_).to_contain_text("Pause: say why, then Enter")
    expect(help_).to_contain_text("Search the prompts")
    expect(help_.get_by_text("Next row")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(help_).to_be_hidden()
    submit(repeat=2)
    expect(rows(page)).to_have_count(2)
    page.keyboard.press("?")
    expect(help_.get_by_text("Next row")).to_be_visible()
    expect(help_).to_contain_text("Cancel, after a question")


def test_copy_puts_the_text_on_the_clipboard_or_selects_it(page: Page) -> None:
    page.goto("/")
    page.evaluate(
        "document.querySelector('#main').insertAdjacentHTML('beforeend', '<p id=words>a castle</p>"
        "<button data-copy=#words>Prompt</button><button data-copy-text=4711>Seed</button>')"
    )
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for name, text in (("Prompt", "a castle"), ("Seed", "4711")):
        button = page.get_by_role("button", name=name)
        button.click()
        expect(button).to_have_attribute("data-copied", "Copied.")
        assert page.evaluate("navigator.clipboard.readText()") == text
    expect(page.locator("#say")).to_have_text("Copied.")
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.get_by_role("button", name="Prompt").click()
    chosen = "new Promise(done => setTimeout(() => done(getSelection().toString()), 100))"
    assert page.evaluate(chosen) == "a castle"


def test_long_act_shows_its_progress_and_ends_by_itself(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acts, "CHUNK", 2)
    submit(repeat=51)
    page.goto("/")
    page.get_by_label("Choose all rows of this page").check()
    page.get_by_label("All 51 waiting jobs").check()
    page.get_by_role("button", name="Cancel…").click()
    page.get_by_role("button", name="Cancel 51 waiting jobs").click()
    expect(page.get_by_role("heading", name="51 waiting jobs cancelled.")).to_be_visible(timeout=30_000)
    expect(page).to_have_title("StableNew")
    page.get_by_role("link", name="Back to the list").click()
    expect(page.get_by_text("The queue is empty.")).to_be_visible()


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
    urls = [reverse(name) for name in ("queue", "history", "jobs", "packs", "events")]
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
    for name in ("Queue", "History", "Packs", "Debug Hub", "Log out", "pause-reason", "Pause", "Filter", "⋯"):
        assert name in text, name


def test_account_of_a_job_stays_through_the_polls_of_its_page_and_follows_by_its_own(page: Page) -> None:
    runner = make_runner(make_node("alpha"))
    [job_id] = submit().job_ids
    page.goto(reverse("job", args=[job_id]))
    expect(page.get_by_text("It is next in the queue and starts as soon as a node is free.")).to_be_visible()
    claimed = claim(runner)
    expect(page.get_by_text("It is running on alpha.")).to_be_visible()
    expect(page.get_by_text("no progress is known yet")).to_be_visible()
    page.evaluate("document.querySelector('#job-account section').dataset.seen = 'yes'")
    Runner.objects.filter(pk=runner.pk).update(progress_version=5, progress=None)
    fresh = page.locator(f'#job-live[hx-get$=".{5}"]')
    expect(fresh).to_have_count(1)
    expect(page.locator("#job-account section[data-seen]")).to_have_count(1)
    control.cancel(job_id, by="ada")
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
    expect(page.get_by_role("button", name=f"Run again: job {job_id}")).to_be_visible()


def test_requests_of_a_job_are_read_when_somebody_opens_them(page: Page) -> None:
    runner = make_runner(make_node("alpha"))
    submit()
    job = complete(runner)
    page.goto(reverse("job", args=[job.pk]))
    expect(page.get_by_text("Sent: POST /sdapi/v1/txt2img")).to_have_count(0)
    page.get_by_text("Every request with its fields").click()
    page.get_by_text("Sent: POST /sdapi/v1/txt2img").click()
    expect(page.get_by_role("cell", name="a lighthouse on a cliff, evening light").first).to_be_visible()

"""New video and New edit in a browser: pictures go one by one, failures are told by name; all of it without script."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, BrowserContext, FilePayload, Locator, Page, Request, Route, expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from jobs.models import InputPicture, JobRecord, Submission
from jobs.records.reading import read_record
from tests.e2e.axe import findings, load_axe
from tests.factories import make_user
from tests.film_jobs import make_film_node
from tests.integration.chromium import CHROMIUM
from tests.sample_pictures import picture

PATIENCE_MS = 60_000
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium at /usr/bin/chromium"),
]


@pytest.fixture(autouse=True)
def own_folders(settings: Settings, tmp_path: Path) -> None:
    for name in ("INPUT", "OUTPUT", "THUMBNAIL"):
        setattr(settings, f"STABLENEW_{name}_DIR", tmp_path / name.lower())


def open_context(browser: Browser, server: LiveServer, client: Client, *, script: bool) -> BrowserContext:
    client.force_login(make_user("otto", operator=True))
    context = browser.new_context(
        base_url=server.url, viewport={"width": 1280, "height": 900}, java_script_enabled=script
    )
    context.set_default_timeout(PATIENCE_MS)
    cookie = {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": server.url}
    context.add_cookies([cookie])  # type: ignore[list-item]  # one of few optional keys
    return context


@pytest.fixture
def page(browser: Browser, live_server: LiveServer, client: Client) -> Iterator[Page]:
    context = open_context(browser, live_server, client, script=True)
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    context.close()
    # A preview that is not waited for any more is given up, and some tests want the server to refuse.
    given_up = ("htmx:afterRequest", "htmx:sendAbort")
    expected = ("Failed to load resource", "Response Status Error Code 403", *given_up)
    assert not [words for words in complaints if not words.startswith(expected)]


@pytest.fixture
def plain_page(browser: Browser, live_server: LiveServer, client: Client) -> Iterator[Page]:
    """Of a browser without script."""
    context = open_context(browser, live_server, client, script=False)
    yield context.new_page()
    context.close()


def files(*numbers: int) -> list[FilePayload]:
    return [
        {"name": f"{number}.png", "mimeType": "image/png", "buffer": picture(number)} for number in numbers
    ]


def choose(page: Page, *chosen: FilePayload) -> None:
    page.get_by_label("Pictures", exact=True).set_input_files(list(chosen))


def chosen_names(page: Page) -> list[str]:
    return page.locator(".chosen-pictures [data-name]").all_text_contents()


def taken(page: Page) -> Locator:
    """Pictures that the server has."""
    return page.locator(".chosen-pictures input[name=image]:enabled")


def why_not(page: Page) -> Locator:
    return page.locator("#why-not")


def submit_button(page: Page) -> Locator:
    return page.locator("button[value=submit]")


def test_pictures_are_sent_a_few_at_once_each_in_a_request_and_stay_in_order(page: Page) -> None:
    lock, open_now, most, sent = threading.Lock(), set[Request](), [0], list[str]()

    def begin(request: Request) -> None:
        if request.method == "POST" and "/inputs/" in request.url:
            with lock:
                open_now.add(request)
                sent.append(request.url)
                most[0] = max(most[0], len(open_now))

    page.on("request", begin)
    page.on("requestfinished", lambda request: open_now.discard(request))
    page.goto(reverse("new-video"))
    choose(page, *files(*range(30)))
    expect(taken(page)).to_have_count(30)
    assert chosen_names(page) == [f"{number}.png" for number in range(30)]
    assert (len(sent), len(set(sent))) == (30, 30)
    assert most[0] <= 3
    expect(page.locator("#preview")).to_contain_text("30 films")
    assert InputPicture.objects.count() == 30


def test_what_is_refused_is_told_by_name_and_what_the_network_lost_is_sent_again(page: Page) -> None:
    lost = [2]

    def answer(route: Route) -> None:
        if lost[0] and "name=2.png" in route.request.url:
            lost[0] -= 1
            route.abort()
        else:
            route.continue_()

    page.route("**/inputs/**", answer)
    page.goto(reverse("new-video"))
    large: FilePayload = {"name": "big.png", "mimeType": "image/png", "buffer": bytes(7_864_321)}
    text: FilePayload = {"name": "notes.png", "mimeType": "image/png", "buffer": b"hello"}
    choose(page, *files(1, 2, 3), large, text)
    told = page.locator("[data-failed] li")
    expect(told).to_have_count(3)
    words = told.all_inner_texts()
    assert words[0].startswith(
        "big.png has 7,864,321 bytes; an input picture may have at most 7,864,320 bytes"
    )
    assert any(one.startswith("notes.png is no picture") for one in words)
    assert "2.png was not sent: the server does not answer." in words
    expect(taken(page)).to_have_count(2)
    again = page.get_by_role("button", name="Try again")
    again.click()
    expect(told).to_have_text(["2.png was not sent: the server does not answer."])
    again.click()
    expect(taken(page)).to_have_count(3)
    expect(page.locator("[data-failed]")).to_be_hidden()
    assert not [url for url in InputPicture.objects.values_list("name", flat=True) if url == "big.png"]


def test_somebody_who_was_signed_out_is_told_so(page: Page) -> None:
    page.goto(reverse("new-video"))
    page.context.clear_cookies()
    choose(page, *files(1))
    expect(page.locator("[data-failed] li")).to_have_text(
        ["1.png was not sent: sign in again in another tab."]
    )
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


def test_pictures_are_removed_and_ordered_by_keys_where_one_edit_is_made_of_all(page: Page) -> None:
    page.goto(reverse("new-edit"))
    choose(page, *files(1, 2, 3))
    expect(taken(page)).to_have_count(3)
    expect(page.get_by_role("button", name="Earlier: 3.png")).to_be_hidden()
    page.get_by_label("One edit of all these pictures").check()
    earlier = page.get_by_role("button", name="Earlier: 3.png")
    earlier.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(earlier).to_be_focused()
    assert chosen_names(page) == ["3.png", "1.png", "2.png"]
    page.get_by_role("button", name="Remove 1.png").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Remove 2.png")).to_be_focused()
    page.get_by_label("Instruction").fill("make it snow")
    expect(submit_button(page)).to_have_text("Submit 1 edit")
    submit_button(page).focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/submissions/**")
    row = JobRecord.objects.get()
    assert [one.name for one in read_record(row.canonical_json).inputs] == ["3.png", "2.png"]


def test_the_button_says_what_is_missing_and_the_counter_follows(page: Page) -> None:
    page.goto(reverse("new-video"))
    expect(submit_button(page)).to_be_disabled()
    expect(why_not(page)).to_have_text("Choose a picture first.")
    choose(page, *files(1))
    expect(why_not(page)).to_have_text("Write a prompt first.")
    prompt = page.get_by_label("Prompt", exact=True)
    prompt.fill("x" * 501)
    expect(page.locator("[data-counts=id_prompt]")).to_have_text("501 of 500")
    expect(page.locator("#errors-prompt")).to_contain_text("501 characters, more than 500")
    expect(submit_button(page)).to_be_disabled()
    prompt.fill("the cat waves")
    expect(submit_button(page)).to_be_enabled()
    expect(page.locator("#errors-prompt li")).to_have_count(0)
    page.get_by_label("Steps", exact=True).fill("200")
    expect(page.locator("#errors-steps")).to_have_text("Steps 200 is outside 1-100.")
    expect(why_not(page)).to_have_text("Change what is marked first.")


def test_pressing_twice_at_once_queues_once(page: Page) -> None:
    page.goto(reverse("new-video"))
    choose(page, *files(1))
    page.get_by_label("Prompt", exact=True).fill("the cat waves")
    expect(submit_button(page)).to_be_enabled()
    submit_button(page).dblclick()
    page.wait_for_url("**/submissions/**")
    assert Submission.objects.count() == 1


def test_without_script_a_form_is_filled_previewed_and_submitted(plain_page: Page) -> None:
    page = plain_page
    page.goto(reverse("new-video"))
    expect(submit_button(page)).to_be_disabled()
    choose(page, *files(1, 2, 3))
    page.get_by_label("Prompt", exact=True).fill("the cat waves")
    page.get_by_label("Frames", exact=True).fill("50")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#preview")).to_contain_text("3 films")
    expect(page.locator("#preview")).to_contain_text("Frames 50 becomes 49.")
    page.get_by_role("checkbox", name="2.png").uncheck()
    submit_button(page).click()
    page.wait_for_url("**/submissions/**")
    expect(page.get_by_text("2 jobs for 2 films were queued.")).to_be_visible()
    names = [read_record(row.canonical_json).inputs[0].name for row in JobRecord.objects.order_by("id")]
    assert names == ["1.png", "3.png"]


@pytest.mark.parametrize("name", ["new-video", "new-edit"])
def test_the_pages_are_clean_at_every_width_and_in_both_schemes(page: Page, name: str) -> None:
    make_film_node()
    page.goto(reverse(name))
    found = []
    for step in ("empty", "filled", "wrong"):
        if step == "filled":
            text: FilePayload = {"name": "notes.png", "mimeType": "image/png", "buffer": b"hello"}
            choose(page, *files(1, 2), text)
            expect(taken(page)).to_have_count(2)
            page.locator("#id_prompt").fill("the cat waves")
            expect(submit_button(page)).to_be_enabled()
        elif step == "wrong":
            page.locator("#id_steps").fill("0")
            expect(submit_button(page)).to_be_disabled()
        load_axe(page)
        for width in (1280, 390):
            for scheme in SCHEMES:
                page.set_viewport_size({"width": width, "height": 900})
                page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
                found += [f"{step} {width} {scheme}: {one}" for one in findings(page)]
                found += [f"{step} {width}: it scrolls sideways"] * wide
    assert not found

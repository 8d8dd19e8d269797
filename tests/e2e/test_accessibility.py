"""Every page in a browser: no serious finding of axe-core, nothing from elsewhere, no refusal of the policy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client
from playwright.sync_api import Browser, Page, Request
from pytest_django.live_server_helper import LiveServer

from diagnostics.models import FailedJob
from jobs.models import Job, Runner
from jobs.queue import control
from tests.e2e.axe import findings, load_axe
from tests.factories import make_node, make_runner, make_running_job, make_user, submit
from tests.integration.chromium import chromium
from tests.integration.failed_jobs import fail_in_retry
from tests.integration.site_addresses import API, ENTRIES, make_addresses
from tests.journeys.conftest import CHROMIUM
from webui.models import Node, NodeState

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not CHROMIUM, reason="needs Chromium: apt-get install chromium"),
]

#: Addresses that answer with something else than a page of their own.
NO_PAGE = {
    "healthz",
    "robots",
    "events-jsonl",
    "output",
    "thumb",
    "preview",
    "history-news",
    "submission-live",
    "failure-artifact",
    "bundle",
    "queue-live",
    "job-live",
    "poster",
    "input",
    "input-thumb",
    *API,
}
WIDTHS_PX, THEMES = (1280, 390), ("light", "dark")
EMPTY = ("/", "/history/", "/packs/", "/nodes/", "/failures/", "/debug/events/", "/nodes/attach/")
#: Of Django's own pages those that this project has made its own, and where they begin.
ADMIN = ("/admin/", "/admin/diagnostics/failedjob/")
#: Where a page sends somebody: links, pictures, scripts, forms, and what htmx fetches.
REFERENCES = """() => [...document.querySelectorAll("*")].flatMap((element) =>
  ["href", "src", "action", "formaction", "srcset", "poster", "data", "hx-get", "hx-post", "xlink:href"]
    .filter((name) => element.hasAttribute(name))
    .map((name) => new URL(element.getAttribute(name).split(" ")[0], location.href))
    .filter((address) => address.origin !== location.origin && address.protocol !== "data:")
    .map((address) => `${element.tagName.toLowerCase()} refers to ${address}`))"""


class Eye:
    """A browser page of an admin that notes what is wrong with the pages that it opens."""

    def __init__(self, browser: Browser, server: LiveServer, session: str) -> None:
        self._server = server
        self._at = ""
        self.wrong: list[str] = []
        self._context = browser.new_context(base_url=server.url, reduced_motion="reduce")
        if session:
            self._context.add_cookies([{"name": "sessionid", "value": session, "url": server.url}])
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(60_000)
        self.page.on("request", self._note_request)
        self.page.on("console", lambda message: self._note_words(message.text))
        self.page.on("pageerror", lambda error: self._note(str(error)))

    def _note(self, words: str) -> None:
        self.wrong.append(f"{self._at}: {words}")

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith((self._server.url, "data:", "blob:")):
            self._note(f"asks for {request.url}")

    def _note_words(self, words: str) -> None:
        if "Content Security Policy" in words:
            self._note(words)

    def look(self, address: str, situation: str) -> None:
        """Open the address and look at it in both themes at both widths."""
        self._at = f"{address} ({situation})"
        self.page.set_viewport_size({"width": WIDTHS_PX[0], "height": 900})
        self.page.emulate_media(color_scheme="light")
        self.page.goto(address)
        # Parts that a page fetches as it opens are there, too.
        self.page.wait_for_function("() => !document.querySelector('.htmx-request')")
        load_axe(self.page)
        self.wrong += [f"{self._at}: {words}" for words in self.page.evaluate(REFERENCES)]
        everything = True
        for width_px in WIDTHS_PX:
            for theme in THEMES:
                self.page.set_viewport_size({"width": width_px, "height": 900})
                self.page.emulate_media(color_scheme="light" if theme == "light" else "dark")
                found = findings(self.page, visible_only=not everything)
                self.wrong += [f"{self._at}, {theme}, {width_px} px: {words}" for words in found]
                everything = False

    def close(self) -> None:
        self._context.close()


@pytest.fixture
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def nobody(browser: Browser, live_server: LiveServer) -> Iterator[Eye]:
    eye = Eye(browser, live_server, "")
    yield eye
    eye.close()


@pytest.fixture
def admin(browser: Browser, live_server: LiveServer, client: Client) -> Iterator[Eye]:
    client.force_login(make_user("ada", is_superuser=True, is_staff=True))
    eye = Eye(browser, live_server, client.cookies["sessionid"].value)
    yield eye
    eye.close()


def make_busy() -> None:
    """A running job in its third step, one that asks for attention, and some that wait."""
    runner = make_runner(make_node("beta", checkpoint="landscape_v2.safetensors"))
    submit(repeat=3)
    fail_in_retry(runner)
    _, claim = make_running_job(runner)
    progress = {"job_id": claim.job_id, "stage": "txt2img", "stage_index": 0, "stage_total": 2, "step": 3}
    progress |= {"steps": 20, "progress": 0.15, "elapsed_s": 3.0, "eta_s": 17.0}
    Runner.objects.filter(pk=runner.pk).update(progress_version=7, progress=progress)


def test_no_page_has_a_serious_finding_or_anything_from_outside_the_server(nobody: Eye, admin: Eye) -> None:
    nobody.look("/accounts/login/", "nobody is logged in")
    for address in EMPTY:
        admin.look(address, "empty")
    addresses = make_addresses()
    make_busy()
    pages = sorted(name for name, entry in ENTRIES.items() if "GET" in entry.methods and name not in NO_PAGE)
    for name in pages:
        if name != "login" and name != "admin-login":
            admin.look(addresses[name], "busy")
    admin.look("/nothing/", "no such page")
    for status, job_id in {job.status: job.pk for job in Job.objects.all()}.items():
        admin.look(f"/jobs/{job_id}/", status)
    failed_id = FailedJob.objects.values_list("pk", flat=True)[0]
    for address in (*ADMIN, f"/admin/diagnostics/failedjob/{failed_id}/change/"):
        admin.look(address, "admin")
    control.pause(by="ada", reason="lunch")
    Node.objects.update(state=NodeState.FAILED, state_reason="The WebUI process ended with exit code 1.")
    for address in ("/", "/nodes/"):
        admin.look(address, "paused, and its nodes have failed")
    wrong = list(dict.fromkeys(nobody.wrong + admin.wrong))
    assert not wrong, f"{len(wrong)} findings:\n" + "\n".join(wrong)

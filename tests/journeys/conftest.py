"""A running installation with somebody who may log in, and a browser where there is one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.e2e.stack import Stack

PASSWORD = "a long enough password"
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)


@pytest.fixture
def running(stack: Stack) -> Stack:
    """Web server, run_node and simulator of a stack, ready; the user `admin` may do everything."""
    stack.python(
        "from django.contrib.auth.models import User\n"
        f"result = User.objects.create_superuser('admin', password={PASSWORD!r}).pk"
    )
    stack.add_simulator("--upscaler", "R-ESRGAN 4x+", seconds_per_step=0.02)
    stack.start_node()
    stack.start_web()
    stack.wait_ready()
    return stack


# Not for the whole session: while it runs, Django refuses the database in this thread.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if not CHROMIUM:
        pytest.skip("Chromium is not installed (apt-get install chromium): browser journeys are not tested")
    with sync_playwright() as playwright:
        # No sandbox: tests also run as root in containers.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, running: Stack) -> Iterator[Page]:
    """A logged-out browser page of the running installation; an error of the page's scripts fails the test."""
    context = chromium.new_context(base_url=running.web_url, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(30_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    yield page
    context.close()
    assert errors == []

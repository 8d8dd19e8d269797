"""Pictures of every page, in both themes and both widths, for a person to look at.

python -m tests.e2e.screenshots http://127.0.0.1:8000 admin PASSWORD FOLDER [PATH ...]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from playwright.sync_api import Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
WIDTHS = (1280, 390)
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
PATHS = (
    "/",
    "/queued/",
    "/history/",
    "/jobs/1/",
    "/packs/",
    "/packs/1/",
    "/submissions/1/",
    "/debug/events/",
    "/nodes/1/",
    "/failures/1/artifacts/",
    "/admin/diagnostics/failedjob/",
)


def log_in(page: Page, address: str, user: str, password: str) -> None:
    page.goto(f"{address}/accounts/login/")
    page.fill("#id_username", user)
    page.fill("#id_password", password)
    page.click("main button[type=submit]")
    page.wait_for_url(f"{address}/")


def overflow_px(page: Page) -> int:
    """How far the page is wider than its window; 0 = no horizontal scrolling."""
    wide: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return max(wide, 0)


def take(address: str, user: str, password: str, folder: Path, paths: tuple[str, ...] = PATHS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for width in WIDTHS:
            for theme in THEMES:
                context = browser.new_context(
                    viewport={"width": width, "height": 900}, color_scheme=theme, reduced_motion="reduce"
                )
                page = context.new_page()
                page.on("console", lambda message: print("console:", message.text))
                page.goto(f"{address}/accounts/login/")
                page.screenshot(path=folder / f"login-{width}-{theme}.png")
                log_in(page, address, user, password)
                for path in paths:
                    page.goto(address + path)
                    # Pictures load when they are scrolled to.
                    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
                    page.wait_for_timeout(700)
                    name = path.strip("/").replace("/", "-").replace("?", "-") or "queue"
                    page.screenshot(path=folder / f"{name}-{width}-{theme}.png", full_page=True)
                    if overflow_px(page):
                        print(f"{path} is {overflow_px(page)} px too wide at {width} px")
                context.close()
        browser.close()


if __name__ == "__main__":
    given = sys.argv[1:]
    take(given[0].rstrip("/"), given[1], given[2], Path(given[3]), tuple(given[4:]) or PATHS)

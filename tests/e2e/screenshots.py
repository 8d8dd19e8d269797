"""Pictures of every page, in both themes and both widths, for a person to look at.

    python -m tests.e2e.screenshots FOLDER [NAME ...]

Needs nothing that runs: it starts an installation of its own in a temporary folder, makes situations that are worth a
look (`scene.py`), takes the pictures, and stops everything again. NAMEs choose pages, like `queue` or `job-failed`.
`--readme` also writes the two pictures that the README shows. Takes some minutes.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tests.e2e.databases import shared_template
from tests.e2e.scene import PASSWORD, Form, Scene
from tests.e2e.stack import ROOT, Stack
from tests.journeys.conftest import CHROMIUM

WIDTHS_PX = (1280, 390)
HEIGHTS_PX = {1280: 900, 390: 844}
THEMES = ("light", "dark")
#: Of the README: page, width and theme of each picture; how much of it, in how many colours.
README = {"queue-light.png": ("queue", 1280, "light"), "job-dark.png": ("job-retried", 1280, "dark")}
README_PX, COLOURS = 1300, 256


def overflow_px(page: Page) -> int:
    """How far the page is wider than its window; 0 = no horizontal scrolling."""
    wide: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return max(wide, 0)


def log_in(page: Page) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(lambda address: "login" not in address)


def fill(page: Page, form: Form) -> None:
    if form.files:
        page.get_by_label("Pictures", exact=True).set_input_files(form.files)
        page.wait_for_function("() => document.querySelector('[data-uploads]').hidden")
    for label, value in form.fields.items():
        place = page.get_by_label(label, exact=True)
        if value:
            place.fill(value)
        else:
            place.check()


class Camera:
    """One browser with a logged-in page for each width and theme."""

    def __init__(self, browser: Browser, address: str, folder: Path) -> None:
        self.folder = folder
        self._pages: dict[tuple[int, str], Page] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for width_px in WIDTHS_PX:
            for theme in THEMES:
                context = browser.new_context(
                    base_url=address,
                    viewport={"width": width_px, "height": HEIGHTS_PX[width_px]},
                    color_scheme="light" if theme == "light" else "dark",
                    reduced_motion="reduce",
                )
                page = context.new_page()
                page.set_default_timeout(60_000)
                page.goto("/accounts/login/")
                self._shoot(page, "login", width_px, theme)
                log_in(page)
                self._pages[width_px, theme] = page

    def take(self, name: str, form: Form) -> None:
        path = form.path
        for (width_px, theme), page in self._pages.items():
            page.goto(path)
            fill(page, form)
            # Pictures otherwise wait until they come into view.
            page.evaluate("document.querySelectorAll('img').forEach((one) => { one.loading = 'eager'; })")
            page.wait_for_timeout(500)
            page.wait_for_function("() => !document.querySelector('.htmx-request')")
            page.wait_for_function("() => [...document.images].every((one) => one.complete)")
            self._shoot(page, name, width_px, theme)
            if overflow_px(page):
                print(f"{path} is {overflow_px(page)} px too wide at {width_px} px")

    def _shoot(self, page: Page, name: str, width_px: int, theme: str) -> None:
        page.screenshot(path=self.path(name, width_px, theme), full_page=True)

    def path(self, name: str, width_px: int, theme: str) -> Path:
        return self.folder / f"{name}-{width_px}-{theme}.png"


def take_all(scene: Scene, folder: Path, names: Sequence[str] = ()) -> Camera:
    """Pictures of every page (or of those that are named) while the scene goes on from one situation to the next."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        camera = Camera(browser, scene.stack.web_url, folder)
        for pages in scene.situations():
            for name, shown in pages.items():
                if not names or name in names:
                    form = shown if isinstance(shown, Form) else Form(shown)
                    camera.take(name, form)
                    print(name, form.path, flush=True)
        browser.close()
    return camera


def write_readme_pictures(camera: Camera) -> None:
    """Few colours suffice for a page and keep the files small."""
    folder = ROOT / "docs" / "images"
    folder.mkdir(exist_ok=True)
    for name, (page, width_px, theme) in README.items():
        with Image.open(camera.path(page, width_px, theme)) as picture:
            seen = picture.convert("RGB").crop((0, 0, width_px, min(picture.height, README_PX)))
            seen.quantize(COLOURS, method=Image.Quantize.MEDIANCUT).save(folder / name, optimize=True)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.screenshots", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("names", nargs="*", help="take only these pages (default: all)")
    parser.add_argument("--readme", action="store_true", help="also write the README's two pictures")
    given = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="stablenew-screenshots-") as name:
        folder = Path(name)
        data = folder / "data"
        data.mkdir()
        with shared_template(folder / "template") as template, template.copy(data) as database:
            stack = Stack(data, database, {})
            try:
                camera = take_all(Scene(stack), given.folder, given.names)
                if given.readme:
                    write_readme_pictures(camera)
            finally:
                stack.stop()
                stack.sweep()
    print(f"{len(list(given.folder.glob('*.png')))} pictures in {given.folder}")


if __name__ == "__main__":
    main()

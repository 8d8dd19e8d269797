"""How long many pictures take that are dropped at once on "New video", in a real browser on a real installation.

    python -m tests.e2e.uploading [NUMBER]

Starts an installation of its own in a temporary folder, without a running node, makes NUMBER pictures (1,000), drops
them, waits until the form may be sent, sends it, and prints what it saw as JSON. Everything is stopped again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from PIL import Image
from playwright.sync_api import Page, Request, sync_playwright

from tests.e2e.databases import shared_template
from tests.e2e.scene import PASSWORD
from tests.e2e.screenshots import log_in
from tests.e2e.stack import Stack
from tests.journeys.conftest import CHROMIUM

SIDE_PX = 512
PATIENCE_MS = 900_000
#: Runs in the page from its beginning: its longest task, all long ones together, its longest time without a frame.
WATCH = """
window.seen = { task: 0, blocked: 0, frame: 0 };
new PerformanceObserver((list) => list.getEntries().forEach(({ duration }) => {
  window.seen.task = Math.max(window.seen.task, duration);
  window.seen.blocked += duration;
})).observe({ type: "longtask" });
let last = performance.now();
const frame = (now) => {
  window.seen.frame = Math.max(window.seen.frame, now - last);
  last = now;
  requestAnimationFrame(frame);
};
requestAnimationFrame(frame);
"""
READY = """() => document.querySelector("[data-uploads]").hidden
  && !document.querySelector(".htmx-request") && !document.querySelector(".submit-now").disabled
  && document.querySelectorAll(".chosen input:checked").length >= Number(document.body.dataset.wanted)"""


def make_pictures(folder: Path, number: int) -> list[Path]:
    """Each another; some 100 KB."""
    slope = Image.linear_gradient("L").resize((SIDE_PX, SIDE_PX))
    paths = [folder / f"picture {n + 1}.png" for n in range(number)]
    for path in paths:
        noise = Image.effect_noise((SIDE_PX, SIDE_PX), 3)
        Image.merge("RGB", (noise, slope, slope.rotate(90))).save(path)
    return paths


def calibration_s() -> float:
    began_s = time.perf_counter()
    for number in range(5_000_000):
        number * number
    return round(time.perf_counter() - began_s, 2)


def memory_mb(process: psutil.Process) -> int:
    return int(sum(one.memory_info().rss for one in (process, *process.children(recursive=True))) // 1024**2)


def measure(stack: Stack, pictures: Sequence[Path]) -> dict[str, Any]:
    stack.python(
        "from django.contrib.auth.models import User\n"
        f"User.objects.create_superuser('admin', password={PASSWORD!r})\n"
        "from webui.nodes.adding import add_node\n"
        "from webui.nodes.stand_ins import stand_in_spec\n"
        "spec = stand_in_spec('i2v')\n"
        "result = add_node(spec.name, **spec.configuration()).pk"
    )
    stack.start_web()
    web = psutil.Process(stack.processes["web"].pid)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(base_url=stack.web_url, viewport={"width": 1280, "height": 900})
        page.set_default_timeout(PATIENCE_MS)
        log_in(page)
        found = _dropped(page, web, pictures) | _sent(page, len(pictures))
        browser.close()
    return found | {"web_after_submit_mb": memory_mb(web)}


def _dropped(page: Page, web: psutil.Process, pictures: Sequence[Path]) -> dict[str, Any]:
    page.add_init_script(WATCH)
    page.goto("/new/video/")
    page.get_by_label("Prompt", exact=True).fill("waves roll in")
    page.wait_for_timeout(2000)
    page.evaluate(
        "(number) => { document.body.dataset.wanted = number; window.seen = { task: 0, blocked: 0, frame: 0 }; }",
        len(pictures),
    )
    requests: Counter[str] = Counter()

    def count(request: Request) -> None:
        place = urlsplit(request.url).path
        what = "uploads" if place == "/inputs/" else "previews" if place == "/new/video/" else "others"
        requests["small pictures" if place.endswith("/thumb/") else what] += 1

    page.on("request", count)
    before_mb, began_s = memory_mb(web), time.perf_counter()
    page.get_by_label("Pictures", exact=True).set_input_files(pictures)
    listed_s = time.perf_counter() - began_s
    most_mb = before_mb
    while not page.evaluate(READY):
        most_mb = max(most_mb, memory_mb(web))
        page.wait_for_timeout(200)
    ready_s = time.perf_counter() - began_s
    seen = page.evaluate("window.seen")
    return {
        "listed_s": round(listed_s, 2),
        "ready_s": round(ready_s, 1),
        "requests": dict(requests),
        "longest_task_ms": round(seen["task"]),
        "all_long_tasks_ms": round(seen["blocked"]),
        "longest_without_a_frame_ms": round(seen["frame"]),
        "web_mb": {"before": before_mb, "most": most_mb, "after": memory_mb(web)},
    }


def _sent(page: Page, number: int) -> dict[str, Any]:
    began_s = time.perf_counter()
    page.locator(".submit-now").click()
    page.get_by_text(f"{number:,} jobs for {number:,} films were queued.").wait_for()
    return {"submitted_s": round(time.perf_counter() - began_s, 1)}


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.uploading", description=__doc__)
    parser.add_argument(
        "number", nargs="?", type=int, default=1_000, help="how many pictures (default: %(default)s)"
    )
    number = parser.parse_args(words).number
    with tempfile.TemporaryDirectory(prefix="stablenew-uploading-") as name:
        folder = Path(name)
        (pictures := folder / "pictures").mkdir()
        paths = make_pictures(pictures, number)
        size_kb = sum(path.stat().st_size for path in paths) // 1024 // number
        (data := folder / "data").mkdir()
        with shared_template(folder / "template") as template, template.copy(data) as database:
            stack = Stack(data, database, {})
            try:
                found = {"pictures": number, "each_kb": size_kb, "squares_s": calibration_s()}
                found |= measure(stack, paths)
                found["squares_after_s"] = calibration_s()
            finally:
                stack.stop()
                stack.sweep()
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()

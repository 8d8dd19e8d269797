"""A pack with a matrix and two stages becomes a queue that is paused, resumed and run to the last picture."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.stack import Stack
from tests.journeys.conftest import PASSWORD
from tests.journeys.site import Site

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

TEXT = "a [[beast]] in the mist\nneg: text\n\na quiet shore\nneg: people\n"
DOCUMENT = json.dumps(
    {
        "pack_data": {
            "name": "Beasts",
            "matrix": {
                "enabled": True,
                "mode": "fanout",
                "slots": [{"name": "beast", "values": ["heron", "stag"]}],
            },
        },
        "preset_data": {
            "txt2img": {"steps": 4, "width": 256, "height": 192},
            "upscale": {"upscaler": "R-ESRGAN 4x+", "upscaling_resize": 2},
            "pipeline": {"upscale_enabled": True},
        },
    }
)
PROMPTS = ["a heron in the mist", "a stag in the mist", "a quiet shore"]


def check_results(stack: Stack) -> None:
    """Three jobs in the order of the pack, each with both stages, and the WebUI was asked in that order."""
    jobs = [stack.job(job_id) for job_id in (1, 2, 3)]
    assert [job["summary"]["positive_prompt_preview"] for job in jobs] == PROMPTS
    for job in jobs:
        assert job["status"] == "COMPLETED"
        sizes = [(output["stage"], output["width"], output["height"]) for output in job["outputs"]]
        assert sizes == [("txt2img", 256, 192), ("upscale", 512, 384)]
        assert all(Path(output["path"]).is_file() for output in job["outputs"])
    assert [line["path"].rpartition("/")[2] for line in stack.posts()] == [
        "txt2img",
        "extra-single-image",
    ] * 3
    ledger = stack.status()["ledger"]
    assert (ledger["submitted"], ledger["completed"]) == (3, 3)


def test_pack_queue_run_through_http(running: Stack) -> None:
    site = Site(running.web_url)
    site.log_in("admin", PASSWORD)
    site.send("/queue/pause/", reason="first look at it")
    assert "first look at it" in site.page

    site.get("/packs/")
    files = [("pack_files", ("beasts.txt", TEXT)), ("pack_files", ("beasts.json", DOCUMENT))]
    site.send("/packs/import/", files=files)
    site.send("/dry-run/")
    assert "Submit 3 jobs" in site.page
    site.send("/submit/")
    running.wait_ledger(queued=3)
    assert running.posts() == []

    site.get("/")
    site.send("/queue/resume/")
    running.wait_ledger(completed=3)
    check_results(running)
    site.get("/history/")
    assert len(site.links(r"/jobs/\d+/")) == 3
    site.get("/jobs/3/")
    for output in site.links(r"/outputs/\d+/"):
        assert site.picture(output).startswith(b"\x89PNG")


@pytest.mark.browser
def test_pack_queue_run_through_a_browser(running: Stack, page: Page, tmp_path: Path) -> None:
    (tmp_path / "beasts.txt").write_text(TEXT)
    (tmp_path / "beasts.json").write_text(DOCUMENT)
    page.goto("/")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_label("Why pause?").fill("first look at it")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("first look at it").first).to_be_visible()

    page.get_by_role("link", name="Packs", exact=True).click()
    page.get_by_label("Pack files").set_input_files([tmp_path / "beasts.txt", tmp_path / "beasts.json"])
    page.get_by_role("button", name="Import").click()
    page.get_by_role("button", name="Submit 3 jobs").click()
    page.get_by_role("link", name="Watch the queue").click()
    expect(
        page.get_by_role("link", name="Job 3").first.or_(page.locator("a[href='/jobs/3/']").first)
    ).to_be_visible()
    assert running.posts() == []

    page.get_by_role("button", name="Resume").click()
    running.wait_ledger(completed=3)
    # The queue page shows the end by itself.
    expect(page.locator("a[href='/jobs/3/']").first).to_be_visible()
    page.locator("a[href='/jobs/3/']").first.click()
    for stage in ("txt2img", "upscale"):
        picture = page.get_by_role("img", name=f"Picture 1 of {stage}")
        expect(picture).to_be_visible()
        assert picture.evaluate("async img => { await img.decode(); return img.naturalWidth; }") in (256, 512)
    check_results(running)

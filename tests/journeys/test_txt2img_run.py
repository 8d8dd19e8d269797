"""From login to a finished picture: one row, txt2img, through plain HTTP and through a browser."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.e2e.stack import Stack
from tests.journeys.conftest import PASSWORD
from tests.journeys.site import Site

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

TEXT = "a stone bridge over a winter river\nneg: people\n"
OPTIONS = "txt2img.steps=4\ntxt2img.width=384\ntxt2img.height=256"


def check_result(stack: Stack, shown: bytes) -> None:
    """The picture that the page showed is the recorded one, and the WebUI was asked exactly once."""
    job = stack.job(1)
    assert job["status"] == "COMPLETED"
    [output] = job["outputs"]
    assert (output["stage"], output["width"], output["height"]) == ("txt2img", 384, 256)
    assert hashlib.sha256(shown).hexdigest() == output["sha256"]
    assert Path(output["path"]).read_bytes() == shown
    with Image.open(io.BytesIO(shown)) as picture:
        assert picture.size == (384, 256)
        assert picture.info["parameters"] == output["infotext"]
        assert "a stone bridge over a winter river" in output["infotext"]
    assert len(stack.posts()) == 1


def test_txt2img_run_through_http(running: Stack) -> None:
    site = Site(running.web_url)
    site.log_in("admin", PASSWORD)
    assert "Simulated" in site.page

    site.get("/packs/")
    site.send("/packs/import/", files={"pack_files": ("bridge.txt", TEXT)})
    assert "1 row" in site.page
    assert "a stone bridge over a winter river" in site.page

    site.send("/dry-run/", overrides=OPTIONS, seed="11")
    assert "Submit 1 job" in site.page
    assert running.status()["ledger"]["submitted"] == 0

    site.send("/submit/")
    [job] = site.links(r"/jobs/\d+/")
    running.wait_job(1, "COMPLETED")
    site.get(job)
    assert "COMPLETED" in site.page
    [output] = site.links(r"/outputs/\d+/")
    check_result(running, site.picture(output))
    site.get("/history/")
    assert job in site.links(r"/jobs/\d+/")


@pytest.mark.browser
def test_txt2img_run_through_a_browser(running: Stack, page: Page, tmp_path: Path) -> None:
    pack = tmp_path / "bridge.txt"
    pack.write_text(TEXT)
    page.goto("/")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text("Simulated.")).to_be_visible()

    page.get_by_role("link", name="Packs", exact=True).click()
    page.get_by_label("Pack files").set_input_files(pack)
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_role("heading", name="bridge")).to_be_visible()
    page.get_by_label("Settings", exact=True).fill(OPTIONS)
    page.get_by_label("Seed", exact=True).fill("11")
    page.get_by_role("button", name="Dry run").click()
    page.get_by_role("button", name="Submit 1 job").click()

    page.get_by_role("link", name="Job 1", exact=True).click()
    # The page polls: nobody reloads it while the job runs and ends.
    expect(page.get_by_role("heading", name=re.compile("Job 1.*completed", re.IGNORECASE))).to_be_visible()
    picture = page.get_by_role("img", name="Picture 1 of txt2img")
    expect(picture).to_be_visible()
    # The page shows it small; the viewer shows the very file.
    assert picture.evaluate("async img => { await img.decode(); return img.naturalWidth; }") == 256
    picture.click()
    expect(page).to_have_url(re.compile(r"/pictures/\d+/$"))
    drawn = picture.evaluate(
        "async img => { await img.decode(); return [img.naturalWidth, img.naturalHeight]; }"
    )
    assert drawn == [384, 256]
    address = picture.get_attribute("src")
    assert address
    check_result(running, page.request.get(address).body())

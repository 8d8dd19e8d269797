"""What nodes lack, on the pages: in the preview with its choices, on held jobs, and the way out of a hold."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from jobs.lifecycle import EventType
from jobs.models import Job, LifecycleEvent, PackRevision, Submission
from jobs.queue.fitness import recompute_lacks
from tests.factories import make_node, make_pack, make_runner, make_user, store_catalog, submit
from tests.integration.chromium import CHROMIUM
from tests.markup import markup
from webui.models import NodeCatalog
from webui.work.catalog import Thing

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = "<lora:foo:1>\na keep\nneg: low\n\na moat\nneg: low\n\n<lora:foo:1>\na tower\nneg: low\n"
HTMX = {"HX-Request": "true"}
FOUND = "LoRA foo is on no node: 2 records, rows 1, 3 of harbour."


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(make_user("otto", operator=True))
    return client


@pytest.fixture
def revision() -> PackRevision:
    """A pack of which one node is known not to have what two of its three rows need."""
    node = make_node("poor")
    make_runner(node)
    store_catalog(node, {Thing.LORA: ["bar"]})
    return make_pack("harbour", ROWS)


def asked(revision: PackRevision, **fields: str) -> dict[str, str]:
    return {"revision": str(revision.pk), "seed": "4", "key": "k", **fields}


def test_preview_tells_what_is_missing_and_offers_the_choice(
    operator: Client, revision: PackRevision
) -> None:
    text = markup(operator.post(reverse("pack-dry-run"), asked(revision), headers=HTMX))
    assert "No node can run 2 of 3 records." in text
    assert FOUND in text
    assert 'name="on_missing" value="leave-out"' in text
    assert 'name="on_missing" value="anyway"' in text


def test_preview_without_anything_missing_offers_no_choice(operator: Client) -> None:
    text = markup(operator.post(reverse("pack-dry-run"), asked(make_pack("harbour", ROWS)), headers=HTMX))
    assert "on_missing" not in text
    assert "Submit 3 jobs" in text
    assert "There is no node for these records yet" in text


def test_submitting_without_a_choice_is_refused_and_shows_the_choice(
    operator: Client, revision: PackRevision
) -> None:
    answer = operator.post(reverse("pack-submit"), asked(revision))
    assert answer.status_code == 409
    assert f"Nothing was queued: {FOUND}" in markup(answer)
    assert 'value="leave-out"' in markup(answer)
    assert not Submission.objects.exists()


@pytest.mark.parametrize(("choice", "jobs"), [("leave-out", 1), ("anyway", 3)])
def test_the_choice_is_done(operator: Client, revision: PackRevision, choice: str, jobs: int) -> None:
    assert operator.post(reverse("pack-submit"), asked(revision, on_missing=choice)).status_code == 302
    made = Submission.objects.get()
    assert (made.job_count, made.runs_anyway) == (jobs, choice == "anyway")
    page = markup(operator.get(reverse("submission", args=[made.pk])))
    assert ("runs whatever nodes lack" in page) == made.runs_anyway


def test_a_choice_is_not_carried_into_the_next_preview(operator: Client, revision: PackRevision) -> None:
    text = markup(operator.post(reverse("pack-dry-run"), asked(revision, on_missing="anyway"), headers=HTMX))
    assert '<input type="hidden" name="on_missing"' not in text


@pytest.fixture
def held() -> list[int]:
    node = make_node("poor")
    make_runner(node)
    ids = list(submit(make_pack("harbour", ROWS)).job_ids)
    store_catalog(node, {Thing.LORA: ["bar"]})
    recompute_lacks(node.pk)
    return ids


def test_home_page_rows_and_job_tell_the_hold(operator: Client, held: list[int]) -> None:
    home = markup(operator.get(reverse("queue")))
    assert "2 jobs are held: no node has LoRA foo." in home
    assert home.count("Held: poor does not have LoRA foo.") == 2
    assert "3 queued" in home
    job = markup(operator.get(reverse("job-account", args=[held[0]])))
    assert "It is held: poor does not have LoRA foo." in job
    assert "Run it anyway" in job
    free = markup(operator.get(reverse("job-account", args=[held[1]])))
    assert "is held" not in free


def test_home_page_says_that_nothing_runs_because_all_is_held(operator: Client, held: list[int]) -> None:
    words = "Nothing is running, because every job that waits is held."
    assert words not in markup(operator.get(reverse("queue")))
    operator.post(reverse("job-cancel", args=[held[1]]))
    assert words in markup(operator.get(reverse("queue")))


def test_a_person_reads_the_lists_again_or_lets_the_job_run(operator: Client, held: list[int]) -> None:
    operator.post(reverse("lists-refresh"))
    assert NodeCatalog.objects.get().wanted_because == "otto asked"
    operator.post(reverse("bulk-ask"), {"job": held[0], "verb": "anyway"})
    assert Job.objects.get(pk=held[0]).needs_id is None
    assert LifecycleEvent.objects.get(event_type=EventType.RUNS_ANYWAY).data["by"] == "otto"
    page = markup(operator.get(reverse("job", args=[held[0]])))
    assert "otto lets it run anyway" in page


def test_a_viewer_may_neither_read_lists_nor_let_jobs_run(client: Client, held: list[int]) -> None:
    client.force_login(make_user("vera"))
    assert client.post(reverse("lists-refresh")).status_code == 403
    assert client.post(reverse("bulk-ask"), {"job": held[0], "verb": "anyway"}).status_code == 403
    assert "Run them anyway" not in markup(client.get(reverse("queue")))


# --- in a browser -------------------------------------------------------------------------------------------


@pytest.fixture
def page(browser: Browser, live_server: LiveServer, operator: Client) -> Iterator[Page]:
    context = browser.new_context(base_url=live_server.url, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(20_000)
    context.add_cookies(
        [{"name": "sessionid", "value": operator.cookies["sessionid"].value, "url": live_server.url}]
    )
    yield context.new_page()
    context.close()


in_browser = pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium at /usr/bin/chromium")


@pytest.mark.browser
@in_browser
def test_records_are_left_out_by_one_press(page: Page, revision: PackRevision) -> None:
    page.goto(reverse("pack", args=[revision.pack_id]))
    expect(page.get_by_text(FOUND)).to_be_visible()
    page.get_by_role("button", name="Leave 2 out, submit 1 job").click()
    expect(page.get_by_text("1 job for 1 picture was queued.")).to_be_visible()


@pytest.mark.browser
@in_browser
def test_all_held_jobs_are_let_run_from_the_home_page(page: Page, held: list[int]) -> None:
    page.goto(reverse("queue"))
    page.get_by_role("button", name="Run them anyway…").click()
    expect(page.get_by_role("heading", name="Run 2 held jobs anyway?")).to_be_visible()
    page.get_by_role("button", name="Run 2 held jobs anyway").click()
    expect(page.get_by_text("2 held jobs will run anyway.")).to_be_visible()
    expect(page.get_by_text("Held:")).to_have_count(0)
    assert set(Job.objects.filter(pk__in=(held[0], held[2])).values_list("needs_id", flat=True)) == {None}

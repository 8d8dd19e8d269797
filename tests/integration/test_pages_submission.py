"""The page of a submission: how far it is, its jobs, and cancelling what still waits of it."""

from __future__ import annotations

import html
import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from jobs.building.builder import BuildOptions, build
from jobs.bulk import acts
from jobs.lifecycle import JobStatus
from jobs.models import BulkAction, Job
from jobs.reading import submissions
from jobs.submitting.reruns import rerun
from jobs.submitting.submission import BuiltPack, Submitted, source_of, submit_packs
from tests.factories import make_node, make_pack, make_runner, make_user, submit
from tests.integration.finished_jobs import complete, fail
from tests.integration.questions import START, confirm, hidden
from tests.markup import markup

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(make_user("otto", operator=True))
    return client


def page(client: Client, made: Submitted, query: str = "") -> str:
    answer = client.get(reverse("submission", args=[made.submission.pk]) + query)
    assert answer.status_code == 200
    return html.unescape(markup(answer))


def counts(shown: str) -> dict[str, str]:
    return dict(re.findall(r"</svg>(\w+)</span>\s*<strong>([\d,]+)</strong>", shown))


@pytest.fixture
def begun() -> Submitted:
    """Five jobs of two pictures each: two completed, one failed, two that wait; and a rerun, which is not of it."""
    document = '{"preset_data": {"pipeline": {"images_per_prompt": 2}}}'
    made = submit(make_pack("castles", document=document), repeat=5)
    runner = make_runner(make_node())
    done = [complete(runner, pictures=2), complete(runner, pictures=2)]
    fail(runner)
    rerun([done[0].pk], by="ada")
    return made


def test_progress_counts_its_own_jobs_by_status_and_its_pictures(operator: Client, begun: Submitted) -> None:
    shown = page(operator, begun)
    assert "3 of 5 jobs ended" in shown
    assert "4 pictures so far" in shown
    assert counts(shown) == {"Queued": "2", "Completed": "2", "Failed": "1"}
    assert '<progress max="5" value="3"' in shown
    assert shown.count('alt="Picture of job') == 2


def test_numbers_with_gaps_are_counted_the_same(
    operator: Client, begun: Submitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_range = counts(page(operator, begun))
    monkeypatch.setattr(submissions, "_ends", lambda submission_id: (1, 10**9))
    assert counts(page(operator, begun)) == with_range


def test_jobs_are_listed_by_status_in_pages(
    operator: Client, begun: Submitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = Job.objects.get(status=JobStatus.FAILED)
    only = page(operator, begun, "?status=FAILED")
    assert re.findall(r'href="/jobs/(\d+)/"[^>]*data-open', only) == [str(failed.pk)]
    monkeypatch.setattr(submissions, "JOBS_SHOWN", 2)
    first = page(operator, begun)
    assert re.findall(r'href="/jobs/(\d+)/"[^>]*data-open', first) == [str(pk) for pk in begun.job_ids[:2]]
    assert f"?after={begun.job_ids[1]}#jobs-head" in first
    last = page(operator, begun, f"?after={begun.job_ids[3]}")
    assert re.findall(r'href="/jobs/(\d+)/"[^>]*data-open', last) == [str(begun.job_ids[4])]
    assert "No job of this submission is running now." in page(operator, begun, "?status=RUNNING")


def test_unchanged_poll_is_empty_and_a_changed_one_brings_the_progress(
    operator: Client, begun: Submitted
) -> None:
    url = reverse("submission-live", args=[begun.submission.pk])
    version = re.search(r'data-version="(\d+)"', page(operator, begun))
    assert version
    answer = operator.get(url, {"version": version[1]})
    assert (answer.status_code, answer.content) == (204, b"")
    complete(make_runner(make_node()), pictures=2)
    assert "4 of 5 jobs ended" in markup(operator.get(url, {"version": version[1]}))


def test_poll_stops_when_all_jobs_ended(operator: Client) -> None:
    made = submit()
    assert "hx-get" in page(operator, made)
    complete(make_runner(make_node()))
    shown = page(operator, made)
    assert "All 1 job ended" in shown
    assert "data-poll" not in shown.split('id="submission-live"')[1].split(">")[0]


def test_page_and_poll_cost_the_same_queries_for_any_number_of_jobs(operator: Client) -> None:
    runner = make_runner(make_node())
    few, many = submit(repeat=2), submit(repeat=12)
    for _ in range(2):
        complete(runner)
    for _ in range(6):
        complete(runner)
    for name in ("submission", "submission-live"):
        found = []
        for made in (few, many):
            url = reverse(name, args=[made.submission.pk])
            operator.get(url)
            with CaptureQueriesContext(connection) as queries:
                operator.get(url)
            found.append(len(queries))
        assert found[0] == found[1], name


def test_cancel_says_the_number_first_and_changes_nothing_before_the_answer(
    operator: Client, begun: Submitted
) -> None:
    url = reverse("submission-cancel", args=[begun.submission.pk])
    asked = markup(operator.post(url))
    assert "Cancel 2 waiting jobs?" in asked
    assert not Job.objects.filter(status=JobStatus.CANCELLED).exists()


def test_cancel_ends_what_waits_of_this_submission_alone(operator: Client, begun: Submitted) -> None:
    other = submit()
    url = reverse("submission-cancel", args=[begun.submission.pk])
    assert "All 5 jobs ended" in confirm(operator, operator.post(url))
    assert Job.objects.filter(status=JobStatus.CANCELLED).count() == 2
    assert Job.objects.get(pk=other.job_ids[0]).status == JobStatus.QUEUED
    assert "nothing was done" in markup(operator.post(url, follow=True))


def test_cancel_of_many_goes_on_on_the_page_of_the_act(
    operator: Client, begun: Submitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acts, "CHUNK", 1)
    asked = operator.post(reverse("submission-cancel", args=[begun.submission.pk]))
    answer = operator.post(START, hidden(markup(asked)))
    act = BulkAction.objects.get()
    assert answer["Location"].startswith(reverse("bulk", args=[act.pk]))
    assert (act.total, act.asked_by) == (2, "otto")


def test_viewer_is_offered_no_cancel(client: Client, begun: Submitted) -> None:
    client.force_login(make_user())
    assert "submission-cancel" not in page(client, begun)
    assert reverse("submission-cancel", args=[begun.submission.pk]) not in page(client, begun)


def test_submission_of_several_packs_counts_the_pictures_of_each(operator: Client) -> None:
    packs = [make_pack(), make_pack(document='{"preset_data": {"pipeline": {"images_per_prompt": 3}}}')]
    options = BuildOptions(build_seed=1)
    made = submit_packs([BuiltPack(pack, build(source_of(pack), options)) for pack in packs])
    runner = make_runner(make_node())
    complete(runner)
    complete(runner, pictures=3)
    shown = page(operator, made)
    assert ">4 pictures</span>" in shown
    assert all(pack.pack.name in shown for pack in packs)


def test_unknown_submission_is_not_found(operator: Client) -> None:
    assert operator.get(reverse("submission", args=[77])).status_code == 404

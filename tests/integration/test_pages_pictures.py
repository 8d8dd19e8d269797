"""The viewer: one picture large, with what stands before and after it in its job and in the history."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import Settings

from jobs.lifecycle import EventType, JobStatus
from jobs.models import Job, OutputImage
from jobs.queue.filters import JobFilter
from jobs.queue.moves import move_job
from jobs.reading.pictures import picture_detail
from jobs.running.outputs import output_root
from tests.factories import make_job, make_pack, make_runner, make_user, submit
from tests.integration.finished_jobs import add_picture, claim, complete, fail
from tests.markup import markup

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def folders(settings: Settings, tmp_path: Path) -> None:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(make_user("vera"))
    return client


def page(client: Client, output_id: int, query: str = "") -> str:
    answer = client.get(reverse("picture", args=[output_id]) + query)
    assert answer.status_code == 200
    return html.unescape(markup(answer))


def walk(output_id: int, chosen: JobFilter, *, back: bool = False) -> list[int]:
    """Pictures that follow by the arrow, in order."""
    seen: list[int] = []
    while True:
        detail = picture_detail(output_id, chosen)
        assert detail is not None
        neighbour = detail.before if back else detail.after
        if neighbour is None:
            return seen
        output_id = neighbour.output_id
        seen.append(output_id)


def pictures_of(job: Job) -> list[int]:
    return list(OutputImage.objects.filter(job=job).order_by("image_index").values_list("pk", flat=True))


def test_viewer_shows_the_picture_its_infotext_and_what_can_be_done_with_it(viewer: Client) -> None:
    job = make_job()
    complete(make_runner())
    output = OutputImage.objects.get()
    text = page(viewer, output.pk)
    assert f'<img src="/outputs/{output.pk}/?v={output.sha256[:12]}" width="64" height="48"' in text
    assert output.infotext in text
    assert '<span class="mono" id="seed">7</span>' in text
    assert 'data-copy="#seed"' in text
    assert re.search(r'id="prompt">a lighthouse on a cliff, evening light<', text)
    assert 'data-copy="#prompt"' in text
    assert f'href="/outputs/{output.pk}/?download=1"' in text
    assert f'href="{reverse("job", args=[job.pk])}"' in text
    assert "64 × 48" in text


def test_arrows_lead_through_the_job_and_on_to_its_neighbours_in_the_history() -> None:
    runner = make_runner()
    submit(repeat=4)
    oldest, older, newer = complete(runner, pictures=2), complete(runner), complete(runner, pictures=3)
    in_order = [*pictures_of(newer), *pictures_of(older), *pictures_of(oldest)]
    assert walk(in_order[0], JobFilter()) == in_order[1:]
    assert walk(in_order[-1], JobFilter(), back=True) == in_order[-2::-1]


def test_arrows_show_the_last_stage_first() -> None:
    make_job()
    claimed = claim(make_runner())
    first, second = add_picture(claimed), add_picture(claimed)
    upscaled = OutputImage(
        **{f.name: getattr(first, f.name) for f in OutputImage._meta.fields if f.name != "id"}
    )
    upscaled.stage, upscaled.stage_index = "upscale", 1
    upscaled.save(force_insert=True)
    assert walk(upscaled.pk, JobFilter()) == [first.pk, second.pk]


def test_arrows_pass_over_jobs_without_pictures_and_over_pictures_of_an_earlier_take() -> None:
    runner = make_runner()
    submit(repeat=4)
    old = complete(runner)
    fail(runner)
    again = claim(runner)
    superseded = add_picture(again)
    Job.objects.filter(pk=again.job_id).update(take=2)
    new = complete_it(again.job_id)
    assert new.take == 2
    newest = complete(runner)
    assert walk(pictures_of(newest)[0], JobFilter()) == pictures_of(old)
    detail = picture_detail(superseded.pk, JobFilter())
    assert detail is not None
    assert detail.is_superseded


def complete_it(job_id: int) -> Job:
    token = Job.objects.get(pk=job_id).run_token
    return move_job(job_id, JobStatus.COMPLETED, event=EventType.COMPLETED, run_token=token)


def test_arrows_keep_to_the_filter_of_the_history(viewer: Client) -> None:
    runner = make_runner()
    castles, boats = make_pack("castles"), make_pack("boats")
    jobs = []
    for revision in (castles, boats, castles):
        submit(revision)
        jobs.append(complete(runner))
    [first], [_], [last] = map(pictures_of, jobs)
    assert walk(last, JobFilter(pack="castles")) == [first]
    text = page(viewer, last, "?pack=castles&nonsense=1")
    assert f'href="/pictures/{first}/?pack=castles" rel="next" data-key="j"' in text
    assert f'href="/pictures/{first}/?pack=castles" data-key="ArrowRight"' in text
    assert 'href="/history/?pack=castles"' in text
    assert 'rel="prev"' not in text


def test_pictures_of_a_running_job_have_neighbours_in_that_job_only() -> None:
    runner = make_runner()
    submit(repeat=2)
    complete(runner)
    claimed = claim(runner)
    first, second = add_picture(claimed), add_picture(claimed)
    assert walk(first.pk, JobFilter()) == [second.pk]


def test_query_count_does_not_grow_with_pictures_and_jobs(viewer: Client) -> None:
    runner = make_runner()
    submit(repeat=6)
    for number in (1, 1, 1, 9, 1, 1):
        complete(runner, pictures=number)
    jobs = list(Job.objects.order_by("finished_at"))

    def count(output_id: int) -> int:
        page(viewer, output_id)
        with CaptureQueriesContext(connection) as caught:
            page(viewer, output_id)
        return len(caught)

    # The one stands between two jobs; the other has neighbours in its own job, which saves their queries.
    alone, among_many = pictures_of(jobs[1])[0], pictures_of(jobs[3])[4]
    assert count(among_many) < count(alone) < 18


def test_words_of_prompts_and_infotexts_are_text_and_never_markup(viewer: Client) -> None:
    submit(make_pack(text="a <b>castle</b>\n"))
    claimed = claim(make_runner())
    output = add_picture(claimed, infotext="<script>alert(1)</script>")
    raw = markup(viewer.get(reverse("picture", args=[output.pk])))
    assert "<script>alert" not in raw
    assert "<b>castle" not in raw


def test_viewer_says_when_the_file_is_gone_and_offers_no_download(viewer: Client) -> None:
    make_job()
    complete(make_runner())
    output = OutputImage.objects.get()
    assert "file is gone" not in page(viewer, output.pk)
    (output_root() / output.path).unlink()
    text = page(viewer, output.pk)
    assert "The picture's file is gone:" in text
    assert "download=1" not in text

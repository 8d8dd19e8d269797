"""The page of one job, and the pictures that the database knows."""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection
from django.http import FileResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import Settings

from diagnostics.explaining.explain import account_of
from jobs.lifecycle import EventType, JobStatus
from jobs.models import Job, OutputImage, Runner
from jobs.queue.moves import move_job
from jobs.reading.detail import job_version
from jobs.running.outputs import output_root
from tests.factories import make_job, make_pack, make_runner, make_running_job, make_user, submit
from tests.integration.finished_jobs import add_picture, claim, complete, fail, show_preview
from tests.markup import markup

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def own_folder(settings: Settings, tmp_path: Path) -> None:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"
    settings.STABLENEW_PREVIEW_DIR = tmp_path / "previews"


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(make_user("vera"))
    return client


def page(client: Client, job: Job) -> str:
    answer = client.get(reverse("job", args=[job.pk]))
    assert answer.status_code == 200
    return html.unescape(markup(answer))


def body(answer: object) -> bytes:
    assert isinstance(answer, FileResponse)
    return b"".join(answer.streaming_content)  # type: ignore[arg-type]


def test_completed_job_shows_pictures_events_record_and_its_recomputed_hash(viewer: Client) -> None:
    runner = make_runner()
    job = make_job()
    complete(runner, pictures=2)
    text = page(viewer, job)
    assert account_of(job.pk).headline.startswith(f"It made 2 pictures on {runner.node.name} in ")
    for row in OutputImage.objects.all():
        assert f'href="/pictures/{row.pk}/"' in text
        assert (
            f'src="/outputs/{row.pk}/thumb/?v={row.sha256[:12]}" width="64" height="48" loading="lazy"'
            in text
        )
    assert [word for word in ("Submitted", "Queued", "Running") if f"<strong>{word}</strong>" in text] == [
        "Submitted",
        "Queued",
        "Running",
    ]
    assert hashlib.sha256(job.record.canonical_json.encode()).hexdigest() in text
    assert "unchanged since it was submitted" in text
    assert json.dumps(json.loads(job.record.canonical_json), indent=2, ensure_ascii=False) in text


def test_failed_job_shows_the_envelope_and_what_to_do(viewer: Client) -> None:
    runner = make_runner()
    job = make_job()
    fail(runner)
    text = page(viewer, job)
    assert account_of(job.pk).headline.startswith(f"It failed in txt2img on {runner.node.name} with ")
    job.refresh_from_db()
    assert job.error is not None
    assert job.error["message"] in text
    assert job.error["code"] in text
    assert job.error["remediation"] in text


def test_page_pulls_the_account_and_keeps_a_link_for_browsers_without_scripts(viewer: Client) -> None:
    job = make_job()
    address = reverse("job-account", args=[job.pk])
    text = page(viewer, job)
    assert f'hx-get="{address}" hx-trigger="load"' in text
    assert f'href="{address}"' in text
    # The poll of the page must not blink it away.
    assert 'id="job-account" class="account-place" hx-preserve="true"' in text
    assert account_of(job.pk).headline in html.unescape(markup(viewer.get(address)))


def test_running_job_is_live_and_an_ended_one_is_not(viewer: Client) -> None:
    job, claimed = make_running_job()
    url = reverse("job-live", args=[job.pk])
    assert 'hx-trigger="every 1s' in page(viewer, job)
    version = job_version(job.pk)
    assert viewer.get(f"{url}?version={version}", headers=HTMX).status_code == 204
    Runner.objects.filter(pk=claimed.runner_id).update(progress_version=4)
    assert viewer.get(f"{url}?version={version}", headers=HTMX).status_code == 200
    version = job_version(job.pk)
    move_job(job.pk, JobStatus.COMPLETED, event=EventType.COMPLETED, run_token=claimed.run_token)
    answer = viewer.get(f"{url}?version={version}", headers=HTMX)
    assert "every " not in markup(answer)


def test_query_count_does_not_grow_with_pictures_and_events(viewer: Client) -> None:
    runner = make_runner()
    submit(repeat=2)
    small, large = complete(runner, pictures=1), complete(runner, pictures=12)

    def count(job: Job) -> int:
        page(viewer, job)
        with CaptureQueriesContext(connection) as caught:
            page(viewer, job)
        return len(caught)

    assert count(small) == count(large) < 15


def test_prompt_layers_tell_which_words_came_from_where(viewer: Client) -> None:
    submit(make_pack(text="a castle\n<lora:stone:0.5>\nneg: blurry\n"), global_negative="lowres")
    text = page(viewer, Job.objects.get())
    positive, negative = text.split("<h3>Positive</h3>")[1].split("<h3>Negative</h3>")
    told = '<li><span class="soft">{}</span><span class="prompt-text">{}</span></li>'
    assert told.format("row of the pack", "a castle") in positive
    assert told.format("LoRAs of the row", "<lora:stone:0.5>") in positive
    assert told.format("global prompt", "lowres") in negative
    assert told.format("row of the pack", "blurry") in negative


def test_ended_job_runs_again_from_the_same_record(client: Client) -> None:
    client.force_login(make_user(operator=True))
    make_job()
    old = complete(make_runner())
    address = reverse("job-rerun", args=[old.pk])
    assert address in page(client, old)
    answer = client.post(address)
    new = Job.objects.get(rerun_of=old)
    assert answer["Location"] == reverse("job", args=[new.pk])
    assert new.record_id == old.record_id
    assert address not in page(client, new)
    answer = client.post(reverse("job-rerun", args=[new.pk]), follow=True)
    assert "only finished jobs can be run again" in markup(answer)
    assert Job.objects.count() == 2


def test_unknown_job_is_a_clear_404(viewer: Client) -> None:
    answer = viewer.get(reverse("job", args=[4711]))
    assert answer.status_code == 404
    assert "There is no job 4711." in markup(answer)


def test_picture_is_served_as_the_very_file(viewer: Client) -> None:
    make_job()
    complete(make_runner())
    row = OutputImage.objects.get()
    answer = viewer.get(reverse("output", args=[row.pk]), {"v": row.sha256[:12]})
    assert hashlib.sha256(body(answer)).hexdigest() == row.sha256
    assert answer["Content-Type"] == "image/png"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "private" in answer["Cache-Control"]
    assert "max-age=31536000" in answer["Cache-Control"]
    assert answer["Content-Disposition"] == f'inline; filename="job-{row.job_id}-txt2img-1.png"'


def test_picture_that_is_gone_from_disk_says_so(viewer: Client) -> None:
    make_job()
    complete(make_runner())
    row = OutputImage.objects.get()
    (output_root() / row.path).unlink()
    answer = viewer.get(reverse("output", args=[row.pk]))
    assert answer.status_code == 404
    assert "is gone: it was moved or deleted" in markup(answer)


def outside(folder: Path) -> str:
    secret = folder.parent / "secret.png"
    secret.write_bytes(b"secret")
    return "../secret.png"


def absolute(folder: Path) -> str:
    secret = folder.parent / "absolute.png"
    secret.write_bytes(b"secret")
    return str(secret)


def linked(folder: Path) -> str:
    secret = folder.parent / "linked.png"
    secret.write_bytes(b"secret")
    folder.mkdir(exist_ok=True)
    (folder / "link.png").symlink_to(secret)
    return "link.png"


@pytest.mark.parametrize("escape", [outside, absolute, linked])
def test_picture_outside_the_output_folder_is_never_served(
    viewer: Client, escape: Callable[[Path], str]
) -> None:
    make_job()
    folder = output_root()
    folder.mkdir(parents=True, exist_ok=True)
    row = add_picture(claim(make_runner()), path=escape(folder))
    assert viewer.get(reverse("output", args=[row.pk])).status_code == 404


def test_file_without_a_row_has_no_address(viewer: Client) -> None:
    make_job()
    complete(make_runner())
    row = OutputImage.objects.get()
    assert viewer.get(f"/outputs/{row.path}").status_code == 404
    assert viewer.get(reverse("output", args=[row.pk + 1])).status_code == 404


def test_file_that_is_no_picture_is_handed_out_and_not_shown(viewer: Client) -> None:
    make_job()
    folder = output_root()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "page.html").write_text("<script>alert(1)</script>")
    row = add_picture(claim(make_runner()), path="page.html")
    answer = viewer.get(reverse("output", args=[row.pk]))
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"].startswith("attachment")


def test_actions_are_those_that_apply_now(client: Client) -> None:
    client.force_login(make_user(operator=True))
    runner = make_runner()
    submit(repeat=3)
    failed, done = fail(runner), complete(runner)
    waiting = Job.objects.get(status=JobStatus.QUEUED)

    def verbs(job: Job) -> list[str]:
        return re.findall(r'name="verb" value="(\w+)"', page(client, job))

    assert verbs(waiting) == ["front", "back", "priority"]
    assert f'hx-confirm="Cancel job {waiting.pk}? It will not run."' in page(client, waiting)
    assert verbs(failed) == ["dismiss"]
    assert verbs(done) == []
    assert "/cancel/" not in page(client, done)
    # Somebody dealt with it.
    Job.objects.filter(pk=failed.pk).update(needs_attention=False)
    assert verbs(failed) == []
    claimed = claim(runner)
    assert verbs(waiting) == []
    assert "its request is interrupted" in page(client, waiting).lower()
    client.force_login(make_user("vera"))
    assert "/cancel/" not in page(client, waiting)
    assert claimed.job_id == waiting.pk


def test_page_leads_to_the_jobs_that_repeat_it_and_to_the_one_it_repeats(client: Client) -> None:
    client.force_login(make_user(operator=True))
    make_job()
    old = complete(make_runner())
    client.post(reverse("job-rerun", args=[old.pk]))
    new = Job.objects.get(rerun_of=old)
    assert f'ran again as <a href="/jobs/{new.pk}/">job {new.pk}</a>' in page(client, old)
    assert f'repeats <a href="/jobs/{old.pk}/">job {old.pk}</a>' in page(client, new)


def test_answers_of_a_job_carry_a_number_that_only_grows(viewer: Client) -> None:
    job, claimed = make_running_job()

    def order() -> int:
        found = re.search(r'data-version="(\d+)"', page(viewer, job))
        assert found
        return int(found[1])

    seen = [order()]
    Runner.objects.filter(pk=claimed.runner_id).update(progress_version=90)
    seen.append(order())
    move_job(job.pk, JobStatus.COMPLETED, event=EventType.COMPLETED, run_token=claimed.run_token)
    seen.append(order())
    assert seen == sorted(set(seen))


def test_running_job_shows_the_picture_in_the_making(viewer: Client) -> None:
    job, claimed = make_running_job()
    assert 'class="preview"' not in page(viewer, job)
    show_preview(claimed.runner, claimed, number=77)
    assert f'<img class="preview" src="/nodes/{claimed.node_id}/preview/?v=77"' in page(viewer, job)

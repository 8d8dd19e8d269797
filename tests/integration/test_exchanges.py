"""What was sent for a job and what came back: the very requests, made again from the record."""

from __future__ import annotations

import html
import json
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import Settings

from diagnostics.explaining.exchanges import exchanges_of
from jobs.lifecycle import JobStatus
from jobs.models import Job, StageAttempt
from jobs.running.outputs import output_root
from jobs.truth.outcomes import FieldVerdict
from tests.factories import make_job, make_node, make_pack, make_runner, make_running_job, make_user, submit
from tests.integration.failed_jobs import crash, fail_in_retry
from tests.integration.finished_jobs import add_picture, claim, complete
from tests.integration.scripted_runs import execute
from tests.integration.scripted_webui import ScriptedKeeper, ScriptedWebUI, says
from tests.markup import markup

pytestmark = pytest.mark.django_db

UPSCALED = '{"preset_data": {"pipeline": {"upscale_enabled": true}}}'
STAGES = ("txt2img", "img2img", "adetailer", "upscale")
ALL_STAGES = {
    "preset_data": {
        "adetailer": {"adetailer_model": "face_yolov8n.pt"},
        "upscale": {"upscaler": "Lanczos", "upscaling_resize": 2},
        "pipeline": {"images_per_prompt": 2, **{f"{stage}_enabled": True for stage in STAGES}},
    }
}


@pytest.fixture(autouse=True)
def own_folder(settings: Settings, tmp_path: Path) -> None:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"


@pytest.mark.django_db(transaction=True)
def test_shown_requests_are_those_that_the_webui_got_through_all_stages() -> None:
    webui = ScriptedWebUI(says(500))
    revision = make_pack(document=json.dumps(ALL_STAGES))
    _, claimed = make_running_job(make_runner(make_node()), revision=revision)
    job = execute(claimed, webui, ScriptedKeeper(webui))
    assert job.status == JobStatus.COMPLETED
    shown = exchanges_of(job.pk)
    assert len(shown) == len(webui.posts) == 8
    for exchange, post in zip(shown, webui.posts, strict=True):
        assert exchange.endpoint == f"/sdapi/v1/{post.path}"
        sizes = {name: len(json.dumps(value)) for name, value in post.body.items()}
        assert {field.name: field.size_bytes for field in exchange.fields} == sizes


def test_failed_and_repeated_requests_are_shown_with_what_came_back() -> None:
    make_job()
    failed = fail_in_retry(make_runner())
    first, second = exchanges_of(failed.pk)
    assert first.endpoint == second.endpoint == "/sdapi/v1/txt2img"
    assert first.line.http_status == 500
    assert {field.name for field in first.fields} >= {"prompt", "seed", "steps", "sampler_name"}
    assert first.size_bytes > 100
    assert second.pictures == ()


def test_pictures_tell_what_was_truly_used() -> None:
    make_job()
    claimed = claim(make_runner())
    words = "a lighthouse on a cliff, evening light\nNegative prompt: blurry"
    text = f"{words}\nSteps: 20, Sampler: DDIM, Seed: {claimed.job.record.seed}"
    add_picture(claimed, infotext=text)
    [exchange] = exchanges_of(claimed.job_id)
    [picture] = exchange.pictures
    used = {field.field: field for field in picture.fields}
    assert not picture.judged
    assert (used["Sampler"].outcome, used["Sampler"].used) == (FieldVerdict.DRIFT, "DDIM")
    assert used["Seed"].outcome is FieldVerdict.VERIFIED
    assert used["CFG scale"].outcome is FieldVerdict.NOT_TOLD
    assert picture.drifts >= 1


def test_request_of_a_later_stage_names_its_picture_by_size_and_says_when_it_is_gone() -> None:
    submit(make_pack(document=UPSCALED))
    claimed = claim(make_runner())
    row = add_picture(claimed)
    attempt = crash(claimed)
    StageAttempt.objects.filter(pk=attempt.pk).update(stage="upscale", stage_index=1, image_index=0)
    fields = {field.name: field for field in exchanges_of(claimed.job_id)[1].fields}
    assert fields["image"].value == "1 picture in base64"
    assert fields["image"].size_bytes > row.size_bytes
    (output_root() / row.path).unlink()
    gone = exchanges_of(claimed.job_id)[1]
    assert gone.fields == ()
    assert gone.missing == "the picture of txt2img that it was made from is gone"


def test_picture_outside_the_output_folder_is_never_read() -> None:
    submit(make_pack(document=UPSCALED))
    claimed = claim(make_runner())
    output_root().mkdir(parents=True, exist_ok=True)
    (output_root().parent / "secret.png").write_bytes(b"secret")
    add_picture(claimed, path="../secret.png")
    attempt = crash(claimed)
    StageAttempt.objects.filter(pk=attempt.pk).update(stage="upscale", stage_index=1, image_index=0)
    assert "outside the output folder" in exchanges_of(claimed.job_id)[1].missing


def test_queries_do_not_grow_with_requests() -> None:
    runner = make_runner()
    submit(repeat=2)
    small, large = complete(runner, pictures=1), complete(runner, pictures=8)

    def count(job: Job) -> int:
        with CaptureQueriesContext(connection) as caught:
            exchanges_of(job.pk)
        return len(caught)

    assert count(small) == count(large) == 4


def test_page_shows_them_and_the_jobs_page_pulls_them_when_asked(client: Client) -> None:
    client.force_login(make_user())
    make_job()
    job = complete(make_runner())
    address = reverse("job-exchanges", args=[job.pk])
    page = markup(client.get(reverse("job", args=[job.pk])))
    assert f'hx-get="{address}" hx-trigger="toggle once"' in page
    assert f'href="{address}"' in page
    text = html.unescape(markup(client.get(address)))
    assert "Sent: POST /sdapi/v1/txt2img" in text
    assert "<!doctype" not in markup(client.get(address, headers={"HX-Request": "true"}))
    assert client.get(reverse("job-exchanges", args=[4711])).status_code == 404


def test_job_that_sent_nothing_says_so(client: Client) -> None:
    client.force_login(make_user())
    text = markup(client.get(reverse("job-exchanges", args=[make_job().pk])))
    assert "Nothing was sent for this job yet." in text

"""The API for programs: jobs as JSON for who is signed in, in a bounded number of queries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import Settings

from jobs.api.operations import NEWEST
from jobs.lifecycle import EventType, JobStatus
from jobs.models import Job, OutputImage, Runner
from jobs.queue.moves import move_job
from tests.factories import make_job, make_node, make_pack, make_runner, make_user, submit
from tests.integration.film_runs import run_film
from tests.integration.finished_jobs import add_picture, claim, complete, fail
from tests.integration.job_situations import (
    breaker_due,
    breaker_open,
    card_busy,
    failed_node,
    lacking,
    next_one,
    no_node,
    no_node_of_its_kind,
    no_worker,
    one_of_two_nodes_held,
    paused,
    two_nodes_held,
)

pytestmark = pytest.mark.django_db

JOBS = "/api/v1/jobs"
DOCUMENT = "/api/v1/openapi.json"
#: With the two of the session, those of a list in which jobs wait, run, failed and completed.
MOST_QUERIES = 12


@pytest.fixture(autouse=True)
def folders(settings: Settings, tmp_path: Path) -> None:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(make_user("vera"))
    return client


def job_of(viewer: Client, job: Job) -> dict[str, Any]:
    answer = viewer.get(f"{JOBS}/{job.pk}")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def test_a_job_is_told_with_its_results(viewer: Client) -> None:
    make_job()
    job = complete(make_runner(), pictures=2)
    told = job_of(viewer, job)
    outputs = told.pop("outputs")
    times = {name: told.pop(name) for name in ("submitted_at", "started_at", "finished_at")}
    assert told == {
        "id": job.pk,
        "kind": "image",
        "status": "COMPLETED",
        "pack": job.record.pack_name,
        "row": 1,
        "prompt": "a lighthouse on a cliff, evening light",
        "checkpoint": job.checkpoint,
        "seed": job.record.seed,
        "priority": "normal",
        "retry_count": 0,
        "error": None,
        "hold": None,
        "progress": None,
    }
    assert [datetime.fromisoformat(at).tzinfo is not None for at in times.values()] == [True] * 3
    first = OutputImage.objects.earliest("image_index")
    assert len(outputs) == 2
    assert outputs[0] == {
        "id": first.pk,
        "stage": "txt2img",
        "url": f"/outputs/{first.pk}/?v={first.sha256[:12]}",
        "thumbnail_url": f"/outputs/{first.pk}/thumb/?v={first.sha256[:12]}",
        "media_type": "image/png",
        "sha256": first.sha256,
        "size_bytes": first.size_bytes,
        "width": 64,
        "height": 48,
        "seed": 7,
        "frames": None,
        "fps": None,
        "duration_s": None,
    }
    for name in ("url", "thumbnail_url"):
        assert viewer.get(outputs[0][name]).status_code == 200


def test_a_film_is_told_as_one(viewer: Client) -> None:
    job, _, _ = run_film()
    [film] = job_of(viewer, job)["outputs"]
    row = OutputImage.objects.get()
    assert (film["media_type"], film["frames"], film["fps"]) == ("video/mp4", row.frames, row.fps)
    assert film["duration_s"] == row.duration_s
    assert row.frames


def test_only_results_of_the_present_take_are_told(viewer: Client) -> None:
    make_job()
    claimed = claim(make_runner())
    add_picture(claimed)
    Job.objects.filter(pk=claimed.job_id).update(take=2)
    assert job_of(viewer, Job.objects.get())["outputs"] == []


def test_a_running_job_tells_how_far_it_is(viewer: Client) -> None:
    make_job()
    runner = make_runner()
    claimed = claim(runner)
    assert job_of(viewer, Job.objects.get())["progress"] is None
    told = {
        "job_id": claimed.job_id,
        "stage": "txt2img",
        "stage_index": 0,
        "stage_total": 2,
        "progress": 0.5,
        "step": 10,
        "steps": 20,
        "elapsed_s": 3.0,
        "eta_s": 9.0,
    }
    Runner.objects.filter(pk=runner.pk).update(progress=told)
    assert job_of(viewer, Job.objects.get())["progress"] == {
        "stage": "txt2img",
        "stage_number": 1,
        "stage_total": 2,
        "step": 10,
        "steps": 20,
        "fraction": 0.25,
        "elapsed_s": 3.0,
        "left_s": 9.0,
    }


def test_a_failed_job_tells_why_and_what_to_do(viewer: Client) -> None:
    make_job()
    error = job_of(viewer, fail(make_runner()))["error"]
    assert error["code"] == "WEBUI_SAMPLER_NOT_FOUND"
    assert "ampler" in error["message"]
    assert error["remedy"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("situation", "words"),
    [
        (next_one, ""),
        (breaker_due, ""),
        (card_busy, ""),
        (one_of_two_nodes_held, ""),
        (paused, "The queue was paused by"),
        (no_node, "There are no running workers available for images"),
        (no_node_of_its_kind, "There are no running workers available"),
        (no_worker, "There are no running workers available for images"),
        (lacking, "does not have"),
        (failed_node, "has failed"),
        (two_nodes_held, "."),
        (breaker_open, "The breaker of"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_waiting_job_tells_what_holds_it(viewer: Client, situation: Callable[[], Job], words: str) -> None:
    hold = job_of(viewer, situation())["hold"]
    assert (hold is None) if not words else (words in hold and hold.endswith("."))


def test_the_newest_jobs_come_first_and_no_more_than_fifty(viewer: Client) -> None:
    submit(make_pack(), repeat=NEWEST + 3)
    told = viewer.get(JOBS).json()["jobs"]
    ids = sorted(Job.objects.values_list("pk", flat=True), reverse=True)
    assert [job["id"] for job in told] == ids[:NEWEST]
    assert NEWEST == 50


def test_the_newest_of_one_kind_are_told(viewer: Client) -> None:
    film, picture = make_job(), make_job()
    Job.objects.filter(pk=film.pk).update(kind="i2v")
    for kind, found in (("i2v", [film.pk]), ("image", [picture.pk]), ("edit", [])):
        assert [job["id"] for job in viewer.get(JOBS, {"kind": kind}).json()["jobs"]] == found
    refused = viewer.get(JOBS, {"kind": "film"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "arguments")
    assert "kind" in refused.json()["error"]["message"]


def test_without_jobs_the_list_is_empty(viewer: Client) -> None:
    assert viewer.get(JOBS).json() == {"jobs": []}


def test_the_number_of_queries_does_not_grow_with_jobs_and_pictures(viewer: Client) -> None:
    runner = make_runner(make_node("other"))
    submit(make_pack(), repeat=4)
    complete(runner)

    def queries(address: str) -> int:
        with CaptureQueriesContext(connection) as found:
            assert viewer.get(address).status_code == 200
        return len(found)

    few = queries(JOBS)
    submit(make_pack(), repeat=30)
    complete(runner, pictures=5)
    fail(runner)
    make_runner()
    complete(make_runner(), pictures=3)
    claim(runner)
    assert queries(JOBS) == few <= MOST_QUERIES
    assert queries(f"{JOBS}/{Job.objects.latest('pk').pk}") <= MOST_QUERIES


@pytest.mark.parametrize("address", [JOBS, f"{JOBS}/1", DOCUMENT])
def test_who_is_signed_out_is_told_so_in_json(client: Client, address: str) -> None:
    make_job()
    client.cookies["sessionid"] = "made-up"
    for answer in (client.get(address), Client().get(address)):
        assert answer.status_code == 401
        assert answer["Content-Type"].startswith("application/json")
        assert answer.json()["error"]["code"] == "signed_out"
        assert "Sign in first" in answer.json()["error"]["message"]


def test_somebody_who_may_no_longer_sign_in_is_signed_out(viewer: Client) -> None:
    user = make_user("otto")
    viewer.force_login(user)
    user.is_active = False
    user.save()
    assert viewer.get(JOBS).status_code == 401


def test_a_job_that_is_not_there_is_a_404_that_says_so(viewer: Client) -> None:
    answer = viewer.get(f"{JOBS}/4711")
    assert answer.status_code == 404
    assert answer.json() == {
        "error": {"code": "not_found", "message": "There is no job 4711. Its number may be mistyped."}
    }


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_nothing_can_be_changed(viewer: Client, method: str) -> None:
    job = make_job()
    for address in (JOBS, f"{JOBS}/{job.pk}", DOCUMENT):
        assert getattr(viewer, method)(address).status_code == 405
    assert Job.objects.get().status == JobStatus.QUEUED


def test_the_document_names_every_operation_and_no_page_loads_scripts_from_elsewhere(viewer: Client) -> None:
    document = viewer.get(DOCUMENT).json()
    assert sorted(document["paths"]) == [JOBS, f"{JOBS}/{{job_id}}"]
    answers = document["paths"][f"{JOBS}/{{job_id}}"]["get"]["responses"]
    assert sorted(answers) == ["200", "401", "404"]
    assert set(document["components"]["schemas"]["ApiJob"]["required"]) >= {"id", "status", "outputs"}
    for address in ("/api/v1/", "/api/v1/docs"):
        assert viewer.get(address).status_code == 404


def test_what_is_told_fits_the_document(viewer: Client) -> None:
    make_job()
    job = complete(make_runner())
    schema = viewer.get(DOCUMENT).json()["components"]["schemas"]
    told = job_of(viewer, job)
    assert set(told) == set(schema["ApiJob"]["properties"])
    assert set(told["outputs"][0]) == set(schema["ApiOutput"]["properties"])


def test_answers_are_kept_by_nobody(viewer: Client) -> None:
    make_job()
    move_job(Job.objects.get().pk, JobStatus.CANCELLED, event=EventType.CANCELLED)
    assert viewer.get(JOBS)["Cache-Control"] == "private, no-store"


def test_addresses_are_as_documented() -> None:
    assert reverse("api-jobs") == JOBS
    assert reverse("api-job", args=[7]) == f"{JOBS}/7"
    assert reverse("api-document") == DOCUMENT

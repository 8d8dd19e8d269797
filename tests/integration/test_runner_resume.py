"""Where a retry goes on: at the unit that failed, or at the first stage if a kept picture is no longer the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from jobs.lifecycle import EventType, JobStatus
from jobs.models import Job, OutputImage
from jobs.queue.claims import Claim
from jobs.running.outputs import output_root
from tests.factories import make_node, make_pack, make_runner, make_running_job
from tests.integration.scripted_runs import claim_again, execute
from tests.integration.scripted_webui import (
    Act,
    ScriptedKeeper,
    ScriptedWebUI,
    after,
    cut,
    dies,
    drawn,
    says,
)
from webui.drivers.a1111.schemas import encode_image

pytestmark = pytest.mark.django_db(transaction=True)

STAGES = ("txt2img", "img2img", "adetailer", "upscale")
DOCUMENT: dict[str, Any] = {
    "preset_data": {
        "adetailer": {"adetailer_model": "face_yolov8n.pt"},
        "upscale": {"upscaler": "Lanczos", "upscaling_resize": 2},
        "pipeline": {"images_per_prompt": 2, **{f"{stage}_enabled": True for stage in STAGES}},
    }
}
#: One POST for both pictures, then one for each in each later stage.
PATHS = ["txt2img", *["img2img"] * 4, *["extra-single-image"] * 2]


@pytest.fixture(autouse=True)
def folders(settings: Settings, tmp_path: Path) -> None:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"


def claimed() -> Claim:
    """A job of four stages and two pictures."""
    runner = make_runner(make_node())
    _, claim = make_running_job(runner, revision=make_pack(document=json.dumps(DOCUMENT)))
    return claim


def with_failures(failures: dict[int, Act]) -> tuple[ScriptedWebUI, ScriptedKeeper]:
    """These posts (from 1) fail, every other one is drawn."""
    webui = ScriptedWebUI(*(failures.get(number, drawn) for number in range(1, max(failures) + 1)))
    return webui, ScriptedKeeper(webui)


def paths(webui: ScriptedWebUI) -> list[str]:
    return [post.path for post in webui.posts]


def units(job: Job) -> list[tuple[str, int | None, int, str]]:
    """(stage, picture, run, outcome) of every attempt, in order."""
    rows = job.attempts.order_by("id").values_list("stage", "image_index", "run_number", "outcome")
    return [(stage, image, run, outcome) for stage, image, run, outcome in rows]


def retry_events(job: Job) -> list[dict[str, Any]]:
    return [event.data for event in job.events.filter(event_type=EventType.RETRY_STARTED)]


def change_a_kept_picture(job_id: int) -> None:
    """Of the first stage, as somebody who edits it in place would."""
    picture = OutputImage.objects.filter(job_id=job_id, stage="txt2img").latest("image_index")
    with open(output_root() / picture.path, "ab") as file:
        file.write(b"edited")


@pytest.mark.parametrize("number", range(1, 8))
def test_the_retry_sends_only_the_failed_unit_again_and_goes_on(number: int) -> None:
    claim = claimed()
    webui, keeper = with_failures({number: dies})
    job = execute(claim, webui, keeper)
    assert (job.status, job.retry_count, keeper.generations) == (JobStatus.COMPLETED, 1, [1])
    assert paths(webui) == PATHS[:number] + PATHS[number - 1 :]
    assert webui.posts[number - 1].text == webui.posts[number].text
    assert len({post.text for post in webui.posts}) == len(PATHS)
    assert [data["from_stage_1"] for data in retry_events(job)] == [False]
    assert [run for _, _, run, _ in units(job)] == [1] * number + [2] * (len(PATHS) - number + 1)


def test_each_later_stage_is_fed_with_the_accepted_pictures_of_the_one_before() -> None:
    claim = claimed()
    webui, keeper = with_failures({5: cut})
    job = execute(claim, webui, keeper)
    assert job.status == JobStatus.COMPLETED
    assert [(picture.stage, picture.image_index) for picture in job.results] == [
        (stage, image) for stage in STAGES for image in (0, 1)
    ]
    detailed = [picture for picture in job.results if picture.stage == "adetailer"]
    assert [picture.attempt.run_number for picture in detailed] == [1, 2]
    sent = [post.body["image"] for post in webui.posts if post.path == "extra-single-image"]
    assert sent == [encode_image((output_root() / picture.path).read_bytes()) for picture in detailed]


def test_a_crash_in_stage_1_and_another_in_stage_3_fail_the_job_after_one_retry() -> None:
    claim = claimed()
    webui, keeper = with_failures({1: says(500), 5: dies})
    job = execute(claim, webui, keeper)
    assert (job.status, job.retry_count, keeper.generations) == (JobStatus.FAILED, 1, [1])
    assert paths(webui) == ["txt2img", *PATHS[:4]]
    assert job.error is not None
    assert job.error["stage"] == "adetailer"
    assert job.error["execution_metadata"]["executions"] == 2
    assert {picture.stage for picture in job.results} == {"txt2img", "img2img"}
    assert len(retry_events(job)) == 1


def test_a_kept_picture_that_changed_while_the_webui_restarts_sends_the_job_back_to_stage_1() -> None:
    claim = claimed()
    webui, keeper = with_failures({4: after(lambda: change_a_kept_picture(claim.job_id), dies)})
    job = execute(claim, webui, keeper)
    assert (job.status, job.retry_count, job.take) == (JobStatus.COMPLETED, 1, 2)
    begun = job.events.filter(event_type=EventType.STAGE_STARTED, data__stage="txt2img").order_by("sequence")
    assert [event.data["take"] for event in begun] == [1, 2]
    assert paths(webui) == PATHS[:4] + PATHS
    [data] = retry_events(job)
    assert (data["stage"], data["run_number"], data["from_stage_1"]) == ("txt2img", 2, True)
    assert {picture.attempt.run_number for picture in job.results} == {2}
    assert len(job.results) == 8
    assert {(stage, image) for stage, image, run, _ in units(job) if run == 2} == {
        ("txt2img", None),
        *((stage, image) for stage in STAGES[1:] for image in (0, 1)),
    }


def after_a_lost_restart(failing: int, meanwhile: Callable[[int], object]) -> tuple[Job, ScriptedWebUI]:
    """The restart failed, something happened while the job waited, and it was claimed again."""
    claim = claimed()
    webui, keeper = with_failures({failing: dies})
    keeper.fails = True
    assert execute(claim, webui, keeper).status == JobStatus.QUEUED
    meanwhile(claim.job_id)
    webui.is_gone, keeper.fails = False, False
    return execute(claim_again(claim), webui, keeper), webui


def test_a_later_claim_goes_on_at_the_failed_unit() -> None:
    job, webui = after_a_lost_restart(4, lambda job_id: None)
    assert (job.status, job.retry_count) == (JobStatus.COMPLETED, 1)
    assert paths(webui) == PATHS[:4] + PATHS[3:]
    assert [data["from_stage_1"] for data in retry_events(job)] == [False]


def test_a_later_claim_starts_again_at_stage_1_if_a_kept_picture_is_missing() -> None:
    def remove(job_id: int) -> None:
        picture = OutputImage.objects.filter(job_id=job_id).earliest("id")
        (output_root() / picture.path).unlink()

    job, webui = after_a_lost_restart(4, remove)
    assert (job.status, job.retry_count, job.take) == (JobStatus.COMPLETED, 1, 2)
    assert paths(webui) == PATHS[:4] + PATHS
    assert [data["from_stage_1"] for data in retry_events(job)] == [True]


def test_adetailer_is_sent_once_however_the_server_refuses() -> None:
    claim = claimed()
    webui, keeper = with_failures({4: says(503)})
    job = execute(claim, webui, keeper)
    assert (job.status, job.retry_count, keeper.generations) == (JobStatus.COMPLETED, 1, [1])
    first, second = job.attempts.filter(stage="adetailer", image_index=0).order_by("id")
    assert (first.outcome, first.max_attempts, second.run_number) == ("unavailable", 1, 2)


def test_upscale_is_sent_twice_by_its_policy_before_anything_is_restarted() -> None:
    claim = claimed()
    webui, keeper = with_failures({6: says(503)})
    job = execute(claim, webui, keeper)
    assert (job.status, job.retry_count, keeper.generations) == (JobStatus.COMPLETED, 0, [])
    assert [row.wait_s for row in job.attempts.filter(stage="upscale").order_by("id")] == [0.0, 2.0, 0.0]

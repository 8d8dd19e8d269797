"""Odd answers cost no picture, and pictures that are no results do not look like ones."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from jobs.models import Job, OutputImage, Runner
from jobs.records.record import NormalizedJobRecord
from jobs.running.attempts import start_attempt
from jobs.running.outputs import output_root, run_directory
from jobs.running.requests import units_of
from jobs.running.run import Run
from jobs.supervising.reconcile import reconcile
from tests.factories import make_node, make_pack, make_runner, make_running_job
from tests.hostile_server import bomb, png
from tests.integration.scripted_runs import claim_again, execute, started
from tests.integration.scripted_webui import (
    Act,
    Post,
    ScriptedKeeper,
    ScriptedWebUI,
    answered,
    cut,
    drawn,
    interrupted,
    torn,
)
from tests.sketches import sketch
from webui.http.answer import HttpAnswer

pytestmark = pytest.mark.django_db(transaction=True)

SEEDS = [41, 42]
TEXTS = [f"a cat\nSteps: 2, Sampler: Euler, Seed: {seed}, Model: any" for seed in SEEDS]


def changed(change: Callable[[dict[str, Any]], None]) -> Act:
    """What a WebUI draws, and then `change` of its answer."""

    def act(webui: ScriptedWebUI, post: Post) -> HttpAnswer:
        document = json.loads(drawn(webui, post).body)
        change(document)
        return answered(document)

    return act


def plain(size: tuple[int, int], image_format: str, colour: int) -> str:
    return encoded(sketch(size, colour), image_format)


def encoded(picture: Image.Image, image_format: str) -> str:
    file = io.BytesIO()
    picture.save(file, image_format)
    return base64.b64encode(file.getvalue()).decode()


def size_of(image: str) -> tuple[int, int]:
    with Image.open(io.BytesIO(base64.b64decode(image))) as picture:
        return picture.size


@pytest.mark.parametrize("image_format", ["JPEG", "WEBP"])
def test_pictures_without_metadata_have_seed_and_text_of_the_same_answer(image_format: str) -> None:
    def strip(document: dict[str, Any]) -> None:
        size = size_of(document["images"][0])
        document["images"] = [plain(size, image_format, colour) for colour in (1, 2)]
        document["info"] = json.dumps(json.loads(document["info"]) | {"all_seeds": SEEDS, "infotexts": TEXTS})

    job = execute(*started(changed(strip)))
    assert job.status == "COMPLETED"
    rows = OutputImage.objects.filter(job=job).order_by("image_index")
    assert [(row.seed, row.infotext) for row in rows] == list(zip(SEEDS, TEXTS, strict=True))


@pytest.mark.parametrize("info", ["", None, "plain text", "[]", "null", {}, "{", "[" * 100_000])
def test_an_info_that_tells_nothing_costs_nothing(info: object) -> None:
    job = execute(*started(changed(lambda document: document.update(info=info))))
    assert (job.status, job.retry_count) == ("COMPLETED", 0)


def test_a_missing_info_costs_nothing() -> None:
    job = execute(*started(changed(lambda document: document.pop("info"))))
    assert (job.status, job.retry_count) == ("COMPLETED", 0)


def test_the_grid_is_no_result_where_nothing_says_where_the_pictures_begin() -> None:
    drawn_images: list[str] = []

    def add_grid(document: dict[str, Any]) -> None:
        width, height = size_of(document["images"][0])
        drawn_images[:] = document["images"]
        document["images"].insert(0, plain((width * 2, height), "PNG", 9))
        info = json.loads(document["info"])
        del info["index_of_first_image"]
        document["info"] = json.dumps(info)

    job = execute(*started(changed(add_grid)))
    assert job.status == "COMPLETED"
    kept = [(output_root() / row.path).read_bytes() for row in job.outputs.order_by("image_index")]
    assert kept == [base64.b64decode(image) for image in drawn_images]


def test_a_jpeg_with_more_pictures_behind_the_first_is_a_jpeg() -> None:
    def draw(document: dict[str, Any]) -> None:
        file = io.BytesIO()
        frames = [sketch(size_of(document["images"][0]), shade) for shade in (90, 91)]
        frames[0].save(file, "MPO", save_all=True, append_images=frames[1:])
        document["images"] = [base64.b64encode(file.getvalue()).decode()] * 2

    job = execute(*started(changed(draw)))
    assert (job.status, job.retry_count) == ("COMPLETED", 0), job.error
    assert {Path(output.path).suffix for output in job.results} == {".jpg"}


def test_base64_in_lines_and_any_prefix_is_read() -> None:
    def lines(document: dict[str, Any]) -> None:
        images = [base64.encodebytes(base64.b64decode(image)).decode() for image in document["images"]]
        document["images"] = [images[0], f"DATA:image/png;base64,{images[1]}\n"]

    job = execute(*started(changed(lines)))
    assert (job.status, job.retry_count) == ("COMPLETED", 0)


@pytest.mark.parametrize("index", [10**30, 2, -1])
def test_an_index_of_the_first_picture_that_cannot_be_says_nothing(index: int) -> None:
    def point(document: dict[str, Any]) -> None:
        info = json.loads(document["info"]) | {"index_of_first_image": index}
        document["info"] = json.dumps(info)

    job = execute(*started(changed(point)))
    assert (job.status, job.retry_count) == ("COMPLETED", 0)


@pytest.mark.parametrize("image_format", ["GIF", "BMP", "TIFF"])
def test_a_picture_of_no_known_format_is_told_with_those_that_are(image_format: str) -> None:
    picture = plain((64, 64), image_format, 90)
    acts = [changed(lambda document: document.update(images=[picture] * 2))] * 2
    job = execute(*started(*acts))
    assert job.status == "FAILED"
    assert job.error is not None
    assert "none of PNG, JPEG, WEBP, AVIF" in job.error["message"]
    assert "0x" not in job.error["message"]


@pytest.mark.parametrize("content", [png((800, 800)), bomb(30_000, 30_000)])
def test_a_picture_of_another_size_is_no_result(content: bytes) -> None:
    def resize(document: dict[str, Any]) -> None:
        document["images"] = [base64.b64encode(content).decode()] * 2

    job = execute(*started(changed(resize), changed(resize)))
    assert (job.status, job.error_code) == ("FAILED", "WEBUI_WRONG_SIZE")
    assert job.error is not None
    assert " pixels instead of " in job.error["message"]
    assert not job.outputs.exists()


def test_a_legal_upscale_of_the_largest_picture_is_a_result() -> None:
    """Larger than what is looked at, so only the header of the second one counts."""
    document = json.dumps(
        {
            "preset_data": {
                "txt2img": {"steps": 1, "width": 4096, "height": 4096},
                "pipeline": {"upscale_enabled": True},
                "upscale": {"enabled": True, "upscaler": "Lanczos", "upscaling_resize": 4},
            }
        }
    )

    def claim_large(document: dict[str, Any]) -> None:
        if "image" in document:
            document["image"] = base64.b64encode(bomb(16_384, 16_384)).decode()
        else:
            document["images"] = [encoded(sketch((4_096, 4_096), 1), "PNG")]

    _, claim = make_running_job(make_runner(make_node()), revision=make_pack(document=document))
    webui = ScriptedWebUI(*[lambda webui, post: _claimed(post, claim_large)] * 2)
    job = execute(claim, webui, ScriptedKeeper(webui))
    assert job.status == "COMPLETED", job.error
    assert [(row.width_px, row.height_px) for row in job.outputs.order_by("stage_index")] == [
        (4_096, 4_096),
        (16_384, 16_384),
    ]


def _claimed(post: Post, change: Callable[[dict[str, Any]], None]) -> HttpAnswer:
    document: dict[str, Any] = {"image": ""} if post.path.startswith("extra") else {"images": [], "info": ""}
    change(document)
    return answered(document)


def names(job: Job) -> set[str]:
    """Of pictures; other files of a job are its evidence."""
    return {file.name for file in run_directory(job).iterdir() if file.suffix in (".png", ".jpg", ".webp")}


def result_names(job: Job) -> set[str]:
    return {Path(row.path).name for row in job.outputs.all()}


@pytest.mark.parametrize("act", [interrupted, torn, cut])
def test_what_is_not_accepted_has_no_result_s_name(act: Act) -> None:
    job = execute(*started(act))
    assert (job.status, job.retry_count) == ("COMPLETED", 1)
    others = names(job) - result_names(job)
    assert all(name.startswith("partial-") for name in others)
    assert result_names(job) == {"1-txt2img-000-run2.png", "1-txt2img-001-run2.png"}
    if act is interrupted:
        assert others == {"partial-1-txt2img-000-run1.png", "partial-1-txt2img-001-run1.png"}


def test_what_a_lost_run_left_is_set_aside_when_the_job_goes_on() -> None:
    claim, webui, keeper = started()
    claim.job.refresh_from_db()
    folder = run_directory(claim.job)
    folder.mkdir(parents=True)
    (folder / "1-txt2img-000-run1.png").write_bytes(b"never accepted")
    (folder / "manifest.json").write_bytes(b"{}")
    record = NormalizedJobRecord.from_canonical(claim.job.record.canonical_json)
    start_attempt(claim, units_of(record)[0][0], run_number=1, task_id="lost", announce=True)
    assert reconcile(Runner.objects.get(pk=claim.runner_id), lambda owner: False) == 1
    assert names(claim.job) == {"partial-1-txt2img-000-run1.png"}
    Runner.objects.filter(pk=claim.runner_id).update(must_quiet=False)
    job = execute(claim_again(claim), webui, keeper)
    assert job.status == "COMPLETED"
    assert names(job) - result_names(job) == {"partial-1-txt2img-000-run1.png"}
    assert (folder / "manifest.json").exists()
    [retry] = job.events.filter(event_type="RETRY_STARTED")
    assert retry.data["stage"] == "txt2img"


def test_the_end_of_a_stage_names_all_its_pictures() -> None:
    document = json.dumps(
        {
            "preset_data": {
                "pipeline": {"images_per_prompt": 3, "upscale_enabled": True},
                "upscale": {"enabled": True},
            }
        }
    )
    _, claim = make_running_job(make_runner(make_node()), revision=make_pack(document=document))
    webui = ScriptedWebUI()
    Run(claim, connect=webui.connect, restart=ScriptedKeeper(webui), sleep=lambda seconds: None).execute()
    job = Job.objects.get(pk=claim.job_id)
    told = job.events.filter(event_type="STAGE_COMPLETED").order_by("sequence")
    for event, stage in zip(told, (0, 1), strict=True):
        rows = job.outputs.filter(stage_index=stage).order_by("image_index")
        assert event.data["outputs"] == [row.path for row in rows]
        assert len(event.data["outputs"]) == 3

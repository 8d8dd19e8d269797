"""Every stage through real processes: what is sent, what is kept, and what each stage makes of the one before."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageStat

from jobs.records.record import NormalizedJobRecord
from jobs.running.requests import units_of, work_of
from tests.contract.simulator_process import SimulatorProcess
from tests.e2e.queueing import submit
from tests.e2e.stack import Stack
from tests.promises import PATIENCE_S
from webui.driver import driver_of

pytestmark = pytest.mark.stack

TEXT = "a castle on a [[place]]\nneg: fog\n"
STAGES = ("txt2img", "img2img", "adetailer", "upscale")
DOCUMENT: dict[str, Any] = {
    "pack_data": {"matrix": {"enabled": True, "slots": [{"name": "place", "values": ["cliff"]}]}},
    "preset_data": {
        "txt2img": {"steps": 3, "width": 256, "height": 192, "sampler_name": "DPM++ 2M Karras", "seed": 7},
        "img2img": {"steps": 4, "denoising_strength": 0.2, "prompt_adjust": "at dusk on a [[place]]"},
        "adetailer": {
            "adetailer_model": "face_yolov8n.pt",
            "ad_steps": 5,
            "adetailer_prompt": "a calm face",
            "enable_hands_pass": True,
        },
        "upscale": {"upscaler": "Lanczos", "upscaling_resize": 2},
        "pipeline": {"images_per_prompt": 2, **{f"{stage}_enabled": True for stage in STAGES}},
    },
}


def ready(stack: Stack, *options: str) -> None:
    stack.add_simulator(*options, seconds_per_step=0.001)
    stack.start_node()
    stack.wait_ready()


def run(stack: Stack, document: dict[str, Any], expect: int = 0) -> dict[str, Any]:
    path = stack.pack_file("castles", TEXT, document)
    done = stack.manage("submit_pack", path, "--wait", expect=expect)
    return stack.job(done["job_ids"][0])


def changed(**sections: dict[str, Any]) -> dict[str, Any]:
    """The document with other values in some sections."""
    preset = DOCUMENT["preset_data"]
    return {**DOCUMENT, "preset_data": {name: {**preset[name], **sections.get(name, {})} for name in preset}}


def picture_of(output: dict[str, Any]) -> Image.Image:
    with Image.open(output["path"]) as opened:
        return opened.convert("RGB")


def difference(one: Image.Image, other: Image.Image) -> float:
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


def kept(job: dict[str, Any]) -> dict[tuple[str, int], dict[str, Any]]:
    return {(output["stage"], output["image_index"]): output for output in job["outputs"]}


def expected_bodies(stack: Stack, job: dict[str, Any]) -> list[bytes]:
    """The bodies that follow from the record and from the files that each stage left."""
    record = NormalizedJobRecord.from_canonical(json.dumps(job["record"]))
    outputs = kept(job)

    def picture_of(stage: str, image: int) -> bytes:
        return Path(outputs[stage, image]["path"]).read_bytes()

    bodies: list[bytes] = []
    tasks = [line["task_id"] for line in stack.posts()]
    for units in units_of(record):
        for unit in units:
            work = work_of(record, unit, picture_of, task_id=tasks[len(bodies)] or "")
            body = driver_of("a1111").request(work).body
            bodies.append(json.dumps(body, allow_nan=False, separators=(",", ":")).encode())
    return bodies


def test_four_stages_of_two_pictures_are_each_made_of_the_stage_before(stack: Stack) -> None:
    ready(stack, "--adetailer")
    job = run(stack, DOCUMENT)
    assert job["status"] == "COMPLETED"
    paths = [line["path"].rpartition("/")[2] for line in stack.posts()]
    assert paths == ["txt2img", *["img2img"] * 4, *["extra-single-image"] * 2]
    assert [(a["stage"], a["image_index"], a["outcome"]) for a in job["stage_attempts"]] == [
        ("txt2img", None, "completed"),
        *((stage, image, "completed") for stage in STAGES[1:] for image in (0, 1)),
    ]
    hashes = [hashlib.sha256(body).hexdigest() for body in expected_bodies(stack, job)]
    assert [line["body_sha256"] for line in stack.posts()] == hashes
    outputs = kept(job)
    assert list(outputs) == [(stage, image) for stage in STAGES for image in (0, 1)]
    for output in outputs.values():
        content = Path(output["path"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == output["sha256"]
        assert Image.open(io.BytesIO(content)).size == (output["width"], output["height"])
    assert [(o["width"], o["height"]) for o in outputs.values()] == [(256, 192)] * 6 + [(512, 384)] * 2
    manifest = json.loads((Path(job["outputs"][0]["path"]).parent / "manifest.json").read_text())
    assert [entry["sha256"] for entry in manifest["outputs"]] == [o["sha256"] for o in job["outputs"]]
    assert_made_of_those_before(outputs)


def assert_made_of_those_before(outputs: dict[tuple[str, int], dict[str, Any]]) -> None:
    """By what the pictures show and what they say of themselves."""
    for image, other in ((0, 1), (1, 0)):
        drawn, redrawn, detailed, large = (picture_of(outputs[stage, image]) for stage in STAGES)
        assert 0 < difference(drawn, redrawn) < difference(picture_of(outputs["txt2img", other]), redrawn)
        box = ImageChops.difference(redrawn, detailed).getbbox()
        assert box is not None, "the passes changed nothing"
        assert box != (0, 0, *redrawn.size), "ADetailer redrew the whole picture"
        # The caption of a picture says what was done last, so compare what is above it.
        assert difference(large.resize(detailed.size), detailed) < 12
    texts = {stage: outputs[stage, 1]["infotext"] for stage in STAGES}
    assert "Seed: 8" in texts["txt2img"]
    assert "at dusk on a cliff" in texts["img2img"]
    assert "Seed: 8" in texts["img2img"]
    assert "ADetailer model: face_yolov8n.pt" in texts["adetailer"]
    assert "ADetailer prompt: a calm face" in texts["adetailer"]
    assert "ADetailer model 2nd: hand_yolov8n.pt" in texts["adetailer"]
    assert "[[" not in "".join(texts.values())


def test_upscale_by_img2img_and_a_second_pass_with_words_of_its_own(stack: Stack) -> None:
    ready(stack)
    document = changed(
        txt2img={"enable_hr": True, "hr_scale": 1.5, "hr_prompt": "sharp stones", "hr_sampler": "Euler a"},
        upscale={"upscale_mode": "img2img", "steps": 2, "scheduler": "inherit"},
        pipeline={"img2img_enabled": False, "adetailer_enabled": False, "images_per_prompt": 1},
    )
    job = run(stack, document)
    assert [line["path"].rpartition("/")[2] for line in stack.posts()] == ["txt2img", "img2img"]
    first, large = job["outputs"]
    assert (first["width"], first["height"], large["width"], large["height"]) == (384, 288, 768, 576)
    assert "Hires prompt: sharp stones" in first["infotext"]
    assert "Denoising strength: 0.35" in large["infotext"]


#: What the document changes; code, stage and number of requests of the failure; a word of what to change.
LACKING: dict[str, tuple[dict[str, Any], str, str, int, str]] = {
    "script": ({}, "WEBUI_SCRIPT_NOT_FOUND", "adetailer", 4, "turn the stage off"),
    "upscaler": (
        {"adetailer": {}, "pipeline": {"adetailer_enabled": False}, "upscale": {"upscaler": "nowhere"}},
        "WEBUI_UNKNOWN_UPSCALER",
        "upscale",
        4,
        "upscaler",
    ),
    "sampler": ({"img2img": {"sampler": "nosuch"}}, "WEBUI_SAMPLER_NOT_FOUND", "img2img", 2, "sampler"),
    "checkpoint": (
        {"img2img": {"model": "nosuch.safetensors"}},
        "WEBUI_UNKNOWN_CHECKPOINT",
        "img2img",
        2,
        "checkpoint",
    ),
}


def test_what_the_server_lacks_is_told_with_the_stage_and_what_to_change(stack: Stack) -> None:
    with SimulatorProcess(stack.folder) as simulator:
        stack.add_attached(simulator.url)
        stack.start_node("attached")
        stack.wait_ready("attached")
        for lacking, (sections, code, stage, posts, words) in LACKING.items():
            document = json.dumps(changed(**sections))
            [job_id] = submit(stack, lacking, TEXT, document=document, anyway=True, overrides={})
            job = stack.wait_job(job_id, "FAILED")
            assert (job["error"]["code"], job["error"]["stage"]) == (code, stage)
            assert words in job["error"]["remediation"]
            assert job["stage_attempts"][-1]["outcome"] == "rejected"
            assert len(job["stage_attempts"]) == posts, lacking
            assert {output["stage"] for output in job["outputs"]} <= set(STAGES) - {stage}
        stack.stop()


def test_run_that_was_drained_goes_on_at_the_picture_that_is_missing(stack: Stack) -> None:
    stack.add_simulator("--adetailer", seconds_per_step=0.1)
    node = stack.start_node("simulator", "--drain", "0", "--stop-webui")
    stack.wait_ready()
    slow = changed(img2img={"steps": 60, "denoising_strength": 1})
    done = stack.manage("submit_pack", stack.pack_file("castles", TEXT, slow))
    [job_id] = done["job_ids"]
    stack.wait_until(lambda: len(stack.posts()) == 3, "the second picture is being redrawn")
    node.terminate()
    node.wait(PATIENCE_S)
    before = kept(stack.job(job_id))
    assert list(before) == [("txt2img", 0), ("txt2img", 1), ("img2img", 0)]
    stack.start_node("simulator", key="node-again")
    job = stack.wait_job(job_id, "COMPLETED")
    places = [(a["stage"], a["image_index"], a["outcome"]) for a in job["stage_attempts"]]
    assert places == [
        ("txt2img", None, "completed"),
        ("img2img", 0, "completed"),
        ("img2img", 1, "drained"),
        ("img2img", 1, "completed"),
        *((stage, image, "completed") for stage in STAGES[2:] for image in (0, 1)),
    ]
    after = kept(job)
    assert {place: after[place]["sha256"] for place in before} == {p: o["sha256"] for p, o in before.items()}
    assert job["retry_count"] == 0

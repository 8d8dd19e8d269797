"""Honest servers raise no alarm: the simulator in both dialects through all stages, and the recorded answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobs.truth.judge import came_of, judge, look_at_source
from jobs.truth.outcomes import Judgement
from tests.contract.simulator_process import SimulatorProcess
from webui.drivers.a1111.driver import DRIVER
from webui.drivers.a1111.schemas import GenerationResponse
from webui.work.catalog import Thing
from webui.work.parameters import (
    ADetailerParameters,
    DetailerPass,
    Img2ImgParameters,
    Parameters,
    Txt2ImgParameters,
    UpscaleByImg2ImgParameters,
    UpscaleParameters,
)
from webui.work.pictures import Pictures
from webui.work.unit import Request, Vocabulary, Work

HERE = Path(__file__).parent
WITH = ("--adetailer", "--lora", "stone", "--vae", "ft-mse.pt", "--checkpoint", "one", "--checkpoint", "two")
"""What the server has."""
ANY = ("--adetailer", "--any-name")
"""What the embedded simulator of a new installation has: whatever packs name."""

TXT2IMG = Txt2ImgParameters(
    steps=6,
    cfg_scale=6.5,
    width=136,
    height=120,
    sampler="DPM++ 2M",
    scheduler="Karras",
    enable_hr=True,
    hr_scale=1.5,
    hr_upscaler="Latent",
    hr_second_pass_steps=4,
    hr_resize_x=0,
    hr_resize_y=0,
    denoising_strength=0.5,
    hr_sampler="Euler",
    hr_scheduler="Exponential",
    refiner_checkpoint="two",
    refiner_switch_at=0.8,
)
PASS = DetailerPass(
    enabled=True,
    model="face_yolov8n.pt",
    confidence=0.3,
    mask_filter_method="Area",
    mask_k=0,
    mask_min_ratio=0.0,
    mask_max_ratio=1.0,
    dilate_erode=4,
    mask_blur=4,
    mask_merge_invert="None",
    inpaint_only_masked=True,
    inpaint_padding=32,
    inpaint_width=0,
    inpaint_height=0,
    steps=6,
    cfg_scale=6.5,
    denoising_strength=0.4,
    sampler="Euler a",
    scheduler="Automatic",
)
STAGES: dict[str, Parameters] = {
    "txt2img": TXT2IMG,
    "plain": TXT2IMG.model_copy(
        update={"enable_hr": False, "refiner_checkpoint": "", "scheduler": "Automatic", "sampler": "Euler a"}
    ),
    "img2img": Img2ImgParameters(
        steps=6,
        cfg_scale=5.0,
        denoising_strength=0.6,
        width=0,
        height=0,
        sampler="Euler",
        scheduler="Exponential",
        checkpoint="two",
        vae="ft-mse.pt",
        clip_skip=2,
        seed=None,
    ),
    "adetailer": ADetailerParameters(face=PASS, hand=PASS.model_copy(update={"model": "hand_yolov8n.pt"})),
    "upscale": UpscaleParameters(
        upscale_mode="single",
        upscaler="Lanczos",
        upscaling_resize=2.0,
        resize_mode=0,
        gfpgan_visibility=0.0,
        codeformer_visibility=0.0,
        codeformer_weight=0.0,
    ),
    "upscale by img2img": UpscaleByImg2ImgParameters(
        upscale_mode="img2img",
        upscaler="Lanczos",
        upscaling_resize=1.5,
        steps=6,
        cfg_scale=5.0,
        denoising_strength=0.4,
        sampler="Euler",
        scheduler="Karras",
    ),
}


@pytest.fixture(
    scope="module",
    params=[(dialect, has) for dialect in ("a1111", "forge") for has in (WITH, ANY)],
    ids=["a1111", "a1111 with any name", "forge", "forge with any name"],
)
def simulator(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SimulatorProcess]:
    folder = tmp_path_factory.mktemp("simulator")
    dialect, has = request.param
    with SimulatorProcess(folder, "--dialect", dialect, "--seconds-per-step", "0", *has) as started:
        yield started


def judged(simulator: SimulatorProcess, work: Work) -> tuple[Pictures, tuple[Judgement, ...]]:
    server = DRIVER.connect(simulator.url)
    catalog = server.catalog()
    if Thing.MODULE in catalog.lists:
        # Forge reads no VAE of a request, and the lists say so.
        parameters = work.parameters
        if isinstance(parameters, Img2ImgParameters):
            parameters = parameters.model_copy(update={"vae": ""})
        work = replace(work, vae="", parameters=parameters)
    request = DRIVER.request(work)
    pictures = server.send(request)
    assert isinstance(pictures, Pictures)
    came = [came_of(DRIVER, request, one, told) for one, told in zip(pictures, pictures.told, strict=True)]
    return pictures, judge(DRIVER, request, came, catalog=catalog, source=look_at_source(request))


def work_of(
    stage: str, *, images: tuple[int, ...] = (0, 1), varied: float = 0.0, picture: bytes | None = None
) -> Work:
    return Work(
        stage=stage,
        parameters=STAGES[stage],
        prompt="a castle, <lora:stone:0.5>, evening",
        negative_prompt="blurry",
        parts={},
        seed=41,
        subseed=5,
        subseed_strength=varied,
        images=images,
        checkpoint="one",
        vae="ft-mse.pt",
        clip_skip=2,
        task_id=f"test-{stage}",
        picture=picture,
    )


@pytest.mark.parametrize("varied", [0.0, 0.3])
def test_honest_simulator_drifts_in_nothing_through_all_stages(
    simulator: SimulatorProcess, varied: float
) -> None:
    # With a variation a server keeps the seed and counts up the variation's; the simulator counts up both.
    images = (0,) if varied else (0, 1)
    pictures, found = judged(simulator, work_of("plain", images=images, varied=varied))
    drifts = {("plain", one.field, one.used) for judgement in found for one in judgement.drifts}
    for stage in ("img2img", "adetailer", "upscale", "upscale by img2img"):
        _, found = judged(simulator, work_of(stage, images=images[-1:], varied=varied, picture=pictures[-1]))
        drifts |= {(stage, one.field, one.used) for judgement in found for one in judgement.drifts}
    _, found = judged(simulator, work_of("txt2img", images=images, varied=varied))
    drifts |= {("txt2img", one.field, one.used) for judgement in found for one in judgement.drifts}
    assert drifts == set()


SILENT = {
    "txt2img-override-unknown-checkpoint": {"Checkpoint"},
    "txt2img-override-unknown-vae": {"VAE"},
    "txt2img-unknown-scheduler": {"Scheduler"},
    "txt2img-unknown-sampler": {"Sampler"},
    "txt2img-float-steps": {"Steps"},
    "txt2img-interrupted-n_iter-3": {"Pictures"},
    "txt2img-script-prompt-matrix": {"Prompt"},
}
"""Recorded answers to requests that the servers did not follow; every other one drifts in nothing."""


def recorded() -> list[Path]:
    names = sorted(
        [*(HERE / "exchanges").glob("*2img-*.json"), *(HERE / "exchanges-forge").glob("*2img-*.json")]
    )
    return [path for path in names if has_pictures(json.loads(path.read_text()))]


def has_pictures(document: dict[str, Any]) -> bool:
    answer = (document.get("response") or {}).get("json")
    sent = document["request"].get("json")
    return (
        isinstance(answer, dict)
        and bool(answer.get("images"))
        and "info" in answer
        and isinstance(sent, dict)
    )


@pytest.mark.parametrize("path", recorded(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_recorded_answers_drift_only_where_the_server_did_not_follow(path: Path) -> None:
    document = json.loads(path.read_text())
    body = document["request"]["json"]
    answer = GenerationResponse.model_validate(document["response"]["json"])
    count = int(body.get("n_iter") or 1) * int(body.get("batch_size") or 1)
    pictures = answer.pictures(count)
    size = int(body.get("width") or 512), int(body.get("height") or 512)
    factor = 2 if body.get("enable_hr") else 1
    request = Request(
        "txt2img",
        document["request"]["path"],
        body if "steps" in body else {**body, "steps": None},
        count,
        Vocabulary(),
        size_px=(size[0] * factor, size[1] * factor),
    )
    came = [
        came_of(DRIVER, request, content, told)
        for content, told in zip(pictures, answer.told_of(count), strict=False)
    ]
    drifts = {one.field for judgement in judge(DRIVER, request, came) for one in judgement.drifts}
    assert drifts == SILENT.get(path.stem, set())

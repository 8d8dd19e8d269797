"""From records to request bodies: sizes, seeds, prompts and scripts of every stage."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from PIL import Image

from jobs.building.builder import BuildOptions, PackSource, build
from jobs.records.reading import AnyRecord
from jobs.running.requests import Unit, samples, units_of, work_of
from webui.driver import driver_of
from webui.drivers.a1111.requests import size_of
from webui.drivers.a1111.schemas import Img2ImgRequest, Txt2ImgRequest, decode_image
from webui.work.unit import Request


def make_record(text: str = "a keep\nneg: low", **document: Any) -> AnyRecord:
    document.setdefault("txt2img", {}).setdefault("seed", 40)
    made = build(PackSource("keeps", text, json.dumps(document)), BuildOptions(build_seed=1))
    assert made.problems == ()
    return made.records[0]


def on(*stages: str, **pipeline: Any) -> dict[str, Any]:
    return {**{f"{stage}_enabled": True for stage in stages}, **pipeline}


def png(width: int, height: int) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(content, "PNG")
    return content.getvalue()


def unit_of(record: AnyRecord, name: str, image: int = 0) -> Unit:
    """The unit of a stage that makes this picture."""
    return next(
        unit
        for units in units_of(record)
        for unit in units
        if unit.stage.stage == name and image in unit.image_indexes
    )


def sent(record: AnyRecord, unit: Unit, picture: bytes = b"") -> Request:
    """What goes to the server; a later stage begins with `picture`."""
    work = work_of(record, unit, lambda stage, image: picture or png(64, 64), task_id="t")
    return driver_of("a1111").request(work)


def txt2img(record: AnyRecord) -> Txt2ImgRequest:
    request = sent(record, unit_of(record, "txt2img"))
    assert request.endpoint == "/sdapi/v1/txt2img"
    return Txt2ImgRequest.model_validate(request.body)


def img2img(record: AnyRecord, name: str, image: int = 0, picture: bytes = b"") -> Img2ImgRequest:
    request = sent(record, unit_of(record, name, image), picture)
    assert request.endpoint == "/sdapi/v1/img2img"
    return Img2ImgRequest.model_validate(request.body)


@pytest.mark.parametrize(
    ("size", "factor", "expected"),
    [
        ((640, 448), 1, (640, 448)),
        ((100, 60), 1, (104, 64)),
        ((99, 67), 1, (96, 64)),
        ((100, 60), 1.5, (152, 88)),
        ((3, 3), 1, (8, 8)),
    ],
)
def test_size_of_a_picture_becomes_the_nearest_multiple_of_8(
    size: tuple[int, int], factor: float, expected: tuple[int, int]
) -> None:
    assert size_of(png(*size), factor) == expected


def test_first_stage_is_one_request_and_later_ones_are_one_per_picture() -> None:
    record = make_record(pipeline=on("img2img", "adetailer", "upscale", images_per_prompt=2))
    units = [unit for units in units_of(record) for unit in units]
    assert [(unit.stage.stage, unit.image_indexes, unit.image_index) for unit in units] == [
        ("txt2img", (0, 1), None),
        *((name, (image,), image) for name in ("img2img", "adetailer", "upscale") for image in (0, 1)),
    ]
    requests = [sent(record, unit) for unit in units]
    assert [request.endpoint.rpartition("/")[2] for request in requests] == [
        "txt2img",
        *["img2img"] * 4,
        *["extra-single-image"] * 2,
    ]
    assert [request.samples for request in requests] == [True] * 5 + [False] * 2
    assert [samples(unit.stage) for unit in units] == [request.samples for request in requests]
    assert [request.pictures for request in requests] == [2] + [1] * 6
    request = txt2img(record)
    assert (request.batch_size, request.n_iter) == (1, 2)


def test_later_stage_begins_with_the_same_picture_of_the_stage_before() -> None:
    record = make_record(pipeline=on("img2img", "upscale", images_per_prompt=2))
    asked: list[tuple[str, int]] = []

    def picture_of(stage: str, image: int) -> bytes:
        asked.append((stage, image))
        return png(64, 64)

    for units in units_of(record):
        for unit in units:
            work_of(record, unit, picture_of, task_id="t")
    assert asked == [("txt2img", 0), ("txt2img", 1), ("img2img", 0), ("img2img", 1)]


def test_upscale_by_img2img_samples() -> None:
    record = make_record(pipeline=on("upscale"), upscale={"upscale_mode": "img2img"})
    sampled = sent(record, unit_of(record, "upscale"))
    assert (sampled.samples, sampled.endpoint) == (True, "/sdapi/v1/img2img")
    request = img2img(record, "upscale", picture=png(100, 60))
    assert (request.width, request.height, request.denoising_strength) == (200, 120, 0.35)
    assert request.override_settings.model_dump(exclude_none=True) == {"upscaler_for_img2img": "R-ESRGAN 4x+"}


def test_size_follows_the_picture_unless_set() -> None:
    free = make_record(pipeline=on("img2img"))
    half = make_record(pipeline=on("img2img"), img2img={"width": 512})
    picture = png(300, 200)
    assert [
        img2img(free, "img2img", picture=picture).width,
        img2img(free, "img2img", picture=picture).height,
    ] == [
        304,
        200,
    ]
    request = img2img(half, "img2img", picture=picture)
    assert (request.width, request.height) == (512, 200)
    assert decode_image(request.init_images[0]) == picture


def test_later_stages_keep_the_seed_of_each_picture() -> None:
    record = make_record(pipeline=on("img2img", "adetailer", images_per_prompt=3))
    for name in ("img2img", "adetailer"):
        assert [img2img(record, name, image).seed for image in range(3)] == [40, 41, 42]


def test_with_a_variation_only_its_seed_counts_up() -> None:
    record = make_record(
        txt2img={"subseed_strength": 0.5, "subseed": 9}, pipeline=on("img2img", images_per_prompt=2)
    )
    found = [img2img(record, "img2img", image) for image in (0, 1)]
    assert [(r.seed, r.subseed, r.subseed_strength) for r in found] == [(40, 9, 0.5), (40, 10, 0.5)]


def test_seed_of_a_stage_is_its_own_where_it_is_set() -> None:
    record = make_record(pipeline=on("img2img", images_per_prompt=2), img2img={"seed": 7})
    assert [img2img(record, "img2img", image).seed for image in (0, 1)] == [7, 8]


def test_checkpoint_vae_and_clip_skip_go_with_every_generation_request() -> None:
    record = make_record(
        txt2img={"model": "a.safetensors", "vae": "v.pt", "clip_skip": 1},
        img2img={"model": "b.safetensors", "clip_skip": 3},
        upscale={"upscale_mode": "img2img"},
        pipeline=on("img2img", "adetailer", "upscale"),
    )
    first = {"sd_model_checkpoint": "a.safetensors", "sd_vae": "v.pt", "CLIP_stop_at_last_layers": 1}
    chosen = {
        stage.stage: (
            txt2img(record) if stage.stage == "txt2img" else img2img(record, stage.stage)
        ).override_settings.model_dump(exclude_none=True)
        for stage in record.enabled_stages
    }
    assert chosen["txt2img"] == chosen["adetailer"] == first
    assert chosen["img2img"] == {
        **first,
        "sd_model_checkpoint": "b.safetensors",
        "CLIP_stop_at_last_layers": 3,
    }
    assert chosen["upscale"] == {**first, "upscaler_for_img2img": "R-ESRGAN 4x+"}
    assert [sent(record, units[0]).checkpoint for units in units_of(record)] == [
        "a.safetensors",
        "b.safetensors",
        "a.safetensors",
        "a.safetensors",
    ]


def test_a_setting_that_nobody_named_is_not_overridden() -> None:
    record = make_record(pipeline=on("img2img", "adetailer", "upscale"), upscale={"upscale_mode": "img2img"})
    asked = [
        (txt2img(record) if stage.stage == "txt2img" else img2img(record, stage.stage)).wire()[
            "override_settings"
        ]
        for stage in record.enabled_stages
    ]
    assert asked == [{}, {}, {}, {"upscaler_for_img2img": "R-ESRGAN 4x+"}]


def test_a_clip_skip_of_one_stage_is_sent_with_it_alone() -> None:
    record = make_record(pipeline=on("img2img", "adetailer"), img2img={"clip_skip": 3})
    asked = {
        stage.stage: (txt2img(record) if stage.stage == "txt2img" else img2img(record, stage.stage)).wire()[
            "override_settings"
        ]
        for stage in record.enabled_stages
    }
    assert asked == {"txt2img": {}, "img2img": {"CLIP_stop_at_last_layers": 3}, "adetailer": {}}


def test_adetailer_skips_the_pass_of_img2img_and_sends_both_passes() -> None:
    record = make_record(pipeline=on("adetailer"), adetailer={"prompt": "a face", "hand_denoise": 0.1})
    scripts = img2img(record, "adetailer").wire()["alwayson_scripts"]
    enable, skip, face, hand = scripts["ADetailer"]["args"]
    assert (list(scripts), enable, skip) == (["ADetailer"], True, True)
    assert (face["ad_tab_enable"], face["ad_prompt"], face["ad_model"]) == (True, "a face", "face_yolov8n.pt")
    assert (hand["ad_tab_enable"], hand["ad_prompt"], hand["ad_denoising_strength"]) == (False, "", 0.1)
    assert face.keys() == hand.keys()


def test_refiner_and_second_pass_are_sent_only_while_on() -> None:
    settings = {"refiner_checkpoint": "r", "refiner_switch_steps": 5, "hr_prompt": "sharp", "steps": 20}
    off, both = (
        sent(record, unit_of(record, "txt2img")).body
        for record in (
            make_record(txt2img=dict(settings)),
            make_record(txt2img={**settings, "use_refiner": True, "enable_hr": True}),
        )
    )
    assert not {"refiner_checkpoint", "refiner_switch_at", "hr_prompt"} & off.keys()
    assert (both["refiner_checkpoint"], both["refiner_switch_at"]) == ("r", 0.25)
    assert both["hr_prompt"] == "sharp"
    assert "hr_negative_prompt" not in both

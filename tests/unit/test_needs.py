"""What a record needs of a server: every name that is used, and none that leaves the choice to the server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jobs.building.builder import BuildOptions, PackSource, build
from jobs.records.needs import Needs, needs_of, needs_of_all
from jobs.records.reading import AnyRecord
from webui.work.catalog import Need, Thing

TEXT = "a keep\nneg: low\n"
FULL: dict[str, dict[str, Any]] = {
    "txt2img": {
        "model": "base.safetensors",
        "vae": "nice.vae",
        "sampler_name": "Euler a",
        "scheduler": "Karras",
        "enable_hr": True,
        "hr_upscaler": "Latent",
        "hr_sampler_name": "DDIM",
        "hr_scheduler": "Beta",
        "use_refiner": True,
        "refiner_model_name": "fine.safetensors",
    },
    "img2img": {"model": "second.safetensors", "vae": "other.vae", "sampler_name": "LMS"},
    "adetailer": {
        "hand_enabled": True,
    },
    "upscale": {"upscaler": "R-ESRGAN 4x+", "gfpgan_visibility": 0.5, "codeformer_visibility": 0.3},
    "pipeline": {"img2img_enabled": True, "adetailer_enabled": True, "upscale_enabled": True},
}


def records(text: str = TEXT, settings: Any = None, **options: Any) -> tuple[AnyRecord, ...]:
    document = json.dumps({"preset_data": settings}) if settings else ""
    made = build(PackSource("p", text, document), BuildOptions(build_seed=1, **options))
    assert not made.problems, made.problems
    return made.records


def needs(text: str = TEXT, settings: Any = None, **options: Any) -> set[tuple[str, str]]:
    return {(str(one.thing), one.name) for one in needs_of(records(text, settings, **options)[0])}


def test_every_stage_says_what_it_uses() -> None:
    found = needs(settings=FULL)
    assert {
        ("checkpoint", "base.safetensors"),
        ("checkpoint", "second.safetensors"),
        ("refiner", "fine.safetensors"),
        ("VAE", "nice.vae"),
        ("VAE", "other.vae"),
        ("sampler", "Euler a"),
        ("sampler", "DDIM"),
        ("sampler", "LMS"),
        ("scheduler", "Karras"),
        ("scheduler", "Beta"),
        ("hires upscaler", "Latent"),
        ("upscaler", "R-ESRGAN 4x+"),
        ("extension", "ADetailer"),
        ("detector", "face_yolov8n.pt"),
        ("detector", "hand_yolov8n.pt"),
        ("face restorer", "GFPGAN"),
        ("face restorer", "CodeFormer"),
    } <= found


def test_what_is_switched_off_is_not_needed() -> None:
    off = {**FULL, "pipeline": {}, "txt2img": {**FULL["txt2img"], "enable_hr": False}}
    found = needs(settings=off)
    assert {thing for thing, _ in found} <= {"checkpoint", "VAE", "sampler", "scheduler", "refiner"}
    assert ("sampler", "DDIM") not in found
    assert ("checkpoint", "second.safetensors") not in found


@pytest.mark.parametrize("name", ["Automatic", "None", "none", " ", "Use same sampler", "inherit"])
def test_a_name_that_leaves_the_choice_to_the_server_is_no_need(name: str) -> None:
    [record] = records()
    changed = record.stage_chain[0].txt2img.model_copy(update={"sampler": name, "scheduler": name})
    chain = (record.stage_chain[0].model_copy(update={"parameters": changed}), *record.stage_chain[1:])
    left = record.model_copy(update={"stage_chain": chain, "base_model": name, "vae": name})
    assert needs_of(left) == ()


def test_loras_of_every_prompt_that_is_sent() -> None:
    text = "<lora:tagged:0.7>\na <lora:inline:0.5> keep <lora:plain>\nneg: low <lora:words:1>\n"
    settings = {
        "img2img": {"prompt": "a moat <lora:moat:1>"},
        "adetailer": {"prompt": "a face <lora:face:1:2>"},
        "pipeline": {"img2img_enabled": True, "adetailer_enabled": True},
    }
    loras = {name for thing, name in needs(text, settings) if thing == "LoRA"}
    assert loras == {"tagged", "inline", "plain", "moat", "face"}


def test_loras_of_a_stage_that_is_off_are_not_needed() -> None:
    settings = {"img2img": {"prompt": "a moat <lora:moat:1>"}, "pipeline": {"img2img_enabled": False}}
    assert not [name for thing, name in needs(settings=settings) if thing == "LoRA"]


def test_a_tag_that_a_webui_does_not_read_is_words() -> None:
    assert not [name for thing, name in needs("a <LORA:loud:1> keep\nneg: low\n") if thing == "LoRA"]


def test_declared_embeddings_count_by_their_bare_name_on_both_sides() -> None:
    text = "<embedding:light> (<embedding:glow>:0.9)\na keep\nneg: <embedding:bad_hands>, low\n"
    assert {name for thing, name in needs(text) if thing == "embedding"} == {"light", "glow", "bad_hands"}


def test_needs_stand_sorted_and_once_and_read_back_to_the_same_hash() -> None:
    found = needs_of_all(records(settings=FULL))[0]
    assert list(found.all) == sorted(set(found.all))
    assert Needs.from_document(found.document) == found


def test_equal_needs_are_one_value_whatever_else_differs() -> None:
    text = "\n\n".join(f"<lora:x:{weight}>\na keep {weight}\nneg: low" for weight in (0.1, 0.5))
    first, second = needs_of_all(records(text, FULL))
    assert first is second
    other = needs_of_all(records(text.replace("lora:x", "lora:y"), FULL))[0]
    assert other.sha256 != first.sha256
    assert Need(Thing.LORA, "y") in other.all


def test_a_sweep_of_checkpoints_gives_each_record_its_own() -> None:
    found = needs_of_all(records(sweeps={"txt2img.model": ("a.ckpt", "b.ckpt")}))
    assert [need.name for one in found for need in one.all if need.thing is Thing.CHECKPOINT] == [
        "a.ckpt",
        "b.ckpt",
    ]


def test_a_stage_that_is_off_needs_nothing_although_its_parameters_and_words_are_there() -> None:
    settings = {
        "img2img": {"model": "second.ckpt", "prompt": "a moat <lora:moat:1>"},
        "pipeline": {"img2img_enabled": True},
    }
    [record] = records(settings=settings)
    assert {"second.ckpt", "moat"} <= {need.name for need in needs_of(record)}
    chain = tuple(
        stage.model_copy(update={"enabled": stage.stage != "img2img"}) for stage in record.stage_chain
    )
    left = needs_of(record.model_copy(update={"stage_chain": chain}))
    assert not {"second.ckpt", "moat"} & {need.name for need in left}

"""What a WebUI truly used, beside what it was asked for."""

from __future__ import annotations

from typing import Any

import pytest

from webui.drivers.a1111.infotext import parse_infotext
from webui.drivers.a1111.settings_used import used_fields
from webui.work.told import UsedField

BODY: dict[str, Any] = {
    "prompt": "a castle, <lora:stone:0.5>",
    "negative_prompt": "blurry",
    "steps": 20,
    "sampler_name": "Euler a",
    "scheduler": "Karras",
    "cfg_scale": 7.0,
    "seed": 41,
    "width": 512,
    "height": 384,
    "override_settings": {
        "sd_model_checkpoint": "sd/castle.safetensors [abc123]",
        "CLIP_stop_at_last_layers": 1,
    },
}
TEXT = (
    "a castle, <lora:stone:0.5>\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, Schedule type: Karras, "
    "CFG scale: 7, Seed: 42, Size: 512x384, Model hash: abc123, Model: castle, Version: v1.10.1"
)


def used(body: dict[str, Any] = BODY, text: str = TEXT, image_index: int = 1) -> dict[str, UsedField]:
    return {field.name: field for field in used_fields(body, parse_infotext(text), image_index)}


def differing(**changes: Any) -> list[str]:
    return [name for name, field in used({**BODY, **changes}).items() if field.differs]


def test_a_picture_made_as_asked_differs_in_nothing() -> None:
    assert differing() == []
    assert used()["Seed"] == UsedField("Seed", "42", "42", differs=False)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"prompt": "a house"}, "Prompt"),
        ({"steps": 21}, "Steps"),
        ({"sampler_name": "DDIM"}, "Sampler"),
        ({"scheduler": "Automatic"}, "Schedule type"),
        ({"cfg_scale": 7.5}, "CFG scale"),
        ({"seed": 40}, "Seed"),
        ({"width": 520}, "Size"),
        ({"override_settings": {"sd_model_checkpoint": "other.safetensors"}}, "Model"),
    ],
)
def test_what_was_not_done_as_asked_is_named(change: dict[str, Any], name: str) -> None:
    assert differing(**change) == [name]


@pytest.mark.parametrize(
    ("asked", "told", "differs"),
    [(1, "", False), (1, "Clip skip: 2", True), (2, "Clip skip: 2", False), (None, "Clip skip: 2", False)],
)
def test_clip_skip_is_compared_where_it_was_asked_for(asked: int | None, told: str, differs: bool) -> None:
    options = {} if asked is None else {"CLIP_stop_at_last_layers": asked}
    found = used({**BODY, "override_settings": options}, f"{TEXT}, {told}" if told else TEXT)
    assert found.get("Clip skip", UsedField("Clip skip", "", "", differs=False)).differs is differs


def test_what_was_left_to_the_webui_differs_from_nothing() -> None:
    body = {**BODY, "override_settings": {}}
    assert used(body)["Model"] == UsedField("Model", "", "castle", differs=False)


def test_what_was_asked_for_and_is_not_told_stays_in_the_list() -> None:
    body = {**BODY, "denoising_strength": 0.5}
    assert used(body)["Denoising strength"] == UsedField("Denoising strength", "0.5", "", differs=False)


def test_a_variation_counts_up_its_own_seed_alone() -> None:
    body = {**BODY, "subseed": 5, "subseed_strength": 0.2}
    text = TEXT.replace("Seed: 42", "Seed: 41, Variation seed: 6, Variation seed strength: 0.2")
    found = used(body, text)
    assert not [name for name, field in found.items() if field.differs]
    assert found["Variation seed"].used == "6"

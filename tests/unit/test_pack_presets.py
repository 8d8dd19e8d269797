"""Presets: settings below the pack's own and above the defaults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.building.builder import Build, BuildOptions, PackSource, build
from jobs.errors import PackReadError
from jobs.packs.presets import preset_of, read_preset


def built(pack: dict[str, Any], preset: dict[str, Any] | str, **options: Any) -> Build:
    text = preset if isinstance(preset, str) else json.dumps(preset)
    source = PackSource("mine", "a keep\nneg: low", json.dumps(pack) if pack else "")
    return build(source, BuildOptions.model_validate({"build_seed": 1, "preset": text, **options}))


PRESET = {
    "preset_data": {
        "txt2img": {"steps": 9, "sampler": "Euler", "model": "base.safetensors", "cfg_scale": 3},
        "pipeline": {"upscale_enabled": True, "loop_count": 2},
    }
}


def test_preset_holds_where_the_pack_has_nothing_of_its_own() -> None:
    made = built({"txt2img": {"steps": 5, "sampler_name": "DDIM", "model": ""}}, PRESET)
    assert made.problems == ()
    record = made.records[0]
    assert (record.steps, record.sampler, record.base_model, record.cfg_scale) == (
        5,
        "DDIM",
        "base.safetensors",
        3.0,
    )
    assert [stage.stage for stage in record.enabled_stages] == ["txt2img", "upscale"]
    assert len(made.records) == 2


def test_a_person_wins_over_pack_and_preset() -> None:
    record = built({}, PRESET, overrides={"txt2img.sampler": "LMS", "pipeline.loop_count": 1}).records[0]
    assert (record.sampler, record.steps, record.batch_total) == ("LMS", 9, 1)


def test_preset_reaches_every_value_of_a_sweep() -> None:
    made = built({}, PRESET, sweeps={"txt2img.cfg_scale": (5, 7)})
    assert [(r.cfg_scale, r.steps) for r in made.records if r.batch_index == 0] == [(5.0, 9), (7.0, 9)]


def test_same_settings_from_pack_or_preset_make_the_same_stages() -> None:
    own = built(PRESET, "").records[0]
    lent = built({}, PRESET).records[0]
    assert own.stage_chain == lent.stage_chain
    assert own.model_copy(update={"pack_revision": lent.pack_revision}) == lent


def test_odd_presets_are_told_and_wrong_ones_refused() -> None:
    made = built({}, {"preset_data": {"txt2img": {"stepz": 1}, "hats": {}}})
    assert {("unknown_key", "txt2img.stepz"), ("unknown_key", "hats")} <= {
        (warning.code, warning.field) for warning in made.warnings
    }
    assert [p.code for p in built({}, "{").problems] == ["bad_preset"]
    made = built({}, {"preset_data": {"txt2img": {"steps": "x"}}})
    assert ("wrong_value", "txt2img.steps") in [(w.code, w.field) for w in made.warnings]
    assert [p.code for p in built({}, {"preset_data": {"txt2img": {"model": {"a": 1}}}}).problems] == [
        "wrong_value"
    ]


def test_preset_brings_settings_only(tmp_path: Path) -> None:
    document = {"name": "N", "slots": [{"text": "x"}], "matrix": {"enabled": True}, "txt2img": {"steps": 3}}
    (tmp_path / "soft.json").write_text(json.dumps(document))
    preset = read_preset(tmp_path / "soft.json")
    assert (preset.name, json.loads(preset.document)) == ("soft", {"preset_data": {"txt2img": {"steps": 3}}})
    made = built({}, preset.document)
    assert (made.records[0].steps, made.records[0].prompt_pack_name) == (3, "mine")


@pytest.mark.parametrize("text", ["", "{}", '{"pack_data": {"name": "x"}}', '{"preset_data": 3}', "[1]", "{"])
def test_document_without_settings_is_no_preset(text: str) -> None:
    with pytest.raises(PackReadError, match="Preset soft"):
        preset_of("soft", text)


def test_only_json_files_are_presets(tmp_path: Path) -> None:
    with pytest.raises(PackReadError, match="no preset"):
        read_preset(tmp_path / "soft.txt")
    with pytest.raises(PackReadError, match="does not exist"):
        read_preset(tmp_path / "soft.json")


def test_doubled_keys_of_a_preset_are_told_too() -> None:
    preset = preset_of("soft", '{"txt2img": {"steps": 3, "steps": 4, "cfg_scale": 2}}')
    made = built({}, preset.document)
    assert (made.records[0].steps, made.records[0].cfg_scale) == (4, 2)
    (told,) = [warning for warning in made.warnings if warning.code == "doubled_key"]
    assert told.message.startswith("the preset's preset_data.txt2img.steps stands 2 times: 3, then 4")

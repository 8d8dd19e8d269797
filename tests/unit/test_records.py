"""The record: frozen to its leaves, one canonical text, and everything that the queue refuses."""

from __future__ import annotations

import copy
import hashlib
import json
from typing import Any

import pytest
from pydantic import ValidationError

from jobs.building.builder import BuildOptions, PackSource, build
from jobs.records.checks import validate_record
from jobs.records.reading import AnyRecord
from jobs.records.record import STAGES, NormalizedJobRecord, StageConfig, canonical_json, sha256_text

SOURCE = PackSource(
    "keeps",
    "<embedding:e>\na [[thing]], naïve 城\n<lora:x:0.5>\nneg: low\n",
    json.dumps(
        {
            "pack_data": {
                "matrix": {"enabled": True, "slots": [{"name": "thing", "values": ["keep", "moat"]}]}
            },
            "preset_data": {"pipeline": {"upscale_enabled": True}, "txt2img": {"enable_hr": True}},
        }
    ),
)


def make_record(**overrides: Any) -> AnyRecord:
    record = build(SOURCE, BuildOptions(build_seed=1)).records[0]
    return record.model_copy(update=overrides)


def with_stage(name: str, **parameters: Any) -> AnyRecord:
    """A record with other parameters in one stage of its chain; txt2img fields follow in the record."""
    record = make_record()
    index = STAGES.index(name)
    stage = record.stage_chain[index]
    assert stage.parameters is not None
    changed = stage.model_copy(update={"parameters": stage.parameters.model_copy(update=parameters)})
    chain = tuple(changed if at == index else other for at, other in enumerate(record.stage_chain))
    shown = {name: value for name, value in parameters.items() if name in NormalizedJobRecord.model_fields}
    return record.model_copy(update={"stage_chain": chain, **shown})


def codes(record: AnyRecord) -> set[str]:
    return {problem.code for problem in validate_record(record)}


def test_built_record_has_no_problems() -> None:
    assert validate_record(make_record()) == []


def test_canonical_text_has_sorted_keys_no_spaces_and_real_characters() -> None:
    text = canonical_json(make_record())
    data = json.loads(text)
    assert text == json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert "城" in text
    assert sha256_text(text) == hashlib.sha256(text.encode()).hexdigest()


def test_canonical_text_reads_back_to_the_same_record_and_text() -> None:
    record = make_record()
    again = NormalizedJobRecord.from_canonical(canonical_json(record))
    assert again == record
    assert canonical_json(again) == canonical_json(record)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_does_not_know_are_refused(number: float) -> None:
    record = make_record(cfg_scale=number)
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(record)
    assert validate_record(record) != []


def test_records_are_frozen_to_their_leaves() -> None:
    record = make_record()
    with pytest.raises(ValidationError):
        record.seed = 1
    with pytest.raises(ValidationError):
        record.stage_chain[0].txt2img.steps = 1
    for change in (
        lambda: record.matrix_slot_values.update(thing="x"),
        lambda: record.matrix_slot_values.pop("thing"),
        lambda: record.matrix_slot_values.__setitem__("thing", "x"),
        lambda: record.matrix_slot_values.clear(),
    ):
        with pytest.raises(TypeError, match="cannot be changed"):
            change()
    assert hash(record.matrix_slot_values) == hash(copy.deepcopy(record).matrix_slot_values)
    assert isinstance(record.lora_tags, tuple)


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1},
        {"steps": "20"},
        {"steps": 20.5},
        {"seed": None},
        {"run_mode": "DIRECT"},
        {"schema_version": 3},
        {"schema_version": 1},
    ],
)
def test_anything_but_a_record_is_not_read(change: dict[str, Any]) -> None:
    data = {**json.loads(canonical_json(make_record())), **change}
    with pytest.raises(ValidationError):
        NormalizedJobRecord.from_canonical(json.dumps(data))


@pytest.mark.parametrize("setting", [{}, {"clip_skip": 1}, {"clip_skip": 3}])
def test_clip_skip_stands_in_a_record_only_where_it_was_named(setting: dict[str, Any]) -> None:
    document = json.dumps({"txt2img": setting, "pipeline": {"img2img_enabled": True}})
    (record,) = build(PackSource("keeps", "a keep\nneg: low", document), BuildOptions(build_seed=1)).records
    text = canonical_json(record)
    found = json.loads(text)
    later = found["stage_chain"][1]["parameters"]
    assert found["schema_version"] == 2
    assert [{name: one[name] for name in one if name == "clip_skip"} for one in (found, later)] == [
        setting
    ] * 2
    assert canonical_json(NormalizedJobRecord.from_canonical(text)) == text
    assert validate_record(record) == []


def test_missing_field_is_not_read() -> None:
    data = json.loads(canonical_json(make_record()))
    del data["seed"]
    with pytest.raises(ValidationError):
        NormalizedJobRecord.from_canonical(json.dumps(data))


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"prompt_pack_id": ""}, "missing_pack", "prompt_pack_id"),
        ({"pack_revision": ""}, "missing_revision", "pack_revision"),
        ({"prompt_pack_row_index": -1}, "missing_row", "prompt_pack_row_index"),
        ({"positive_prompt": " \n"}, "empty_positive", "positive_prompt"),
        ({"negative_prompt": ""}, "empty_negative", "negative_prompt"),
        ({"seed": -1}, "missing_seed", "seed"),
        ({"seed": 2**32}, "missing_seed", "seed"),
        ({"subseed": -1}, "missing_seed", "subseed"),
        ({"variant_index": 2}, "bad_index", "variant_index"),
        ({"batch_index": 1}, "bad_index", "batch_index"),
        ({"clip_skip": 0}, "out_of_range", "clip_skip"),
        ({"subseed_strength": 1.5}, "out_of_range", "subseed_strength"),
        ({"images_per_prompt": 0}, "out_of_range", "images_per_prompt"),
        ({"matrix_slot_values": {}}, "missing_matrix", "matrix_slot_values"),
        ({"stage_chain": ()}, "empty_stage_chain", "stage_chain"),
    ],
)
def test_incomplete_record_is_refused_by_field(change: dict[str, Any], code: str, field: str) -> None:
    (problem,) = validate_record(make_record(**change))
    assert (problem.code, problem.field) == (code, field)
    assert problem.message.startswith("Pack ")


@pytest.mark.parametrize(
    ("name", "parameters", "field"),
    [
        ("txt2img", {"steps": 0}, "txt2img.steps"),
        ("txt2img", {"steps": 151}, "txt2img.steps"),
        ("txt2img", {"cfg_scale": 0.05}, "txt2img.cfg_scale"),
        ("txt2img", {"cfg_scale": 30.5}, "txt2img.cfg_scale"),
        ("txt2img", {"width": 516}, "txt2img.width"),
        ("txt2img", {"width": 56}, "txt2img.width"),
        ("txt2img", {"height": 4104}, "txt2img.height"),
        ("txt2img", {"denoising_strength": 1.1}, "txt2img.denoising_strength"),
        ("txt2img", {"hr_scale": 0.5}, "txt2img.hr_scale"),
        ("txt2img", {"hr_upscaler": ""}, "txt2img.hr_upscaler"),
        ("txt2img", {"hr_resize_x": 1001}, "txt2img.hr_resize_x"),
        ("upscale", {"upscaling_resize": 0.5}, "upscale.upscaling_resize"),
        ("upscale", {"upscaler": " "}, "upscale.upscaler"),
        ("upscale", {"gfpgan_visibility": 2.0}, "upscale.gfpgan_visibility"),
    ],
)
def test_value_outside_the_range_of_a_webui_is_refused(
    name: str, parameters: dict[str, Any], field: str
) -> None:
    (problem,) = validate_record(with_stage(name, **parameters))
    missing = next((key for key, value in parameters.items() if not str(value).strip()), None)
    assert problem.code == (f"missing_{missing}" if missing else "out_of_range")
    assert problem.field == field
    assert (problem.pack, problem.row) == ("keeps", 1)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("txt2img", {"steps": 150}),
        ("txt2img", {"cfg_scale": 0.1}),
        ("txt2img", {"cfg_scale": 30.0}),
        ("txt2img", {"width": 4096}),
        ("txt2img", {"height": 64}),
        ("txt2img", {"denoising_strength": 1.0}),
    ],
)
def test_ends_of_the_ranges_are_inside(name: str, parameters: dict[str, Any]) -> None:
    assert validate_record(with_stage(name, **parameters)) == []


def test_missing_sampler_is_refused() -> None:
    assert codes(with_stage("txt2img", sampler="")) == {"missing_sampler"}


def test_ranges_of_a_stage_that_is_off_do_not_count() -> None:
    record = with_stage("upscale", upscaling_resize=0.5)
    off = record.stage_chain[3].model_copy(update={"enabled": False})
    assert validate_record(record.model_copy(update={"stage_chain": (*record.stage_chain[:3], off)})) == []
    assert codes(with_stage("txt2img", enable_hr=False, denoising_strength=9.0)) == set()


def test_malformed_chains_are_refused() -> None:
    txt2img, upscale = make_record().enabled_stages
    off = txt2img.model_copy(update={"enabled": False})
    bare = StageConfig(stage="upscale", enabled=True, parameters=None)
    crossed = StageConfig(stage="upscale", enabled=True, parameters=txt2img.parameters)
    unknown = StageConfig(stage="video", enabled=True, parameters=None)
    chains: dict[str, list[tuple[StageConfig, ...]]] = {
        "malformed_stage_chain": [(upscale, txt2img), (txt2img, txt2img), (upscale,), (off, upscale)],
        "missing_parameters": [(txt2img, bare), (txt2img, crossed)],
        "unknown_stage": [(txt2img, unknown), (txt2img, unknown.model_copy(update={"enabled": False}))],
        "empty_stage_chain": [(off,)],
    }
    for code, refused in chains.items():
        for chain in refused:
            assert code in codes(make_record(stage_chain=chain)), [stage.stage for stage in chain]


def test_record_that_disagrees_with_its_first_stage_is_refused() -> None:
    assert codes(make_record(steps=21)) == {"malformed_stage_chain"}


def test_record_with_holes_is_refused_and_not_tripped_over() -> None:
    assert codes(NormalizedJobRecord.model_construct(prompt_pack_id="keeps")) == {"malformed_record"}
    assert codes(make_record(seed="7")) == {"malformed_record"}
    assert codes(make_record(stage_chain=None)) == {"malformed_record"}

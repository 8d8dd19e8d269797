"""Stages in records: their prompts, samplers and ranges, and what holds for every build with all of them."""

from __future__ import annotations

import json
import tracemalloc
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.building.builder import Build, BuildOptions, PackSource, build
from jobs.packs.pack import parse_pack
from jobs.records.checks import validate_record
from jobs.records.reading import AnyRecord
from jobs.records.record import NormalizedJobRecord, canonical_json
from jobs.running.requests import units_of, work_of
from tests.steps import counted_steps
from tests.unit.pack_text import render_rows
from tests.unit.test_golden import PICTURE
from webui.drivers.a1111.driver import DRIVER

LATER = ("img2img", "adetailer", "upscale")


def make_source(text: str = "a keep\nneg: low", **document: Any) -> PackSource:
    return PackSource("mine", text, json.dumps(document))


def built(source: PackSource, **changes: Any) -> Build:
    made = build(source, BuildOptions.model_validate({"build_seed": 1, "global_negative": "bad", **changes}))
    assert made.problems == ()
    return made


def first(source: PackSource, **changes: Any) -> AnyRecord:
    return built(source, **changes).records[0]


def on(*stages: str, **pipeline: Any) -> dict[str, Any]:
    return {**{f"{stage}_enabled": True for stage in stages}, **pipeline}


def problems(**document: Any) -> list[tuple[str, str]]:
    made = build(make_source(**document), BuildOptions(build_seed=1))
    return [(problem.code, problem.field) for problem in made.problems]


# --- the chain --------------------------------------------------------------------------------------


def test_chain_has_every_stage_in_order_and_parameters_for_those_that_are_on() -> None:
    record = first(make_source(pipeline=on("upscale", "img2img")))
    assert [stage.stage for stage in record.stage_chain] == ["txt2img", *LATER]
    assert [stage.enabled for stage in record.stage_chain] == [True, True, False, True]
    assert [stage.parameters is None for stage in record.stage_chain] == [False, False, True, False]


@pytest.mark.parametrize("stage", LATER)
def test_later_stage_without_txt2img_is_refused(stage: str) -> None:
    assert problems(pipeline=on(stage, txt2img_enabled=False)) == [
        ("malformed_stage_chain", "pipeline.txt2img_enabled")
    ]


@pytest.mark.parametrize(
    ("section", "name", "value", "code"),
    [
        ("img2img", "steps", 0, "out_of_range"),
        ("img2img", "width", 100, "out_of_range"),
        ("img2img", "denoising_strength", 1.5, "out_of_range"),
        ("img2img", "clip_skip", 13, "out_of_range"),
        ("adetailer", "confidence", 1.1, "out_of_range"),
        ("adetailer", "hand_steps", 151, "out_of_range"),
        ("adetailer", "mask_min_ratio", -1, "out_of_range"),
        ("upscale", "upscaling_resize", 9, "out_of_range"),
    ],
)
def test_value_outside_the_range_is_refused_by_setting(
    section: str, name: str, value: Any, code: str
) -> None:
    document = {"adetailer": {"hand_enabled": True}, "pipeline": on(*LATER)}
    document[section] = {**document.get(section, {}), name: value}
    assert problems(**document) == [(code, f"{section}.{name}")]


def test_ranges_of_a_pass_that_is_off_do_not_count_but_one_pass_must_be_on() -> None:
    assert problems(adetailer={"hand_steps": 0}, pipeline=on("adetailer")) == []
    source = make_source(adetailer={"face_enabled": False}, pipeline=on("adetailer"))
    assert [stage.stage for stage in built(source).records[0].enabled_stages] == ["txt2img"]
    assert "no_pass" in [warning.code for warning in built(source).warnings]
    source = make_source(pipeline=on("adetailer"))
    asked = build(source, BuildOptions(build_seed=1, overrides={"adetailer.face_enabled": False}))
    assert [(p.code, p.field) for p in asked.problems] == [("missing_parameters", "adetailer.face_enabled")]


def test_spelling_that_the_extension_does_not_know_is_refused_only_where_it_is_asked_for() -> None:
    source = make_source(adetailer={"mask_filter_method": "biggest"}, pipeline=on("adetailer"))
    made = built(source)
    assert made.records[0].stage_chain[2].adetailer.face.mask_filter_method == "Area"
    assert "adetailer.mask_filter_method" in [warning.field for warning in made.warnings]
    asked = build(source, BuildOptions(build_seed=1, overrides={"adetailer.mask_filter_method": "biggest"}))
    assert [(p.code, p.field) for p in asked.problems] == [("wrong_value", "adetailer.mask_filter_method")]


def test_upscale_by_img2img_beyond_what_a_webui_draws_is_refused_not_shrunk() -> None:
    upscale = {"upscale_mode": "img2img", "upscaling_resize": 4}
    large = {"txt2img": {"width": 1024, "enable_hr": True, "hr_scale": 2}, "upscale": upscale}
    assert problems(**large, pipeline=on("upscale")) == [("out_of_range", "upscale.upscaling_resize")]
    assert problems(upscale=upscale, txt2img={"width": 1024}, pipeline=on("upscale")) == []
    assert problems(upscale=upscale, img2img={"width": 1032}, pipeline=on("upscale", "img2img")) != []


@pytest.mark.parametrize("mode", ["tiled", "latent", "none", 3, {"a": 1}])
def test_other_upscale_modes_of_a_file_become_the_default_by_name(mode: object) -> None:
    source = make_source(upscale={"upscale_mode": mode}, pipeline=on("upscale"))
    made = built(source)
    assert made.records[0].stage_chain[3].upscale.upscale_mode == "single"
    assert ("wrong_value", "upscale.upscale_mode") in [(w.code, w.field) for w in made.warnings]
    if isinstance(mode, str):
        asked = build(source, BuildOptions(build_seed=1, overrides={"upscale.upscale_mode": mode}))
        assert [(p.code, p.field) for p in asked.problems] == [("wrong_value", "upscale.upscale_mode")]


def test_refiner_needs_a_checkpoint_and_takes_steps_or_a_share() -> None:
    refiners: tuple[dict[str, Any], ...] = (
        {"use_refiner": True, "refiner_checkpoint": "None"},
        {"use_refiner": True, "refiner_checkpoint": "r", "refiner_switch_at": 1},
    )
    for refiner in refiners:
        made = built(make_source(txt2img=refiner))
        assert made.records[0].stage_chain[0].txt2img.refiner_checkpoint == ""
        assert "no_refiner" in [warning.code for warning in made.warnings]
        asked = {f"txt2img.{name}": value for name, value in refiner.items()}
        assert build(make_source(), BuildOptions(build_seed=1, overrides=asked)).problems
    asked = {
        "refiner_enabled": True,
        "refiner_model_name": "r [ab12]",
        "refiner_switch_steps": 15,
        "steps": 30,
    }
    stage = first(make_source(txt2img=asked)).stage_chain[0].txt2img
    assert (stage.refiner_checkpoint, stage.refiner_switch_at) == ("r [ab12]", 0.5)


def test_refiner_that_is_named_but_off_is_warned_of() -> None:
    made = built(make_source(txt2img={"refiner_checkpoint": "r"}))
    assert "txt2img.refiner_checkpoint" in [warning.field for warning in made.warnings]
    assert made.records[0].stage_chain[0].txt2img.refiner_checkpoint == ""


@pytest.mark.parametrize(
    ("sampler", "scheduler", "expected"),
    [
        ("DPM++ SDE Karras", "", ("DPM++ SDE", "Karras")),
        ("DPM++ SDE Karras", "Normal", ("DPM++ SDE", "Normal")),
        ("LMS", "", ("LMS", "Automatic")),
        ("LMS", "inherit", ("LMS", "Exponential")),
        ("Use same sampler", "", ("Euler", "Exponential")),
        ("inherit", "Karras", ("Euler", "Karras")),
    ],
)
def test_samplers_of_every_stage_are_split_and_follow_txt2img_where_they_say_so(
    sampler: str, scheduler: str, expected: tuple[str, str]
) -> None:
    asked = {"sampler": sampler, "scheduler": scheduler}
    record = first(
        make_source(
            txt2img={"sampler": "Euler Exponential"},
            img2img=asked,
            adetailer=asked,
            upscale={**asked, "mode": "img2img"},
            pipeline=on(*LATER),
        )
    )
    _, img2img, adetailer, upscale = record.stage_chain
    by_img2img = upscale.upscale_by_img2img
    assert by_img2img is not None
    assert (img2img.img2img.sampler, img2img.img2img.scheduler) == expected
    assert (adetailer.adetailer.face.sampler, adetailer.adetailer.face.scheduler) == expected
    assert (by_img2img.sampler, by_img2img.scheduler) == expected
    assert adetailer.adetailer.hand.sampler == "Euler"


def test_settings_of_any_stage_can_be_swept_but_not_its_words() -> None:
    source = make_source(adetailer={"prompt": "face"}, pipeline=on("adetailer"))
    made = built(
        source, sweeps={"adetailer.ad_denoise": (0.2, 0.4), "adetailer.enable_hands_pass": (True, False)}
    )
    passes = [record.stage_chain[2].adetailer for record in made.records]
    assert [(one.face.denoising_strength, one.hand.enabled) for one in passes] == [
        (0.2, True),
        (0.2, False),
        (0.4, True),
        (0.4, False),
    ]
    options = BuildOptions(build_seed=1, sweeps={"adetailer.prompt": ("a", "b")})
    assert [p.code for p in build(source, options).problems] == ["unknown_sweep"]


# --- prompts ------------------------------------------------------------------------------------------


def prompts(record: AnyRecord) -> dict[str, tuple[str | None, str | None]]:
    return {one.stage: (one.positive, one.negative) for one in record.stage_prompts}


def test_stages_that_say_nothing_of_their_own_use_the_records_prompts() -> None:
    record = first(make_source(txt2img={"enable_hr": True}, pipeline=on(*LATER)))
    assert record.stage_prompts == ()
    assert record.prompts_of("img2img") == (record.positive_prompt, record.negative_prompt)


def test_own_prompts_stand_instead_and_adjustments_behind() -> None:
    record = first(
        make_source(
            img2img={"prompt": "a moat", "prompt_adjust": "wet", "negative_adjust": "dry"},
            pipeline=on("img2img"),
        )
    )
    assert prompts(record) == {"img2img": ("a moat, wet", "bad, low, dry")}
    assert record.prompts_of("img2img") == ("a moat, wet", "bad, low, dry")


@pytest.mark.parametrize("stage", ["img2img", "adetailer", "upscale"])
def test_global_negative_is_switched_per_stage(stage: str) -> None:
    upscale = {"upscale_mode": "img2img"}
    without = {f"apply_global_negative_{stage}": False}
    record = first(make_source(upscale=upscale, pipeline=on(*LATER, **without)))
    assert record.negative_prompt == "bad, low"
    assert prompts(record) == {stage: (None, "low")}
    only = {f"apply_global_negative_{name}": name == stage for name in ("txt2img", *LATER)}
    record = first(make_source(upscale=upscale, pipeline=on(*LATER, **only)))
    assert record.negative_prompt == "low"
    assert prompts(record) == {stage: (None, "bad, low")}


def test_extras_have_no_prompt() -> None:
    assert first(make_source(pipeline=on("upscale", apply_global_negative_upscale=False))).stage_prompts == ()


def test_passes_with_words_of_their_own_keep_them_whole() -> None:
    detailer = {"prompt": "a face", "hand_negative_prompt": "low", "hand_enabled": True}
    record = first(make_source(adetailer=detailer, pipeline=on("adetailer")))
    assert prompts(record) == {"face": ("a face", None), "hand": (None, "bad, low")}
    off = {**detailer, "hand_enabled": False}
    assert list(prompts(first(make_source(adetailer=off, pipeline=on("adetailer"))))) == ["face"]


def test_second_pass_of_hires_fix_has_words_of_its_own() -> None:
    section = {"enable_hr": True, "hr_prompt": "crisp", "hr_negative_prompt": "soft"}
    record = first(make_source(txt2img=section), global_positive="best")
    assert prompts(record) == {"hires": ("best, crisp", "bad, soft")}
    assert first(make_source(txt2img={**section, "enable_hr": False})).stage_prompts == ()


def test_tokens_and_tags_are_resolved_in_the_words_of_stages() -> None:
    slots = [{"name": "who", "values": ["nun", "monk"]}]
    source = make_source(
        "a keep\nneg: low",
        pack_data={"matrix": {"enabled": True, "slots": slots}},
        preset_data={
            "adetailer": {"prompt": "<old_tag>, face of a [[who]] <embedding:e>"},
            "pipeline": on("adetailer"),
        },
    )
    made = built(source)
    assert [prompts(record)["face"][0] for record in made.records] == [
        "old_tag, face of a nun e",
        "old_tag, face of a monk e",
    ]
    off = build(source, BuildOptions(build_seed=1, overrides={"matrix.enabled": False}))
    assert [(problem.code, problem.field) for problem in off.problems] == [("unresolved_token", "who")]


# --- what holds for every build -------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "[[x]]", "[[y]]", "neg: z", "", "<lora:l:0.5>"]), max_size=7).map(
        "\n".join
    ),
    st.sets(st.sampled_from(LATER)),
    st.sampled_from(["fanout", "random", "sequential", "rotate"]),
    st.lists(st.sampled_from([5, 6, 7]), max_size=3, unique=True),
    st.integers(1, 3),
    st.integers(1, 2),
    st.booleans(),
)
def test_counts_indexes_seeds_and_order_hold_with_every_stage(
    text: str, stages: set[str], mode: str, sweep: list[int], loops: int, pictures: int, fixed: bool
) -> None:
    pipeline = on(*stages, loop_count=loops, images_per_prompt=pictures, seed_mode="fixed" if fixed else "")
    slots = [{"name": "x", "values": ["p", "q"]}, {"name": "y", "values": ["r", "s", "t"]}]
    source = make_source(
        text,
        pack_data={"matrix": {"enabled": True, "mode": mode, "slots": slots}},
        preset_data={"img2img": {"prompt": "[[x]]"}, "adetailer": {"prompt": "[[y]]"}, "pipeline": pipeline},
    )
    options = BuildOptions(build_seed=9, sweeps={"txt2img.cfg_scale": tuple(sweep)} if sweep else {})
    made = build(source, options)
    if made.problems:
        assert {problem.code for problem in made.problems} <= {"no_rows", "empty_positive"}
        return
    assert made.counts.records == len(made.records)
    places = [(r.prompt_pack_row_index, r.variant_index, r.batch_index) for r in made.records]
    expected = [
        (row, *place)
        for row, combinations in enumerate(made.counts.combinations)
        for place in product(range(combinations * max(1, len(sweep))), range(loops))
    ]
    assert places == expected
    for record in made.records:
        assert (record.variant_total, record.batch_total) == (
            made.counts.combinations[record.prompt_pack_row_index] * max(1, len(sweep)),
            loops,
        )
        assert validate_record(record) == []
        assert "[[" not in canonical_json(record)
    for row, variant in {place[:2] for place in places}:
        seeds = [
            range(r.seed, r.seed + pictures)
            for r in made.records
            if (r.prompt_pack_row_index, r.variant_index) == (row, variant)
        ]
        shown = [seed for drawn in seeds for seed in drawn]
        assert fixed or len(set(shown)) == len(shown)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.sampled_from(["a", "b, c", "neg: z", "neg: <embedding:n>, y", "", "<lora:l:0.5>", "# c"]),
        min_size=1,
    )
)
def test_rendered_rows_make_the_same_records(lines: list[str]) -> None:
    source = make_source("\n".join(lines), pipeline=on(*LATER))
    rendered = PackSource("mine", render_rows(parse_pack(source).rows), source.document)
    options = BuildOptions(build_seed=4)
    made, again = build(source, options), build(rendered, options)
    assert [p.code for p in made.problems] == [p.code for p in again.problems]
    same = [r.model_copy(update={"pack_revision": ""}) for r in made.records]
    assert same == [r.model_copy(update={"pack_revision": ""}) for r in again.records]


# --- growth ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["fanout", "random", "sequential", "rotate"])
def test_matrix_of_25_billion_is_limited_in_few_steps_and_little_memory(mode: str) -> None:
    sizes = (10, 10, 10, 16, 16, 9, 7, 11, 11, 13)
    slots = [
        {"name": f"s{index}", "values": [f"v{index}-{n}" for n in range(size)]}
        for index, size in enumerate(sizes)
    ]
    text = " ".join(f"[[s{index}]]" for index in range(len(sizes)))
    source = make_source(text, pack_data={"matrix": {"enabled": True, "mode": mode, "slots": slots}})
    tracemalloc.start()
    try:
        with counted_steps(most=100_000):
            made = built(source, limit=8)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000
    assert made.counts.combinations == (25_369_344_000 if mode != "sequential" else 1,)
    assert len(made.records) == min(8, made.counts.records)


def steps_to_build(rows: int, values: int) -> int:
    text = "\n\n".join(f"row {n} [[x]] " + "word " * 150 + "\nneg: " + "bad " * 60 for n in range(rows))
    source = make_source(
        text,
        txt2img={"enable_hr": True, "hr_prompt": "sharp [[x]]"},
        img2img={"prompt_adjust": "finer"},
        adetailer={"prompt": "a face of [[x]]", "negative_prompt": "mush", "hand_enabled": True},
        pipeline=on(*LATER, loop_count=2, apply_global_negative_adetailer=False),
    )
    with counted_steps() as steps:
        made = built(source, matrix={"x": tuple(str(n) for n in range(values))})
    assert len(made.records) == rows * values * 2
    assert len(made.records[0].stage_prompts) == 4
    return steps.count


def test_work_of_a_build_of_four_stages_grows_no_faster_than_its_records() -> None:
    assert steps_to_build(rows=40, values=10) < 4.2 * steps_to_build(rows=20, values=5)


@pytest.mark.parametrize(
    ("written", "modules"),
    [
        (["ae.safetensors", "t5xxl_fp8.safetensors"], ("ae.safetensors", "t5xxl_fp8.safetensors")),
        ("ae.safetensors,  clip_l.safetensors ,", ("ae.safetensors", "clip_l.safetensors")),
        ("Built-in", ()),
        ("", None),
        ([], None),
    ],
)
def test_modules_beside_the_checkpoint_are_those_that_are_named(
    written: object, modules: tuple[str, ...] | None
) -> None:
    record = first(make_source(txt2img={"forge_additional_modules": written}))
    assert record.modules == modules
    assert ("modules" in json.loads(canonical_json(record))) == (modules is not None)
    assert NormalizedJobRecord.from_canonical(canonical_json(record)) == record


def test_modules_go_with_the_checkpoint_that_they_belong_to() -> None:
    section = {"model": "flux", "modules": "ae"}
    record = first(
        make_source(txt2img=section, img2img={"model": "sdxl"}, pipeline=on("img2img", "adetailer"))
    )
    sent = {
        unit.stage.stage: DRIVER.request(
            work_of(record, unit, lambda stage, image: PICTURE, task_id="t")
        ).body
        for units in units_of(record)
        for unit in units
    }
    asked = {stage: body["override_settings"].get("forge_additional_modules") for stage, body in sent.items()}
    assert asked == {"txt2img": ["ae"], "img2img": None, "adetailer": ["ae"]}

"""From a pack to records: layers, fan-out, seeds, counts, refusals, and the same bytes every time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.building.builder import Build, BuildOptions, PackSource, build
from jobs.building.plan import author_warnings, plan_build
from jobs.errors import PackReadError
from jobs.packs.pack import parse_pack, read_pack
from jobs.packs.sources import find_packs, read_source
from jobs.records.checks import validate_record
from jobs.records.record import NormalizedJobRecord, canonical_json, sha256_text
from tests.steps import counted_steps

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "packs"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared packs are not here")


def make_source(text: str = "a keep\nneg: low", **document: Any) -> PackSource:
    return PackSource("mine", text, json.dumps(document) if document else "")


def make_options(**changes: Any) -> BuildOptions:
    return BuildOptions.model_validate({"build_seed": 1, **changes})


def built(source: PackSource, **changes: Any) -> Build:
    made = build(source, make_options(**changes))
    assert made.problems == ()
    return made


def refused(source: PackSource, **changes: Any) -> list[tuple[str, int | None, str]]:
    made = build(source, make_options(**changes))
    assert made.problems
    assert (made.records, made.canonical, made.hashes) == ((), (), ())
    return [(problem.code, problem.row, problem.field) for problem in made.problems]


def matrix(**changes: Any) -> dict[str, Any]:
    slots = [
        {"name": "job", "values": ["wizard", "knight"]},
        {"name": "place", "values": ["forest", "castle", "moon"]},
    ]
    return {"pack_data": {"matrix": {"enabled": True, "slots": slots, **changes}}}


def test_prompts_are_layered_in_order_and_globals_applied_once() -> None:
    text = "<embedding:e> (<embedding:f>:0.9)\nfirst line\nsecond, <embedding:g>\n<lora:x:0.5>\n"
    text += "neg: <embedding:n>\nneg: low,\nbad"
    source = make_source(text, txt2img={"negative_prompt": "ugly"})
    (record,) = built(source, global_positive="best", global_negative="worst").records
    assert record.positive_prompt == "best, e (f:0.9) first line second, g <lora:x:0.5>"
    assert record.negative_prompt == "worst, ugly, n, low, bad"
    assert [(layer.side, layer.source, layer.text) for layer in record.prompt_layers] == [
        ("positive", "global", "best"),
        ("positive", "embeddings", "e (f:0.9)"),
        ("positive", "row", "first line second, g"),
        ("positive", "loras", "<lora:x:0.5>"),
        ("negative", "global", "worst"),
        ("negative", "pack", "ugly"),
        ("negative", "embeddings", "n"),
        ("negative", "row", "low, bad"),
    ]
    assert record.positive_embeddings == ("e", "(f:0.9)")
    assert record.negative_embeddings == ("n",)
    assert [(tag.name, tag.weight) for tag in record.lora_tags] == [("x", 0.5)]


def test_global_negative_can_be_switched_off_by_the_pack() -> None:
    off = make_source(pipeline={"apply_global_negative_txt2img": False})
    assert built(off).records[0].negative_prompt == "low"
    assert built(make_source()).records[0].negative_prompt == "lowres, bad quality, blurry, low"


def test_negative_of_a_person_is_a_layer_of_its_own() -> None:
    source = make_source(txt2img={"negative_prompt": "ugly"})
    (record,) = built(source, overrides={"txt2img.negative_prompt": "odd"}).records
    assert ("override", "odd") in [(layer.source, layer.text) for layer in record.prompt_layers]
    assert "ugly" not in record.negative_prompt


def test_fan_out_runs_by_row_combination_and_repeat_and_counts_its_indexes() -> None:
    source = make_source(
        "a [[job]]\n\nb\n\nc [[place]] [[job]]", **matrix(), preset_data={"pipeline": {"loop_count": 2}}
    )
    records = built(source, repeat=2).records
    shown = [
        (r.prompt_pack_row_index, r.variant_index, r.variant_total, r.batch_index, r.batch_total)
        for r in records
    ]
    expected = [
        (row, v, total, b, 4)
        for row, total in ((0, 2), (1, 1), (2, 6))
        for v in range(total)
        for b in range(4)
    ]
    assert shown == expected
    assert [r.matrix_slot_values for r in records[:8:4]] == [{"job": "wizard"}, {"job": "knight"}]
    assert [dict(r.matrix_slot_values) for r in records[12::4]] == [
        {"job": job, "place": place} for job in ("wizard", "knight") for place in ("forest", "castle", "moon")
    ]
    assert all(validate_record(record) == [] for record in records)
    assert {record.loop_count for record in records} == {2}


def test_only_slots_that_a_row_uses_multiply_it() -> None:
    made = built(make_source("a [[job]] [[job]]\n\nb", **matrix()))
    assert made.counts.combinations == (2, 1)
    assert made.records[2].matrix_slot_values == {}
    assert made.records[2].randomization.mode == "none"
    assert [w.code for w in made.warnings] == ["no_checkpoint", "unused_slot"]


def test_tokens_count_wherever_they_stand() -> None:
    text = "a\n<lora:[[style]]:0.7>\n<embedding:[[style]]>\nneg: [[Bad Thing]]"
    slots = [
        {"name": "style", "values": ["ink", "oil"]},
        {"name": "bad-thing", "values": ["<embedding:worse>"]},
    ]
    source = make_source(
        text, matrix={"enabled": True, "slots": slots}, txt2img={"negative_prompt": "not [[style]]"}
    )
    first, second = built(source, global_positive="[[style]] art").records
    assert first.positive_prompt == "ink art, ink a <lora:ink:0.7>"
    assert first.negative_prompt == "lowres, bad quality, blurry, not ink, worse"
    assert second.lora_tags[0].name == "oil"
    assert first.positive_embeddings == ("ink",)
    assert first.matrix_slot_values == {"style": "ink", "bad-thing": "<embedding:worse>"}
    assert "[[" not in first.model_dump_json()


def test_a_slot_without_values_is_told_once_with_its_rows() -> None:
    source = make_source("[[a]] and [[b]]\n\nfine\n\n[[a]]\n\n[[a]] [[odd name]]")
    found = build(source, make_options()).problems
    assert [(p.code, p.rows, p.row, p.field) for p in found] == [
        ("unresolved_token", (1, 3, 4), None, "a"),
        ("unresolved_token", (1,), 1, "b"),
        ("unresolved_token", (4,), 4, "odd name"),
    ]
    assert found[0].message.startswith("Pack mine, rows 1, 3–4: [[a]] has no values; ")
    assert "--matrix a=VALUE,VALUE" in found[0].message
    assert "--matrix 'odd name=VALUE,VALUE'" in found[2].message
    assert "(the row begins in line 7)" in found[2].message


def test_rows_with_a_slot_without_values_can_be_skipped() -> None:
    source = make_source(
        "[[a]] and [[b]]\n\nfine\n\n[[a]] x", **matrix(slots=[{"name": "a", "values": ["1"]}])
    )
    assert [p.field for p in build(source, make_options()).problems] == ["b"]
    made = built(source, skip_unfilled=True)
    assert [record.prompt_pack_row_index for record in made.records] == [1, 2]
    (told,) = [warning for warning in made.warnings if warning.code == "skipped_rows"]
    assert (told.field, told.message) == ("b", "[[b]] has no values, so row 1 is skipped.")
    assert refused(source, skip_unfilled=True, rows=(0,)) == [("no_rows", None, "")]
    as_before = make_options(skip_unfilled=False).model_dump(mode="json")
    assert "skip_unfilled" not in as_before
    assert make_options(skip_unfilled=True).model_dump(mode="json")["skip_unfilled"] is True


def test_matrix_that_is_off_is_named_as_the_reason() -> None:
    source = make_source("[[job]]", **matrix(enabled=False))
    assert refused(source) == [("unresolved_token", 1, "job")]
    assert "--set matrix.enabled=true" in build(source, make_options()).problems[0].message
    assert len(built(source, overrides={"matrix.enabled": True}).records) == 2


def test_empty_slot_leaves_its_token_unresolved() -> None:
    assert refused(
        make_source("[[x]]", matrix={"enabled": True, "slots": [{"name": "x", "values": []}]})
    ) == [("unresolved_token", 1, "x")]


def test_value_that_holds_a_token_is_refused() -> None:
    assert refused(make_source("[[x]]"), matrix={"x": ("[[y]]",)}) == [("unresolved_token", 1, "x")]


def test_slots_of_a_person_replace_and_define_and_mean_all_combinations() -> None:
    source = make_source("[[job]] [[place]] [[new]]", **matrix(mode="random", limit=1))
    made = built(source, matrix={"place": ("sea",), "new": ("1", "2", "2")})
    assert [dict(record.matrix_slot_values) for record in made.records] == [
        {"job": job, "place": "sea", "new": new} for job in ("wizard", "knight") for new in ("1", "2")
    ]
    assert made.records[0].randomization.mode == "fanout"
    limited = built(
        source, matrix={"new": ("1", "2")}, overrides={"matrix.limit": 3, "matrix.mode": "random"}
    )
    assert len(limited.records) == 3
    assert limited.records[0].randomization.mode == "random"


def test_order_of_a_persons_slots_does_not_matter() -> None:
    source = make_source("[[b]] [[a]]")
    first = built(source, matrix={"a": ("1", "2"), "b": ("3", "4")})
    second = built(source, matrix={"b": ("3", "4"), "a": ("1", "2")})
    assert first.hashes == second.hashes


def test_random_matrix_depends_on_the_build_seed_alone() -> None:
    values = [str(number) for number in range(50)]
    source = make_source(
        "[[x]]\n\n[[x]] too", matrix={"enabled": True, "mode": "random", "limit": 5, "slots": {"x": values}}
    )
    first, again, other = built(source), built(source), built(source, build_seed=2)
    assert first.hashes == again.hashes
    chosen = [[r.matrix_slot_values["x"] for r in made.records] for made in (first, other)]
    assert chosen[0] != chosen[1]
    assert chosen[0][:5] != chosen[0][5:]
    assert len(set(chosen[0][:5])) == 5


def test_limit_takes_the_first_records_and_keeps_their_indexes() -> None:
    source = make_source("[[job]]\n\nb", **matrix(), preset_data={"pipeline": {"images_per_prompt": 3}})
    made = built(source, limit=2, repeat=2)
    assert made.records == built(source, repeat=2).records[:2]
    assert (made.counts.all_records, made.counts.records, made.counts.images) == (6, 2, 6)
    assert [record.batch_total for record in made.records] == [2, 2]


def test_more_records_than_the_cap_are_refused_with_the_factors() -> None:
    source = make_source("[[job]] [[place]]\n\nb", **matrix())
    made = build(source, make_options(repeat=2, max_records=13))
    assert [problem.code for problem in made.problems] == ["too_many_records"]
    assert "2 rows x 1 to 6 combinations x 2 repeats = 14 records" in made.problems[0].message
    assert len(built(source, repeat=2, max_records=14).records) == 14
    assert len(built(source, repeat=2, max_records=13, limit=13).records) == 13


@pytest.mark.parametrize("mode", ["fanout", "random"])
def test_huge_matrix_is_counted_and_limited_without_being_built(mode: str) -> None:
    slots = {name: [f"{name}{number}" for number in range(100)] for name in "abcde"}
    source = make_source(
        "[[a]] [[b]] [[c]] [[d]] [[e]]", matrix={"enabled": True, "mode": mode, "slots": slots}
    )
    with counted_steps(most=200_000):
        made = built(source, limit=8)
        assert plan_build(parse_pack(source), make_options()).counts.all_records == 10**10
        assert refused(source) == [("too_many_records", None, "")]
    assert len({record.positive_prompt for record in made.records}) == 8


def test_rows_are_chosen_and_keep_their_seeds() -> None:
    source = make_source("a\n\nb\n\nc")
    chosen = built(source, rows=(2, 0)).records
    assert [record.prompt_pack_row_index for record in chosen] == [0, 2]
    assert chosen[1].seed == built(source).records[2].seed
    assert refused(source, rows=(0, 3, 9)) == [("unknown_row", 4, "rows"), ("unknown_row", 10, "rows")]


def test_any_seed_becomes_concrete_and_differs_by_row_combination_and_repeat() -> None:
    source = make_source("[[job]]\n\nb", **matrix())
    seeds = [record.seed for record in built(source, repeat=3).records]
    assert len(set(seeds)) == 9
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert not set(seeds) & {record.seed for record in built(source, repeat=3, build_seed=2).records}
    assert [r.seed for r in built(source, repeat=2).records[::2]] == [r.seed for r in built(source).records]


def test_fixed_seed_holds_for_the_first_repeat_and_counts_up() -> None:
    source = make_source("[[job]]\n\nb", **matrix(), preset_data={"txt2img": {"seed": 7, "subseed": 5}})
    records = built(source, repeat=3).records
    assert [record.seed for record in records] == [7, 8, 9] * 3
    assert {record.subseed for record in records} == {5}


def test_repeats_of_several_pictures_never_share_a_seed() -> None:
    source = make_source(txt2img={"seed": 2**32 - 2}, pipeline={"images_per_prompt": 3, "loop_count": 2})
    assert [record.seed for record in built(source).records] == [2**32 - 2, 1]


@pytest.mark.parametrize("seed", [-1, 9])
def test_seed_mode_fixed_keeps_one_seed_per_row(seed: int) -> None:
    preset = {"txt2img": {"seed": seed}, "pipeline": {"seed_mode": "fixed", "loop_count": 2}}
    records = built(make_source("[[job]]\n\nb", **matrix(), preset_data=preset)).records
    by_row = [{record.seed for record in records if record.prompt_pack_row_index == row} for row in (0, 1)]
    assert [len(seeds) for seeds in by_row] == [1, 1]
    assert (by_row[0] == by_row[1]) == (seed == 9)


@pytest.mark.parametrize(
    ("sampler", "scheduler", "expected"),
    [
        ("DPM++ 2M Karras", "", ("DPM++ 2M", "Karras")),
        ("DPM++ 2M SDE Exponential", "", ("DPM++ 2M SDE", "Exponential")),
        ("DPM++ 2M polyexponential", "", ("DPM++ 2M", "Polyexponential")),
        ("Euler SGM Uniform", "", ("Euler", "SGM Uniform")),
        ("DPM++ 2M Karras", "Exponential", ("DPM++ 2M", "Exponential")),
        ("Euler a", "", ("Euler a", "Automatic")),
        ("Karras", "", ("Karras", "Automatic")),
    ],
)
def test_old_combined_sampler_names_are_split(
    sampler: str, scheduler: str, expected: tuple[str, str]
) -> None:
    source = make_source(
        txt2img={"sampler_name": sampler, "scheduler": scheduler, "hr_sampler_name": sampler}
    )
    (record,) = built(source).records
    assert (record.sampler, record.scheduler) == expected
    assert record.stage_chain[0].txt2img.sampler == expected[0]
    assert record.stage_chain[0].txt2img.hr_sampler == expected[0]


def test_settings_reach_the_record_whole() -> None:
    preset: dict[str, Any] = {
        "txt2img": {"steps": 30, "cfg_scale": 6, "width": 768, "height": 1024, "clip_skip": 1, "vae": "None"},
        "upscale": {"upscaler": "Lanczos", "scale": 1.5, "codeformer_weight": 0.2},
        "pipeline": {"upscale_enabled": True, "images_per_prompt": 2},
    }
    preset["txt2img"]["model"] = "juggernaut.safetensors [dd08fa32f9]"
    (record,) = built(make_source(**preset), overrides={"txt2img.steps": 4}, queue_source="RUN_NOW").records
    assert (record.steps, record.cfg_scale, record.width, record.height, record.clip_skip) == (
        4,
        6.0,
        768,
        1024,
        1,
    )
    assert (record.base_model, record.vae) == ("juggernaut.safetensors [dd08fa32f9]", "")
    assert [stage.stage for stage in record.enabled_stages] == ["txt2img", "upscale"]
    upscale = record.stage_chain[3].upscale
    assert (upscale.upscaler, upscale.upscaling_resize, upscale.codeformer_weight) == ("Lanczos", 1.5, 0.2)
    assert (record.image_count, record.queue_source, record.run_mode) == (2, "RUN_NOW", "QUEUE")
    assert isinstance(record.cfg_scale, float)


def test_every_reason_to_refuse_is_told_at_once() -> None:
    preset = {
        "txt2img": {"width": 516, "clip_skip": 40},
        "pipeline": {"adetailer_enabled": True, "video_enabled": True, "upscale_enabled": True},
        "adetailer": {"confidence": 2, "hand_enabled": True, "hand_sampler": " "},
    }
    asked = {"txt2img.stepz": 4, "txt2img.use_refiner": True, "upscale.upscale_mode": "tiled"}
    found = refused(make_source("[[a]]", **preset), overrides=asked)
    assert set(found) == {
        ("unknown_setting", None, "txt2img.stepz"),
        ("unknown_stage", None, "pipeline.video_enabled"),
        ("unresolved_token", 1, "a"),
        ("out_of_range", None, "txt2img.width"),
        ("out_of_range", None, "txt2img.clip_skip"),
        ("wrong_value", None, "upscale.upscale_mode"),
        ("missing_refiner_checkpoint", None, "txt2img.refiner_checkpoint"),
        ("out_of_range", None, "adetailer.confidence"),
    }
    for problem in build(make_source("[[a]]", **preset), make_options()).problems:
        assert problem.message.startswith("Pack mine")


def test_width_that_is_no_multiple_of_8_names_the_sizes_that_are() -> None:
    (problem,) = build(make_source(txt2img={"width": 516}), make_options()).problems
    assert problem.message == "Pack mine: txt2img.width 516 is not a multiple of 8; use 512 or 520."


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (make_source(""), "no_rows"),
        (make_source("# only a comment"), "no_rows"),
        (make_source("a\0b"), "nul"),
        (PackSource("mine", "a", "{"), "bad_json"),
        (make_source(pipeline={"txt2img_enabled": False}), "empty_stage_chain"),
        (make_source(pipeline={"txt2img_enabled": False, "upscale_enabled": True}), "malformed_stage_chain"),
    ],
)
def test_pack_that_cannot_be_built_is_refused_by_code(source: PackSource, code: str) -> None:
    assert code in [found[0] for found in refused(source)]


def test_empty_prompts_are_judged_on_the_layered_result() -> None:
    source = make_source("<lora:x:1>\n\n[[v]]")
    slots = {"v": ("", "b")}
    assert refused(source, matrix=slots) == [("empty_positive", 2, "")]
    assert refused(make_source("a\n\nb\nneg: c"), global_negative="") == [("empty_negative", 1, "")]
    assert len(built(make_source("a"), global_negative="x").records) == 1


def test_empty_value_in_any_combination_is_found() -> None:
    assert refused(make_source("[[v]]"), matrix={"v": ("b", "")}) == [("empty_positive", 1, "")]


def test_json_slots_are_rows_where_there_is_no_text() -> None:
    slots = [
        {
            "text": "first\n\nsecond",
            "negative": "low",
            "positive_embeddings": ["e", ["f", 0.9], {"name": "g", "weight": 1.0}],
            "negative_embeddings": ["n"],
            "loras": [["x", 0.55]],
        },
        {"text": "", "negative": ""},
        {"name": "Positive Prompt", "text": "named"},
        {"name": "Negative Prompt", "text": "bad"},
    ]
    document = {"pack_data": {"name": "Slots", "slots": slots}}
    parsed = parse_pack(make_source("", **document))
    assert (parsed.title, len(parsed.rows)) == ("Slots", 2)
    first, second = built(make_source("", **document), global_negative="").records
    assert first.positive_prompt == "e (f:0.9) g first second <lora:x:0.55>"
    assert first.negative_prompt == "n, low"
    assert (second.positive_prompt, second.negative_prompt) == ("named", "bad")
    with_text = parse_pack(make_source("words", **document))
    assert len(with_text.rows) == 1
    assert "slots_differ" in [warning.code for warning in with_text.warnings]


def test_parsing_warns_and_never_refuses_what_can_be_read() -> None:
    source = make_source("[[nothing]] __mood__ [[half]", **matrix(), preset_data={"txt2img": {"width": 3}})
    parsed = parse_pack(source)
    assert len(parsed.rows) == 1
    assert parsed.problems == ()
    assert {w.code for w in author_warnings(parsed)} >= {"half_token", "wildcard", "unused_slot"}


def test_same_input_gives_the_same_bytes_in_a_new_process() -> None:
    source = make_source("[[job]] 城\n\nb [[place]]", **matrix(mode="random", limit=2))
    program = (
        "import sys, json; from jobs.building.builder import *; a = json.load(sys.stdin); "
        "print(*build(PackSource(*a[0]), BuildOptions(**a[1])).hashes)"
    )
    given_input = json.dumps([[source.pack_id, source.text, source.document], {"build_seed": 1, "repeat": 2}])
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            input=given_input,
            cwd=ROOT,
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()[0]
        for hash_seed in ("1", "2")
    }
    assert outputs == {built(source, repeat=2).hashes[0]}
    assert not set(built(source, repeat=2).hashes) & set(built(source, repeat=2, build_seed=2).hashes)


WORDS = st.sampled_from(
    ["a", "[[x]]", "[[y]]", "neg: z", "<lora:l:0.5>", "<embedding:e>", "", "# c", "[[x]] [[y]]"]
)
PACKS = st.tuples(
    st.lists(WORDS, max_size=8).map("\n".join),
    st.dictionaries(
        st.sampled_from(["x", "y", "w"]), st.lists(st.sampled_from("pqrs"), max_size=4), max_size=3
    ),
    st.sampled_from(["fanout", "random", "sequential", "rotate"]),
    st.integers(0, 5),
    st.integers(1, 3),
    st.booleans(),
)


@settings(max_examples=150, deadline=None)
@given(PACKS, st.integers(0, 2**63), st.integers(1, 2), st.none() | st.integers(1, 6))
def test_what_is_counted_is_built_and_every_record_holds_its_promises(
    pack: tuple[str, dict[str, list[str]], str, int, int, bool], seed: int, repeat: int, limit: int | None
) -> None:
    text, slots, mode, matrix_limit, loops, fixed = pack
    source = make_source(
        text,
        pack_data={"matrix": {"enabled": True, "mode": mode, "limit": matrix_limit, "slots": slots}},
        preset_data={"pipeline": {"loop_count": loops, "seed_mode": "fixed" if fixed else ""}},
    )
    options = make_options(build_seed=seed, repeat=repeat, limit=limit)
    made = build(source, options)
    assert made.hashes == build(source, options).hashes
    if made.problems:
        assert made.records == ()
        return
    assert len(made.records) == made.counts.records
    assert len(set(made.hashes)) == len(made.hashes)
    seeds: dict[tuple[int, int], set[int]] = {}
    for record, canonical, digest in zip(made.records, made.canonical, made.hashes, strict=True):
        assert validate_record(record) == []
        assert NormalizedJobRecord.from_canonical(canonical) == record
        assert canonical_json(record) == canonical
        assert sha256_text(canonical) == digest
        assert "[[" not in record.positive_prompt + record.negative_prompt
        assert record.variant_index < record.variant_total
        key = (record.prompt_pack_row_index, record.variant_index)
        assert fixed or record.seed not in seeds.setdefault(key, set())
        seeds.setdefault(key, set()).add(record.seed)
    order = [(r.prompt_pack_row_index, r.variant_index, r.batch_index) for r in made.records]
    assert order == sorted(order)


@needs_shared
@pytest.mark.parametrize(
    ("name", "records", "images"),
    [
        ("test_matrix_pack", 4, 8),
        ("SDXL_mythical_beasts_Fantasy", 120, 120),
        ("landscapes", 4, 4),
        ("Abethkara", 10, 10),
    ],
)
def test_real_pack_makes_the_records_of_its_readme(name: str, records: int, images: int) -> None:
    source = read_source(SHARED / f"{name}.txt")
    made = built(source)
    assert (len(made.records), made.counts.images) == (records, images)
    assert all(validate_record(record) == [] for record in made.records)


@needs_shared
def test_real_packs_run_every_stage_that_they_turn_on() -> None:
    for name in ("test_matrix_pack", "SDXL_mythical_beasts_Fantasy"):
        for record in built(read_source(SHARED / f"{name}.txt")).records:
            assert [stage.stage for stage in record.enabled_stages] == ["txt2img", "adetailer", "upscale"]


@needs_shared
def test_real_packs_with_unresolved_tokens_are_refused_by_row_and_token() -> None:
    assert refused(read_source(SHARED / "test_lora_embed_pack.txt")) == [
        ("unresolved_token", 1, "job"),
        ("unresolved_token", 1, "environment"),
    ]
    source = read_source(SHARED / "SDXL_epic_structures_Fantasy.txt")
    found = refused(source)
    assert [token for _, _, token in found] == ["structure_type", "environment", "material", "age"]
    assert {row for p in build(source, make_options()).problems for row in p.rows} == set(range(1, 11))
    slots = {
        "structure_type": ("keep",),
        "environment": ("fog", "sea"),
        "material": ("basalt",),
        "age": ("old",),
    }
    assert len(built(source, matrix=slots).records) == 20


def steps_to_build(rows: int, values: int) -> int:
    text = "\n\n".join(f"row {n} [[x]] " + "word " * 150 + "\nneg: " + "bad " * 60 for n in range(rows))
    slots = {"x": tuple(str(n) for n in range(values))}
    with counted_steps() as steps:
        made = built(make_source(text), matrix=slots, repeat=2)
    assert len(made.records) == rows * values * 2
    return steps.count


def test_work_of_a_build_grows_no_faster_than_its_records() -> None:
    assert steps_to_build(rows=40, values=10) < 4.2 * steps_to_build(rows=20, values=5)


def test_slot_of_a_person_means_the_packs_slot_under_any_spelling() -> None:
    source = make_source("[[job]]", **matrix())
    assert [record.positive_prompt for record in built(source, matrix={"JOB": ("nun",)}).records] == ["nun"]


def test_slot_of_a_person_that_no_row_uses_is_warned_of() -> None:
    warnings = built(make_source("[[job]]", **matrix()), matrix={"jib": ("nun",)}).warnings
    assert ("unused_slot", "jib") in [(warning.code, warning.field) for warning in warnings]


@pytest.mark.parametrize(
    ("models", "own", "is_told"),
    [(("one", "other"), "", False), (("one", ""), "", True), ((), "one", False), ((), "None", True)],
)
def test_a_missing_checkpoint_is_told_only_where_a_record_has_none(
    models: tuple[str, ...], own: str, is_told: bool
) -> None:
    sweeps = {"txt2img.model": models} if models else {}
    made = built(make_source(txt2img={"model": own}), sweeps=sweeps)
    assert ("no_checkpoint" in [warning.code for warning in made.warnings]) == is_told


@needs_shared
@pytest.mark.parametrize(
    "path",
    sorted(
        path for folder in (SHARED, SHARED.parent / "cases") if folder.is_dir() for path in find_packs(folder)
    ),
    ids=lambda path: path.stem,
)
def test_real_pack_builds_or_is_refused_in_one_sentence_for_each_slot(path: Path) -> None:
    if path.stem in ("latin-1", "utf-16"):
        with pytest.raises(PackReadError, match=path.name):
            read_pack(path)
        return
    pack = read_pack(path)
    made = build(pack.source, make_options())
    assert all(problem.code == "unresolved_token" for problem in made.problems)
    slots = [problem.field for problem in made.problems]
    assert len(set(slots)) == len(slots)
    filled = build(pack.source, make_options(matrix=dict.fromkeys(slots, ("x",))))
    assert filled.problems == ()
    assert filled.records

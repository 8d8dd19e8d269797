"""Config sweeps: every row with every combination of swept settings, in the order row, combination, sweep, repeat."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jobs.building.builder import Build, BuildOptions, PackSource, build
from jobs.errors import OptionError
from jobs.packs.options import parse_sweep
from jobs.records.checks import validate_record


def make_source(text: str = "a", **document: Any) -> PackSource:
    return PackSource("mine", text, json.dumps(document))


def make_options(**changes: Any) -> BuildOptions:
    return BuildOptions.model_validate({"build_seed": 1, **changes})


def built(source: PackSource, **changes: Any) -> Build:
    made = build(source, make_options(**changes))
    assert made.problems == ()
    assert all(validate_record(record) == [] for record in made.records)
    return made


def test_sweep_multiplies_between_combination_and_repeat() -> None:
    source = make_source("[[x]]", matrix={"enabled": True, "slots": {"x": ["p", "q"]}})
    made = built(source, sweeps={"txt2img.cfg_scale": (5, 7.5)}, repeat=2)
    shown = [
        (r.positive_prompt, r.cfg_scale, r.config_variant_label, r.variant_index, r.batch_index)
        for r in made.records
    ]
    assert shown == [
        (word, cfg, label, 2 * combination + sweep, batch)
        for combination, word in enumerate("pq")
        for sweep, (cfg, label) in enumerate([(5.0, "cfg_scale=5"), (7.5, "cfg_scale=7.5")])
        for batch in range(2)
    ]
    assert {(r.variant_total, r.batch_total) for r in made.records} == {(4, 2)}
    assert len({r.seed for r in made.records}) == 8
    assert made.records[2].stage_chain[0].txt2img.cfg_scale == 7.5
    assert "2 config variants" in made.counts.factors
    assert made.counts.records == len(made.records)


def test_sweeps_come_from_json_too_and_a_persons_win() -> None:
    source = make_source(pack_data={"sweeps": {"txt2img.steps": [4, 8], "upscale.upscaler": ["X", "Y"]}})
    labels = [record.config_variant_label for record in built(source).records]
    assert labels == [f"steps={steps}, upscaler={name}" for steps in (4, 8) for name in "XY"]
    assert [r.steps for r in built(source, sweeps={"txt2img.steps": (9,)}).records] == [9, 9]


def test_build_without_sweeps_has_the_base_label() -> None:
    assert built(make_source()).records[0].config_variant_label == "base"


def test_order_in_which_sweeps_are_written_does_not_matter() -> None:
    first = built(make_source(), sweeps={"txt2img.steps": (4, 8), "txt2img.cfg_scale": (5, 7)})
    second = built(make_source(), sweeps={"txt2img.cfg_scale": (5, 7), "txt2img.steps": (4, 8)})
    assert first.hashes == second.hashes


@pytest.mark.parametrize(
    ("sweeps", "code", "field"),
    [
        ({"pipeline.loop_count": (1, 2)}, "unknown_sweep", "pipeline.loop_count"),
        ({"txt2img.negative_prompt": ("a", "b")}, "unknown_sweep", "txt2img.negative_prompt"),
        ({"txt2img.steps": ()}, "unknown_sweep", "txt2img.steps"),
        ({"txt2img.stepz": (1,)}, "unknown_setting", "txt2img.stepz"),
        ({"txt2img.steps": (4, 500)}, "out_of_range", "txt2img.steps"),
        ({"txt2img.steps": ("many", 4)}, "wrong_value", "txt2img.steps"),
        ({"txt2img.width": (512, 516)}, "out_of_range", "txt2img.width"),
    ],
)
def test_sweep_that_cannot_run_is_refused_by_setting(sweeps: dict[str, Any], code: str, field: str) -> None:
    made = build(make_source(), make_options(sweeps=sweeps))
    assert made.records == ()
    assert (code, field) in [(problem.code, problem.field) for problem in made.problems]


def test_huge_sweeps_are_counted_without_being_built() -> None:
    sweeps = {
        f"txt2img.{name}": tuple(range(8, 108)) for name in ("steps", "width", "height", "cfg_scale", "seed")
    }
    made = build(make_source(), make_options(sweeps=sweeps))
    assert [problem.code for problem in made.problems] == ["too_many_records"]
    assert made.counts.all_records == 100**5


@pytest.mark.parametrize(
    ("text", "path", "values"),
    [
        ("txt2img.cfg_scale=5,7.5", "txt2img.cfg_scale", (5, 7.5)),
        ("txt2img.sampler=Euler a, DDIM", "txt2img.sampler", ("Euler a", "DDIM")),
        ('txt2img.model="a, b",c', "txt2img.model", ("a, b", "c")),
        ("txt2img.enable_hr=true,false", "txt2img.enable_hr", (True, False)),
    ],
)
def test_sweep_is_typed_as_a_path_and_values(text: str, path: str, values: tuple[object, ...]) -> None:
    assert parse_sweep(text) == (path, values)


@pytest.mark.parametrize("text", ["", "steps=4,5", "txt2img.steps", "txt2img.steps=", "txt2img.steps=4,,5"])
def test_sweep_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(OptionError):
        parse_sweep(text)

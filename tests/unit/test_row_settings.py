"""Rows with settings of their own: over the pack's, under a person's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jobs.building.builder import Build, BuildOptions, PackSource, build, records_at
from jobs.records.reading import AnyRecord


def built(own: Any, text: str = "a cat\n\na dog\n\na fox", *, preset: Any = None, **options: Any) -> Build:
    document = json.dumps({"pack_data": {"row_settings": own}, "preset_data": preset or {}})
    return build(PackSource("mine", text, document), BuildOptions(build_seed=1, **options))


def steps(records: Any) -> list[int]:
    return [record.steps for record in records]


def test_a_row_has_its_own_settings() -> None:
    rows = {
        "1": {"txt2img.steps": 5, "txt2img.seed": 7},
        "3": {"txt2img.sampler": "DDIM", "txt2img.width": "640"},
    }
    first, second, third = built(rows, preset={"txt2img": {"steps": 9}}).records
    assert (first.steps, first.seed, first.sampler) == (5, 7, "Euler a")
    assert (second.steps, second.width) == (9, 512)
    assert (third.steps, third.sampler, third.width) == (9, "DDIM", 640)
    assert third.stage_chain[0].txt2img.width == 640


def test_what_a_person_asks_for_stands_over_them() -> None:
    rows = {"1": {"txt2img.steps": 5}}
    assert steps(built(rows, overrides={"txt2img.steps": 8}).records) == [8, 8, 8]
    swept = built(rows, sweeps={"txt2img.cfg_scale": (3, 4)}, rows=(0, 1))
    assert [(r.steps, r.cfg_scale) for r in swept.records] == [(5, 3), (5, 4), (20, 3), (20, 4)]
    assert swept.counts.all_records == 4


def test_any_of_the_records_is_the_one_of_the_whole_build() -> None:
    made = built({"2": {"txt2img.steps": 5}}, repeat=2)
    picked: list[AnyRecord] = list(records_at(made.plan, [0, 2, 3, 5]))
    assert picked == [made.records[place] for place in (0, 2, 3, 5)]


def test_a_checkpoint_for_each_row_is_a_checkpoint() -> None:
    rows = {str(number): {"txt2img.model": f"m{number}"} for number in (1, 2, 3)}
    assert "no_checkpoint" not in [warning.code for warning in built(rows).warnings]
    del rows["2"]
    assert "no_checkpoint" in [warning.code for warning in built(rows).warnings]


@pytest.mark.parametrize(
    ("rows", "field"),
    [
        ([1], ""),
        ({"0": {"txt2img.steps": 1}}, "pack_data.row_settings"),
        ({"x": {}}, "pack_data.row_settings"),
        ({"9": {"txt2img.steps": 1}}, "pack_data.row_settings"),
        ({"9" * 5000: {"txt2img.steps": 1}}, "pack_data.row_settings"),
        ({"1": 3}, "pack_data.row_settings"),
        ({"1": {"steps": 3}}, "steps"),
        ({"1": {"txt2img.stepz": 3}}, "txt2img.stepz"),
        ({"1": {"txt2img.negative_prompt": "x"}}, "txt2img.negative_prompt"),
        ({"1": {"pipeline.loop_count": 3}}, "pipeline.loop_count"),
        ({"1": {"txt2img.steps": {"a": 1}}}, "txt2img.steps"),
    ],
)
def test_what_is_no_setting_of_a_row_is_told_and_left_out(rows: Any, field: str) -> None:
    made = built(rows)
    assert made.problems == ()
    assert steps(made.records) == [20, 20, 20]
    assert field in [warning.field for warning in made.warnings]


@pytest.mark.parametrize(
    "settings",
    [
        {"steps": "20.6", "cfg_scale": "7,5", "width": [640, 768]},
        {"cfg_scale": 7.5, "cfg": 5, "sampler": "DDIM", "sampler_name": "Euler"},
        {"cfg": "x", "cfg_scale": 7.5, "steps": {"a": 1}, "seed": "none"},
    ],
)
def test_a_value_of_a_row_is_read_and_told_like_one_of_the_pack(settings: Any) -> None:
    def seen(made: Build) -> tuple[object, ...]:
        record = made.records[0]
        told = [(w.code, w.field) for w in made.warnings if w.field in {f"txt2img.{key}" for key in settings}]
        return told, record.steps, record.cfg_scale, record.width, record.sampler

    of_row = built({"1": {f"txt2img.{key}": value for key, value in settings.items()}}, text="a cat")
    assert seen(of_row) == seen(built({}, text="a cat", preset={"txt2img": settings}))
    assert all(
        "row 1" in w.message
        for w in of_row.warnings
        if w.field.startswith("txt2img.") and w.code != "no_checkpoint"
    )


def test_a_number_that_no_webui_takes_is_refused_by_its_row() -> None:
    (problem,) = built({"2": {"txt2img.steps": 500}}).problems
    assert (problem.code, problem.row, problem.field) == ("out_of_range", 2, "txt2img.steps")
    assert problem.message.startswith("Pack mine, row 2: txt2img.steps")
    assert built({"2": {"txt2img.steps": 500}}, rows=(0,)).problems == ()

"""Packs of films and edits become records: limits of the one table, sizes by the picture, everything wrong at once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from jobs.building.builder import Build, BuildOptions, build
from jobs.building.plan import plan_build
from jobs.packs.json_lines import line_of, text_of
from jobs.packs.pack import parse_pack
from jobs.packs.sources import PackSource
from jobs.records.checks import validate_record
from jobs.records.reading import read_record
from tests.film_packs import film_source, film_text, picture
from webui.work.limits import LIMITS, Choice, Limit, auto_size

GOLDEN = Path(__file__).parent / "golden_films"
NAMES = sorted(folder.name for folder in GOLDEN.iterdir())
NUMBERS = [
    (kind, name, limit)
    for kind, table in LIMITS.items()
    for name, limit in table.items()
    if isinstance(limit, Limit)
]


def built(source: PackSource | None = None, **options: Any) -> Build:
    return build(source or film_source(), BuildOptions.model_validate({"build_seed": 1, **options}))


def parameters(made: Build, place: int = 0) -> Any:
    assert made.problems == ()
    return made.records[place].stage_chain[0].parameters


def told(made: Build) -> list[str]:
    return [problem.message.partition(": ")[2] for problem in made.problems]


# --- golden files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_pack_makes_exactly_what_is_stored(name: str) -> None:
    folder = GOLDEN / name
    options = json.loads((folder / "options.json").read_bytes())
    source = PackSource(
        name,
        (folder / f"{name}.jsonl").read_text(),
        (folder / f"{name}.json").read_text(),
        options.pop("kind"),
    )
    made = built(source, **options)
    assert made.problems == ()
    records = [
        {"sha256": digest, "record": json.loads(canonical)}
        for digest, canonical in zip(made.hashes, made.canonical, strict=True)
    ]
    found = {
        "revision": source.sha256,
        "warnings": [str(warning) for warning in made.warnings],
        "records": records,
    }
    text = json.dumps(found, ensure_ascii=False, indent=1) + "\n"
    path = folder / "records.json"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
        pytest.fail(f"{path} was written; read the difference, then run without UPDATE_GOLDEN")
    assert path.read_text() == text
    for canonical, digest in zip(made.canonical, made.hashes, strict=True):
        assert validate_record(read_record(canonical, digest)) == []


def test_both_kinds_have_golden_files() -> None:
    assert {json.loads((GOLDEN / name / "options.json").read_bytes())["kind"] for name in NAMES} == set(
        LIMITS
    )


# --- the table ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LIMITS)
def test_without_settings_everything_is_the_tables_default(kind: str) -> None:
    found = parameters(built(film_source(kind=kind)))
    own = {name: limit.default for name, limit in LIMITS[kind].items()}
    width, height = auto_size(kind, 1920, 1080)
    assert found.model_dump() == {**own, "width": width, "height": height, "model": ""}


@pytest.mark.parametrize(("kind", "name", "limit"), NUMBERS, ids=lambda value: str(value)[:12])
def test_each_range_is_taken_to_its_ends_and_refused_beyond(kind: str, name: str, limit: Limit) -> None:
    step = 1 if limit.whole else 0.05
    for value in (limit.low, limit.high):
        assert built(film_source(kind=kind), overrides={f"{kind}.{name}": value}).problems == ()
    for value in (limit.low - step, limit.high + step):
        if limit.allows(value):
            continue
        written: dict[str, Any] = {kind: {name: value}}
        for made in (
            built(film_source(kind=kind), overrides={f"{kind}.{name}": value}),
            built(film_source(kind=kind, **written)),
            built(film_source(kind=kind), sweeps={f"{kind}.{name}": [limit.default, value]}),
        ):
            [problem] = made.problems
            assert (problem.code, problem.field, made.records) == ("out_of_range", f"{kind}.{name}", ())
            assert problem.message.endswith(f"{kind}.{name} {value} is outside {limit.range_words}.")


def test_words_of_a_choice_are_taken_in_any_case_and_others_are_refused() -> None:
    for kind, table in LIMITS.items():
        for name, limit in table.items():
            if isinstance(limit, Choice):
                for value in limit.values:
                    made = built(film_source(kind=kind), overrides={f"{kind}.{name}": value.upper()})
                    assert getattr(parameters(made), name) == value
                odd: dict[str, Any] = {kind: {name: "odd"}}
                made = built(film_source(kind=kind, **odd))
                assert [problem.field for problem in made.problems] == [f"{kind}.{name}"]


def test_a_value_of_a_file_that_nobody_can_read_is_refused_and_no_default_stands_in() -> None:
    made = built(film_source(i2v={"steps": "many", "boundary": [1]}))
    assert {problem.field for problem in made.problems} == {"i2v.steps"}
    assert told(made) == ['i2v.steps is "many": a whole number is expected; correct it.']


# --- snapping and sizes -------------------------------------------------------------------------------------


def test_frames_and_sizes_snap_and_it_is_said() -> None:
    made = built(overrides={"i2v.num_frames": 50, "i2v.width": 850, "i2v.height": 479})
    found = parameters(made)
    assert (found.num_frames, found.width, found.height) == (49, 848, 480)
    assert [str(warning) for warning in made.warnings] == [
        "i2v.width 850 becomes 848.",
        "i2v.height 479 becomes 480.",
        "i2v.num_frames 50 becomes 49.",
    ]
    plan = plan_build(parse_pack(film_source()), made.options)
    assert plan.warnings == made.warnings


def test_what_snaps_in_a_sweep_or_in_settings_of_a_row_is_said_once() -> None:
    source = PackSource(
        "films",
        film_text("one", "two"),
        json.dumps({"pack_data": {"row_settings": {"2": {"i2v.fps": 24, "i2v.width": 650}}}}),
        "i2v",
    )
    made = built(source, sweeps={"i2v.num_frames": [50, 81]}, repeat=2)
    assert [str(warning) for warning in made.warnings] == [
        "i2v.num_frames 50 becomes 49.",
        "row 2: i2v.width 650 becomes 656.",
    ]
    assert [
        (record.prompt_pack_row_index, p.num_frames, p.fps, p.width)
        for record in made.records[::2]
        for p in [parameters(made, made.records.index(record))]
    ] == [(0, 49, 16, 848), (0, 81, 16, 848), (1, 49, 24, 656), (1, 81, 24, 656)]


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        ({}, (512, 768)),
        ({"i2v.width": 640}, (640, 960)),
        ({"i2v.height": 640}, (432, 640)),
        ({"i2v.width": 640, "i2v.height": 480}, (640, 480)),
    ],
)
def test_a_side_of_0_follows_the_first_picture(asked: dict[str, int], size: tuple[int, int]) -> None:
    text = text_of([line_of([picture(1, 600, 900)], "x")])
    found = parameters(built(film_source(text), overrides=asked))
    assert (found.width, found.height) == size


def test_rows_with_pictures_of_one_size_share_their_settings() -> None:
    sizes = [(600, 900), (1920, 1080), (600, 900)]
    text = text_of(line_of([picture(n, *size)], "x") for n, size in enumerate(sizes))
    plan = plan_build(parse_pack(film_source(text)), BuildOptions(build_seed=1))
    assert plan.rows[0].configs is plan.rows[2].configs
    assert plan.rows[0].configs is not plan.rows[1].configs


def test_a_picture_of_unknown_size_needs_a_size_to_be_given() -> None:
    text = text_of(line_of([picture(n, 0, 0)], "x") for n in range(3))
    [problem] = built(film_source(text)).problems
    assert (problem.code, problem.field, problem.rows) == ("unknown_size", "i2v.width", (1, 2, 3))
    assert built(film_source(text), overrides={"i2v.width": 640, "i2v.height": 480}).problems == ()


def test_the_narrowest_picture_stays_within_the_limits() -> None:
    for kind in LIMITS:
        text = text_of([line_of([picture(1, 8000, 10)], "x")])
        assert validate_record(built(film_source(text, kind)).records[0]) == []


# --- prompts ------------------------------------------------------------------------------------------------


def test_slots_wildcards_and_choices_fill_prompts_as_for_pictures() -> None:
    source = PackSource(
        "films",
        film_text("a [[who]] {runs|sleeps} __when__", negative_prompt="no [[who]]"),
        json.dumps(
            {
                "preset_data": {
                    "randomization": {
                        "enabled": True,
                        "matrix": {"enabled": True, "slots": {"who": ["cat", "dog"]}},
                        "wildcards": {
                            "enabled": True,
                            "tokens": [{"token": "__when__", "values": ["at night"]}],
                        },
                    }
                }
            }
        ),
        "i2v",
    )
    made = built(source)
    assert made.problems == ()
    assert [record.matrix_slot_values["who"] for record in made.records] == ["cat", "dog"]
    for record in made.records:
        who = record.matrix_slot_values["who"]
        assert record.positive_prompt in {f"a {who} runs at night", f"a {who} sleeps at night"}
        assert record.negative_prompt == f"no {who}"
    assert len({record.seed for record in made.records}) == 2


def test_a_prompt_is_measured_when_everything_is_filled_in() -> None:
    source = film_source(film_text("x" * 400, "a [[thing]]"), i2v={"negative_prompt": "n" * 300})
    ok = built(source, matrix={"thing": ["y" * 498]})
    assert ok.problems == ()
    made = built(source, matrix={"thing": ["short", "y" * 499]})
    assert [(problem.code, problem.field, problem.row) for problem in made.problems] == [
        ("long_prompt", "prompt", 2)
    ]
    assert told(made) == ["the prompt has 501 characters, more than 500; shorten it."]
    long = built(film_source(film_text("x", negative_prompt="m" * 200), i2v={"negative_prompt": "n" * 300}))
    assert told(long) == ["the negative prompt has 502 characters, more than 500; shorten it."]


def test_global_prompts_are_for_pictures_alone() -> None:
    for kind in LIMITS:
        made = built(film_source(kind=kind), global_positive="masterpiece", global_negative="lowres")
        assert (made.records[0].positive_prompt, made.records[0].negative_prompt) == ("the cat waves", "")


@pytest.mark.parametrize(("kind", "words"), [("i2v", "shall happen"), ("edit", "to change")])
def test_a_prompt_is_needed_and_a_negative_one_is_not(kind: str, words: str) -> None:
    made = built(film_source(film_text("", " ", "x"), kind))
    assert [(problem.code, problem.row) for problem in made.problems] == [
        ("empty_positive", 1),
        ("empty_positive", 2),
    ]
    assert words in made.problems[0].message


def test_a_lora_in_a_prompt_is_refused_wherever_it_comes_from() -> None:
    made = built(film_source(film_text("a [[x]]", "<lora:b:1> y")), matrix={"x": ["<lora:a:0.5>"]})
    assert [(problem.code, problem.row) for problem in made.problems] == [
        ("lora_in_prompt", 1),
        ("lora_in_prompt", 2),
    ]
    assert "the LoRA a;" in made.problems[0].message


def test_a_negative_prompt_that_no_step_looks_at_is_told() -> None:
    with_words = film_source(film_text("x", negative_prompt="blurry"))
    assert "i2v.cfg_scale is 1, and then a negative prompt has no effect." in map(
        str, built(with_words).warnings
    )
    assert built(with_words, overrides={"i2v.cfg_scale": 3.5}).warnings == ()
    assert built().warnings == ()


# --- together -----------------------------------------------------------------------------------------------


def test_words_and_settings_of_all_rows_are_refused_in_one_answer() -> None:
    text = film_text("", "x" * 501, "fine") + text_of([line_of([], "no picture")])
    made = built(film_source(text), overrides={"i2v.steps": 101, "i2v.fit": "odd", "i2v.frames": 4})
    assert made.records == ()
    assert [(problem.field, problem.row) for problem in made.problems] == [
        ("i2v.fit", None),
        ("images", 4),
        ("i2v.num_frames", None),
        ("i2v.steps", None),
        ("prompt", 1),
        ("prompt", 2),
    ]
    assert "i2v.steps 101 is outside 1-100." in told(made)


def test_more_records_than_allowed_are_refused_before_one_is_made() -> None:
    made = built(film_source(film_text("x", "")), repeat=6, max_records=10)
    assert [problem.code for problem in made.problems] == ["too_many_records"]


def test_repeats_and_seeds_are_as_for_pictures() -> None:
    fixed = film_source(i2v={"seed": 5})
    assert [record.seed for record in built(fixed, repeat=3).records] == [5, 6, 7]
    same = film_source(i2v={"seed": 5}, pipeline={"loop_count": 3, "seed_mode": "fixed"})
    assert [record.seed for record in built(same).records] == [5, 5, 5]
    assert built(same).counts.records == 3
    assert built(build_seed=1).hashes != built(build_seed=2).hashes
    assert built(build_seed=1).hashes == built(build_seed=1).hashes


def test_an_edit_takes_up_to_four_pictures_and_a_film_one() -> None:
    for kind, most in (("i2v", 1), ("edit", 4)):
        for number in range(most + 2):
            text = text_of([line_of([picture(n) for n in range(number)], "x")])
            assert bool(built(film_source(text, kind)).problems) == (not 1 <= number <= most)

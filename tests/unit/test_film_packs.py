"""The text and the settings of packs of films and edits: rows, sections, and what belongs to another kind."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jobs.building.builder import BuildOptions, build
from jobs.packs.film_sections import EditSection, I2VSection
from jobs.packs.json_lines import MAX_LINE_CHARS, line_of, parse_lines, text_of
from jobs.packs.json_text import dump_document
from jobs.packs.pack import parse_pack
from jobs.packs.presets import preset_of
from jobs.packs.rows import RowImage
from jobs.packs.sources import PackSource
from tests.film_packs import film_source, film_text, picture
from webui.work.limits import LIMITS, MAX_INPUT_PIXELS

SHA = f"{1:064x}"


def line(**changes: Any) -> str:
    row = {"images": [SHA], "names": ["a.png"], "sizes": [[4, 3]], "prompt": "x", "negative_prompt": ""}
    return json.dumps({**row, **changes})


def problems(text: str, kind: str = "edit") -> list[tuple[str, str, int | None]]:
    return [(found.code, found.field, found.row) for found in parse_lines(text, kind, "p").problems]


def refused(source: PackSource, **options: Any) -> list[str]:
    made = build(source, BuildOptions.model_validate({"build_seed": 1, **options}))
    return [problem.message for problem in made.problems]


# --- rows ---------------------------------------------------------------------------------------------------


def test_a_row_says_its_pictures_and_its_words() -> None:
    images = [picture(1), RowImage(SHA.replace("0", "a"), "Köln.jpg", 10, 20)]
    text = "\ufeff\n" + text_of([line_of(images, " the cat\n\n  waves ", "blurry\nflat"), line_of([], "")])
    first, second = parse_lines(text, "edit").rows
    assert first.images == tuple(images)
    assert (first.positive_text, first.negative_text) == ("the cat waves", "blurry flat")
    assert (first.first_line, second.first_line, second.index) == (2, 3, 1)


def test_rows_differ_by_their_pictures_and_equal_ones_are_told() -> None:
    text = text_of([line_of([picture(1)], "x"), line_of([picture(2)], "x"), line_of([picture(1)], "x")])
    [warning] = parse_lines(text, "i2v").warnings
    assert str(warning) == "line 3: row 3 repeats row 1 (line 1)."


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{", ("malformed_row", "line")),
        ("[]", ("malformed_row", "line")),
        ("a prompt", ("malformed_row", "line")),
        ("x" * (MAX_LINE_CHARS + 1), ("long_line", "line")),
        (line(prompt="\0"), ("unclean_text", "prompt")),
        (line(prompt="\ud800"), ("unclean_text", "prompt")),
        (line(images=[]), ("missing_picture", "images")),
        (line(images=None), ("missing_picture", "images")),
        (line(images=[SHA] * 5), ("too_many_pictures", "images")),
        (line(images=["cat.png"]), ("unknown_picture", "images")),
        (line(images=[SHA.upper() + "A"]), ("unknown_picture", "images")),
        (line(images=[3]), ("unknown_picture", "images")),
        (line(names=[3]), ("wrong_value", "names")),
        (line(names=3), ("wrong_value", "names")),
        (line(sizes=[[1]]), ("wrong_value", "sizes")),
        (line(sizes=[[True, 2]]), ("wrong_value", "sizes")),
        (line(sizes=[[-1, -2]]), ("wrong_value", "sizes")),
        (line(sizes=[[MAX_INPUT_PIXELS, 2]]), ("wrong_value", "sizes")),
        (line(prompt=3), ("wrong_value", "prompt")),
        (line(negative_prompt=["x"]), ("wrong_value", "negative_prompt")),
    ],
)
def test_what_is_wrong_with_a_row_is_told_by_its_number_and_field(text: str, found: tuple[str, str]) -> None:
    told = problems(f"{line()}\n\n{text}\n")
    assert (*found, 2) in told
    assert all(row == 2 for _, _, row in told)


def test_every_row_is_told_and_stays_a_row() -> None:
    parsed = parse_lines("{\n" + line(images=[]) + "\n" + line() + "\n]\n", "edit", "p")
    assert [problem.row for problem in parsed.problems] == [1, 2, 4]
    assert [row.index for row in parsed.rows] == [0, 1, 2, 3]
    message = parsed.problems[0].message
    assert message.startswith('Pack p, row 1: line 1 is no JSON object {"images": [...]')
    assert "column" in message


def test_an_unknown_key_is_told_and_ignored() -> None:
    [warning] = parse_lines(line(strength=3), "i2v").warnings
    assert (warning.code, warning.row) == ("unknown_key", 1)


def test_a_pack_without_a_row_is_refused() -> None:
    assert refused(PackSource("p", "\n", "", "i2v")) == [
        "Pack p: it has no rows; a pack of films or edits needs at least one picture."
    ]


# --- settings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "section"), [("i2v", I2VSection), ("edit", EditSection)])
def test_a_section_has_every_parameter_of_the_table(
    kind: str, section: type[I2VSection | EditSection]
) -> None:
    assert set(section.model_fields) == {*LIMITS[kind], "seed", "model", "negative_prompt"}
    made = section()
    for name, limit in LIMITS[kind].items():
        assert getattr(made, name) == limit.default


def test_both_layouts_and_other_names_are_read() -> None:
    for document in ({"i2v": {"frames": 49, "cfg": 2}}, {"preset_data": {"i2v": {"frames": 49, "cfg": 2}}}):
        found = parse_pack(PackSource("p", film_text(), json.dumps(document), "i2v")).document.i2v
        assert (found.num_frames, found.cfg_scale) == (49, 2.0)


def test_settings_of_another_kind_in_a_file_are_a_warning() -> None:
    source = film_source(i2v={"steps": 4}, txt2img={"steps": 3}, edit={"steps": 2})
    assert refused(source) == []
    assert [str(warning) for warning in parse_pack(source).warnings] == [
        "txt2img is no section of a pack that makes films; it is ignored.",
        "edit is no section of a pack that makes films; it is ignored.",
    ]
    pictures = parse_pack(PackSource("p", "a keep\nneg: low\n", '{"i2v": {"steps": 3}}'))
    assert [str(warning) for warning in pictures.warnings] == [
        "i2v is no section of a pack that makes pictures; it is ignored."
    ]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("txt2img.steps", "txt2img.steps is a setting of pictures; this pack makes films."),
        ("edit.scheduler", "edit.scheduler is a setting of edits; this pack makes films."),
        ("i2v.num_frame", "i2v.num_frame is not a known setting. Did you mean i2v.num_frames?"),
        ("pipeline.images_per_prompt", "pipeline.images_per_prompt is not a known setting."),
        ("pipeline.txt2img_enabled", "pipeline.txt2img_enabled is not a known setting."),
    ],
)
def test_settings_that_a_person_asks_for_and_that_are_none_are_refused(path: str, words: str) -> None:
    assert refused(film_source(), overrides={path: 3}) == [f"Pack films: {words}"]


def test_a_setting_of_films_for_a_pack_of_pictures_is_refused_by_name() -> None:
    source = PackSource("p", "a keep\nneg: low\n", "")
    assert refused(source, overrides={"i2v.steps": 3}) == [
        "Pack p: i2v.steps is a setting of films; this pack makes pictures."
    ]


def test_pipeline_settings_of_pictures_have_no_effect_and_are_told_where_they_ask_for_more() -> None:
    source = film_source(pipeline={"images_per_prompt": 4, "txt2img_enabled": True, "loop_count": 2})
    made = build(source, BuildOptions(build_seed=1))
    assert len(made.records) == 2
    assert [str(warning) for warning in made.warnings] == [
        "pipeline.images_per_prompt is 4; it has no effect here."
    ]


def test_a_sweep_is_of_the_packs_own_stage() -> None:
    assert len(build(film_source(), BuildOptions(build_seed=1, sweeps={"i2v.steps": (4, 8)})).records) == 2
    assert refused(film_source(), sweeps={"i2v.negative_prompt": ("a",)}) == [
        "Pack films: i2v.negative_prompt cannot be swept; settings of a stage can."
    ]
    assert "Pack films: txt2img.steps cannot be swept; settings of a stage can." in refused(
        film_source(), sweeps={"txt2img.steps": (4,)}
    )


def test_a_preset_may_serve_several_kinds_and_holds_where_the_pack_has_none() -> None:
    preset = preset_of("all", '{"txt2img": {"steps": 9}, "i2v": {"steps": 6, "fps": 30}}').document
    made = build(film_source(i2v={"fps": 24}), BuildOptions(build_seed=1, preset=preset))
    assert (made.problems, made.warnings) == ((), ())
    parameters: Any = made.records[0].stage_chain[0].parameters
    assert (parameters.steps, parameters.fps) == (6, 24)


def test_a_row_has_settings_of_its_own_kind_alone() -> None:
    document = {"pack_data": {"row_settings": {"1": {"i2v.fps": 24, "txt2img.steps": 3}}}}
    pack = parse_pack(PackSource("p", film_text(), json.dumps(document), "i2v"))
    assert pack.document.row_settings == {0: {"i2v.fps": 24}}
    assert [str(warning) for warning in pack.warnings] == [
        "pack_data.row_settings, row 1: txt2img.steps is no setting that a row can have; it is left out."
    ]


def test_bad_json_beside_the_text_is_refused() -> None:
    [message] = refused(PackSource("p", film_text(), "{", "i2v"))
    assert "its JSON cannot be read" in message
    assert dump_document({}) == "{}"

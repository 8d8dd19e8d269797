"""Every setting that is known with every kind of odd value: told and read as its default, hardly ever refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.building.builder import Build, BuildOptions, PackSource, build
from jobs.packs.document import SECTIONS
from jobs.packs.sections import Section

ODD: list[Any] = [
    None,
    "",
    " ",
    "x",
    "None",
    "null",
    "all",
    "7,5",
    " 12 ",
    "12.5",
    "nan",
    "1e999",
    "9" * 400,
    True,
    False,
    "yes",
    "maybe",
    0.1 + 0.2,
    [],
    {},
    [1],
    ["a"],
    ["a", "b"],
    [[1], 2],
    [None],
    {"a": 1},
    {"enabled": True},
    "x" * 400,
    "\u202e",
    "雪",
]
WRONG_NUMBERS: list[Any] = [-5, 10**30, 1e300, -0.5]
STAGES_ON = {f"{stage}_enabled": True for stage in ("txt2img", "img2img", "adetailer", "upscale")}
KEYS = sorted(
    {
        (name, key)
        for name, kind in SECTIONS.items()
        for key in (*kind.model_fields, *kind.ALIASES, *kind.INERT)
        if (name, key) != ("pipeline", "txt2img_enabled")
    }
)


def made_of(section: str, values: dict[str, Any]) -> Build:
    preset: dict[str, Any] = {"pipeline": dict(STAGES_ON)}
    pack_data = {"matrix": values} if section == "matrix" else {}
    if section != "matrix":
        preset[section] = {**preset.get(section, {}), **values}
    text = json.dumps({"pack_data": pack_data, "preset_data": preset})
    return build(PackSource("odd", "a cat", text), BuildOptions(build_seed=1))


def field_of(section: str, key: str) -> tuple[type[Section], str]:
    kind = SECTIONS[section]
    return kind, kind.ALIASES.get(key, key)


@pytest.mark.parametrize(("section", "key"), KEYS, ids=".".join)
def test_odd_value_of_a_known_setting_refuses_only_what_decides_the_picture(section: str, key: str) -> None:
    kind, name = field_of(section, key)
    for value in ODD:
        made = made_of(section, {key: value})
        for problem in made.problems:
            if problem.code == "empty_negative":  # The only negative prompt was the global one.
                assert name == "apply_global_negative_txt2img"
                continue
            number = (
                kind.model_fields[name].annotation in (int, float) if name in kind.model_fields else False
            )
            assert (problem.code == "wrong_value" and name in kind.MEANING) or (
                # A number that is understood and that no WebUI takes: 12 as a CFG scale is fine, as a size not.
                problem.code == "out_of_range" and number
            ), (value, problem.message)
            assert problem.field.rpartition(".")[2] in (key, name), (value, problem)
            assert len(problem.message) < 300
        assert made.problems or made.records


@pytest.mark.parametrize(("section", "key"), KEYS, ids=".".join)
def test_a_value_that_is_not_taken_as_it_is_is_told(section: str, key: str) -> None:
    kind, name = field_of(section, key)
    if name not in kind.model_fields:
        return
    for value in ("maybe so", {"a": 1}, [[1], 2]):
        made = made_of(section, {key: value})
        told = [w.field for w in made.warnings] + [p.field for p in made.problems]
        reads_as_text = kind.model_fields[name].annotation is str and isinstance(value, str)
        assert f"{section}.{key}" in told or reads_as_text, (value, told)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_settings_at_all_build_or_name_what_refuses_them(data: st.DataObject) -> None:
    section = data.draw(st.sampled_from(sorted(SECTIONS)))
    keys = [key for name, key in KEYS if name == section]
    values = data.draw(
        st.dictionaries(st.sampled_from(keys), st.sampled_from(ODD + WRONG_NUMBERS), max_size=4)
    )
    made = made_of(section, values)
    assert made.problems or made.records
    for problem in made.problems:
        assert problem.message.startswith("Pack odd")


# --- what a switch leaves out, and words for nothing --------------------------------------------------------


def preset(overrides: dict[str, Any] | None = None, /, **sections: dict[str, Any]) -> Build:
    sections.setdefault("txt2img", {}).setdefault("model", "m")
    source = PackSource("odd", "a cat", json.dumps({"preset_data": sections}))
    return build(source, BuildOptions(build_seed=1, overrides=overrides or {}))


@pytest.mark.parametrize(("section", "kind"), SECTIONS.items())
def test_of_what_is_switched_off_nothing_is_refused(section: str, kind: type[Section]) -> None:
    for field, switch in kind.SWITCHES.items():
        wrong: dict[str, Any] = {field: {"a": 1}}
        on = {"pipeline": {"adetailer_enabled": True}}
        off = preset(**on, **{section: {**wrong, switch: False}})
        assert not [problem for problem in off.problems if problem.field == f"{section}.{field}"]
        assert [warning for warning in off.warnings if warning.field == f"{section}.{field}"]
        refused = preset(**on, **{section: {**wrong, switch: True}})
        assert [problem for problem in refused.problems if problem.field == f"{section}.{field}"]
        typed = preset({f"{section}.{field}": "mine"}, **on, **{section: {**wrong, switch: True}})
        assert not typed.problems, "what a person types stands in its place"
        by_hand = preset({f"{section}.{switch}": True}, **on, **{section: wrong})
        assert [problem for problem in by_hand.problems if problem.field == f"{section}.{field}"]


@pytest.mark.parametrize("nothing", ["None", "none", "inherit", "Use same scheduler", ""])
def test_word_for_no_scheduler_is_not_sent_as_the_name_of_one(nothing: str) -> None:
    made = preset(txt2img={"sampler_name": "DPM++ 2M Karras", "scheduler": nothing})
    first = made.records[0].enabled_stages[0].txt2img
    assert (first.sampler, first.scheduler) == ("DPM++ 2M", "Karras")


@pytest.mark.parametrize("nothing", ["None", "Use same sampler", "inherit"])
def test_word_for_no_sampler_takes_the_default_and_is_told(nothing: str) -> None:
    made = preset(txt2img={"sampler_name": nothing})
    assert made.records[0].enabled_stages[0].txt2img.sampler == "Euler a"
    [told] = [warning.message for warning in made.warnings if "sampler_name" in warning.message]
    assert nothing in told


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("txt2img", {"restore_faces": "false", "tiling": "0", "face_restoration_enabled": "No"}),
        ("txt2img", {"batch_size": "1", "n_iter": 1.0, "styles": "", "hypernetwork": "NONE"}),
        ("pipeline", {"n_iter": 1, "batch_size": " 1 ", "seed_mode": "Fixed", "model_matrix": None}),
    ],
)
def test_what_is_off_in_any_spelling_is_no_finding(section: str, values: dict[str, Any]) -> None:
    assert preset(**{section: values}).warnings == ()


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("txt2img", "restore_faces", "true"),
        ("txt2img", "batch_size", "4"),
        ("txt2img", "tiling", 1),
        ("pipeline", "n_iter", 4),
    ],
)
def test_what_is_on_and_has_no_effect_is_told(section: str, key: str, value: object) -> None:
    [told] = preset(**{section: {key: value}}).warnings
    assert f"{section}.{key}" in told.message
    assert "no effect" in told.message


def test_seed_mode_counts_in_any_spelling() -> None:
    for mode in ("fixed", "Fixed", " FIXED "):
        made = preset(pipeline={"seed_mode": mode, "loop_count": 3})
        assert len({record.seed for record in made.records}) == 1, mode

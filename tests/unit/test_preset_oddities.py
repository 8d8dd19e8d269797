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

"""What people type for a build, and what is refused with which words."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from jobs.errors import OptionError
from jobs.packs.options import BuildOptions, parse_matrix, parse_override, parse_rows


@pytest.mark.parametrize(
    ("text", "rows"), [("1", (0,)), ("1-3,7", (0, 1, 2, 6)), (" 7 , 1 - 2,2", (0, 1, 6)), ("3-3", (2,))]
)
def test_rows_are_typed_from_one_and_held_from_zero(text: str, rows: tuple[int, ...]) -> None:
    assert parse_rows(text) == rows


@pytest.mark.parametrize("text", ["", "0", "a", "1-", "-1", "3-1", "1,,2", "1.5", "²", "1" * 30])
def test_rows_that_cannot_be_read_are_refused_by_what_was_typed(text: str) -> None:
    with pytest.raises(OptionError) as refusal:
        parse_rows(text)
    assert repr(text) in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("txt2img.steps=4", "txt2img.steps", 4),
        ("txt2img.cfg_scale=5.5", "txt2img.cfg_scale", 5.5),
        ("pipeline.adetailer_enabled=false", "pipeline.adetailer_enabled", False),
        ("txt2img.sampler=Euler a", "txt2img.sampler", "Euler a"),
        ('txt2img.model="123"', "txt2img.model", "123"),
        ("txt2img.model=a=b", "txt2img.model", "a=b"),
        ("txt2img.vae=", "txt2img.vae", ""),
        ("txt2img.vae=null", "txt2img.vae", None),
        ("txt2img.cfg_scale=NaN", "txt2img.cfg_scale", "NaN"),
    ],
)
def test_setting_is_a_path_and_one_json_value_or_text(text: str, path: str, value: object) -> None:
    parsed = parse_override(text)
    assert parsed == (path, value)
    assert type(parsed[1]) is type(value)


@pytest.mark.parametrize(
    "text", ["steps=4", "txt2img.steps", "=4", "a.b=[1]", 'a.b={"c": 1}', "a b.c=1", "a.b=1e999"]
)
def test_setting_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(OptionError):
        parse_override(text)


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("environment=forest,castle", "environment", ("forest", "castle")),
        (" main subject = a , b ", "main subject", ("a", "b")),
        ('place="a keep, at dusk",forest', "place", ("a keep, at dusk", "forest")),
        ("x=a=b", "x", ("a=b",)),
    ],
)
def test_slot_is_a_name_and_its_values(text: str, name: str, values: tuple[str, ...]) -> None:
    assert parse_matrix(text) == (name, values)


@pytest.mark.parametrize("text", ["", "x", "=a", "x=", "x=a,,b", "x=a,", "x=" + "y" * 200_000])
def test_slot_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(OptionError):
        parse_matrix(text)


def test_options_survive_json() -> None:
    options = BuildOptions(
        build_seed=3, rows=(2, 0, 2), overrides={"a.b": True, "c.d": 1}, matrix={"x": ("1", "2")}
    )
    again = BuildOptions.model_validate(options.model_dump(mode="json"))
    assert again == options
    assert again.rows == (0, 2)
    assert again.overrides["a.b"] is True


@pytest.mark.parametrize(
    "wrong",
    [
        {"repeat": 0},
        {"limit": 0},
        {"rows": (-1,)},
        {"overrides": {"a.b": "x\0"}},
        {"matrix": {"x": ("\ud800",)}},
    ],
)
def test_options_that_mean_nothing_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        BuildOptions.model_validate({"build_seed": 1, **wrong})

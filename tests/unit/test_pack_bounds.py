"""What a pack or a person may make grow is bounded before the work: rows, findings, slots, lists of rows, pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.building.builder import build
from jobs.building.plan import author_warnings, plan_build
from jobs.errors import OptionError, PackReadError
from jobs.packs.document import parse_document
from jobs.packs.findings import MAX_PROBLEMS, MAX_WARNINGS
from jobs.packs.grammar import MAX_ROWS, parse_text
from jobs.packs.json_text import MAX_DOUBLED, MAX_PATH_CHARS, doubled_keys, unclean_path
from jobs.packs.matrix import MAX_SLOTS
from jobs.packs.options import BuildOptions, parse_override, parse_rows
from jobs.packs.pack import parse_pack
from jobs.packs.presets import preset_of
from jobs.packs.sources import PackSource
from jobs.reading.pack_choices import pack_choices
from jobs.reading.pack_rows import MAX_CHARS, MAX_LINES, MAX_TAGS, row_page
from tests.steps import counted_steps


def source(text: str, **document: Any) -> PackSource:
    return PackSource("big", text, json.dumps(document) if document else "")


def rows_text(rows: int) -> str:
    return "\n\n".join(f"row {number}\nneg: low" for number in range(rows))


def problems_of(pack: PackSource, **options: Any) -> list[str]:
    return [problem.code for problem in build(pack, BuildOptions(build_seed=0, **options)).problems]


# --- rows ------------------------------------------------------------------------------------------------


def test_what_follows_the_last_row_that_is_read_costs_nothing() -> None:
    shorter, larger = rows_text(MAX_ROWS + 1), rows_text(2 * MAX_ROWS)
    with counted_steps() as bounded:
        parsed = parse_text(shorter)
    with counted_steps() as longer:
        again = parse_text(larger)
    assert (len(parsed.rows), parsed.more_rows) == (len(again.rows), again.more_rows) == (MAX_ROWS, True)
    assert longer.count <= bounded.count + 100
    [warning] = parsed.warnings
    assert (warning.code, warning.line) == ("too_many_rows", 3 * MAX_ROWS + 1)
    exact = parse_text(rows_text(MAX_ROWS))
    assert (len(exact.rows), exact.more_rows, exact.warnings) == (MAX_ROWS, False, ())


def test_slots_of_the_json_are_read_up_to_the_same_row() -> None:
    slots = [{"text": f"row {number}"} for number in range(MAX_ROWS + 500)]
    pack = parse_pack(source("", pack_data={"slots": slots}))
    assert (len(pack.rows), pack.text.more_rows) == (MAX_ROWS, True)
    assert [warning.code for warning in pack.warnings] == ["too_many_rows"]


def test_a_pack_with_more_rows_is_submitted_by_those_that_were_read_and_never_silently() -> None:
    pack = source(rows_text(MAX_ROWS + 1))
    assert problems_of(pack) == problems_of(pack, limit=MAX_ROWS + 1) == ["too_many_rows"]
    assert problems_of(pack, max_records=MAX_ROWS - 1) == ["too_many_records"]
    assert problems_of(pack, limit=MAX_ROWS) == problems_of(pack, rows=(0, 5, MAX_ROWS - 1)) == []
    assert problems_of(pack, rows=(MAX_ROWS,)) == ["unknown_row"]


def test_rows_that_are_skipped_do_not_fill_a_limit() -> None:
    text = "\n\n".join(f"row {number} {'[[x]]' * (number % 2)}\nneg: low" for number in range(MAX_ROWS + 1))
    pack = source(text)
    assert problems_of(pack, skip_unfilled=True, limit=MAX_ROWS // 2 + 1) == ["too_many_rows"]
    assert problems_of(pack, skip_unfilled=True, limit=MAX_ROWS // 2) == []


# --- lists of rows that a person types -------------------------------------------------------------------


@pytest.mark.parametrize("text", [",".join(["1-999999"] * 220), f"{MAX_ROWS + 1}", f"1-{MAX_ROWS + 1}"])
def test_rows_that_no_pack_has_are_refused_before_they_are_counted_out(text: str) -> None:
    with counted_steps(20 * 220), pytest.raises(OptionError, match="a pack has at most 10,000 rows"):
        parse_rows(text)


def test_the_same_rows_again_and_again_are_counted_out_once() -> None:
    with counted_steps(50 * 220):
        assert len(parse_rows(",".join([f"1-{MAX_ROWS}"] * 220))) == MAX_ROWS


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 20)), min_size=1, max_size=12))
def test_rows_are_those_of_all_ranges_together(ranges: list[tuple[int, int]]) -> None:
    text = ",".join(f"{first}-{first + more}" for first, more in ranges)
    wanted = {row - 1 for first, more in ranges for row in range(first, first + more + 1)}
    assert parse_rows(text) == tuple(sorted(wanted))


def test_what_a_person_typed_is_shown_shortened() -> None:
    with pytest.raises(OptionError) as refused:
        parse_rows("x" * 2_000)
    assert len(str(refused.value)) < 250


@pytest.mark.parametrize("opening", ["[", "{", '{"a":', "[[", "-", "1e", "9" * 50])
def test_a_setting_with_deep_brackets_or_long_numbers_is_read_as_text(opening: str) -> None:
    value = opening * (9_000 // len(opening))
    assert parse_override(f"txt2img.steps={value}") == ("txt2img.steps", value)


# --- findings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["neg: <lora:x:1> y", "more", "\x01", "<lora:a:b>", "negative: x"])
def test_warnings_are_bounded_and_the_last_says_how_many_there_are(line: str) -> None:
    text = "a\nneg: b\n" + "\n".join([line] * (MAX_WARNINGS + 50))
    warnings = author_warnings(parse_pack(source(text)))
    assert len(warnings) == MAX_WARNINGS + 1
    assert (warnings[-1].code, "not listed" in warnings[-1].message) == ("more_warnings", True)


def test_strict_refuses_what_was_not_kept_too() -> None:
    """What another program reads may be among the warnings that are only counted."""
    oddities = "\n\n".join(f"a\x01 {number}" for number in range(MAX_WARNINGS + 1))
    pack = source(oddities + "\n\nb\nnegative: low")
    assert problems_of(pack, strict=True) == ["more_warnings"]
    assert problems_of(pack) == []


def test_unknown_settings_and_malformed_slots_are_bounded_too() -> None:
    unknown = parse_pack(source("a", txt2img={f"key{number}": 1 for number in range(MAX_WARNINGS + 7)}))
    assert (len(unknown.warnings), unknown.warnings[-1].message) == (
        MAX_WARNINGS + 1,
        "7 more warnings are not listed.",
    )


def test_reasons_of_a_refusal_are_bounded() -> None:
    rows = (" ".join(f"[[{row}x{number}]]" for number in range(40)) for row in range(600))
    pack = parse_pack(source("\n\n".join(rows)))
    assert len(plan_build(pack, BuildOptions(build_seed=0)).problems) == MAX_PROBLEMS


@pytest.mark.parametrize("part", ["matrix", "wildcards", "prompt_sr"])
def test_lists_of_slots_are_bounded_and_refused_by_name(part: str) -> None:
    names = [f"n{number}" for number in range(MAX_SLOTS + 1)]
    lists = {
        "matrix": {"slots": [{"name": name, "values": ["v"]} for name in names]},
        "wildcards": {"tokens": [{"token": name, "values": ["v"]} for name in names]},
        "prompt_sr": {"rules": [{"search": name, "replacements": ["v"]} for name in names]},
    }
    block = {"enabled": True, part: {"enabled": True, **lists[part]}}
    pack = source("a", preset_data={"randomization": block})
    assert problems_of(pack) == ["too_many_slots"]


# --- work ------------------------------------------------------------------------------------------------


def steps_of(make: Callable[[int], PackSource], size: int) -> int:
    pack = parse_pack(make(size))
    with counted_steps() as steps:
        plan_build(pack, BuildOptions(build_seed=0))
        author_warnings(pack)
    return steps.count


def slots_and_rows(size: int) -> PackSource:
    slots = [{"name": f"s{number}", "values": ["a", "b"]} for number in range(size)]
    return source("\n\n".join(["a [[s0]]"] * size), pack_data={"matrix": {"enabled": True, "slots": slots}})


def values_and_rows(size: int) -> PackSource:
    """Each row asks for a wildcard whose values, and the values of a slot, grow with the rows."""
    words = [f"a __m__ [[s0]] {number}" for number in range(size)]
    matrix = {"enabled": True, "slots": [{"name": "s0", "values": words}]}
    wild = {"enabled": True, "tokens": [{"token": "m", "values": words}]}
    document = {
        "pack_data": {"matrix": matrix},
        "preset_data": {"randomization": {"enabled": True, "wildcards": wild}},
    }
    return source("\n\n".join(["a [[s0]] __m__"] * size), **document)


def base_and_rows(size: int) -> PackSource:
    """A base prompt beside the rows draws its slots; each row has its own, and a choice."""
    slots = [{"name": f"s{number}", "values": ["a", "b"]} for number in range(size)]
    matrix = {"enabled": True, "slots": slots, "base_prompt": "c [[s1]]", "prompt_mode": "append"}
    text = "\n\n".join(["a [[s0]] {x|y}"] * size)
    return source(text, preset_data={"randomization": {"enabled": True, "matrix": matrix}})


def sweeps_and_rows(size: int) -> PackSource:
    text = "\n\n".join(f"a {number}" for number in range(size))
    return source(text, pack_data={"sweeps": {"txt2img.steps": list(range(1, 30))}})


def many_tokens(size: int) -> PackSource:
    slots = [{"name": f"s{number}", "values": ["a"]} for number in range(100)]
    text = " ".join(f"[[s{number}]]" for number in range(size))
    return source(text, pack_data={"matrix": {"enabled": True, "slots": slots}})


@pytest.mark.parametrize(
    "make", [slots_and_rows, values_and_rows, base_and_rows, sweeps_and_rows, many_tokens]
)
def test_twice_as_much_of_everything_is_twice_as_much_work(make: Callable[[int], PackSource]) -> None:
    assert steps_of(make, 400) <= 2.3 * steps_of(make, 200)


def test_choices_of_a_page_grow_with_the_pack() -> None:
    def steps(size: int) -> int:
        pack = slots_and_rows(size)
        row_page(pack)
        with counted_steps() as counted:
            pack_choices(pack)
        return counted.count

    assert steps(400) <= 2.3 * steps(200)


# --- pages -----------------------------------------------------------------------------------------------


def test_a_page_shows_a_bounded_part_of_any_row() -> None:
    tags = " ".join(f"<lora:tag{number}:1>" for number in range(MAX_TAGS + 3))
    text = "\n".join([tags, "x" * 100_000, *["y"] * 5_000, "", "", "z" * 100_000])
    page = row_page(source(text))
    first, second = page.rows
    assert (len(first.written), first.more_lines) == (MAX_LINES, 5_002 - MAX_LINES)
    assert (len(first.loras), first.more_tags) == (MAX_TAGS, 3)
    assert max(len(line.text) for row in page.rows for line in row.written) <= MAX_CHARS + 2
    assert second.lines == "line 5005"


def test_a_page_of_a_pack_with_more_rows_does_not_go_through_the_rest() -> None:
    page = row_page(source(rows_text(MAX_ROWS + 5)), MAX_ROWS)
    assert (page.rows[-1].number, page.total, page.trailing) == (MAX_ROWS, MAX_ROWS, ())


# --- the document ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"a": [1, {"b": "x\0"}]}, "a[1].b"),
        ({"a": {"b\ud800": 1}}, "a key"),
        ({"a": ["fine", ["\0"]]}, "a[1][0]"),
        ({"a": ["fine"] * 10, "b": {}}, ""),
    ],
)
def test_unclean_text_is_named_by_its_path(document: dict[str, Any], path: str) -> None:
    assert unclean_path(document) == path


def test_a_deep_document_is_looked_through_without_recursion() -> None:
    data = parse_document('{"a": ' + "[" * 400 + '"\\u0000"' + "]" * 400 + "}")
    assert unclean_path(data) == ("a" + "[0]" * 400)[:MAX_PATH_CHARS] + "…"


@pytest.mark.parametrize("depth", [600, 900, 100_000])
def test_a_preset_that_is_nested_too_deeply_is_refused_in_words(depth: int) -> None:
    """Some can be read, and not be written again."""
    text = '{"txt2img": ' + '{"a":' * depth + "1" + "}" * depth + "}"
    with pytest.raises(PackReadError, match="nested too deeply"):
        preset_of("deep", text)


def test_doubled_keys_are_named_up_to_a_bound_and_with_short_paths() -> None:
    long, many = "k" * 50_000, ", ".join('"a": 1, "a": 2' for _ in range(2))
    text = f'{{"{long}": [' + ", ".join(f"{{{many}}}" for _ in range(MAX_DOUBLED + 7)) + "]}"
    with counted_steps(100 * 4 * MAX_DOUBLED):
        found, more = doubled_keys(parse_document(text))
    assert (len(found), more) == (MAX_DOUBLED, 7)
    assert max(len(key.path) for key in found) == MAX_PATH_CHARS + 1
    pack = parse_pack(PackSource("big", "a", text))
    assert max(len(warning.message) for warning in pack.warnings if warning.code == "doubled_key") < 400


def test_a_doubled_value_with_half_a_character_can_be_kept() -> None:
    pack = parse_pack(
        PackSource("big", "a", '{"name": "\\ud800", "name": "x\\u0000", "\\ud800": [1], "\\ud800": 2}')
    )
    assert "unclean_text" in [problem.code for problem in pack.problems]
    for warning in pack.warnings:
        warning.message.encode()
        assert "\0" not in warning.message


def test_one_reason_is_told_once_for_all_its_rows() -> None:
    slots = [{"name": f"s{number}", "values": [str(value) for value in range(100)]} for number in range(50)]
    text = "\n\n".join([" ".join(f"[[s{number}]]" for number in range(50))] * 3)
    pack = source(text, pack_data={"matrix": {"enabled": True, "slots": slots}})
    found = [p for p in build(pack, BuildOptions(build_seed=0)).problems if p.code == "too_many_combinations"]
    assert [(problem.rows, "rows 1–3: their slots make 1e+100" in problem.message) for problem in found] == [
        ((1, 2, 3), True)
    ]


def test_slots_of_the_json_that_are_no_rows_do_not_end_the_reading() -> None:
    slots = [{"negative": "low"}] * MAX_ROWS + [{"text": "a keep"}]
    pack = parse_pack(source("", pack_data={"slots": slots}))
    assert (len(pack.rows), pack.text.more_rows) == (1, False)


def test_settings_of_rows_times_a_sweep_are_refused_before_they_are_made() -> None:
    rows = {str(number): {"txt2img.steps": number} for number in range(1, 121)}
    sweeps = {"txt2img.cfg_scale": [1 + number / 100 for number in range(100)]}
    pack = source(
        "\n\n".join(f"a {number}" for number in range(120)),
        pack_data={"row_settings": rows, "sweeps": sweeps},
    )
    assert problems_of(pack, limit=5) == ["too_many_records"]
    assert problems_of(pack, limit=5, rows=tuple(range(100))) == []


def test_what_is_wrong_in_the_settings_of_a_row_is_told_once_however_many_are_swept() -> None:
    document = {"row_settings": {"2": {"txt2img.steps": 0}}, "sweeps": {"txt2img.cfg_scale": [4, 5, 6]}}
    found = build(source("a\n\nb", pack_data=document), BuildOptions(build_seed=0)).problems
    assert [(problem.row, problem.field) for problem in found] == [(2, "txt2img.steps")]

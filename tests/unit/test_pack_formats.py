"""Prompts as other programs write them: recognised, told, and made into rows with their settings."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.building.builder import Build, BuildOptions, PackSource, build
from jobs.errors import PackReadError
from jobs.packs.conversion import Converted, convert
from jobs.packs.formats import FORMATS, Format
from jobs.packs.grammar import parse_text
from tests.steps import counted_steps

OPTION_LINES = (
    '--prompt "a pier at noon" --negative_prompt "people, boats" --steps 30 --cfg_scale 6.5 --seed -1\n'
    "\n"
    '--prompt "it\'s dark" --sampler_name "Euler a" --width 768 --sd_model "some xl"\n'
    "a plain line\n"
    "--prompt a mill by a stream --steps=12 --tiling true\n"
)
COPIED = (
    "a fox in the snow,\nsoft light\n"
    "Negative prompt: lowres,\nwatermark\n"
    "Steps: 28, Sampler: DPM++ 2M Karras, CFG scale: 6.5, Seed: 12345, Size: 832x1216, Model hash: 01ab, Model: xl\n"
    "\n"
    "a second, [[old]]\n"
    "\n"
    "Negative prompt: blurry\n"
    "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 3, Size: 512x640, Clip skip: 1, Hires upscale: 2, "
    'Denoising strength: 0.4, Civitai resources: [{"type":"checkpoint","modelName":"x"}]\n'
    "a third without settings\n"
    "Negative prompt: ugly\n"
)


def warned(text: str) -> set[str]:
    return {warning.code for warning in parse_text(text).warnings}


def converted(text: str, to: Format, document: str = "") -> Converted:
    return convert(PackSource("mine", text, document), to)


def built(made: Converted) -> Build:
    found = build(made.source, BuildOptions(build_seed=1, global_negative=""))
    assert [p.code for p in found.problems if p.code != "empty_negative"] == []
    return build(made.source, BuildOptions(build_seed=1, global_negative="low"))


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("one red house\ntwo red houses", "lines_as_row", "2 lines make one row"),
        ("one, a\ntwo, b\nthree, c\nfour, d\n\nother", "lines_as_row", "--format lines"),
        (OPTION_LINES, "option_lines", "--format a1111"),
        ("a\n\n--steps 3", "option_lines", "--steps"),
        (COPIED, "copied_parameters", "--format civitai"),
    ],
)
def test_what_another_program_wrote_is_told_with_its_format(text: str, code: str, words: str) -> None:
    told = [warning.message for warning in parse_text(text).warnings if warning.code == code]
    assert told
    assert words in told[0]


@pytest.mark.parametrize(
    "text",
    ["a keep\nneg: low", "quality\nsubject\nneg: x\n\nb", "a\n<lora:x:1>", "a\n\nb", "a -- b", "--x y"],
)
def test_ordinary_rows_are_not_taken_for_another_format(text: str) -> None:
    assert not warned(text) & {"lines_as_row", "option_lines", "copied_parameters"}


def test_one_prompt_a_line_makes_a_row_of_each() -> None:
    made = converted(
        "\ufeff# houses\na red house\n\na blue [[hue]] house\nneg: people\nneg: boats\n", "lines"
    )
    rows = parse_text(made.source.text).rows
    assert [(row.positive_text, row.negative_text) for row in rows] == [
        ("a red house", ""),
        ("a blue [[hue]] house", "people, boats"),
    ]
    assert (made.source.document, made.notes) == ("", ())


def test_lines_of_options_become_rows_with_their_own_settings() -> None:
    made = converted(OPTION_LINES, "a1111")
    first, second, third, fourth = built(made).records
    assert (first.positive_prompt, first.negative_prompt) == ("a pier at noon", "low, people, boats")
    assert (first.steps, first.cfg_scale, first.sampler) == (30, 6.5, "Euler a")
    assert (second.positive_prompt, second.width, second.base_model) == ("it's dark", 768, "some xl")
    assert (third.positive_prompt, third.steps) == ("a plain line", 20)
    assert (fourth.positive_prompt, fourth.steps) == ("a mill by a stream", 12)
    assert made.notes == ("line 5: --tiling is no setting of a row here; left out.",)


@pytest.mark.parametrize("to", ["a1111", "civitai"])
def test_copies_from_pictures_are_taken_apart(to: Format) -> None:
    made = converted(COPIED, to)
    first, second, third = built(made).records
    assert first.positive_prompt == "a fox in the snow, soft light"
    assert first.negative_prompt == "low, lowres, watermark"
    assert (first.steps, first.seed, first.width, first.height) == (28, 12345, 832, 1216)
    assert (first.sampler, first.scheduler, first.base_model) == ("DPM++ 2M", "Karras", "xl")
    assert second.positive_prompt == "a second, [ [old] ]"
    assert (second.clip_skip, second.height) == (1, 640)
    hires = second.stage_chain[0].txt2img
    assert (hires.enable_hr, hires.hr_scale, hires.denoising_strength) == (True, 2.0, 0.4)
    assert (third.positive_prompt, third.negative_prompt) == ("a third without settings", "low, ugly")


def test_settings_stand_over_those_of_the_json_beside_the_text() -> None:
    legacy = json.dumps({"name": "Mine", "txt2img": {"steps": 9, "cfg_scale": 3}, "matrix": {"limit": 2}})
    for document in (legacy, json.dumps({"pack_data": {"name": "Mine"}, "preset_data": json.loads(legacy)})):
        made = converted('--prompt "x" --steps 30\n--prompt "y"', "a1111", document)
        found = built(made)
        assert [(r.steps, r.cfg_scale) for r in found.records] == [(30, 3), (9, 3)]
        assert found.records[0].prompt_pack_name == "Mine"


@pytest.mark.parametrize(
    ("text", "to"),
    [("", "lines"), ("# x\n\n", "a1111"), ("--steps 3", "a1111"), ("Steps: 3, A: 1, B: 2", "civitai")],
)
def test_a_file_without_a_prompt_is_refused(text: str, to: Format) -> None:
    with pytest.raises(PackReadError, match=f"no prompt in the format {to}"):
        converted(text, to)


def test_odd_lines_are_told_and_lose_no_prompt() -> None:
    made = converted('--prompt "open\n--prompt x --steps many\n--steps 4\n#1 x\nneg: y', "a1111")
    rows = parse_text(made.source.text).rows
    assert [row.positive_text for row in rows] == ['--prompt "open', "x", ", neg: y"]
    assert [note.partition(":")[0] for note in made.notes] == ["line 1", "line 2", "line 3", "line 5"]


@pytest.mark.parametrize("written", ["neg: a cat", "neg     : a cat", "NEG\t\t\t\t\t\t:a cat", "# a cat"])
def test_words_that_would_begin_something_else_in_a_pack_stay_words(written: str) -> None:
    made = converted(f'--prompt "{written}"\n--prompt b', "a1111")
    assert [row.positive_text for row in parse_text(made.source.text).rows] == [f", {written}", "b"]


PIECES = st.sampled_from(
    [
        "--prompt ",
        "--steps ",
        "--negative_prompt=",
        '"',
        "'",
        "\\",
        "a",
        "b c",
        "\n",
        "\n\n",
        "neg:",
        "#",
        "[[x]]",
        "[[[",
        "Negative prompt: ",
        "Steps: 3, Seed: 4, Size: 8x8",
        "Steps: 3,",
        ",",
        "<lora:x:1>",
        "12",
        "-1",
        "\ufeff",
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=25).map("".join), st.sampled_from(sorted(FORMATS)))
def test_any_text_is_converted_or_refused_and_each_block_is_a_row(text: str, to: Format) -> None:
    try:
        made = converted(text, to)
    except PackReadError:
        return
    blocks = made.source.text.strip().split("\n\n")
    assert len(parse_text(made.source.text).rows) == len(blocks)
    if to != "lines":
        assert "[[" not in made.source.text
    build(made.source, BuildOptions(build_seed=1))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('name,prompt,negative_prompt\nInk,"{prompt}, ink",\n', "styles_file"),
        ("name, prompt\nInk,x\n", "styles_file"),
        ("red\nblue\ngreen\nlight grey\nblack\n", "wildcard_file"),
    ],
)
def test_styles_and_wildcards_are_refused_in_words(text: str, code: str) -> None:
    made = build(PackSource("mine", text, ""), BuildOptions(build_seed=1))
    assert [p.code for p in made.problems] == [code]
    assert (
        build(PackSource("mine", text, '{"txt2img": {"steps": 3}}'), BuildOptions(build_seed=1)).problems
        == ()
    )


@pytest.mark.parametrize("parted", ["\n\n", "\n \n", "\n\t\n", "\r\r", "\r\n\r\n", "\n\ufeff\n"])
def test_short_rows_are_no_wildcard_list_however_they_are_parted(parted: str) -> None:
    text = parted.join(["a cat", "a dog", "a cow", "a bee", "an elk"])
    made = build(PackSource("mine", text, ""), BuildOptions(build_seed=1))
    assert (len(made.records), made.problems) == (5, ())


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_wildcard_list_is_one_with_any_newline(newline: str) -> None:
    text = newline.join(["# colours", "red", "blue", "green", "grey", "black"])
    made = build(PackSource("mine", text, ""), BuildOptions(build_seed=1))
    assert [p.code for p in made.problems] == ["wildcard_file"]


@pytest.mark.parametrize("to", sorted(FORMATS))
@pytest.mark.parametrize(
    "piece", ["a\n", "--prompt a b\n", "Steps: 1, Seed: 2, Size: 8x8\n", "a ", "\n", "neg: x\n", "[[a\n"]
)
def test_twice_the_file_is_at_most_little_more_than_twice_the_work(piece: str, to: Format) -> None:
    def steps(size: int) -> int:
        with counted_steps() as counted:
            converted("first\n" + piece * size, to)
        return counted.count

    steps(1)  # What is made once does not count.
    assert steps(400) <= 2.3 * steps(200)

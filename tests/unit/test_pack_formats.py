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
from jobs.packs.json_text import parse_document
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


def said(made: Converted) -> str:
    return "\n".join(made.notes)


@pytest.mark.parametrize("negative", ["Negative prompt:", "negative prompt:", "Negative Prompt :"])
@pytest.mark.parametrize(
    "own",
    [
        "Steps: 21, Sampler: DDIM, Size: 640x512",
        "steps: 21, sampler: DDIM, size: 640 x 512",
        "Steps : 21, Sampler: DDIM,\nSize: 640×512",
        "Steps: 21\nSampler: DDIM\nADetailer model: face.pt\nSize: 640x512",
        "Sampler: DDIM\nSize: 640X512\nSteps: 21",
        "Steps: 21, Size: 640x512",
    ],
)
def test_another_spelling_of_a_copy_is_taken_apart_like_the_usual_one(negative: str, own: str) -> None:
    made = converted(f"a cat\n{negative} bad hands\n{own}\n\na dog\n{negative} bad\n{own}\n", "civitai")
    rows = parse_text(made.source.text).rows
    assert [(row.positive_text, row.negative_text) for row in rows] == [
        ("a cat", "bad hands"),
        ("a dog", "bad"),
    ]
    for record in built(made).records:
        assert (record.steps, record.width, record.height) == (21, 640, 512)
        assert record.sampler == ("DDIM" if "ampler" in own else "Euler a")


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("Sampler: Euler a\nSize: 64x64", "“Sampler:”"),
        ("a cat, steps: 3 or so", "“steps:”"),
        ("Negative: bad", "“Negative:”"),
        ("a cat Negative prompt: bad", "“Negative prompt:”"),
        ("Negative prompt: bad\nSeed= 3", "“Seed:”"),
    ],
)
def test_settings_that_stay_words_of_a_copy_are_told(words: str, left: str) -> None:
    made = converted(f"a fox\n{words}\n\nb\nNegative prompt: c\nSteps: 4, Seed: 1\n", "civitai")
    assert any(left in note and "of the prompt" in note for note in made.notes)


def test_settings_in_a_negative_prompt_of_a_pack_are_told() -> None:
    assert "settings_as_prompt" in warned("a cat\nneg: Steps: 20, Sampler: Euler a")


def test_a_picture_without_a_prompt_is_told() -> None:
    made = converted("Negative prompt: x\nSteps: 20, Seed: 3\n\na\nSteps: 5, Seed: 3", "civitai")
    assert [record.steps for record in built(made).records] == [5]
    assert made.notes == ("line 1: it has no prompt; it is left out.",)


def test_a_blank_line_within_a_prompt_joins_where_every_picture_ends_in_its_settings() -> None:
    text = "first\n\nsecond\nNegative prompt: x\n\ny\nSteps: 20, Seed: 3\n\nb\n\nSteps: 5, Seed: 3\n"
    made = converted(text, "civitai")
    rows = parse_text(made.source.text).rows
    assert [(row.positive_text, row.negative_text) for row in rows] == [("first second", "x, y"), ("b", "")]
    assert [note.partition(":")[0] for note in made.notes] == ["line 2", "line 5"]


def test_a_blank_line_elsewhere_ends_a_picture_and_what_has_no_settings_is_told() -> None:
    made = converted("first\n\nsecond\nSteps: 20, Seed: 3\n\nlast", "civitai")
    assert [row.positive_text for row in parse_text(made.source.text).rows] == ["first", "second", "last"]
    assert [note.partition(":")[0] for note in made.notes] == ["line 1", "line 6"]
    assert "no settings follow" in said(made)


def test_the_size_of_the_second_pass_is_taken() -> None:
    line = "Steps: 9, Size: 512x768, Hires resize: 1024x1536, Hires sampler: DDIM, Hires steps: 4"
    (record,) = built(converted(f"a\n{line}", "civitai")).records
    hires = record.stage_chain[0].txt2img
    assert (hires.enable_hr, hires.hr_resize_x, hires.hr_resize_y) == (True, 1024, 1536)
    assert (hires.hr_sampler, hires.hr_second_pass_steps) == ("DDIM", 4)


@pytest.mark.parametrize("name", ["Size", "Hires resize"])
def test_a_size_that_is_none_is_told(name: str) -> None:
    made = converted(f"a\nSteps: 9, Seed: 3, {name}: large", "civitai")
    assert f"line 1: {name} is 'large': WIDTHxHEIGHT is expected; it is left out." in made.notes
    assert ("no size of its hires fix" in said(made)) is name.startswith("Hires")


@pytest.mark.parametrize(
    ("text", "to", "note"),
    [
        ('--prompt "x" --prompt "y"', "a1111", "--prompt is 'y' after 'x'; the last one counts."),
        ("--prompt y --steps 2 --steps 3", "a1111", "--steps is '3' after '2'; the last one counts."),
        ("y\nSteps: 2, Seed: 1, steps: 3", "civitai", "steps is '3' after '2'; the last one counts."),
        ("y\nSteps: 2, Size: 8x8, Size: 9x8", "civitai", "Size is '9' after '8'; the last one counts."),
        ("--prompt y --steps 20.6", "a1111", "--steps is '20.6': the whole number 21 is taken."),
        ("--prompt y --cfg_scale 7,5", "a1111", "--cfg_scale is '7,5': 7.5 is taken."),
        ("--prompt y --steps 3 --steps 3", "a1111", ""),
    ],
)
def test_settings_that_stand_twice_or_are_bent_are_told(text: str, to: Format, note: str) -> None:
    made = converted(text, to)
    assert [row.positive_text for row in parse_text(made.source.text).rows] == ["y"]
    assert made.notes == ((f"line 1: {note}",) if note else ())


@pytest.mark.parametrize(
    "document",
    [
        '{"txt2img": {"cfg_scale": 5, "cfg_scale": 9}}',
        '{"txt2img": {"width": 640}, "txt2img": {"cfg_scale": 9}}',
        '{"pack_data": {"name": "a", "name": "b"}, "preset_data": {"txt2img": {"cfg_scale": 9}}}',
        '{"pack_data": {"name": "a"}, "pack_data": {"name": "b"}, "preset_data": {"txt2img": {"cfg_scale": 9}}}',
    ],
)
def test_keys_that_stand_twice_in_the_json_are_told_after_it_was_made_anew(document: str) -> None:
    found = built(converted("--prompt x --steps 3", "a1111", document))
    assert [(record.steps, record.cfg_scale) for record in found.records] == [(3, 9)]
    assert "doubled_key" in [warning.code for warning in found.warnings]


def test_a_json_that_can_be_read_can_be_read_when_it_was_made_anew() -> None:
    document = '{"b": 1e400, "a": [-1e400, "\\ud800", 1.5, {}], "txt2img": {}}'
    made = converted("--prompt x --steps 3", "a1111", document)
    assert parse_document(made.source.document)["preset_data"] == parse_document(document)
    assert list(parse_document(made.source.document)["preset_data"]) == ["b", "a", "txt2img"]
    assert made.source.sha256
    with pytest.raises(PackReadError, match="nested too deeply"):
        converted("--prompt x --steps 3", "a1111", '{"a": ' + "[" * 900 + "]" * 900 + "}")


@pytest.mark.parametrize(
    ("text", "steps"), [("--prompt x\n--prompt y --steps 3", [20, 3]), ("x\ny", [20, 20])]
)
def test_settings_of_rows_before_the_conversion_are_left_out_and_told(text: str, steps: list[int]) -> None:
    document = json.dumps({"pack_data": {"name": "Mine", "row_settings": {"1": {"txt2img.steps": 7}}}})
    made = converted(text, "a1111", document)
    assert [record.steps for record in built(made).records] == steps
    assert "pack_data.row_settings" in said(made)
    assert built(made).records[0].prompt_pack_name == "Mine"


def test_a_json_that_can_hold_no_settings_of_rows_is_refused() -> None:
    with pytest.raises(PackReadError, match="pack_data is 5: an object"):
        converted("--prompt x --steps 3", "a1111", '{"pack_data": 5}')


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
        "steps: 3",
        "Sampler: x",
        "negative prompt :",
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
    "piece",
    ["a\n", "--prompt a b\n", "Steps: 1, Seed: 2, Size: 8x8\n", "Seed: 1\n", "a ", "\n", "neg: x\n", "[[a\n"],
)
def test_twice_the_file_is_at_most_little_more_than_twice_the_work(piece: str, to: Format) -> None:
    def steps(size: int) -> int:
        with counted_steps() as counted:
            converted("first\n" + piece * size, to)
        return counted.count

    steps(1)  # What is made once does not count.
    assert steps(400) <= 2.3 * steps(200)

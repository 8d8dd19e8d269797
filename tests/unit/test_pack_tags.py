"""Tags as people and extensions write them: nothing that is not fully known is rewritten, and all is linear."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.building.builder import Build, BuildOptions, PackSource, build
from jobs.packs.grammar import MAX_LINE_CHARS, parse_text
from jobs.packs.lint import bare_tag_words
from jobs.packs.tags import (
    MAX_TAG_CHARS,
    bare_names,
    has_lora,
    odd_loras,
    read_tag_line,
    tag_spans,
    take_embeddings,
    to_prompt_words,
)
from tests.steps import counted_steps

ARGUMENTS = st.text("0123456789.:=+-_ abcXYZ[](),/@", max_size=40)


def built(text: str, **document: object) -> Build:
    source = PackSource("p", text, json.dumps(document) if document else "")
    made = build(source, BuildOptions(build_seed=1, global_negative="low"))
    assert made.problems == ()
    return made


def test_arguments_of_an_extension_pass_as_they_are_written() -> None:
    tags = ["<lora:armor:0.7:lbw=OUTALL>", "<lora:armor:0.7:lbw=INALL>", "<lora:armor:lbw=1,0,0:start=3>"]
    made = built("\n\n".join(f"a knight\n{tag}" for tag in tags))
    assert [record.positive_prompt for record in made.records] == [f"a knight {tag}" for tag in tags]
    assert [record.lora_tags[0].weight for record in made.records] == [0.7, 0.7, 1.0]
    assert "duplicate_block" not in {warning.code for warning in made.warnings}


@given(ARGUMENTS)
def test_a_lora_tag_is_sent_as_written_or_means_the_same_numbers(arguments: str) -> None:
    tag = f"<lora:armor:{arguments}>"
    line = read_tag_line(tag)
    assert line is not None
    (lora,) = line.loras
    numbers = [part.strip().rpartition("=")[2] for part in arguments.split(":")]
    assert str(lora) == tag or [part.rpartition("=")[2] for part in str(lora)[1:-1].split(":")[2:]] == (
        numbers if arguments.strip() else ["1.0"]
    )


@given(ARGUMENTS, ARGUMENTS)
def test_rows_with_other_arguments_are_no_duplicates(one: str, other: str) -> None:
    parsed = parse_text(f"a\n<lora:x:{one}>\n\na\n<lora:x:{other}>")
    told = "duplicate_block" in {warning.code for warning in parsed.warnings}
    assert told == (str(parsed.rows[0].loras[0]) == str(parsed.rows[1].loras[0]))


def test_a_weight_that_is_no_number_is_told_and_stays() -> None:
    made = built("a knight\n<lora:armor:strong>")
    assert made.records[0].positive_prompt == "a knight <lora:armor:strong>"
    assert ("lora_weight", 2) in {(warning.code, warning.line) for warning in made.warnings}


def test_a_weight_may_be_a_slot() -> None:
    matrix = {"enabled": True, "slots": [{"name": "w", "values": ["0.4", "0.8"]}]}
    made = built("a knight\n<lora:armor:[[w]]>", pack_data={"matrix": matrix})
    assert [record.positive_prompt for record in made.records] == [
        "a knight <lora:armor:0.4>",
        "a knight <lora:armor:0.8>",
    ]
    assert [record.lora_tags[0].weight for record in made.records] == [0.4, 0.8]
    assert "lora_weight" not in {warning.code for warning in made.warnings}


@pytest.mark.parametrize("where", ["positive", "negative", "pass", "slot"])
@pytest.mark.parametrize(("written", "sent"), [("<script>", "<script>"), ("<old_name>", "old_name")])
def test_what_happens_to_a_bare_name_is_told(where: str, written: str, sent: str) -> None:
    detailer = {"prompt": f"{written} face"} if where == "pass" else {}
    slots = [{"name": "s", "values": [f"{written} x"]}] if where == "slot" else []
    words = {"positive": f"a {written}", "negative": f"a\nneg: b {written}", "slot": "a [[s]]"}
    made = built(
        words.get(where, "a"),
        pack_data={"matrix": {"enabled": bool(slots), "slots": slots}},
        preset_data={"adetailer": detailer, "pipeline": {"adetailer_enabled": True}},
    )
    assert f" {sent}" in f" {made.canonical[0]}".replace('"', " ")
    assert any(w.code == "bare_tag" and written in w.message for w in made.warnings)


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("<embedding:a b:0.9>", "(a b:0.9)"),
        ("<embedding:a: 0.9>", "(a:0.9)"),
        ("<embedding:a:1.0>", "a"),
        ("(<embedding:a:0.9>:1.2)", "((a:0.9):1.2)"),
        ("<embedding:a:strong>", "<embedding:a:strong>"),
        ("<embedding:a:0.9:0.5>", "<embedding:a:0.9:0.5>"),
        ("<embedding:>", "<embedding:>"),
        ("<embedding::0.9>", "<embedding::0.9>"),
    ],
)
@pytest.mark.parametrize("where", ["line", "text", "negative", "pass"])
def test_a_weight_inside_an_embedding_tag_is_its_weight_and_is_told(
    where: str, written: str, sent: str
) -> None:
    text = {"line": f"a\n{written}", "text": f"a {written} b", "negative": f"a\nneg: b {written}"}
    made = built(
        text.get(where, "a"),
        preset_data={
            "adetailer": {"prompt": f"{written} face"} if where == "pass" else {},
            "pipeline": {"adetailer_enabled": True},
        },
    )
    assert sent in made.canonical[0]
    tag = written[written.index("<") : written.index(">") + 1]
    assert any(w.code == "bare_tag" and tag in w.message for w in made.warnings)


def test_plain_embedding_tags_are_not_told() -> None:
    assert bare_tag_words("<embedding:a> (<embedding:b>:0.9) <embedding:>") == bare_tag_words("<embedding:>")


@pytest.mark.parametrize("written", ["<LORA:Foo: 0.8>", "< lora :Foo:0.8>", "<lora: Foo :0.8>"])
def test_a_lora_tag_that_is_respelt_is_told_once(written: str) -> None:
    line = read_tag_line(written)
    assert line is not None
    assert [str(lora) for lora in line.loras] == ["<lora:Foo:0.8>"]
    assert line.odd == (f"{written} is sent as <lora:Foo:0.8>.",)
    tidy = read_tag_line("<lora:Foo:0.8:0.5>")
    assert tidy is not None
    assert tidy.odd == ()


def test_a_lora_in_the_text_that_no_webui_knows_is_told() -> None:
    made = built("a <LORA:foo:0.8> b")
    assert made.records[0].positive_prompt == "a <LORA:foo:0.8> b"
    assert any(w.code == "lora_weight" and "<LORA:foo:0.8>" in w.message for w in made.warnings)


def test_only_names_of_files_are_the_old_form() -> None:
    text = "<a_b> <script> <b> <x-1> < y > <3"
    assert to_prompt_words(text) == "a_b <script> <b> x-1 < y > <3"
    assert bare_names(text) == (("a_b", "x-1"), ("script",))
    assert len(bare_tag_words(text)) == 2


def test_a_comma_list_keeps_its_own_commas_and_spaces() -> None:
    words, tags = take_embeddings("low,, low  <embedding:a>, high, <embedding:b>, end")
    assert (words, [tag.name for tag in tags]) == ("low,, low, high, end", ["a", "b"])


HOSTILE: dict[str, Callable[[int], str]] = {
    "digits": lambda n: f"<lora:a:{'1' * n}x>",
    "nested": lambda n: "<embedding:" * (n // 11) + ">" * (n // 11),
    "nested and whole": lambda n: "<embedding:<embedding:a>b>" * (n // 26),
    "weights": lambda n: f"(<embedding:a>:{'1' * n}x)",
    "short weights": lambda n: "(<embedding:a>:1x " * (n // 18),
    "spaces": lambda n: f"(<embedding:a>{' ' * n}:",
    "spaces before": lambda n: f"({' ' * n}<embedding:a>" * 2,
    "opened": lambda n: "<" * n,
    "colons": lambda n: f"<lora:a{':' * n}>",
    "own weights": lambda n: "<embedding:a:0.9>" * (n // 17),
    "own weights that are none": lambda n: "<embedding:a:1x>" * (n // 16),
    "empty tokens": lambda n: "[[" + " " * n + "]]",
    "brackets": lambda n: "[(" * (n // 2) + "<embedding:a>",
    "commas": lambda n: "<embedding:a>, " * (n // 15),
    "loras": lambda n: "<lora:a:1> " * (n // 11),
    "names": lambda n: "<a_b>" * (n // 5),
    "tokens": lambda n: "[[a" * (n // 3),
    "wildcards": lambda n: "__a_" * (n // 4),
    "settings": lambda n: "steps: , " * (n // 9),
    "rows": lambda n: "a\n<lora:x:1>\n\n" * (n // 14),
}


@pytest.mark.parametrize("shape", HOSTILE)
def test_twice_the_text_is_at_most_little_more_than_twice_the_work(shape: str) -> None:
    def steps(size: int) -> int:
        text = HOSTILE[shape](size)
        with counted_steps() as counted:
            parse_text(f"a\nneg: {text}\n\n{text}")
            take_embeddings(text)
            to_prompt_words(text)
            list(tag_spans(text))
            has_lora(text)
            odd_loras(text)
            bare_tag_words(text)
        return counted.count

    steps(10)  # What is made once does not count.
    for size in (1_000, 4_000):
        assert steps(2 * size) <= 2.3 * steps(size)


def test_a_tag_and_a_line_have_a_longest_length() -> None:
    name = "a" * MAX_TAG_CHARS
    assert read_tag_line(f"<lora:{name}>") is None
    assert to_prompt_words(f"<embedding:{name}>") == f"<embedding:{name}>"
    parsed = parse_text(f"a\n\n{'b' * (MAX_LINE_CHARS + 1)}", "mine")
    assert [(p.code, p.field) for p in parsed.problems] == [("long_line", "line 3")]
    assert "20,001 characters" in parsed.problems[0].message
    assert parse_text("b" * MAX_LINE_CHARS).problems == ()


PIECES = st.sampled_from(
    ["<embedding:", "<lora:", "a", ">", "(", ")", ":0.9)", ":", " ", ",", "<", "<a_b>", "[[x]]", "1", "\\("]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=30).map("".join))
def test_lifting_embeddings_out_once_lifts_them_all(text: str) -> None:
    rest, _ = take_embeddings(text)
    assert take_embeddings(rest) == (rest, ())

"""Choices within a prompt, and what else dynamic prompts write."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.building.builder import Build, BuildOptions, PackSource, build
from jobs.packs.choices import choices_in, foreign_constructs, put_choices
from tests.steps import counted_steps


def built(text: str, *, seed: int = 1, **document: Any) -> Build:
    source = PackSource("p", text, json.dumps(document) if document else "")
    made = build(source, BuildOptions(build_seed=seed, global_negative="low"))
    assert made.problems == ()
    return made


def test_a_choice_is_drawn_from_the_build_seed_and_told() -> None:
    text = "a {red|blue|green} bird"
    made = built(text)
    assert made.canonical == built(text).canonical
    drawn = {built(text, seed=seed).records[0].positive_prompt for seed in range(40)}
    assert drawn == {"a red bird", "a blue bird", "a green bird"}
    record = made.records[0]
    assert record.randomization.wildcards["{red|blue|green}"] in record.positive_prompt
    (told,) = [warning for warning in made.warnings if warning.code == "choice"]
    assert "{red|blue|green}" in told.message
    assert told.row == 1


def test_a_choice_may_hold_tags_tokens_wildcards_and_nothing() -> None:
    matrix = {"enabled": True, "slots": [{"name": "s", "values": ["x"]}]}
    wildcards = {"enabled": True, "tokens": [{"token": "w", "values": ["y"]}]}
    randomization = {"enabled": True, "matrix": matrix, "wildcards": wildcards}
    text = "a {<lora:l:0.5>|[[s]]|__w__||<embedding:e>|[p|q]}"
    seen = {
        built(text, seed=seed, randomization=randomization).records[0].positive_prompt for seed in range(80)
    }
    assert seen == {"a <lora:l:0.5>", "a x", "a y", "a ", "a e", "a [p|q]"}


def test_equal_choices_are_drawn_each_for_itself_and_told_once() -> None:
    text = "a {red|blue} hat, a {red|blue} coat"
    seen = {built(text, seed=seed).records[0].positive_prompt for seed in range(40)}
    assert len(seen) == 4
    made = built(text)
    assert len([warning for warning in made.warnings if warning.code == "choice"]) == 1
    assert set(made.records[0].randomization.wildcards) == {"{red|blue}", "{red|blue} #2"}


def test_a_stage_that_repeats_the_prompt_gets_its_choices() -> None:
    text = "a {red|blue} hat, a {red|blue} coat"
    document = {"adetailer": {"prompt": text}, "pipeline": {"adetailer_enabled": True}}
    for seed in range(10):
        record = built(text, seed=seed, preset_data=document).records[0]
        assert record.stage_prompts[0].positive == record.positive_prompt


def test_a_choice_counts_in_negatives_and_in_the_prompts_of_stages() -> None:
    detailer = {"prompt": "{one|two} face"}
    made = built(
        "a\nneg: {bad|ugly}",
        preset_data={"adetailer": detailer, "pipeline": {"adetailer_enabled": True}},
    )
    record = made.records[0]
    assert "{" not in record.negative_prompt
    assert record.stage_prompts[0].positive in ("one face", "two face")


def test_choice_within_a_value_is_told_and_refused_where_one_is_strict() -> None:
    matrix = {"enabled": True, "slots": [{"name": "hair", "values": ["{red|blue} hair"]}]}
    made = built("a [[hair]] cat", matrix=matrix)
    assert [record.positive_prompt for record in made.records] == ["a {red|blue} hair cat"]
    [told] = [warning.message for warning in made.warnings if warning.code == "dynamic_prompt"]
    assert "no value may hold" in told


def test_choices_multiply_where_the_packs_wildcards_do() -> None:
    part = {"enabled": True, "wildcards": {"enabled": True, "mode": "fanout", "tokens": []}}
    made = built("a {red|blue} {cat|dog}", randomization=part)
    assert len({record.positive_prompt for record in made.records}) == 4


def test_search_and_replace_does_not_hide_a_choice() -> None:
    rules = [{"search": "red", "replacements": ["crimson"]}]
    part = {"enabled": True, "prompt_sr": {"enabled": True, "rules": rules}}
    seen = {
        built("{red|blue}", seed=seed, randomization=part).records[0].positive_prompt for seed in range(20)
    }
    assert seen == {"crimson", "blue"}


@pytest.mark.parametrize(
    "written",
    ["{2$$a|b}", "{1-2$$a|b}", "{0.5::a|0.3::b}", "${x=a}", "${x}", "__s_*__", "__a/*__", "{a|{b|c}}"],
)
def test_what_is_not_read_is_told_and_sent_as_it_stands(written: str) -> None:
    made = built(f"a {written} b")
    assert made.records[0].positive_prompt == f"a {written} b"
    assert [w.message for w in made.warnings if w.code == "dynamic_prompt" and written in w.message]


@pytest.mark.parametrize("written", ["{a}", "\\{a|b\\}", "a|b", "{a|b", "a|b}", "[a|b]", "{}", "{a|\n"])
def test_other_braces_are_words(written: str) -> None:
    assert choices_in(written) == ()
    assert foreign_constructs(written) == ()


MARKS = st.sampled_from(["{", "}", "|", "a", "b", "$$", "$", "::", "\\", "[", "]", "__", "*", "\n", " "])


@settings(max_examples=400)
@given(st.lists(MARKS, max_size=30).map("".join))
def test_every_choice_that_is_found_is_replaced_and_nothing_else(text: str) -> None:
    found = choices_in(text)
    marked = put_choices(text, {choice.name: "\0" for choice in found})
    assert marked.count("\0") >= len(found)
    pieces = marked.split("\0")
    at = 0
    for piece in pieces:
        at = text.index(piece, at) + len(piece)
    foreign_constructs(text)


@pytest.mark.parametrize("piece", ["{", "}", "{a|b}", "{a|", "__a*", "{{a|b}", "${a}", "|", "{[|"])
def test_twice_the_text_is_at_most_little_more_than_twice_the_work(piece: str) -> None:
    def steps(size: int) -> int:
        text = piece * (size // len(piece))
        with counted_steps() as counted:
            put_choices(text, {choice.name: "x" for choice in choices_in(text)})
            foreign_constructs(text)
        return counted.count

    steps(10)  # What is made once does not count.
    for size in (1_000, 4_000):
        assert steps(2 * size) <= 2.3 * steps(size) + 50


@pytest.mark.parametrize(
    "text", ["a {2$$b|c}", "a __w__", "--steps 3 --prompt x", "Steps: 3, Seed: 4, Size: 8x8", "a\nb"]
)
def test_what_another_program_reads_is_told_or_refused_by_choice(text: str) -> None:
    source = PackSource("p", f"{text}\n", "")
    assert built(text).records
    strict = build(source, BuildOptions(build_seed=1, global_negative="low", strict=True))
    assert strict.problems
    assert all(problem.message.startswith("Pack p") for problem in strict.problems)
    assert strict.records == ()


def test_strict_judges_the_chosen_rows_alone() -> None:
    source = PackSource("p", "a {2$$b|c}\n\nd {e|f}\n", "")
    options = BuildOptions(build_seed=1, global_negative="low", strict=True)
    assert [p.row for p in build(source, options).problems] == [1]
    assert build(source, options.model_copy(update={"rows": (1,)})).problems == ()

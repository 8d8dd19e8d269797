"""The randomization block and the matrix modes: what varies, in which order, and from which chance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.building.builder import Build, BuildOptions, PackSource, build
from jobs.packs.pack import parse_pack
from jobs.packs.sources import read_source
from jobs.records.checks import validate_record
from tests.steps import counted_steps

SHARED = Path(__file__).parents[2].parent / "shared" / "packs"
SLOTS = {"job": ["wizard", "knight"], "place": ["forest", "castle", "moon"]}


def make_source(text: str, **document: Any) -> PackSource:
    return PackSource("mine", text, json.dumps(document))


def block(**parts: Any) -> dict[str, Any]:
    return {
        "randomization": {
            "enabled": True,
            **{name: {"enabled": True, **part} for name, part in parts.items()},
        }
    }


def built(source: PackSource, **changes: Any) -> Build:
    made = build(source, BuildOptions.model_validate({"build_seed": 1, "global_negative": "bad", **changes}))
    assert made.problems == ()
    assert all(validate_record(record) == [] for record in made.records)
    return made


def prompts(source: PackSource, **changes: Any) -> list[str]:
    return [record.positive_prompt for record in built(source, **changes).records]


def matrix_of(mode: str, **changes: Any) -> dict[str, Any]:
    return {"matrix": {"enabled": True, "mode": mode, "slots": SLOTS, **changes}}


@pytest.mark.parametrize("mode", ["sequential", "round_robin"])
def test_sequential_gives_each_row_the_next_combination(mode: str) -> None:
    source = make_source("a [[job]]\n\nno token\n\nb [[job]]\n\nc [[job]]", **matrix_of(mode))
    assert prompts(source) == ["a wizard", "no token", "b knight", "c wizard"]
    assert prompts(source, rows=(2,)) == ["b knight"]


def test_rotate_goes_on_where_the_row_before_stopped() -> None:
    source = make_source("[[place]] a\n\n[[place]] b\n\n[[place]] c", **matrix_of("rotate", limit=2))
    expected = ["forest a", "castle a", "moon b", "forest b", "castle c", "moon c"]
    assert prompts(source) == expected
    assert prompts(source, rows=(1, 2)) == expected[2:]


def test_rotate_without_a_limit_gives_each_row_every_combination_once() -> None:
    source = make_source("[[place]] [[job]]\n\n[[place]]", **matrix_of("rotate"))
    made = built(source)
    assert made.counts.combinations == (6, 3)
    assert len(set(prompts(source))) == 9


def test_block_counts_where_the_pack_has_no_matrix_of_its_own() -> None:
    randomization = block(matrix={"slots": SLOTS})
    legacy = make_source("[[job]]", **randomization)
    unified = make_source("[[job]]", pack_data={"matrix": {"enabled": False}}, preset_data=randomization)
    assert prompts(legacy) == prompts(unified) == ["wizard", "knight"]


def test_own_matrix_replaces_the_block_with_a_warning() -> None:
    own = {"enabled": True, "slots": [{"name": "job", "values": ["monk"]}]}
    preset = block(matrix={"slots": SLOTS}, prompt_sr={"rules": [{"search": "monk", "replacements": ["x"]}]})
    made = built(make_source("[[job]]", pack_data={"matrix": own}, preset_data=preset))
    assert [record.positive_prompt for record in made.records] == ["monk"]
    assert "randomization_replaced" in [warning.code for warning in made.warnings]


def test_block_and_its_parts_count_only_while_they_are_enabled() -> None:
    rules = {"rules": [{"search": "a", "replacements": ["b"]}]}
    source = make_source("a", randomization={"enabled": True, "prompt_sr": {"enabled": False, **rules}})
    assert prompts(source) == ["a"]
    source = make_source("a", **block(prompt_sr=rules))
    assert prompts(source) == ["b"]
    assert prompts(source, overrides={"randomization.enabled": False}) == ["a"]


def test_slots_of_a_person_go_into_the_blocks_matrix() -> None:
    source = make_source("[[job]]", **block(matrix={"slots": SLOTS, "mode": "rotate", "limit": 1}))
    assert prompts(source) == ["wizard"]
    assert prompts(source, matrix={"job": ("nun", "monk")}) == ["nun", "monk"]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("prepend", "e, a wizard, words <lora:l:1>"),
        ("append", "e words, a wizard <lora:l:1>"),
        ("replace", "e, a wizard <lora:l:1>"),
    ],
)
def test_base_prompt_stands_before_after_or_instead_of_the_text(mode: str, expected: str) -> None:
    part = {"slots": {"job": ["wizard"]}, "base_prompt": "a [[job]]", "prompt_mode": mode}
    source = make_source("<embedding:e>\nwords\n<lora:l:1>", **block(matrix=part))
    (record,) = built(source).records
    assert record.positive_prompt == expected
    assert ("matrix", "a wizard") in [(layer.source, layer.text) for layer in record.prompt_layers]


@pytest.mark.parametrize("mode", ["rotate", "fanout", "random", "sequential"])
@pytest.mark.parametrize("place", ["prepend", "append"])
def test_slots_of_the_base_prompt_alone_do_not_multiply_a_row_with_slots(mode: str, place: str) -> None:
    slots = {name: [f"{name}{n}" for n in range(5)] for name in ("place", "light", "style")}
    part = {
        "slots": slots,
        "mode": mode,
        "base_prompt": "[[style]] [[light]] [[place]]",
        "prompt_mode": place,
    }
    source = make_source("a cat in [[place]]\n\na dog in [[place]]", **block(matrix=part))
    made = built(source)
    expected = 1 if mode == "sequential" else 5
    assert made.counts.combinations == (expected, expected)
    assert built(source).hashes == made.hashes
    for record in made.records:
        assert "[[" not in record.positive_prompt
        assert set(record.matrix_slot_values) == set(slots)
    if mode != "sequential":
        assert len({record.matrix_slot_values["place"] for record in made.records}) == 5
        assert len({record.matrix_slot_values["style"] for record in made.records}) > 1
    (told,) = [warning for warning in made.warnings if warning.code == "drawn_slot"]
    assert "'light', 'style'" in told.message


def test_slots_of_the_base_prompt_multiply_a_row_without_any() -> None:
    part = {"slots": SLOTS, "base_prompt": "a [[job]]", "prompt_mode": "prepend"}
    assert len(prompts(make_source("at dusk", **block(matrix=part)))) == 2
    part["prompt_mode"] = "replace"
    assert len(prompts(make_source("at dusk\nneg: [[place]]", **block(matrix=part)))) > 2


def test_base_prompt_that_is_there_already_is_not_said_twice() -> None:
    part = {"slots": {"job": ["wizard"]}, "base_prompt": "a [[job]]", "prompt_mode": "prepend"}
    assert prompts(make_source("sees a [[job]] run", **block(matrix=part))) == ["sees a wizard run"]


def test_rules_search_the_rows_text_in_one_pass() -> None:
    rules = [{"search": "cat", "replacements": ["dog"]}, {"search": "dog", "replacements": ["cat"]}]
    source = make_source("cat dog\nneg: cat", **block(prompt_sr={"rules": rules, "mode": "fanout"}))
    (record,) = built(source).records
    assert record.positive_prompt == "dog cat"
    assert record.negative_prompt == "bad, cat"
    assert record.randomization.replacements == {"cat": "dog", "dog": "cat"}


def test_longer_search_goes_before_a_shorter_one_within_it() -> None:
    rules = [{"search": "cat", "replacements": ["dog"]}, {"search": "cats", "replacements": ["mice"]}]
    assert prompts(make_source("cats and cat", **block(prompt_sr={"rules": rules}))) == ["mice and dog"]


def test_rule_that_finds_nothing_does_not_multiply() -> None:
    rules = [
        {"search": "cat", "replacements": ["a", "b"]},
        {"search": "none", "replacements": ["c", "d", "e"]},
    ]
    source = make_source("cat", **block(prompt_sr={"rules": rules, "mode": "fanout"}))
    assert prompts(source) == ["a", "b"]


def test_fanned_wildcards_multiply_each_matrix_combination() -> None:
    tokens = [{"token": "__mood__", "values": ["sad", "glad"]}]
    parts = {"matrix": {"slots": {"job": ["x", "y"]}}, "wildcards": {"tokens": tokens, "mode": "fanout"}}
    made = built(make_source("__mood__ [[job]] __mood__", **block(**parts)))
    assert [r.positive_prompt for r in made.records] == [
        "sad x sad",
        "glad x glad",
        "sad y sad",
        "glad y glad",
    ]
    assert [r.randomization.combination for r in made.records] == [0, 1, 2, 3]
    assert made.records[0].randomization.wildcards == {"__mood__": "sad"}
    assert made.counts.combinations == (4,)


def test_sequential_choices_go_round() -> None:
    tokens = [{"token": "mood", "values": ["1", "2", "3"]}]
    parts = {"matrix": {"slots": {"job": ["x", "y"]}}, "wildcards": {"tokens": tokens, "mode": "sequential"}}
    assert prompts(make_source("[[job]] __mood__\n\n__mood__", **block(**parts))) == ["x 1", "y 2", "2"]


def test_random_choices_come_from_the_build_seed_and_hold_for_all_repeats() -> None:
    values = [str(number) for number in range(30)]
    tokens = [{"token": "__n__", "values": values}]
    rules = [{"search": "cat", "replacements": values}]
    parts = {
        "wildcards": {"tokens": tokens},
        "prompt_sr": {"rules": rules},
        "matrix": {"slots": {"job": values}},
    }
    source = make_source("[[job]] __n__ cat", **block(**parts))
    first = prompts(source)
    assert first == prompts(source)
    assert first != prompts(source, build_seed=2)
    assert len({prompt.split()[1] for prompt in first}) > 10
    assert len({prompt.split()[2] for prompt in first}) > 10
    repeated = prompts(source, repeat=2)
    assert repeated[::2] == repeated[1::2] == first


def test_words_that_choices_bring_in_are_resolved_too() -> None:
    parts: dict[str, Any] = {
        "wildcards": {"tokens": [{"token": "__who__", "values": ["the [[job]]"]}]},
        "prompt_sr": {"rules": [{"search": "hero", "replacements": ["__who__"]}]},
        "matrix": {
            "slots": {"job": ["__title__ wizard"]},
            "base_prompt": "__title__",
            "prompt_mode": "append",
        },
    }
    parts["wildcards"]["tokens"].append({"token": "__title__", "values": ["grand"]})
    assert prompts(make_source("hero", **block(**parts))) == ["the grand wizard, grand"]


def test_token_that_only_a_wildcard_brings_in_is_refused_when_unresolved() -> None:
    parts = {"wildcards": {"tokens": [{"token": "__who__", "values": ["the [[job]]"]}]}}
    made = build(make_source("__who__", **block(**parts)), BuildOptions(build_seed=1))
    assert [(p.code, p.row, p.field) for p in made.problems] == [("unresolved_token", 1, "job")]


def test_text_forms_are_read_where_the_lists_are_empty() -> None:
    parts = {
        "prompt_sr": {"rules": [], "raw_text": "# rules\ncat => dog|fox\n", "mode": "fanout"},
        "wildcards": {"tokens": [], "raw_text": "__mood__: sad | glad", "mode": "fanout"},
        "matrix": {"slots": [], "raw_text": "# Base: x\njob: x"},
    }
    assert prompts(make_source("cat __mood__ [[job]]", **block(**parts))) == [
        f"{animal} {mood} x" for animal in ("dog", "fox") for mood in ("sad", "glad")
    ]


def test_oddities_of_a_block_are_warned_of() -> None:
    parts = {"prompt_sr": {"rules": [{"search": "a", "replacements": []}, {"replace": 1}]}}
    source = make_source("a __other__", randomization={**block(**parts)["randomization"], "hats": 1})
    codes = {(warning.code, warning.field) for warning in parse_pack(source).warnings}
    expected = {
        ("empty_slot", "a"),
        ("malformed_slot", "randomization.prompt_sr.rules"),
        ("unknown_key", "randomization.hats"),
    }
    assert expected <= codes
    assert "wildcard" in {code for code, _ in codes}


@pytest.mark.parametrize(
    ("rules", "sent", "code"),
    [
        ({"cat": ["dog"]}, "dog", ""),
        ({"cat": "dog"}, "dog", "adjusted_value"),
        ([{"search": "cat", "replacements": "dog|"}], "dog", "adjusted_value"),
        ([{"search": "cat", "replacements": [None, {"a": 1}, True, "dog"]}], "dog", "malformed_slot"),
        ([{"search": "cat", "replacements": ["dog"], "once": 1}], "dog", "unknown_key"),
        ([{"search": "cat", "replacements": [one]} for one in ("dog", "cow")], "dog", "duplicate_slot"),
        (3, "cat", "malformed_slot"),
        ([{"search": ["cat"], "replacements": ["dog"]}], "cat", "malformed_slot"),
    ],
)
def test_rules_have_the_forms_of_matrix_slots_and_none_is_lost_silently(
    rules: Any, sent: str, code: str
) -> None:
    made = built(make_source("cat", **block(prompt_sr={"rules": rules})))
    assert [record.positive_prompt for record in made.records] == [sent]
    told = {warning.code for warning in made.warnings} - {"no_checkpoint"}
    assert told == ({code} if code else set())


def test_wildcards_have_the_forms_of_matrix_slots() -> None:
    tokens = {"mood": ["sad", "sad"], "__mood__": ["glad"]}
    made = built(make_source("__mood__", **block(wildcards={"tokens": tokens})))
    assert [record.positive_prompt for record in made.records] == ["sad"]
    assert {"duplicate_slot", "duplicate_value"} <= {warning.code for warning in made.warnings}


def test_a_name_that_stands_twice_in_a_text_form_is_told() -> None:
    made = built(make_source("cat", **block(prompt_sr={"raw_text": "cat => dog\ncat => cow"})))
    assert [record.positive_prompt for record in made.records] == ["dog"]
    assert "duplicate_slot" in {warning.code for warning in made.warnings}


def test_spaces_of_a_search_are_part_of_it() -> None:
    assert prompts(
        make_source("a cat", **block(prompt_sr={"rules": [{"search": "a ", "replacements": ["the "]}]}))
    ) == ["the cat"]


@pytest.mark.parametrize(
    ("enabled", "sent", "is_told"),
    [
        (1.0, "dog", False),
        ("Enabled", "dog", False),
        (0.0, "cat", False),
        (None, "cat", False),
        ("maybe", "cat", True),
        (2, "cat", True),
    ],
)
def test_a_part_is_switched_as_every_switch_is(enabled: Any, sent: str, is_told: bool) -> None:
    part = {"enabled": enabled, "rules": {"cat": ["dog"]}}
    made = built(make_source("cat", randomization={"enabled": True, "prompt_sr": part}))
    assert [record.positive_prompt for record in made.records] == [sent]
    told = {(w.code, w.field) for w in made.warnings if w.code != "no_checkpoint"}
    assert told == ({("wrong_value", "randomization.prompt_sr.enabled")} if is_told else set())


def test_unknown_keys_of_a_part_are_told() -> None:
    made = built(make_source("cat", **block(prompt_sr={"rulez": []}, wildcards={"values": []})))
    assert {"randomization.prompt_sr.rulez", "randomization.wildcards.values"} <= {
        warning.field for warning in made.warnings
    }


def test_a_base_prompt_is_read_as_every_prompt_is() -> None:
    source = make_source("cat", **block(matrix={"base_prompt": ["big", "red"], "prompt_mode": "prepend"}))
    made = built(source)
    assert made.records[0].positive_prompt == "big, red, cat"
    assert ("adjusted_value", "randomization.matrix.base_prompt") in {
        (w.code, w.field) for w in made.warnings
    }
    made = build(make_source("cat", **block(matrix={"base_prompt": {"a": 1}})), BuildOptions(build_seed=1))
    assert [(p.code, p.field) for p in made.problems] == [("wrong_value", "randomization.matrix.base_prompt")]


def test_huge_legacy_matrix_is_limited_without_being_built() -> None:
    slots = {name: [f"{name}{n}" for n in range(100)] for name in "abcdef"}
    source = make_source(
        " ".join(f"[[{name}]]" for name in slots), **block(matrix={"slots": slots, "mode": "rotate"})
    )
    with counted_steps(most=200_000):
        assert len(prompts(source, limit=8)) == 8


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared packs are not here")
def test_real_legacy_pack_resolves_everything() -> None:
    source = read_source(SHARED / "SDXL_myth_beasts_fantasy_v1.txt")
    made = built(source, limit=40)
    assert (len(made.records), made.counts.combinations, made.counts.repeats) == (40, (2500,), 3)
    for record in made.records:
        assert "[[" not in record.positive_prompt + record.negative_prompt
        assert "__" not in record.positive_prompt + record.negative_prompt
        assert record.positive_prompt.startswith("a ancient dragon of fire power, ")
        assert set(record.randomization.wildcards) == {"__mood__", "__world__", "__props__"}


WORDS = st.sampled_from(["a", "cat", "[[x]]", "[[y]]", "__w__", "__v__", "neg: __w__", "", "<lora:[[x]]:1>"])
VALUES = st.lists(st.sampled_from(["p", "q", "r cat", "__v__"]), min_size=1, max_size=3)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(WORDS, min_size=1, max_size=6).map("\n".join),
    st.fixed_dictionaries({"x": VALUES, "y": VALUES}),
    st.sampled_from(["fanout", "random", "sequential", "rotate"]),
    st.sampled_from(["fanout", "random", "sequential"]),
    st.sampled_from(["", "base [[y]] __w__"]),
    st.integers(0, 4),
)
def test_what_is_counted_is_built_whatever_varies(
    text: str, slots: dict[str, list[str]], mode: str, choice: str, base: str, limit: int
) -> None:
    parts = {
        "matrix": {
            "slots": slots,
            "mode": mode,
            "limit": limit,
            "base_prompt": base,
            "prompt_mode": "append",
        },
        "wildcards": {
            "tokens": [{"token": "w", "values": ["1", "2"]}, {"token": "v", "values": ["3", "4"]}],
            "mode": choice,
        },
        "prompt_sr": {"rules": [{"search": "cat", "replacements": ["dog", "fox"]}], "mode": choice},
    }
    source = make_source(text, **block(**parts))
    options = BuildOptions(build_seed=5)
    made = build(source, options)
    assert made.hashes == build(source, options).hashes
    if not made.problems:
        assert len(made.records) == made.counts.records
        assert len(set(made.hashes)) == len(made.hashes)
    for record in made.records:
        assert validate_record(record) == []
        words = record.positive_prompt + record.negative_prompt
        assert "[[" not in words
        assert "__" not in words

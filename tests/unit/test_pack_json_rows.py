"""Rows that only the JSON has, as programs and people write them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.packs.pack import Pack, parse_pack
from jobs.packs.sources import PackSource


def pack_of(*slots: Any) -> Pack:
    return parse_pack(PackSource("mine", "", json.dumps({"pack_data": {"slots": list(slots)}})))


def told(pack: Pack) -> list[str]:
    return [warning.code for warning in pack.warnings if warning.field.startswith("slot ")]


@pytest.mark.parametrize(
    ("loras", "tags", "is_told"),
    [
        ([["a", 0.6]], ["<lora:a:0.6>"], False),
        ([["a", "0.6"]], ["<lora:a:0.6>"], False),
        ([["a", "0,6"]], ["<lora:a:0.6>"], False),
        ([["a", "0.6:lbw=X"]], ["<lora:a:0.6:lbw=X>"], False),
        ([{"name": "a", "strength": 0.5}], ["<lora:a:0.5>"], False),
        ({"a": 0.6, "b": "1"}, ["<lora:a:0.6>", "<lora:b:1>"], False),
        ({"name": "a", "weight": 0.6}, ["<lora:a:0.6>"], False),
        ("a, b", ["<lora:a:1.0>", "<lora:b:1.0>"], False),
        (["a", None, ["b", None]], ["<lora:a:1.0>", "<lora:b:1.0>"], True),
        ([["a", True]], ["<lora:a:1.0>"], True),
        ([["a", {"x": 1}]], ["<lora:a:1.0>"], True),
        ([["a", "<b>"]], ["<lora:a:1.0>"], True),
        (3, [], True),
        ([], [], False),
        (None, [], False),
    ],
)
def test_loras_of_a_slot_keep_their_weights_or_are_told(loras: Any, tags: list[str], is_told: bool) -> None:
    pack = pack_of({"text": "x", "loras": loras})
    assert [str(tag) for tag in pack.rows[0].loras] == tags
    assert bool(told(pack)) == is_told


@pytest.mark.parametrize(
    ("written", "words", "is_told"),
    [
        (["a", ["b", "0.8"], {"name": "c", "weight": 1}], ["a", "(b:0.8)", "c"], False),
        ("a,b", ["a", "b"], False),
        ([["a", "strong"]], ["a"], True),
    ],
)
def test_embeddings_of_a_slot_keep_their_weights_or_are_told(
    written: Any, words: list[str], is_told: bool
) -> None:
    for key in ("positive_embeddings", "negative_embeddings"):
        pack = pack_of({"text": "x", key: written})
        assert [tag.words for tag in getattr(pack.rows[0], key)] == words
        assert bool(told(pack)) == is_told


def test_texts_have_several_names_and_forms_and_nothing_is_dropped_silently() -> None:
    pack = pack_of(
        {"prompt": "a", "negative_prompt": ["b", "c"]},
        {"positive": ["a", "d"], "neg": "e"},
        "a text alone",
        {"text": "one", "prompt": "other"},
        {"text": "x", "colour": "red"},
        {"text": ["x", 3]},
        4,
    )
    assert [(row.positive_text, row.negative_text) for row in pack.rows] == [
        ("a", "b, c"),
        ("a d", "e"),
        ("a text alone", ""),
        ("one", ""),
        ("x", ""),
        ("x", ""),
    ]
    assert told(pack) == ["conflicting_alias", "unknown_key", "wrong_value"]
    assert "malformed_slot" in [warning.code for warning in pack.warnings]


@pytest.mark.parametrize(
    ("loras", "tags", "codes"),
    [
        (["foo:0.8"], ["<lora:foo:0.8>"], []),
        ("foo:0.8, bar", ["<lora:foo:0.8>", "<lora:bar:1.0>"], []),
        ({"foo:0.8": None}, ["<lora:foo:0.8>"], []),
        (["<lora:foo:0.8>"], ["<lora:foo:0.8>"], []),
        ("<lora:foo:0.8:lbw=1,0>, <lora:bar:1>", ["<lora:foo:0.8:lbw=1,0>", "<lora:bar:1>"], []),
        ([["<lora:foo:0.8>", 0.8]], ["<lora:foo:0.8>"], []),
        ([["<lora:foo>", 0.7]], ["<lora:foo:0.7>"], []),
        ([["<lora:foo:0.8>", 0.5]], ["<lora:foo:0.5>"], ["conflicting_alias"]),
        ([{"name": "a", "weight": 0.8, "strength": 0.5}], ["<lora:a:0.8>"], ["conflicting_alias"]),
        (["<lora:foo>"], ["<lora:foo:1.0>"], ["lora_weight"]),
        ([["foo", "strong"]], ["<lora:foo:strong>"], ["lora_weight"]),
        (["[[who]]:[[w]]"], ["<lora:[[who]]:[[w]]>"], []),
        ([["foo", 0.8, 0.5]], ["<lora:foo:0.8:te=0.5:unet=0.8>"], ["adjusted_value"]),
        (
            [{"name": "foo", "weight": 0.8, "clip_weight": 0.5}],
            ["<lora:foo:0.8:te=0.5:unet=0.8>"],
            ["adjusted_value"],
        ),
        ([["foo", 0.8, 0.5, 3]], ["<lora:foo:0.8:te=0.5:unet=0.8>"], ["wrong_value", "adjusted_value"]),
        ([["foo", "0.8:lbw=X", 0.5]], ["<lora:foo:0.8:lbw=X>"], ["wrong_value"]),
        ([{"name": "foo", "weight": 0.8, "on": False}], ["<lora:foo:0.8>"], ["unknown_key"]),
        (["foo>bar", "foo:bar", "<lora:a", "x\n\nneg: y", "a" * 400], [], ["wrong_value"] * 5),
        (["<embedding:e>"], [], ["wrong_value"]),
    ],
)
def test_a_lora_that_is_written_as_text_is_read_as_text(
    loras: Any, tags: list[str], codes: list[str]
) -> None:
    pack = pack_of({"text": "x", "loras": loras})
    [row] = pack.rows
    assert [str(tag) for tag in row.loras] == tags
    assert (row.positive_lines, row.negative_lines) == (("x",), ())
    assert told(pack) == codes


@pytest.mark.parametrize("key", ["positive_embeddings", "negative_embeddings"])
@pytest.mark.parametrize(
    ("written", "words", "codes"),
    [
        (["<embedding:easyneg>"], ["easyneg"], []),
        (["easyneg:0.9"], ["(easyneg:0.9)"], []),
        (["(easyneg:0.9)"], ["(easyneg:0.9)"], []),
        (["(<embedding:easyneg>:0.9)"], ["(easyneg:0.9)"], []),
        (["<embedding:easyneg:0.9>"], ["(easyneg:0.9)"], []),
        ("<embedding:a>, <embedding:b>", ["a", "b"], []),
        (["a:1.0"], ["a"], []),
        ([["<embedding:easyneg>", 0.9]], ["(easyneg:0.9)"], []),
        ([["easyneg:0.9", 0.5]], ["(easyneg:0.5)"], ["conflicting_alias"]),
        ([["a", 0.9, 0.5]], ["(a:0.9)"], ["wrong_value"]),
        (["a>b", "a:b", "<embedding:", "<lora:a:1>", "a\nneg: b"], [], ["wrong_value"] * 5),
    ],
)
def test_an_embedding_that_is_written_as_text_is_read_as_text(
    key: str, written: Any, words: list[str], codes: list[str]
) -> None:
    pack = pack_of({"text": "x", key: written})
    [row] = pack.rows
    assert [tag.words for tag in getattr(row, key)] == words
    assert (row.positive_lines, row.negative_lines, row.loras) == (("x",), (), ())
    assert told(pack) == codes


def test_the_words_of_a_slot_are_never_comments() -> None:
    pack = pack_of({"text": "#1 hero portrait"}, {"text": "cat\n#masterpiece, best", "negative": "#low"})
    assert [(row.positive_text, row.negative_text) for row in pack.rows] == [
        ("#1 hero portrait", ""),
        ("cat #masterpiece, best", "#low"),
    ]


def test_a_slot_without_a_positive_prompt_is_no_row_and_joins_no_other() -> None:
    pack = pack_of({"text": "a hero"}, {"text": "", "negative": "bad anatomy"}, {"text": "cat"})
    assert [(row.positive_text, row.negative_text) for row in pack.rows] == [("a hero", ""), ("cat", "")]
    [warning] = [warning for warning in pack.warnings if warning.field == "slot 2"]
    assert warning.code == "empty_row"
    assert "only a negative prompt" in warning.message


def test_a_slot_named_for_the_negative_completes_the_slot_before_it() -> None:
    halves = [{"name": "Positive", "text": "a keep"}, {"name": "Negative Prompt", "text": "low"}]
    pack = pack_of(*halves)
    assert [(row.positive_text, row.negative_text) for row in pack.rows] == [("a keep", "low")]
    assert told(pack) == ["detached_negative"]
    assert told(pack_of(halves[1], halves[0])) == ["empty_row"]


def test_a_finding_names_the_slot_by_its_place_in_the_json() -> None:
    pack = pack_of(
        {"text": "a"}, 5, {"text": "b", "hat": 1}, {}, {"text": "c <script>"}, {"text": "d\nneg: e\nf"}
    )
    assert told(pack) == ["unknown_key", "empty_row"]
    found = {w.code: w.message for w in pack.warnings}
    assert found["malformed_slot"].startswith("slot 2 of the JSON")
    assert found["unknown_key"].startswith("slot 3 of the JSON")
    assert found["empty_row"].startswith("slot 4 of the JSON")
    assert found["bare_tag"].startswith("slot 5 of the JSON: <script>")
    assert found["continued_negative"].startswith("slot 6 of the JSON")
    [long] = pack_of({"text": "a"}, 5, {"text": "b" * 20_001}).problems
    assert (long.code, long.field) == ("long_line", "a line of slot 3")


def test_what_looks_odd_in_a_slot_is_judged_with_its_tags() -> None:
    """Lines beside tags belong to one row; only bare lines may each have been meant as a row."""
    for tags in ({"loras": ["a"]}, {"positive_embeddings": ["a"]}, {"negative_embeddings": ["a"]}):
        assert pack_of({"text": "one\ntwo", **tags}).text.warnings == ()
    assert [w.code for w in pack_of({"text": "one\ntwo"}).text.warnings] == ["lines_as_row"]


def test_warnings_of_slots_are_bounded() -> None:
    *_, last = pack_of(*({"text": f"\x01 {number}"} for number in range(1_003))).text.warnings
    assert last.message == "3 more warnings are not listed."


def test_repeated_slots_are_told_without_lines_that_nobody_wrote() -> None:
    found = [w for w in pack_of({"text": "a"}, {"text": "a"}).warnings if w.code == "duplicate_block"]
    assert [(w.message, w.line, w.row) for w in found] == [("row 2 repeats row 1.", None, 2)]


def test_slots_may_be_an_object() -> None:
    document = json.dumps({"pack_data": {"slots": {"0": {"text": "a"}, "1": {"text": "b"}}}})
    assert [row.positive_text for row in parse_pack(PackSource("m", "", document)).rows] == ["a", "b"]


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)
KEYS = st.sampled_from(
    ["text", "negative", "loras", "positive_embeddings", "negative_embeddings", "name", "index"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.dictionaries(KEYS, ANY, max_size=4) | ANY, max_size=4))
def test_any_slots_are_read_or_told(slots: list[Any]) -> None:
    text = (
        json.dumps({"pack_data": {"slots": slots}}, allow_nan=True)
        .replace("NaN", "1")
        .replace("Infinity", "2")
    )
    pack = parse_pack(PackSource("mine", "", text))
    assert all(problem.code in ("unclean_text", "nul") for problem in pack.problems)

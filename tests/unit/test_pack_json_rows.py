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

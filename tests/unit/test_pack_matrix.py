"""The matrix: names, combinations, and draws that never build the product."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.packs.matrix import RowMatrix, Slot, draw, find_slot, replace_tokens, tokens_of
from tests.steps import counted_steps

SLOTS = (Slot("job", ("wizard", "knight")), Slot("place", ("forest", "castle", "moon")))


def test_fanout_is_the_product_with_the_last_slot_fastest() -> None:
    matrix = RowMatrix("fanout", SLOTS)
    built = [tuple(matrix.values(index).values()) for index in matrix.combinations(1, 0, 100)]
    assert built == list(product(*(slot.values for slot in SLOTS)))
    assert list(matrix.values(0)) == ["job", "place"]


def test_fanout_limit_takes_the_first_combinations() -> None:
    matrix = RowMatrix("fanout", SLOTS, limit=4)
    assert (matrix.total, matrix.count) == (6, 4)
    assert list(matrix.combinations(1, 0, 100)) == [0, 1, 2, 3]


def test_row_without_slots_has_one_combination() -> None:
    matrix = RowMatrix("none", ())
    assert (list(matrix.combinations(1, 0, 100)), matrix.values(0)) == ([0], {})


def test_random_draws_from_build_seed_and_row_alone() -> None:
    matrix = RowMatrix("random", (Slot("a", tuple(map(str, range(1000)))),), limit=5)
    drawn = list(matrix.combinations(1, 0, 100))
    assert drawn == sorted(set(drawn))
    assert len(drawn) == 5
    assert drawn == list(matrix.combinations(1, 0, 100))
    assert drawn != list(matrix.combinations(2, 0, 100))
    assert drawn != list(matrix.combinations(1, 1, 100))


def test_random_without_a_smaller_limit_is_the_whole_product_in_order() -> None:
    for limit in (0, 6, 99):
        assert list(RowMatrix("random", SLOTS, limit=limit).combinations(1, 0, 100)) == list(range(6))


def test_huge_products_are_drawn_without_being_built() -> None:
    slots = tuple(Slot(f"s{i}", tuple(map(str, range(1000)))) for i in range(30))
    matrix = RowMatrix("random", slots, limit=8)
    with counted_steps(most=10_000):
        drawn = [matrix.values(index) for index in matrix.combinations(7, 3, 10_000)]
    assert matrix.total == 10**90
    assert len({tuple(values.values()) for values in drawn}) == 8


@given(
    st.integers(1, 300).flatmap(lambda total: st.tuples(st.just(total), st.integers(0, total))),
    st.text(max_size=5),
)
def test_draws_are_distinct_in_range_and_rising(numbers: tuple[int, int], key: str) -> None:
    total, count = numbers
    drawn = draw(total, count, key)
    assert len(drawn) == count
    assert drawn == sorted(set(drawn))
    assert all(0 <= index < total for index in drawn)


@pytest.mark.parametrize("token", ["Hair Color", "hair-color", "hair_color", " HAIRCOLOR "])
def test_token_finds_its_slot_by_letters_and_digits(token: str) -> None:
    slot = Slot("hair color", ("red",))
    assert find_slot(token, [Slot("hair", ("x",)), slot]) is slot


def test_exact_name_goes_before_a_similar_one() -> None:
    similar, exact = Slot("hair-color", ("a",)), Slot("hair_color", ("b",))
    assert find_slot("hair_color", [similar, exact]) is exact


def test_names_in_any_script_match_exactly() -> None:
    slot = Slot("место", ("лес",))
    assert find_slot("место", [slot]) is slot
    assert find_slot("!!", [Slot("??", ("a",))]) is None


def test_every_token_is_replaced_everywhere() -> None:
    text = "[[hair]]-haired [[hair]] in [[ place ]] and [[other]]"
    assert tokens_of(text) == ["hair", " place ", "other"]
    assert replace_tokens(text, {"hair": "red", " place ": "Oz"}) == "red-haired red in Oz and [[other]]"


def test_prompt_syntax_in_double_brackets_is_no_token() -> None:
    assert tokens_of("[[a, b]] [[(c:1.2)]] [[<lora:x:1>]] [[d|e]]") == []

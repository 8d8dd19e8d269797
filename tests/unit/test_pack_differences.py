"""What differs between two contents of a pack: lines, JSON, rows; all of it bounded."""

from __future__ import annotations

from jobs.packs.differences import (
    MAX_COMPARED,
    MAX_SHOWN,
    document_difference,
    row_difference,
    text_difference,
)
from jobs.packs.grammar import PackRow, parse_text


def rows(*texts: str) -> tuple[PackRow, ...]:
    return parse_text("\n\n".join(texts)).rows


def signs(old: str, new: str) -> list[tuple[str, str]]:
    return [(line.sign, line.text) for line in text_difference(old, new).lines]


def test_changed_line_is_removed_and_added_between_its_neighbours() -> None:
    assert signs("a\nb\nc", "a\nB\nc") == [("same", "a"), ("removed", "b"), ("added", "B"), ("same", "c")]


def test_lines_carry_their_numbers_in_both_texts() -> None:
    lines = text_difference("a\nb", "new\na\nb").lines
    assert [(line.old, line.new) for line in lines] == [(None, 1), (1, 2), (2, 3)]


def test_equal_lines_far_from_a_change_are_one_gap() -> None:
    old = "\n".join(str(number) for number in range(20))
    lines = text_difference(old, old.replace("19", "x")).lines
    assert (lines[0].sign, lines[0].skipped) == ("gap", 16)
    assert [line.sign for line in lines[1:]] == ["same", "same", "same", "removed", "added"]


def test_first_line_of_a_run_opens_it() -> None:
    assert [line.opens for line in text_difference("", "a\nb").lines] == [True, False]


def test_equal_texts_have_no_difference() -> None:
    found = text_difference("a\nb", "a\nb")
    assert not found.changed
    assert found.lines == ()


def test_long_difference_is_counted_whole_and_shown_in_part() -> None:
    old = "\n".join(f"old {number}" for number in range(MAX_COMPARED + 1))
    found = text_difference(old, "new")
    assert (found.removed, found.added) == (MAX_COMPARED + 1, 1)
    assert len(found.lines) == MAX_SHOWN
    assert found.more == MAX_COMPARED + 2 - MAX_SHOWN


def test_json_is_compared_by_value_however_it_was_laid_out() -> None:
    assert not document_difference('{"a": 1,\n "b": [2]}', '{"a":1,"b":[2]}').changed
    found = document_difference('{"a":1,"b":2}', '{"a":1,"b":3}')
    assert [line.text for line in found.lines if line.sign == "added"] == ['  "b": 3']


def test_json_that_cannot_be_read_is_compared_as_text() -> None:
    found = document_difference('{"a": 1', "")
    assert [line.text for line in found.lines] == ['{"a": 1']


def test_rows_are_changed_added_removed_or_the_same() -> None:
    found = row_difference(rows("one", "two", "three", "four"), rows("one", "TWO", "new", "three"))
    assert [(change.old, change.new, change.words) for change in found.changed] == [(2, 2, "TWO")]
    assert [(change.new, change.words) for change in found.added] == [(3, "new")]
    assert [(change.old, change.words) for change in found.removed] == [(4, "four")]
    assert found.same == 2


def test_row_whose_negative_alone_differs_is_changed() -> None:
    found = row_difference(rows("one\nneg: a"), rows("one\nneg: b"))
    assert [change.new for change in found.changed] == [1]

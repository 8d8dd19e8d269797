"""Rows for pages: the written lines beside what was read out of them, marks, ranges, what varies."""

from __future__ import annotations

import pytest

from jobs.errors import RecordProblem
from jobs.packs.findings import row_ranges
from jobs.packs.sources import PackSource
from jobs.reading.pack_choices import pack_choices
from jobs.reading.pack_problems import on_page, problem_sentences
from jobs.reading.pack_rows import MAX_CHARS, MAX_LINES, ROWS_SHOWN, pieces, row_page

TEXT = "# a comment\na [[job]]\n<lora:detail:0.6>\nneg: blurry\nmore\n\na second row, __mood__\n\n# the end\n"


def source(text: str = TEXT, document: str = "") -> PackSource:
    return PackSource("castles", text, document)


def test_every_line_stands_beside_its_row_with_its_number_and_warning() -> None:
    page = row_page(source())
    first, second = page.rows
    assert [(line.number, line.is_comment) for line in first.written] == [
        (1, True),
        (2, False),
        (3, False),
        (4, False),
        (5, False),
    ]
    assert "neg: line" in first.written[4].warnings[0]
    assert (first.noticed, first.lines, second.lines) == (1, "lines 2–5", "line 7")
    assert [line.text for line in page.trailing] == ["# the end"]
    assert first.loras == (("detail", "0.6"),)


def test_row_of_json_alone_has_no_written_lines() -> None:
    document = '{"pack_data": {"slots": [{"name": "Positive", "text": "a castle"}]}}'
    [row] = row_page(source("", document)).rows
    assert (row.written, row.lines) == ((), "")


def test_token_with_values_is_told_from_one_without() -> None:
    slots = '[{"name": "job", "values": ["wizard", "knight"]}]'
    document = f'{{"pack_data": {{"matrix": {{"enabled": true, "slots": {slots}}}}}}}'
    without, with_values = row_page(source()).rows[0], row_page(source(document=document)).rows[0]
    assert [piece.mark for piece in without.positive] == ["", "missing"]
    assert [piece.mark for piece in with_values.positive] == ["", "token"]
    assert (without.variants, with_values.variants) == (1, 2)


def test_marks_are_tags_tokens_and_known_wildcards() -> None:
    found = pieces("a [[x]] __mood__ __other__ <lora:y:1> (<embedding:z>:0.9)", (), ("__mood__",))
    assert [(piece.text, piece.mark) for piece in found if piece.mark] == [
        ("[[x]]", "token"),
        ("__mood__", "wildcard"),
        ("<lora:y:1>", "lora"),
        ("(<embedding:z>:0.9)", "embedding"),
    ]
    assert (
        "".join(piece.text for piece in found) == "a [[x]] __mood__ __other__ <lora:y:1> (<embedding:z>:0.9)"
    )


def test_token_inside_a_tag_is_part_of_the_tag() -> None:
    assert [piece.mark for piece in pieces("<lora:[[x]]:1>")] == ["lora"]


def test_long_pack_comes_in_pages_and_a_row_is_found_on_its_page() -> None:
    long = source("\n\n".join(f"row {number}" for number in range(1, 2 * ROWS_SHOWN + 2)))
    page = row_page(long, ROWS_SHOWN + 3)
    assert (page.rows[0].number, page.rows[-1].number) == (ROWS_SHOWN + 1, 2 * ROWS_SHOWN)
    assert (page.before, page.after, page.total) == (1, 2 * ROWS_SHOWN + 1, 2 * ROWS_SHOWN + 1)
    last = row_page(long, 10**6)
    assert ([row.number for row in last.rows], last.after) == ([2 * ROWS_SHOWN + 1], 0)
    assert row_page(long, 0).rows[0].number == 1


def test_huge_row_is_shown_in_part() -> None:
    [row] = row_page(source("\n".join("x" * 200 for _ in range(MAX_LINES + 5)))).rows
    assert (len(row.written), row.more_lines) == (MAX_LINES, 5)
    assert sum(len(piece.text) for piece in row.positive) <= MAX_CHARS + 2


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([], ""),
        ([3], "row 3"),
        ([4, 1, 2], "rows 1–2, 4"),
        (range(1, 100, 2), "rows 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23 and 38 more"),
    ],
)
def test_rows_are_listed_as_ranges(numbers: list[int], words: str) -> None:
    assert row_ranges(numbers) == words


def test_choices_say_values_rows_mode_and_combinations() -> None:
    document = (
        '{"pack_data": {"matrix": {"enabled": true, "mode": "random", "limit": 2, "slots": ['
        '{"name": "job", "values": ["wizard", "knight", "monk"]}, {"name": "spare", "values": ["a"]}]}}}'
    )
    found = pack_choices(source(document=document))
    assert [(slot.name, slot.values, slot.rows) for slot in found.slots] == [
        ("[[job]]", ("wizard", "knight", "monk"), "row 1"),
        ("[[spare]]", ("a",), ""),
    ]
    assert found.matrix_mode == "combinations drawn from the build seed"
    assert found.combinations == "2 of 3 combinations per row, limited to 2"
    assert (found.is_off, found.missing) == (False, ())


def test_matrix_that_is_off_still_says_which_rows_would_use_it() -> None:
    document = '{"pack_data": {"matrix": {"enabled": false, "slots": [{"name": "job", "values": ["monk"]}]}}}'
    found = pack_choices(source(document=document))
    assert found.is_off
    assert [slot.rows for slot in found.slots] == ["row 1"]
    assert found.missing == ()


def test_token_without_values_is_missing_with_its_rows() -> None:
    found = pack_choices(source("a [[x]]\n\nb\n\nc [[x]] [[y]]"))
    assert [(missing.token, missing.rows) for missing in found.missing] == [
        ("x", "rows 1, 3"),
        ("y", "row 3"),
    ]


def test_wildcards_rules_and_base_prompt_of_the_older_layout_are_choices() -> None:
    document = (
        '{"randomization": {"enabled": true,'
        ' "wildcards": {"enabled": true, "mode": "sequential",'
        ' "tokens": [{"token": "mood", "values": ["dark", "light"]}]},'
        ' "prompt_sr": {"enabled": true, "rules": [{"search": "second", "replacements": ["third"]}]},'
        ' "matrix": {"enabled": true, "base_prompt": "a dream", "prompt_mode": "prepend"}}}'
    )
    found = pack_choices(source("a second row, __mood__", document))
    assert [(line.name, line.rows, line.mode) for line in found.wildcards] == [
        ("__mood__", "row 1", "one value per record, in turn")
    ]
    assert [(line.name, line.values) for line in found.searched] == [("second", ("third",))]
    assert (found.base_prompt, found.prompt_mode) == ("a dream", "prepend")


def test_problems_that_differ_by_their_row_are_one_sentence() -> None:
    def problem(row: int) -> RecordProblem:
        words = (
            f"[[x]] has no values (the row begins in line {row}); give it values with --matrix x=VALUE,VALUE."
        )
        return RecordProblem(
            code="unresolved_token", message=f"Pack p, row {row}: {words}", pack="p", row=row, field="x"
        )

    other = RecordProblem(code="no_rows", message="Pack p: it has no rows.", pack="p")
    assert problem_sentences([problem(1), problem(2), other, problem(4)]) == (
        "Pack p, rows 1–2, 4: [[x]] has no values; give it values in its field.",
        "Pack p: it has no rows.",
    )
    assert "line 9" in problem_sentences([problem(9)])[0]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            "turn it on with --set txt2img.use_refiner=true.",
            "turn it on with txt2img.use_refiner=true in “Settings”.",
        ),
        ("Use --limit or --rows, or set matrix.limit.", "Use “At most” or “Rows”, or set matrix.limit."),
        ("--matrix place: no selected row uses it.", "Matrix place: no selected row uses it."),
        (
            "use --set matrix.mode=fanout, random, sequential or rotate.",
            "use matrix.mode=fanout in “Settings”, random, sequential or rotate.",
        ),
    ],
)
def test_options_of_the_command_line_get_the_names_of_the_page(message: str, words: str) -> None:
    assert on_page(message) == words

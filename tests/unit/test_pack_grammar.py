"""The text grammar: what each line means, what is warned of and where."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.packs.grammar import PackRow, parse_text
from jobs.packs.sources import read_source
from jobs.packs.tags import EmbeddingTag, WrittenLora
from tests.unit.pack_text import render_rows

SHARED = Path(__file__).parents[2].parent / "shared" / "packs"


def only_row(text: str) -> PackRow:
    rows = parse_text(text).rows
    assert len(rows) == 1
    return rows[0]


def warned(text: str) -> list[tuple[str, int | None]]:
    return [(warning.code, warning.line) for warning in parse_text(text).warnings]


def test_blank_lines_part_rows_and_lines_of_only_white_space_are_blank() -> None:
    rows = parse_text("a\nb\n \t\n\n\nc\n").rows
    assert [row.positive_text for row in rows] == ["a b", "c"]
    assert [(row.first_line, row.last_line) for row in rows] == [(1, 2), (6, 6)]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_any_newline_gives_the_same_rows_and_line_numbers(newline: str) -> None:
    parsed = parse_text(newline.join(["a", "neg: b", "c", "", "d"]))
    assert [row.content for row in parsed.rows] == [
        row.content for row in parse_text("a\nneg: b\nneg: c\n\nd").rows
    ]
    assert [(w.code, w.line) for w in parsed.warnings] == [("continued_negative", 3)]
    assert parsed.rows[1].first_line == 5


def test_comment_lines_are_left_out_and_do_not_part_rows() -> None:
    assert only_row("# title\na\n  # inside\nb").positive_lines == ("a", "b")
    assert parse_text("# only\n# comments\n\n").rows == ()


def test_neg_in_any_case_accumulates_the_negative() -> None:
    assert only_row("a\nneg: b,\nNEG: c\nNeg : d").negative_text == "b, c, d"


def test_line_after_neg_continues_the_negative_with_a_warning() -> None:
    assert only_row("a\nneg: b\nc").negative_lines == ("b", "c")
    assert warned("a\nneg: b\nc") == [("continued_negative", 3)]


def test_lora_only_line_after_neg_is_no_negative() -> None:
    row = only_row("a\nneg: b\n<lora:x:0.5>\nc")
    assert row.loras == (WrittenLora("x", "0.5"),)
    assert row.negative_lines == ("b", "c")
    assert warned("a\nneg: b\n<lora:x:0.5>") == []


def test_embedding_only_line_after_neg_is_a_negative_embedding() -> None:
    row = only_row("a\nneg: b\n<embedding:n>\n(<embedding:m>:0.8)")
    assert row.negative_embeddings == (EmbeddingTag("n"), EmbeddingTag("m", "0.8"))
    assert row.positive_embeddings == ()


def test_tag_lines_collect_in_the_order_of_the_author() -> None:
    row = only_row(
        "(<embedding:b>:0.9) <embedding:a>\nwords\n<lora:y:1.0>, <lora:x:0.5425531914893618>\n<Embedding:c>"
    )
    assert row.positive_embeddings == (EmbeddingTag("b", "0.9"), EmbeddingTag("a"), EmbeddingTag("c"))
    assert row.loras == (WrittenLora("y", "1.0"), WrittenLora("x", "0.5425531914893618"))
    assert row.positive_lines == ("words",)


def test_weight_of_one_is_no_weight() -> None:
    assert only_row("(<embedding:a>:1.0)").positive_embeddings == (EmbeddingTag("a"),)


def test_tag_beside_words_stays_in_the_text() -> None:
    row = only_row("a knight <lora:x:0.5>, <embedding:e>")
    assert row.positive_lines == ("a knight <lora:x:0.5>, <embedding:e>",)
    assert row.loras == ()


def test_embedding_in_a_negative_is_lifted_out_unless_brackets_weigh_it() -> None:
    row = only_row("a\nneg: <embedding:bad> blurry, <embedding:worse>, low, (<embedding:kept>, old:1.2)")
    assert row.negative_embeddings == (EmbeddingTag("bad"), EmbeddingTag("worse"))
    assert row.negative_lines == ("blurry, low, (<embedding:kept>, old:1.2)",)


def test_full_width_comma_is_a_character() -> None:
    assert only_row("雪，山\nneg: 模糊，低质量").negative_text == "模糊，低质量"


def test_block_of_only_negatives_belongs_to_the_row_above() -> None:
    parsed = parse_text("a\n\nneg: b\nc\n\nd")
    assert [row.negative_text for row in parsed.rows] == ["b, c", ""]
    assert [(w.code, w.line) for w in parsed.warnings] == [
        ("detached_negative", 3),
        ("continued_negative", 4),
    ]


@pytest.mark.parametrize(
    ("text", "rows", "told"),
    [
        ("neg: bad\na cat", [("a cat", "bad")], [("leading_negative", 2)]),
        ("neg: bad\na cat\nin a hat", [("a cat in a hat", "bad")], [("leading_negative", 2)]),
        (
            "neg: bad\na cat\n\nneg: worse\na dog",
            [("a cat", "bad"), ("a dog", "worse")],
            [("leading_negative", 2), ("leading_negative", 5)],
        ),
        (
            "neg: bad\na cat\nneg: low\nworse",
            [("a cat", "bad, low, worse")],
            [("leading_negative", 2), ("continued_negative", 4)],
        ),
        ("neg: bad\n<lora:x:1>\nneg: low\na cat", [("a cat", "bad, low")], [("leading_negative", 4)]),
        ("a cat\nneg: bad\nlow", [("a cat", "bad, low")], [("continued_negative", 3)]),
        # The negative of a row that has none yet.
        (
            "a cat\n\nneg: bad\nlow",
            [("a cat", "bad, low")],
            [("detached_negative", 3), ("continued_negative", 4)],
        ),
        ("neg: bad\n<embedding:n>\n\na", [("a", "")], [("detached_negative", 1), ("continued_negative", 2)]),
    ],
)
def test_a_block_that_begins_with_its_negative_is_a_row(
    text: str, rows: list[tuple[str, str]], told: list[tuple[str, int]]
) -> None:
    assert [(row.positive_text, row.negative_text) for row in parse_text(text).rows] == rows
    assert warned(text) == told


def test_embeddings_between_a_leading_negative_and_its_words_are_positive() -> None:
    row = only_row("neg: bad\n<embedding:glow>\na cat")
    assert (row.positive_embeddings, row.negative_embeddings) == ((EmbeddingTag("glow"),), ())


def test_block_of_only_negatives_above_all_rows_is_left_out_with_a_warning() -> None:
    parsed = parse_text("neg: b\n\na")
    assert [row.negative_text for row in parsed.rows] == [""]
    assert [(w.code, w.line) for w in parsed.warnings] == [("detached_negative", 1)]


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("\ufeffa", "byte_order_mark", 1),
        ("a\n<lora:x>", "lora_weight", 2),
        ("a\n<lora:x:strong>", "lora_weight", 2),
        ("a <lora:x>", "lora_weight", 1),
        ("a\nneg: <lora:x:1>", "negative_lora", 2),
        ("a\n<<<<<<< HEAD", "conflict_marker", 2),
        ("a\n=======", "conflict_marker", 2),
        ("a\n>>>>>>> other", "conflict_marker", 2),
        ("a\n\nb\n\na", "duplicate_block", 5),
        ("a\n\nsteps: 12\nsampler: DPM++ 2M", "settings_as_prompt", 3),
        ("Steps: 20, Sampler: Euler a, CFG scale: 7", "settings_as_prompt", 1),
        ("a\nNegative prompt: b", "foreign_negative", 2),
        ("a\x07b", "control_character", 1),
    ],
)
def test_oddity_is_warned_of_with_its_line(text: str, code: str, line: int) -> None:
    assert (code, line) in warned(text)


def test_ordinary_words_are_not_taken_for_settings() -> None:
    assert warned("model: tall woman, in a castle, size of a house\nneg: blurry") == []


def test_lora_without_a_weight_weighs_one() -> None:
    assert only_row("<lora:x>").loras == (WrittenLora("x", "1.0"),)


def test_byte_order_mark_does_not_hide_the_first_line() -> None:
    assert only_row("\ufeff<embedding:e>\na").positive_embeddings == (EmbeddingTag("e"),)


def test_nul_is_an_error_with_its_line() -> None:
    (problem,) = parse_text("a\n\nb\0c", "mine").problems
    assert (problem.code, problem.pack, problem.field) == ("nul", "mine", "line 3")


MARKS = [
    "neg:",
    "NEG :",
    "<embedding:a>",
    "(<embedding:b>:0.9)",
    "<lora:x:0.5>",
    "<lora:y>",
    "<lora:",
    "#",
    "\n",
]
MARKS += [
    "\n\n",
    "\r\n",
    "\r",
    "\ufeff",
    " ",
    "\t",
    ",",
    "(",
    ")",
    "[",
    "]",
    "<",
    ">",
    ":",
    "\u2028",
    "a b",
    "1",
]
MARKS += [".5", "\\(", "=======", "word", "雪", "\x1c", "\x85", "<embedding:"]
PIECES = st.sampled_from(MARKS)
TEXTS = st.lists(PIECES | st.text(max_size=6), max_size=40).map("".join)


@settings(max_examples=400, deadline=None)
@given(TEXTS)
def test_any_text_parses_and_its_rendering_parses_to_the_same_rows(text: str) -> None:
    rows = parse_text(text).rows
    again = parse_text(render_rows(rows))
    assert [row.content for row in again.rows] == [row.content for row in rows]
    assert render_rows(again.rows) == render_rows(rows)
    assert [row.index for row in rows] == list(range(len(rows)))


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_every_warning_about_text_names_a_line_of_it(text: str) -> None:
    for warning in parse_text(text).warnings:
        assert warning.line is not None
        assert 1 <= warning.line <= len(text) + 1


def test_long_hostile_lines_are_read_in_linear_time() -> None:
    for piece in ("<embedding:", "(<embedding:a", "<lora:x", " ", ", ", "((", "[[", "__", "steps:"):
        parse_text("a\nneg: x" + piece * 40_000 + "\n" + piece * 40_000)


REAL_PACKS = {
    "test_matrix_pack": 1,
    "test_lora_embed_pack": 1,
    "SDXL_mythical_beasts_Fantasy": 10,
    "SDXL_epic_structures_Fantasy": 10,
    "embeddings_lora_multiline": 3,
    "international_test": 5,
    "landscapes": 4,
    "castles_alt_7": 7,
    "SDXL_myth_beasts_fantasy_v1": 1,
    "Abethkara": 10,
    "ADetailer_Face_Hero_Pack": 2,
    "embeddings_lora_test": 3,
}


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared packs are not here")
@pytest.mark.parametrize(("name", "rows"), REAL_PACKS.items())
def test_real_pack_has_the_rows_of_its_readme(name: str, rows: int) -> None:
    parsed = parse_text(read_source(SHARED / f"{name}.txt").text, name)
    assert len(parsed.rows) == rows
    assert parsed.problems == ()
    assert [row.content for row in parse_text(render_rows(parsed.rows)).rows] == [
        row.content for row in parsed.rows
    ]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared packs are not here")
def test_real_packs_mean_what_their_authors_meant() -> None:
    def rows_of(name: str) -> tuple[PackRow, ...]:
        return parse_text(read_source(SHARED / f"{name}.txt").text, name).rows

    assert [tag.name for tag in rows_of("Abethkara")[0].positive_embeddings] == [
        "stable_yogis_pdxl_positives",
        "stable_yogis_realism_positives_v1",
    ]
    castle = rows_of("castles_alt_7")[0]
    assert castle.negative_text.startswith("spindly detail, jitter lines")
    assert len(castle.positive_lines) == 2
    multi = rows_of("embeddings_lora_multiline")
    assert [len(row.negative_embeddings) for row in multi] == [5, 1, 0]
    assert multi[1].negative_text == "blurry, low quality, oversaturated"
    assert [len(row.loras) for row in multi] == [3, 2, 0]
    hero = rows_of("ADetailer_Face_Hero_Pack")
    assert hero[0].negative_text.endswith("discolored skin tones")
    assert hero[1].positive_lines[0] == "steps: 12"
    own_line = rows_of("embeddings_lora_test")[0]
    assert [tag.name for tag in own_line.negative_embeddings][-1] == "stable_yogis_anatomy_negatives_v1-neg"
    assert own_line.negative_text.startswith("deformed hands")

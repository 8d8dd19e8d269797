"""What is odd in packs as people keep them, each with the meaning that it has here.

The texts are our own; each shows one oddity that real packs have.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.building.builder import Build, BuildOptions, PackSource, build
from jobs.errors import PackReadError
from jobs.packs.pack import parse_pack, read_pack


def built(text: str, **document: Any) -> Build:
    source = PackSource("odd", text, json.dumps(document) if document else "")
    made = build(source, BuildOptions(build_seed=1, global_negative=""))
    assert made.problems == ()
    return made


def words(text: str, **document: Any) -> list[tuple[str, str]]:
    return [(record.positive_prompt, record.negative_prompt) for record in built(text, **document).records]


def told(made: Build) -> set[tuple[str, int | None]]:
    return {(warning.code, warning.line) for warning in made.warnings}


def test_byte_order_mark_hides_no_tag() -> None:
    made = built("\ufeff<embedding:glow>\na keep\nneg: low")
    assert made.records[0].positive_embeddings == ("glow",)
    assert made.records[0].positive_prompt == "glow a keep"
    assert ("byte_order_mark", 1) in told(made)


def test_negative_goes_on_in_the_next_line() -> None:
    made = built("a keep\nneg: low\nspindly detail, jitter lines\n<embedding:bad>")
    assert words("a keep\nneg: low\nspindly detail, jitter lines\n<embedding:bad>") == [
        ("a keep", "bad, low, spindly detail, jitter lines")
    ]
    assert made.records[0].negative_embeddings == ("bad",)
    assert {("continued_negative", 3), ("continued_negative", 4)} <= told(made)


def test_blank_line_between_positive_and_negative_parts_nothing() -> None:
    made = built("a keep\n\nneg: low\n\na moat\nneg: dry")
    assert [record.negative_prompt for record in made.records] == ["low", "dry"]
    assert ("detached_negative", 3) in told(made)


def test_settings_in_comments_are_comments() -> None:
    assert words("# steps: 30\n#\tsize: 832 \u00d7 1216\n\na keep\nneg: low") == [("a keep", "low")]


def test_settings_written_as_text_are_a_row_with_a_warning() -> None:
    made = built("a keep\nneg: low\n\nsteps: 12\nsampler: Euler a\nneg: low")
    assert [record.positive_prompt for record in made.records] == ["a keep", "steps: 12 sampler: Euler a"]
    assert ("settings_as_prompt", 4) in told(made)
    assert made.records[0].steps == 20


def test_conflict_markers_are_warned_of_with_their_lines(tmp_path: Path) -> None:
    made = built("<<<<<<< HEAD\na keep\n=======\na moat\n>>>>>>> other\nneg: low")
    assert {("conflict_marker", 1), ("conflict_marker", 3), ("conflict_marker", 5)} <= told(made)
    (tmp_path / "odd.txt").write_text("a keep")
    (tmp_path / "odd.json").write_text('{\n<<<<<<< HEAD\n"steps": 3}')
    with pytest.raises(PackReadError, match=r"odd\.json is not valid JSON: line 2"):
        read_pack(tmp_path / "odd.txt")


@pytest.mark.parametrize("where", ["row", "negative", "pass"])
def test_bare_tag_is_the_old_form_of_an_embedding(where: str) -> None:
    tag = "<soft_light-v1.5>"
    detailer = {"prompt": f"{tag},\na face"} if where == "pass" else {}
    text = f"a keep, {tag if where == 'row' else 'x'}\nneg: {tag if where == 'negative' else 'y'}, z"
    record = built(text, adetailer=detailer, pipeline={"adetailer_enabled": True}).records[0]
    found = {
        "row": record.positive_prompt,
        "negative": record.negative_prompt,
        "pass": "".join(one.positive or "" for one in record.stage_prompts),
    }
    expected = {
        "row": "a keep, soft_light-v1.5",
        "negative": "soft_light-v1.5, z",
        "pass": "soft_light-v1.5,\na face",
    }
    assert found[where] == expected[where]


def test_brackets_that_are_no_tag_stay() -> None:
    assert words("a heart <3 and <b> and <lora:x:0.5> and < y >\nneg: z") == [
        ("a heart <3 and <b> and <lora:x:0.5> and < y >", "z")
    ]


def test_weighted_and_plain_embeddings_keep_their_order() -> None:
    record = built("<embedding:a> (<embedding:b>:0.8) <embedding:c> (<embedding:d>:1.0)\nneg: x").records[0]
    assert record.positive_embeddings == ("a", "(b:0.8)", "c", "d")


def test_names_of_an_embedding_in_another_case_are_sent_as_written() -> None:
    record = built(
        "<embedding:Glow> <embedding:glow>\nneg: <embedding:BAD_HANDS> <embedding:bad_hands>"
    ).records[0]
    assert record.positive_embeddings == ("Glow", "glow")
    assert record.negative_embeddings == ("BAD_HANDS", "bad_hands")


def test_repeated_blocks_are_rows_of_their_own_with_a_warning() -> None:
    made = built("a keep\nneg: low\n\na keep\nneg: low")
    assert len(made.records) == 2
    assert len({record.seed for record in made.records}) == 2
    assert ("duplicate_block", 4) in told(made)


def test_same_content_under_two_names_is_two_packs_of_one_revision() -> None:
    one, other = (PackSource(name, "a keep\nneg: low", "") for name in ("one", "other"))
    assert one.sha256 == other.sha256
    records = [build(source, BuildOptions(build_seed=1)).records[0] for source in (one, other)]
    assert [record.prompt_pack_id for record in records] == ["one", "other"]
    assert records[0].seed == records[1].seed


@pytest.mark.parametrize("broken", ["[[ ]]", "[[]]", "[[\t]]"])
def test_a_token_without_a_name_is_a_broken_one(broken: str) -> None:
    made = built(f"a {broken} keep\nneg: x")
    assert made.records[0].positive_prompt == f"a {broken} keep"
    assert ("half_token", 1) in told(made)


def test_any_number_of_blank_lines_parts_blocks_once() -> None:
    assert len(built("a keep\nneg: x\n\n \n\t\n\n\na moat\nneg: y\n\n\n").records) == 2


def test_token_without_a_slot_is_refused_and_slot_without_a_token_only_warned_of() -> None:
    matrix = {
        "enabled": True,
        "slots": [{"name": "age", "values": ["old"]}, {"name": "camera", "values": []}],
    }
    source = PackSource(
        "odd", "a keep of [[material]]\nneg: x", json.dumps({"pack_data": {"matrix": matrix}})
    )
    made = build(source, BuildOptions(build_seed=1))
    assert [(p.code, p.row, p.field) for p in made.problems] == [("unresolved_token", 1, "material")]
    assert {("unused_slot", "age"), ("empty_slot", "camera")} <= {(w.code, w.field) for w in made.warnings}


def test_repeated_values_of_a_slot_count_once() -> None:
    matrix = {"enabled": True, "slots": [{"name": "cloth", "values": ["silk", "wool", "silk"]}]}
    assert words("[[cloth]]\nneg: x", pack_data={"matrix": matrix}) == [("silk", "x"), ("wool", "x")]


def test_the_authors_commas_doubles_and_typos_stay() -> None:
    text = "a keep,, a keep. stone walls, mishapen,  wide"
    assert words(f"{text}\nneg: low,, low") == [(text, "low,, low")]


def test_quotes_dashes_and_any_script_stay() -> None:
    text = "\u201ca keep\u201d \u2014 城堡, Крепость, castillo\u2019s, 城\uff0c霧"
    assert words(f"{text}\nneg: туман") == [(text, "туман")]


def test_token_before_a_hyphen_and_token_twice_are_both_replaced() -> None:
    matrix = {"enabled": True, "slots": [{"name": "hair", "values": ["red"]}]}
    text = "[[hair]]-haired, [[hair]] [[hair]], [[Hair]]\nneg: x"
    assert words(text, pack_data={"matrix": matrix}) == [("red-haired, red red, red", "x")]


def test_wildcard_without_values_is_sent_as_it_stands_with_a_warning() -> None:
    made = built("a keep, __mood__\nneg: x")
    assert made.records[0].positive_prompt == "a keep, __mood__"
    assert ("wildcard", 1) in told(made)


def test_prompts_on_consecutive_lines_are_one_row() -> None:
    assert words("a keep\na moat\na bridge\nneg: x") == [("a keep a moat a bridge", "x")]


@pytest.mark.parametrize("name", ["Real_Lora_By_X_SDXL8.1", "Face_XL_LoRa-000014", "two words"])
def test_lora_names_with_dots_dashes_and_spaces_are_names(name: str) -> None:
    (tag,) = built(f"a keep\n<lora:{name}:0.5425531914893618>\nneg: x").records[0].lora_tags
    assert (tag.name, tag.weight) == (name, 0.5425531914893618)


def test_lora_beside_text_stays_in_the_text() -> None:
    record = built("a keep <lora:stone:0.5> at dusk\nneg: x").records[0]
    assert record.positive_prompt == "a keep <lora:stone:0.5> at dusk"
    assert record.lora_tags == ()


@pytest.mark.parametrize("newline", ["\r\n", "\r", "\n"])
def test_newlines_of_any_system_part_lines(newline: str) -> None:
    text = newline.join(["<embedding:e>", "a keep", "neg: low", "", "a moat", "neg: dry"])
    assert [record.negative_prompt for record in built(text).records] == ["low", "dry"]


def test_old_named_slots_of_the_json_are_no_rows_beside_a_text() -> None:
    slots = [{"name": "positive", "text": "x"}, {"name": "negative", "text": "y"}]
    made = built("a keep\nneg: x", pack_data={"slots": slots})
    assert len(made.records) == 1
    assert "slots_differ" in [warning.code for warning in made.warnings]


def test_matrix_does_not_multiply_a_row_without_its_tokens() -> None:
    slots = [{"name": f"s{n}", "values": [str(v) for v in range(20)]} for n in range(8)]
    assert len(built("a keep\nneg: x", pack_data={"matrix": {"enabled": True, "slots": slots}}).records) == 1


def test_import_refuses_none_of_this() -> None:
    text = "\ufeff<<<<<<< HEAD\na [[b]] __c__ <d_e>\n\nneg: x\n\nsteps: 3"
    assert parse_pack(PackSource("odd", text, "")).problems == ()

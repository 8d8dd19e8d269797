"""Records of films and edits: frozen siblings of those of pictures, read back by their kind."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from jobs.building.builder import BuildOptions, PackSource, build
from jobs.errors import RecordChangedError
from jobs.queue.summary import facts_of, summarize_record
from jobs.records.base import RecordInput, canonical_json
from jobs.records.checks import validate_record
from jobs.records.films import EditRecord, I2VRecord
from jobs.records.needs import needs_of
from jobs.records.reading import AnyRecord, read_record
from jobs.records.record import NormalizedJobRecord
from jobs.records.sizes import expected_bytes
from tests.film_packs import film_source, film_text


def record(kind: str = "i2v", **options: object) -> AnyRecord:
    made = build(film_source(kind=kind), BuildOptions.model_validate({"build_seed": 7, **options}))
    assert made.problems == ()
    return made.records[0]


def problems(one: AnyRecord) -> list[tuple[str, str]]:
    return [(problem.code, problem.field) for problem in validate_record(one)]


@pytest.mark.parametrize(("kind", "made"), [("i2v", I2VRecord), ("edit", EditRecord)])
def test_a_record_is_read_back_by_its_kind_and_proved_by_its_hash(kind: str, made: type) -> None:
    built = build(film_source(kind=kind), BuildOptions(build_seed=7))
    [text], [digest], [one] = built.canonical, built.hashes, built.records
    assert isinstance(one, made)
    assert read_record(text, digest) == one
    assert canonical_json(read_record(text)) == text
    assert json.loads(text)["kind"] == one.kind == kind
    with pytest.raises(RecordChangedError):
        read_record(text.replace("cat1", "dog1"), digest)


def test_a_record_of_pictures_has_a_kind_that_is_not_written() -> None:
    built = build(PackSource("p", 'a "kind": keep\nneg: low\n', ""), BuildOptions(build_seed=1))
    one = read_record(built.canonical[0], built.hashes[0])
    assert isinstance(one, NormalizedJobRecord)
    assert (one.kind, one.inputs) == ("image", ())
    assert "kind" not in json.loads(built.canonical[0])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"kind":"i2v"}',
        '{"kind":["i2v"]}',
        canonical_json(record()).replace('"kind":"i2v"', '"kind":"film"'),
        canonical_json(record()).replace('"kind":"i2v"', '"kind":"edit","more":1'),
    ],
)
def test_what_is_no_record_is_refused_whatever_it_calls_itself(text: str) -> None:
    with pytest.raises(ValidationError):
        read_record(text)


def test_a_record_is_frozen_to_its_leaves() -> None:
    one = record()
    with pytest.raises(ValidationError):
        one.seed = 3
    with pytest.raises(TypeError):
        one.matrix_slot_values["x"] = "y"


@pytest.mark.parametrize("kind", ["i2v", "edit"])
def test_it_answers_what_lists_and_runs_ask_of_every_record(kind: str) -> None:
    one = record(kind)
    assert one.inputs == (RecordInput(sha256=f"{1:064x}", name="cat1.png"),)
    assert [stage.stage for stage in one.enabled_stages] == [kind]
    assert one.prompts_of(kind) == ("the cat waves", "")
    assert (one.image_count, one.images_per_prompt, one.subseed, one.subseed_strength) == (1, 1, 0, 0.0)
    assert (one.base_model, one.vae, one.clip_skip, one.modules, one.sampler) == ("", "", None, None, "")
    assert (one.stage_prompts, one.lora_tags, one.positive_embeddings, one.negative_embeddings) == (((),) * 4)
    assert (one.width, one.height) == ((848, 480) if kind == "i2v" else (1360, 768))
    assert (one.scheduler, one.steps, one.cfg_scale) == (
        ("", 8, 1.0) if kind == "i2v" else ("lightning", 4, 1.0)
    )
    assert needs_of(one) == ()


@pytest.mark.parametrize("kind", ["i2v", "edit"])
def test_events_and_lists_have_one_line_of_it(kind: str) -> None:
    from django.utils import timezone

    text = canonical_json(record(kind, overrides={f"{kind}.model": "big"}))
    line = summarize_record(text, job_id=3, status="QUEUED", created_at=timezone.now())
    assert (line.base_model, line.stage_chain_labels, line.estimated_image_count) == ("big", [kind], 1)
    assert (line.positive_prompt_preview, line.sampler_name, line.lora_preview) == ("the cat waves", "", "")
    assert facts_of(text)["stage_chain_labels"] == [kind]


def test_a_film_is_expected_to_need_a_byte_per_pixel_and_frame_and_its_poster() -> None:
    assert expected_bytes(record()) == 848 * 480 * (81 + 3)
    assert expected_bytes(record("edit")) == 1360 * 768 * 3


def test_everything_wrong_with_a_record_is_told_at_once() -> None:
    one = record()
    [stage] = one.stage_chain
    assert stage.parameters is not None
    bad = stage.parameters.model_copy(update={"steps": 101, "num_frames": 50, "width": 0, "fps": 99})
    changed = one.model_copy(
        update={
            "positive_prompt": "x" * 501,
            "negative_prompt": "<lora:a:1>",
            "inputs": (*one.inputs, RecordInput(sha256="cat", name="")),
            "seed": -1,
            "stage_chain": (stage.model_copy(update={"parameters": bad}),),
        }
    )
    assert problems(changed) == [
        ("missing_seed", "seed"),
        ("long_prompt", "prompt"),
        ("lora_in_prompt", "negative_prompt"),
        ("too_many_pictures", "images"),
        ("unknown_picture", "inputs"),
        ("out_of_range", "i2v.width"),
        ("out_of_range", "i2v.num_frames"),
        ("out_of_range", "i2v.fps"),
        ("out_of_range", "i2v.steps"),
    ]


def test_a_chain_that_is_not_its_own_stage_is_refused() -> None:
    one = record("edit")
    for chain in ((), (one.stage_chain[0], one.stage_chain[0]), record("i2v").stage_chain):
        found = problems(one.model_copy(update={"stage_chain": chain}))
        assert ("malformed_stage_chain", "stage_chain") in found
    assert problems(one.model_copy(update={"positive_prompt": " ", "inputs": ()})) == [
        ("empty_positive", "prompt"),
        ("missing_picture", "images"),
    ]


def test_equal_content_is_one_revision_and_another_kind_is_another() -> None:
    text = film_text()
    shas = {PackSource("p", text, "{}", kind).sha256 for kind in ("image", "i2v", "edit")}
    assert len(shas) == 3
    assert PackSource("p", text, "{}").sha256 in shas
    assert PackSource("q", text, "{}", "i2v").sha256 == PackSource("p", text, "{}", "i2v").sha256

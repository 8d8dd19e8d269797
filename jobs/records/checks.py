"""What the queue refuses of a record, whatever its kind: everything at once, by row and field. Pure."""

from __future__ import annotations

from pydantic import ValidationError

from jobs.errors import RecordProblem
from jobs.records.base import MAX_SEED, RecordBase
from jobs.records.film_checks import SHA256_RE, count_problems, words_problems
from jobs.records.films import InputRecord
from jobs.records.reading import AnyRecord
from jobs.records.record import NormalizedJobRecord
from jobs.records.stage_config import STAGES, Finding, stage_problems
from webui.work.parameters import Txt2ImgParameters


def validate_record(record: AnyRecord) -> list[RecordProblem]:
    """Everything about the record that the queue refuses, all at once; empty when it may run.

    Ranges of pictures are the WebUI's own, or narrower where it answers 500 or silently rounds; those of films and
    edits stand in `webui.work.limits`.
    """
    try:
        type(record).model_validate(record.model_dump(warnings=False))
    except (ValidationError, AttributeError) as error:
        message = f"The record is malformed; records come from building a pack. {error}"
        return [RecordProblem(code="malformed_record", message=message)]
    found = [*_identity_problems(record), *_provenance_problems(record)]
    if isinstance(record, NormalizedJobRecord):
        found += [*_prompt_problems(record), *_chain_problems(record), *_count_problems(record)]
    else:
        found += _worker_problems(record, record.kind)
    for stage in record.enabled_stages:
        found += [(code, f"{stage.stage}.{name}", words) for code, name, words in stage_problems(stage)]
    pack, row = record.prompt_pack_id, record.prompt_pack_row_index + 1
    return [
        RecordProblem(
            code=code, message=f"Pack {pack or '(none)'}, row {row}: {words}", pack=pack, row=row, field=name
        )
        for code, name, words in found
    ]


def _identity_problems(record: RecordBase) -> list[Finding]:
    found: list[Finding] = []
    if not record.prompt_pack_id:
        found.append(("missing_pack", "prompt_pack_id", "the record names no prompt pack; submit a pack."))
    if not record.pack_revision:
        found.append(("missing_revision", "pack_revision", "the record names no revision of its pack."))
    if record.prompt_pack_row_index < 0:
        found.append(("missing_row", "prompt_pack_row_index", "the record names no row of its pack."))
    return found


def _prompt_problems(record: NormalizedJobRecord) -> list[Finding]:
    found: list[Finding] = []
    if not record.positive_prompt.strip():
        found.append(
            ("empty_positive", "positive_prompt", "the positive prompt is empty; write what to draw.")
        )
    if not record.negative_prompt.strip():
        words = "the negative prompt is empty; add a neg: line to the row or set a global negative prompt."
        found.append(("empty_negative", "negative_prompt", words))
    return found


def _provenance_problems(record: RecordBase) -> list[Finding]:
    found = _seed_problems(record, "seed")
    for kind in ("variant", "batch"):
        index, total = getattr(record, f"{kind}_index"), getattr(record, f"{kind}_total")
        if not 0 <= index < total:
            found.append(("bad_index", f"{kind}_index", f"{kind} {index} is not one of {total}."))
    if record.loop_count < 1:
        found.append(("out_of_range", "loop_count", "loop_count must be at least 1."))
    chosen = record.randomization
    if record.matrix_slot_values.keys() != set(chosen.slots) or not (
        0 <= chosen.combination < chosen.combinations
    ):
        words = "the matrix values do not fit the matrix that the record names."
        found.append(("missing_matrix", "matrix_slot_values", words))
    return found


def _seed_problems(record: RecordBase, name: str) -> list[Finding]:
    seed = getattr(record, name)
    if 0 <= seed <= MAX_SEED:
        return []
    return [("missing_seed", name, f"{name} {seed} is not a concrete seed from 0 to {MAX_SEED}.")]


def _count_problems(record: NormalizedJobRecord) -> list[Finding]:
    found = _seed_problems(record, "subseed")
    if record.clip_skip is not None and not 1 <= record.clip_skip <= 12:
        found.append(("out_of_range", "clip_skip", f"clip_skip {record.clip_skip} is outside 1-12."))
    if not 0 <= record.subseed_strength <= 1:
        words = f"subseed_strength {record.subseed_strength} is outside 0-1."
        found.append(("out_of_range", "subseed_strength", words))
    if record.images_per_prompt < 1:
        found.append(("out_of_range", "images_per_prompt", "images_per_prompt must be at least 1."))
    return found


def _chain_problems(record: NormalizedJobRecord) -> list[Finding]:
    names = [stage.stage for stage in record.stage_chain]
    unknown = [name for name in names if name not in STAGES]
    if unknown:
        words = f"unknown stage {unknown[0]!r}; stages are {', '.join(STAGES)}."
        return [("unknown_stage", unknown[0], words)]
    enabled = record.enabled_stages
    if not enabled:
        return [("empty_stage_chain", "stage_chain", "no stage is on; turn on txt2img.")]
    if names != [name for name in STAGES if name in names]:
        return [
            (
                "malformed_stage_chain",
                "stage_chain",
                f"stages must stand once, in the order {', '.join(STAGES)}.",
            )
        ]
    if enabled[0].stage != "txt2img":
        words = f"{enabled[0].stage} needs a picture to work on, and txt2img is off."
        return [("malformed_stage_chain", "stage_chain", words)]
    first = enabled[0].parameters
    shown = ("steps", "cfg_scale", "width", "height", "sampler", "scheduler")
    if isinstance(first, Txt2ImgParameters) and any(getattr(first, n) != getattr(record, n) for n in shown):
        return [("malformed_stage_chain", "txt2img", "the record and its txt2img stage disagree.")]
    return []


def _worker_problems(record: InputRecord, kind: str) -> list[Finding]:
    """What is wrong with the pictures, the words and the one stage of a film or an edit."""
    stages = [stage.stage for stage in record.stage_chain]
    if stages != [kind] or not record.stage_chain[0].enabled:
        words = f"a record of kind {kind} has one stage, {kind}, and it is on; this one has {stages}."
        return [("malformed_stage_chain", "stage_chain", words)]
    found = list(words_problems(kind, record.positive_prompt, record.negative_prompt))
    found += count_problems(kind, len(record.inputs))
    for place, one in enumerate(record.inputs, 1):
        if not SHA256_RE.fullmatch(one.sha256):
            words = f"picture {place} is named by {one.sha256!r}, which is no SHA-256."
            found.append(("unknown_picture", "inputs", words))
    return found

"""The record (NJR): one complete, frozen request, and its canonical bytes. Nothing here builds or stores.

A record is made by `jobs.building.builder` and by nothing else. The runner merges nothing into it and resolves
nothing in it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Final, Literal, NoReturn, Self

from pydantic import AfterValidator, ValidationError, model_validator

from jobs.errors import RecordChangedError, RecordProblem
from jobs.records.stage_config import STAGES as STAGES
from jobs.records.stage_config import Finding, stage_problems
from jobs.records.stage_config import StageConfig as StageConfig
from webui.values import FrozenValue
from webui.work.parameters import ClipSkip, Img2ImgParameters, Modules, Txt2ImgParameters

MAX_SEED: Final = 2**32 - 1
_CANONICAL: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


class FrozenDict(dict[str, str]):
    """A text-to-text mapping that refuses every change, so that a record is frozen to its leaves."""

    def _refuse(self, *args: object, **kwargs: object) -> NoReturn:
        raise TypeError("a record cannot be changed")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type[FrozenDict], tuple[dict[str, str]]]:
        return FrozenDict, (dict(self),)

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))


def _freeze(value: dict[str, str]) -> dict[str, str]:
    return value if isinstance(value, FrozenDict) else FrozenDict(value)


class LoraTag(FrozenValue):
    name: str
    weight: float


class PromptLayer(FrozenValue):
    """Which source gave which words; the layers of a side, joined, are that side's prompt."""

    side: Literal["positive", "negative"]
    source: Literal["global", "embeddings", "matrix", "row", "loras", "pack", "override"]
    text: str


class StagePrompt(FrozenValue):
    """Prompts of a stage, or of one pass within it, that are not the record's own; None for a side that is."""

    stage: Literal["hires", "img2img", "adetailer", "face", "hand", "upscale"]
    positive: str | None
    negative: str | None


class Randomization(FrozenValue):
    """Every choice that made this record's prompts out of its row.

    `slots` are those that the row uses, in the pack's order; `combination` is the index of the choice
    in their product of `combinations`, the last slot running fastest.
    """

    mode: Literal["none", "fanout", "random", "sequential", "rotate"]
    build_seed: int
    slots: tuple[str, ...]
    combination: int
    combinations: int
    wildcards: Annotated[dict[str, str], AfterValidator(_freeze)]
    replacements: Annotated[dict[str, str], AfterValidator(_freeze)]


class NormalizedJobRecord(FrozenValue):
    """The complete request of one job.

    `prompt_pack_row_index`, `variant_index` and `batch_index` count from 0; people are shown rows from 1.
    `pack_revision` is the SHA-256 of the pack's content. Embeddings stand as they stand in the prompt:
    `name` or `(name:0.9)`. `base_model` is the checkpoint; "" leaves the one that the server has loaded,
    as `vae` "" leaves its VAE and `modules` None what it has loaded beside the checkpoint. `seed` and `subseed` are
    concrete, never -1. `stage_prompts` names the stages whose prompts differ from the record's.

    Schema 2 has `clip_skip` only where the pack or a person named it; else the server keeps its own. Schema 1 always
    had one, so a record of it keeps its bytes, its hash and its request.
    """

    schema_version: Literal[1, 2]
    prompt_pack_id: str
    prompt_pack_name: str
    pack_revision: str
    prompt_pack_row_index: int
    positive_prompt: str
    negative_prompt: str
    positive_embeddings: tuple[str, ...]
    negative_embeddings: tuple[str, ...]
    lora_tags: tuple[LoraTag, ...]
    matrix_slot_values: Annotated[dict[str, str], AfterValidator(_freeze)]
    prompt_layers: tuple[PromptLayer, ...]
    stage_prompts: tuple[StagePrompt, ...]
    stage_chain: tuple[StageConfig, ...]
    seed: int
    subseed: int
    subseed_strength: float
    cfg_scale: float
    width: int
    height: int
    steps: int
    sampler: str
    scheduler: str
    clip_skip: ClipSkip = None
    base_model: str
    vae: str
    modules: Modules = None
    loop_type: Literal["pipeline"]
    loop_count: int
    images_per_prompt: int
    variant_index: int
    variant_total: int
    batch_index: int
    batch_total: int
    config_variant_label: str
    randomization: Randomization
    run_mode: Literal["QUEUE"]
    queue_source: Literal["RUN_NOW", "ADD_TO_QUEUE"]

    @model_validator(mode="after")
    def _whole_by_its_schema(self) -> Self:
        later = (stage.parameters for stage in self.stage_chain)
        skips = [self.clip_skip, *(one.clip_skip for one in later if isinstance(one, Img2ImgParameters))]
        if self.schema_version == 1 and None in skips:
            raise ValueError("a record of schema 1 has a clip_skip in the record and in its img2img stage")
        return self

    @classmethod
    def from_canonical(cls, text: str, *, sha256: str = "") -> NormalizedJobRecord:
        """Read a record back, proved by its hash where that is given.

        Raises RecordChangedError, and pydantic's ValidationError for anything that is not a record.
        """
        if sha256 and sha256_text(text) != sha256:
            raise RecordChangedError(
                f"The stored record {sha256[:12]} no longer has the hash it was queued with."
            )
        return cls.model_validate_json(text)

    @property
    def image_count(self) -> int:
        """Pictures that this record makes: later stages change pictures, they do not add any."""
        return self.images_per_prompt

    def prompts_of(self, stage: str) -> tuple[str, str]:
        """Positive and negative prompt of a stage or pass."""
        for one in self.stage_prompts:
            if one.stage == stage:
                return (
                    self.positive_prompt if one.positive is None else one.positive,
                    self.negative_prompt if one.negative is None else one.negative,
                )
        return self.positive_prompt, self.negative_prompt

    @property
    def enabled_stages(self) -> tuple[StageConfig, ...]:
        return tuple(stage for stage in self.stage_chain if stage.enabled)


def canonical_json(record: NormalizedJobRecord) -> str:
    """The one text of a record: sorted keys, no spaces, no escapes beyond JSON's own; its UTF-8 is hashed.

    Raises ValueError for NaN and infinities, which a record made past validation could hold.
    """
    return _CANONICAL.encode(record.model_dump())


def sha256_text(text: str) -> str:
    """Lower-case hexadecimal SHA-256 of the text's UTF-8 bytes."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def validate_record(record: NormalizedJobRecord) -> list[RecordProblem]:
    """Everything about the record that the queue refuses, all at once; empty when it may run.

    Ranges are the WebUI's own, or narrower where it answers 500 or silently rounds.
    """
    try:
        NormalizedJobRecord.model_validate(record.model_dump(warnings=False))
    except (ValidationError, AttributeError) as error:
        message = f"The record is malformed; records come from building a pack. {error}"
        return [RecordProblem(code="malformed_record", message=message)]
    found = [*_identity_problems(record), *_chain_problems(record), *_count_problems(record)]
    for stage in record.enabled_stages:
        found += [(code, f"{stage.stage}.{name}", words) for code, name, words in stage_problems(stage)]
    pack, row = record.prompt_pack_id, record.prompt_pack_row_index + 1
    return [
        RecordProblem(
            code=code, message=f"Pack {pack or '(none)'}, row {row}: {words}", pack=pack, row=row, field=name
        )
        for code, name, words in found
    ]


def _identity_problems(record: NormalizedJobRecord) -> list[Finding]:
    found: list[Finding] = []
    if not record.prompt_pack_id:
        found.append(("missing_pack", "prompt_pack_id", "the record names no prompt pack; submit a pack."))
    if not record.pack_revision:
        found.append(("missing_revision", "pack_revision", "the record names no revision of its pack."))
    if record.prompt_pack_row_index < 0:
        found.append(("missing_row", "prompt_pack_row_index", "the record names no row of its pack."))
    if not record.positive_prompt.strip():
        found.append(
            ("empty_positive", "positive_prompt", "the positive prompt is empty; write what to draw.")
        )
    if not record.negative_prompt.strip():
        words = "the negative prompt is empty; add a neg: line to the row or set a global negative prompt."
        found.append(("empty_negative", "negative_prompt", words))
    return found


def _count_problems(record: NormalizedJobRecord) -> list[Finding]:
    found: list[Finding] = []
    for name in ("seed", "subseed"):
        if not 0 <= getattr(record, name) <= MAX_SEED:
            words = f"{name} {getattr(record, name)} is not a concrete seed from 0 to {MAX_SEED}."
            found.append(("missing_seed", name, words))
    for kind in ("variant", "batch"):
        index, total = getattr(record, f"{kind}_index"), getattr(record, f"{kind}_total")
        if not 0 <= index < total:
            found.append(("bad_index", f"{kind}_index", f"{kind} {index} is not one of {total}."))
    if record.clip_skip is not None and not 1 <= record.clip_skip <= 12:
        found.append(("out_of_range", "clip_skip", f"clip_skip {record.clip_skip} is outside 1-12."))
    if not 0 <= record.subseed_strength <= 1:
        words = f"subseed_strength {record.subseed_strength} is outside 0-1."
        found.append(("out_of_range", "subseed_strength", words))
    if record.images_per_prompt < 1 or record.loop_count < 1:
        found.append(
            ("out_of_range", "images_per_prompt", "images_per_prompt and loop_count must be at least 1.")
        )
    chosen = record.randomization
    if record.matrix_slot_values.keys() != set(chosen.slots) or not (
        0 <= chosen.combination < chosen.combinations
    ):
        words = "the matrix values do not fit the matrix that the record names."
        found.append(("missing_matrix", "matrix_slot_values", words))
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

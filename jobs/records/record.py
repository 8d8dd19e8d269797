"""The record of pictures (NJR): one complete, frozen request. What all kinds share is in `base`.

Its canonical bytes and their hash never change: records of every installation are proved by them.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from jobs.records.base import MAX_SEED as MAX_SEED
from jobs.records.base import FrozenDict as FrozenDict
from jobs.records.base import PromptLayer as PromptLayer
from jobs.records.base import Randomization as Randomization
from jobs.records.base import RecordBase, RecordInput
from jobs.records.base import canonical_json as canonical_json
from jobs.records.base import sha256_text as sha256_text
from jobs.records.stage_config import STAGES as STAGES
from jobs.records.stage_config import StageConfig as StageConfig
from webui.values import FrozenValue
from webui.work.parameters import ClipSkip, Img2ImgParameters, Modules


class LoraTag(FrozenValue):
    name: str
    weight: float


class StagePrompt(FrozenValue):
    """Prompts of a stage, or of one pass within it, that are not the record's own; None for a side that is."""

    stage: Literal["hires", "img2img", "adetailer", "face", "hand", "upscale"]
    positive: str | None
    negative: str | None


class NormalizedJobRecord(RecordBase):
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
    positive_embeddings: tuple[str, ...]
    negative_embeddings: tuple[str, ...]
    lora_tags: tuple[LoraTag, ...]
    stage_prompts: tuple[StagePrompt, ...]
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
    images_per_prompt: int

    @model_validator(mode="after")
    def _whole_by_its_schema(self) -> Self:
        later = (stage.parameters for stage in self.stage_chain)
        skips = [self.clip_skip, *(one.clip_skip for one in later if isinstance(one, Img2ImgParameters))]
        if self.schema_version == 1 and None in skips:
            raise ValueError("a record of schema 1 has a clip_skip in the record and in its img2img stage")
        return self

    @property
    def kind(self) -> Literal["image"]:
        """Not part of its canonical bytes: records had none before there were other kinds."""
        return "image"

    @property
    def inputs(self) -> tuple[RecordInput, ...]:
        """Nothing: its first stage draws."""
        return ()

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

"""The records of films and of edits: a worker makes one file of the input pictures and a prompt. Pure.

Both are frozen siblings of the record of pictures, with the same provenance. What only pictures have (samplers, VAEs,
embeddings, prompts of stages) they answer with nothing, so that lists, events and runs treat all kinds alike.
"""

from __future__ import annotations

from typing import Literal

from jobs.records.base import RecordBase, RecordInput
from jobs.records.record import LoraTag, StagePrompt
from webui.work.parameters import EditParameters, I2VParameters


class InputRecord(RecordBase):
    """One file made of one or more input pictures; its one stage has the name of its kind."""

    schema_version: Literal[1]
    inputs: tuple[RecordInput, ...]

    @property
    def settings(self) -> I2VParameters | EditParameters:
        """The parameters of its one stage. Raises TypeError for a record that has no such stage."""
        parameters = self.stage_chain[0].parameters if self.stage_chain else None
        if not isinstance(parameters, I2VParameters | EditParameters):
            raise TypeError("a film or an edit has one stage with its parameters")
        return parameters

    @property
    def image_count(self) -> int:
        """Files that it makes: one film, or one picture."""
        return 1

    @property
    def images_per_prompt(self) -> int:
        return 1

    def prompts_of(self, stage: str) -> tuple[str, str]:
        """Positive and negative prompt; there is one stage."""
        return self.positive_prompt, self.negative_prompt

    @property
    def subseed(self) -> int:
        return 0

    @property
    def subseed_strength(self) -> float:
        return 0.0

    @property
    def base_model(self) -> str:
        """The worker's name of its model; "" takes the worker's."""
        return self.settings.model

    @property
    def vae(self) -> str:
        return ""

    @property
    def clip_skip(self) -> int | None:
        return None

    @property
    def modules(self) -> tuple[str, ...] | None:
        return None

    @property
    def stage_prompts(self) -> tuple[StagePrompt, ...]:
        return ()

    @property
    def positive_embeddings(self) -> tuple[str, ...]:
        return ()

    @property
    def negative_embeddings(self) -> tuple[str, ...]:
        return ()

    @property
    def lora_tags(self) -> tuple[LoraTag, ...]:
        """None: the LoRAs of a worker stand in its configuration."""
        return ()

    @property
    def sampler(self) -> str:
        return ""

    @property
    def scheduler(self) -> str:
        return getattr(self.settings, "scheduler", "")

    @property
    def width(self) -> int:
        return self.settings.width

    @property
    def height(self) -> int:
        return self.settings.height

    @property
    def steps(self) -> int:
        return self.settings.steps

    @property
    def cfg_scale(self) -> float:
        return self.settings.cfg_scale


class I2VRecord(InputRecord):
    """The complete request of one film, which begins with its one input picture."""

    kind: Literal["i2v"]


class EditRecord(InputRecord):
    """The complete request of one edited picture."""

    kind: Literal["edit"]

"""From a record to units of work: which requests a job needs, and what each is to do.

How a unit is said to a server is its driver's. The record is complete: nothing is merged or re-read here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jobs.inputs.store import open_input
from jobs.records.needs import embeddings_of
from jobs.records.reading import AnyRecord
from jobs.records.stage_config import StageConfig
from webui.work.limits import LIMITS
from webui.work.unit import Prompts, Work

#: Stages that make all results of a job in one request; the others take one picture per request.
GENERATION_STAGES = frozenset({"txt2img", *LIMITS})


@dataclass(frozen=True, slots=True)
class Unit:
    """One request, and the pictures that its answer must hold.

    A run resumes at the first unit of which a picture is missing. `image_indexes` are 0-based.
    """

    stage: StageConfig
    stage_index: int
    image_indexes: tuple[int, ...]
    image_index: int | None
    """The one picture of the unit; None where one request makes them all."""


def units_of(record: AnyRecord) -> tuple[tuple[Unit, ...], ...]:
    """The units of each enabled stage, in the order in which they run."""
    everything = tuple(range(record.images_per_prompt))
    return tuple(
        (Unit(stage, index, everything, None),)
        if stage.stage in GENERATION_STAGES
        else tuple(Unit(stage, index, (image,), image) for image in everything)
        for index, stage in enumerate(record.enabled_stages)
    )


def unit_at(record: AnyRecord, stage_index: int, image_index: int | None) -> Unit | None:
    """The unit that an attempt with these numbers sent; None where the record has no such stage."""
    stages = units_of(record)
    units = stages[stage_index] if stage_index < len(stages) else ()
    return next((unit for unit in units if unit.image_index == image_index), None)


def samples(stage: StageConfig) -> bool:
    """Whether a server samples for this stage: such a request can be interrupted, an upscale by extras cannot."""
    return stage.stage != "upscale" or stage.upscale_by_img2img is not None


def work_of(record: AnyRecord, unit: Unit, picture_of: Callable[[str, int], bytes], *, task_id: str) -> Work:
    """What a unit is to do; `picture_of(stage, image index)` gives the picture that a later stage begins with.

    Input pictures are read and proved by their hashes: raises RecordChangedError, and OSError where the disk does not
    say.
    """
    stage = unit.stage
    if stage.parameters is None:
        raise TypeError(f"stage {stage.stage} is on and has no parameters")
    picture = None
    if unit.image_index is not None:
        picture = picture_of(record.enabled_stages[unit.stage_index - 1].stage, unit.image_index)
    prompt, negative_prompt = record.prompts_of(stage.stage)
    return Work(
        stage=stage.stage,
        parameters=stage.parameters,
        prompt=prompt,
        negative_prompt=negative_prompt,
        parts={one.stage: Prompts(one.positive, one.negative) for one in record.stage_prompts},
        seed=record.seed,
        subseed=record.subseed,
        subseed_strength=record.subseed_strength,
        images=unit.image_indexes,
        checkpoint=record.base_model,
        vae=record.vae,
        clip_skip=record.clip_skip,
        task_id=task_id,
        picture=picture,
        modules=record.modules,
        embeddings=embeddings_of(record),
        inputs=tuple(open_input(one.sha256) for one in record.inputs),
    )

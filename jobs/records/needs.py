"""What a record needs of a server: every name in it that a server may not have. Asking servers is not its work."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from jobs.records.base import sha256_text
from jobs.records.reading import AnyRecord
from jobs.records.record import NormalizedJobRecord
from jobs.records.stage_config import StageConfig
from webui.values import FrozenValue
from webui.work.catalog import Need, Thing
from webui.work.networks import loras_in
from webui.work.parameters import (
    ADetailerParameters,
    Img2ImgParameters,
    Txt2ImgParameters,
    UpscaleByImg2ImgParameters,
    UpscaleParameters,
)

NO_NEED: Final = frozenset({"", "none", "automatic", "inherit"})
"""Names, in lower case, that leave the choice to the server or ask for nothing; so does all that begins as below."""
SAME: Final = ("use same ", "use base ")
ADETAILER: Final = "ADetailer"

_WEIGHED_RE: Final = re.compile(r"[(\[]*+([^:()\[\]]{1,500}+)")


@dataclass(frozen=True, slots=True)
class Needs:
    """Distinct needs in their order, as stored: equal needs have equal bytes and so one hash."""

    all: tuple[Need, ...]
    document: str
    sha256: str

    @classmethod
    def of(cls, needs: Iterable[Need]) -> Needs:
        ordered = tuple(sorted(set(needs)))
        pairs = [[str(need.thing), need.name] for need in ordered]
        document = json.dumps(pairs, separators=(",", ":"), ensure_ascii=False)
        return cls(ordered, document, sha256_text(document))

    @classmethod
    def from_document(cls, document: str) -> Needs:
        return cls.of(Need(Thing(thing), name) for thing, name in json.loads(document))


NO_NEEDS: Final = Needs.of(())


def needs_of(record: AnyRecord) -> tuple[Need, ...]:
    """Everything that the record names, sorted, each once. What is switched off is not needed."""
    return needs_of_all([record])[0].all


def needs_of_all(records: Sequence[AnyRecord]) -> list[Needs]:
    """The needs of each record. Thousands share their settings and many their LoRAs, so each part is read once.

    A film or an edit needs a node of its kind and nothing else: its worker has one model and its own LoRAs.
    """
    # By identity: the records, which live as long as this call, hold what the ids are of.
    of_settings: dict[tuple[object, ...], frozenset[Need]] = {}
    made: dict[tuple[frozenset[Need], frozenset[Need]], Needs] = {}
    found = []
    for record in records:
        if not isinstance(record, NormalizedJobRecord):
            found.append(NO_NEEDS)
            continue
        settings = (*map(id, record.stage_chain), record.base_model, record.vae, record.modules)
        if settings not in of_settings:
            of_settings[settings] = frozenset(_of_settings(record))
        parts = (of_settings[settings], _of_prompts(record))
        if parts not in made:
            made[parts] = Needs.of(parts[0] | parts[1])
        found.append(made[parts])
    return found


# --- settings -----------------------------------------------------------------------------------------------


def _of_settings(record: NormalizedJobRecord) -> Iterator[Need]:
    named: list[tuple[Thing, str]] = [(Thing.CHECKPOINT, record.base_model), (Thing.VAE, record.vae)]
    named += [(Thing.MODULE, name) for name in record.modules or ()]
    for stage in record.enabled_stages:
        named += _of_stage(stage)
    yield from (Need(thing, name.strip()) for thing, name in named if is_needed(name))


def is_needed(name: str) -> bool:
    """Whether a setting's value is the name of something."""
    word = name.strip().lower()
    return word not in NO_NEED and not word.startswith(SAME)


def _of_stage(stage: StageConfig) -> Iterator[tuple[Thing, str]]:
    parameters = stage.parameters
    if isinstance(parameters, Txt2ImgParameters):
        yield from _sampling(parameters)
        yield Thing.REFINER, parameters.refiner_checkpoint
        if parameters.enable_hr:
            yield Thing.HIRES_UPSCALER, parameters.hr_upscaler
            yield Thing.SAMPLER, parameters.hr_sampler
            yield Thing.SCHEDULER, parameters.hr_scheduler
    elif isinstance(parameters, Img2ImgParameters):
        yield from _sampling(parameters)
        yield Thing.CHECKPOINT, parameters.checkpoint
        yield Thing.VAE, parameters.vae
    elif isinstance(parameters, ADetailerParameters):
        yield Thing.SCRIPT, ADETAILER
        for one in (parameters.face, parameters.hand):
            if one.enabled:
                yield Thing.DETECTOR, one.model
                yield from _sampling(one)
    elif isinstance(parameters, UpscaleByImg2ImgParameters):
        yield from _sampling(parameters)
        yield Thing.UPSCALER, parameters.upscaler
    elif isinstance(parameters, UpscaleParameters):
        yield from _extras(parameters)


def _extras(parameters: UpscaleParameters) -> Iterator[tuple[Thing, str]]:
    yield Thing.UPSCALER, parameters.upscaler
    if parameters.gfpgan_visibility > 0:
        yield Thing.FACE_RESTORER, "GFPGAN"
    if parameters.codeformer_visibility > 0:
        yield Thing.FACE_RESTORER, "CodeFormer"


def _sampling(parameters: FrozenValue) -> Iterator[tuple[Thing, str]]:
    """Of anything that samples: they all name both alike."""
    yield Thing.SAMPLER, parameters.sampler  # type: ignore[attr-defined]
    yield Thing.SCHEDULER, parameters.scheduler  # type: ignore[attr-defined]


# --- prompts ------------------------------------------------------------------------------------------------


def _of_prompts(record: NormalizedJobRecord) -> frozenset[Need]:
    """LoRAs of every positive prompt that is sent, and the embeddings that the pack declares.

    A server reads no networks in a negative prompt: a tag there is words.
    """
    loras = (Need(Thing.LORA, name) for text in _sent_prompts(record) for name in loras_in(text))
    return frozenset((*loras, *(Need(Thing.EMBEDDING, name) for name in embeddings_of(record))))


def embeddings_of(record: AnyRecord) -> tuple[str, ...]:
    """The names of those that the pack declares: of `name` or `(name:0.9)`."""
    written = (*record.positive_embeddings, *record.negative_embeddings)
    return tuple(match[1].strip() for one in written if (match := _WEIGHED_RE.match(one.strip())))


def _sent_prompts(record: NormalizedJobRecord) -> Iterator[str]:
    """A stage or pass without words of its own sends the record's, which txt2img sends anyway."""
    yield record.positive_prompt
    if record.stage_prompts:
        sent = {name for stage in record.enabled_stages for name in _passes(stage)}
        yield from (one.positive for one in record.stage_prompts if one.positive and one.stage in sent)


def _passes(stage: StageConfig) -> Iterator[str]:
    """The names by which `StagePrompt` knows what this stage sends."""
    yield stage.stage
    parameters = stage.parameters
    if isinstance(parameters, Txt2ImgParameters) and parameters.enable_hr:
        yield "hires"
    if isinstance(parameters, ADetailerParameters):
        yield from (name for name in ("face", "hand") if getattr(parameters, name).enabled)

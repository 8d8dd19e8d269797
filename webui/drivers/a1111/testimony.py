"""What is said of every setting that a request fixed: which witness is worth what. Pure.

An infotext says of some settings what was used and repeats of others what was asked; `docs/truth.md` has the table
with its sources. The outcome is judged in `jobs.truth`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from webui.drivers.a1111.model_names import ModelUsed, same_model
from webui.drivers.a1111.named_things import (
    LEFT_TO_THE_SERVER,
    WITHOUT_SCHEDULE,
    detail,
    extras,
    hires,
    networks,
)
from webui.drivers.a1111.picture_case import (
    A1111,
    FORGE,
    KNOWN_DIALECTS,
    PictureCase,
    plain_name,
    plain_testimony,
    same_words,
    sayings_of,
)
from webui.drivers.a1111.requests import skips_own_pass
from webui.drivers.a1111.told_fields import HIRES_SCHEDULE, NEGATIVE, PROMPT, REFINER, SCHEDULE, witnesses
from webui.work.catalog import Catalog, Need, Thing
from webui.work.testimony import Saying, Testimony, Witness
from webui.work.told import PictureFacts
from webui.work.unit import Request

LATEST_SWITCH: Final = 0.9
FEWEST_STEPS_OF_A_REFINER: Final = 4
"""With fewer steps, or a later switch, the refiner may honestly never come to work."""


def testimony_of(
    request: Request, place: int, *, told: PictureFacts, own: PictureFacts, catalog: Catalog | None
) -> tuple[Testimony, ...]:
    """See `webui.driver.Driver.testimony`."""
    case = PictureCase(request, place, witnesses(told, own), catalog)
    if "steps" not in request.body:
        # Extras sample nothing: the infotext in their picture is that of an earlier stage.
        alone = PictureCase(request, place, case.told[:1] if told.info else (), catalog)
        return tuple(extras(alone))
    return (
        *_prompts(case),
        *_models(case),
        *_sampling(case),
        *hires(case),
        *networks(case),
        *detail(case),
    )


def _prompts(case: PictureCase) -> Iterator[Testimony]:
    """By their length only: what is kept of a judgement holds nobody's words."""
    for name, asked in ((PROMPT, case.body.get("prompt")), (NEGATIVE, case.body.get("negative_prompt"))):
        if not asked:
            continue
        has_info = any(one.witness is Witness.INFO and name in one.fields for one in case.told)
        # An infotext has no mark between prompt and settings: only a prompt of one plain line is surely read right.
        sure = not has_info and "\n" not in asked and "Negative prompt:" not in asked
        sayings = tuple(
            replace(one, used=_length(one.used) if one.same else f"other words, {_length(one.used)}")
            for one in sayings_of(case, name, asked, same_words)
            if one.same or sure or one.witness is Witness.INFO
        )
        yield Testimony(name, _length(asked), sayings)


def _length(words: str) -> str:
    return f"{len(words)} character{'' if len(words) == 1 else 's'}"


def _models(case: PictureCase) -> Iterator[Testimony]:
    if asked := case.options.get("sd_model_checkpoint"):
        need = Need(Thing.CHECKPOINT, asked)
        entry = case.resolved(need)
        sayings = []
        for one in case.told:
            used = ModelUsed(one.fields.get("Model", ""), one.fields.get("Model hash", ""))
            if used:
                sayings.append(Saying(one.witness, str(used), used.is_what_was_asked(asked, entry)))
        yield Testimony("Checkpoint", asked, tuple(sayings), need)
    vae = case.options.get("sd_vae")
    if vae and vae.lower() not in LEFT_TO_THE_SERVER:
        need = Need(Thing.VAE, vae)
        yield Testimony("VAE", vae, tuple(_vae_sayings(case, vae)), None if vae == "None" else need)
    if refiner := case.body.get("refiner_checkpoint"):
        yield Testimony(
            "Refiner", refiner, tuple(_refiner_sayings(case, refiner)), Need(Thing.REFINER, refiner)
        )


def _vae_sayings(case: PictureCase, asked: str) -> Iterator[Saying]:
    """A1111's info says null for "none loaded"; Forge's says null always, because its modules are something else."""
    for one in case.told:
        used = one.fields.get("VAE", "")
        if used:
            yield Saying(one.witness, used, asked != "None" and same_model(asked, used))
        elif "VAE" in one.fields and case.dialect == A1111:
            yield Saying(one.witness, "none", asked == "None")


def _refiner_sayings(case: PictureCase, asked: str) -> Iterator[Saying]:
    """Written when it takes over. Where it must have, and nobody names it, it did not."""
    entry = case.resolved(Need(Thing.REFINER, asked))
    base = ModelUsed(case.first("Model"), case.first("Model hash"))
    works = (
        case.dialect in KNOWN_DIALECTS
        and case.body.get("steps", 0) >= FEWEST_STEPS_OF_A_REFINER
        and (case.body.get("refiner_switch_at") or 0) <= LATEST_SWITCH
        and not base.is_what_was_asked(asked, entry)
    )
    for one in case.told:
        if used := ModelUsed.of_title(one.fields.get(REFINER, "")):
            yield Saying(one.witness, str(used), used.is_what_was_asked(asked, entry))
        elif works:
            yield Saying(one.witness, "none", same=False)


def _sampling(case: PictureCase) -> Iterator[Testimony]:
    body = case.body
    varied = bool(body.get("subseed_strength"))
    yield from plain_testimony(case, "Seed", _counted(body.get("seed"), 0 if varied else case.place))
    if varied:
        yield from plain_testimony(case, "Variation seed", _counted(body.get("subseed"), case.place))
        yield from plain_testimony(case, "Variation seed strength", body.get("subseed_strength"))
    yield from plain_testimony(case, "Clip skip", case.options.get("CLIP_stop_at_last_layers"), unsaid="1")
    if skips_own_pass(body):
        return
    if sampler := body.get("sampler_name"):
        need = Need(Thing.SAMPLER, sampler)
        by_name = case.same_thing(need)

        def same(asked: str, used: str) -> bool:
            # Old names end with the schedule, which such servers take apart.
            return by_name(asked, used) or plain_name(f"{used} {case.first(SCHEDULE)}") == plain_name(asked)

        yield Testimony("Sampler", sampler, tuple(sayings_of(case, "Sampler", sampler, same)), need)
    scheduler = body.get("scheduler") or ""
    if scheduler.lower() not in LEFT_TO_THE_SERVER:
        need = Need(Thing.SCHEDULER, scheduler)
        yield Testimony("Scheduler", scheduler, tuple(_schedule_sayings(case, scheduler)), need, True)
    yield from plain_testimony(case, "Steps", body.get("steps"))
    yield from plain_testimony(case, "CFG scale", body.get("cfg_scale"))
    yield from plain_testimony(case, "Denoising strength", body.get("denoising_strength"))


def _schedule_sayings(case: PictureCase, asked: str) -> Iterator[Saying]:
    """The info's extra parameters name a schedule that came into force; A1111's infotext the one that was asked for."""
    same = case.same_thing(Need(Thing.SCHEDULER, asked))
    looks = case.first("Sampler") not in WITHOUT_SCHEDULE
    for one in case.told:
        used = one.fields.get(SCHEDULE, "")
        if used:
            proves = looks and (one.witness is Witness.INFO or case.dialect == FORGE)
            yield Saying(one.witness, used, same(asked, used), proves)
        elif SCHEDULE in one.fields and looks and case.dialect in KNOWN_DIALECTS:
            yield Saying(one.witness, "the sampler's own", same=False)


def told_besides(request: Request, facts: PictureFacts) -> tuple[tuple[str, str], ...]:
    """See `webui.driver.Driver.told_besides`."""
    if "steps" not in request.body:
        return ()
    fields: dict[str, str] = {}
    for one in witnesses(PictureFacts(), facts):
        fields |= one.fields
    judged = {one.field for one in testimony_of(request, 0, told=PictureFacts(), own=facts, catalog=None)}
    judged |= _JUDGED_BY_OTHER_NAMES
    return tuple((name, value) for name, value in fields.items() if value and name not in judged)


_JUDGED_BY_OTHER_NAMES: Final = frozenset(
    {PROMPT, NEGATIVE, "Model", "Model hash", SCHEDULE, HIRES_SCHEDULE, "Size"}
)


def _counted(seed: Any, place: int) -> int | None:
    return None if seed is None or int(seed) < 0 else int(seed) + place

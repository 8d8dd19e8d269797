"""What is said of things that a request names besides: networks, detectors, upscalers, the hires fix. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

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
from webui.drivers.a1111.requests import ADETAILER, NO_UPSCALER
from webui.drivers.a1111.told_fields import (
    EMBEDDING_HASHES,
    EMBEDDING_NAMES,
    HIRES_SCHEDULE,
    LORA_HASHES,
    SCHEDULE,
)
from webui.work.catalog import Need, Thing
from webui.work.networks import loras_in
from webui.work.testimony import Saying, Testimony, Witness

LEFT_TO_THE_SERVER: Final = frozenset(
    {"", "automatic", "use same scheduler", "use same sampler", "use same checkpoint"}
)
WITHOUT_SCHEDULE: Final = frozenset({"DDIM", "DDIM CFG++", "PLMS", "UniPC"})
"""Samplers of timesteps: they look at no schedule, and the infotext names one all the same."""
PLAIN_UPSCALER: Final = "Lanczos"
MOST_NAMES: Final = 64
"""So many LoRAs of one prompt are looked at; more make no picture."""

_DETECTOR = re.compile(rf"{ADETAILER} model(?: \d\w\w)?")


def hires(case: PictureCase) -> Iterator[Testimony]:
    body = case.body
    if not body.get("enable_hr"):
        return
    if upscaler := body.get("hr_upscaler"):
        yield Testimony(
            "Hires upscaler",
            upscaler,
            tuple(sayings_of(case, "Hires upscaler", upscaler, same_words, proves=False)),
            Need(Thing.HIRES_UPSCALER, upscaler),
            listed_proves=True,
        )
    if steps := body.get("hr_second_pass_steps"):
        yield from plain_testimony(case, "Hires steps", steps)
    sampler = body.get("hr_sampler_name") or ""
    if sampler.lower() not in LEFT_TO_THE_SERVER and sampler != body.get("sampler_name"):
        need = Need(Thing.SAMPLER, sampler)
        sayings = sayings_of(case, "Hires sampler", sampler, case.same_thing(need))
        yield Testimony("Hires sampler", sampler, tuple(sayings), need, listed_proves=True)
    scheduler = body.get("hr_scheduler") or ""
    if scheduler.lower() not in LEFT_TO_THE_SERVER:
        need = Need(Thing.SCHEDULER, scheduler)
        sayings = _hires_schedule_sayings(case, scheduler, sampler or case.first("Sampler"))
        yield Testimony("Hires scheduler", scheduler, tuple(sayings), need, listed_proves=True)


def _hires_schedule_sayings(case: PictureCase, asked: str, sampler: str) -> Iterator[Saying]:
    """Written only where it differs from that of the first pass."""
    same = case.same_thing(Need(Thing.SCHEDULER, asked))
    for one in case.told:
        own, first = one.fields.get(HIRES_SCHEDULE, ""), one.fields.get(SCHEDULE, "")
        if own or (first and same(asked, first)):
            used = own or first
            yield Saying(one.witness, used, same(asked, used), one.witness is Witness.INFO)
        elif (
            HIRES_SCHEDULE in one.fields
            and sampler not in WITHOUT_SCHEDULE
            and case.dialect in KNOWN_DIALECTS
        ):
            yield Saying(one.witness, first or "the sampler's own", same=False)


def networks(case: PictureCase) -> Iterator[Testimony]:
    """LoRAs by the hashes of those that were loaded, embeddings by the hashes of those that were used."""
    body = case.body
    prompts = f"{body.get('prompt') or ''}\n{body.get('hr_prompt') or ''}"
    told_always = case.catalog is not None and case.catalog.options.get("lora_add_hashes_to_infotext") is True
    for name in list(dict.fromkeys(loras_in(prompts)))[:MOST_NAMES]:
        need = Need(Thing.LORA, name)
        yield Testimony(
            f"LoRA {name}", name, tuple(_hash_sayings(case, LORA_HASHES, need, told_always)), need
        )
    for name in case.request.embeddings[:MOST_NAMES]:
        need = Need(Thing.EMBEDDING, name)
        sayings = tuple(_embedding_sayings(case, need))
        yield Testimony(f"Embedding {name}", name, sayings, need, listed_proves=not _tells_embeddings(case))


def _tells_embeddings(case: PictureCase) -> bool:
    """Whether the server names every embedding that it uses, so that being listed proves nothing."""
    told = case.catalog is not None and case.catalog.options.get("textual_inversion_add_hashes_to_infotext")
    return case.dialect == FORGE or (case.dialect == A1111 and told is True)


def _embedding_sayings(case: PictureCase, need: Need) -> Iterator[Saying]:
    """Only who names it says something: which words of a prompt are an embedding is the tokenizer's affair."""
    yield from (one for one in _hash_sayings(case, EMBEDDING_HASHES, need, False) if one.same)
    for one in case.told:
        names = map(plain_name, one.fields.get(EMBEDDING_NAMES, "").split(","))
        if plain_name(need.name) in names:
            yield Saying(one.witness, need.name, same=True)


def _hash_sayings(case: PictureCase, field: str, need: Need, told_always: bool) -> Iterator[Saying]:
    """`name: hash, name: hash`. Where some are told and this is not among them, it was not loaded."""
    entry = case.resolved(need)
    names = {plain_name(one) for one in (need.name, *((entry.name, *entry.aliases) if entry else ()))}
    for one in case.told:
        pairs = _hashes(one.fields.get(field, ""))
        own = next((value for name, value in pairs if plain_name(name) in names), None)
        if own is not None:
            same = entry is None or not entry.hashes or any(_same_beginning(own, of) for of in entry.hashes)
            yield Saying(one.witness, own if same else f"another file, with the hash {own}", same)
        elif pairs or (told_always and field in one.fields):
            yield Saying(one.witness, "not loaded", same=False)


def detail(case: PictureCase) -> Iterator[Testimony]:
    """Detectors, and what upscales for img2img: both are found in the very lists that the server shows."""
    if upscaler := case.options.get("upscaler_for_img2img"):
        yield Testimony("Upscaler", upscaler, (), Need(Thing.UPSCALER, upscaler), listed_proves=True)
    script = (case.body.get("alwayson_scripts") or {}).get(ADETAILER)
    passes = [one for one in (script or {}).get("args", ()) if isinstance(one, Mapping)]
    for one in passes:
        model = one.get("ad_model") or "None"
        if model == "None" or one.get("ad_tab_enable") is False:
            continue
        sayings = []
        for told in case.told:
            named = [value for name, value in told.fields.items() if _DETECTOR.fullmatch(name)]
            if told.witness is not Witness.INFO or named:
                used = model if model in named else ", ".join(named) or "none"
                sayings.append(Saying(told.witness, used, model in named, proves=False))
        need = Need(Thing.DETECTOR, model)
        yield Testimony(f"Detector {model}", model, tuple(sayings), need, listed_proves=True)


def extras(case: PictureCase) -> Iterator[Testimony]:
    """Unknown upscalers are refused, and one without weights is not: then the lists say so."""
    body = case.body
    upscaler = body.get("upscaler_1") or NO_UPSCALER
    if upscaler != NO_UPSCALER:
        sayings = sayings_of(case, "Postprocess upscaler", upscaler, same_words, proves=False)
        need = Need(Thing.UPSCALER, upscaler)
        plain = upscaler == PLAIN_UPSCALER
        yield Testimony("Upscaler", upscaler, tuple(sayings), need, listed_proves=True, plain=plain)
    for name, field in (("GFPGAN", "gfpgan_visibility"), ("CodeFormer", "codeformer_visibility")):
        if body.get(field):
            yield Testimony(name, f"visibility {body[field]}", (), Need(Thing.FACE_RESTORER, name))


def _hashes(text: str) -> Sequence[tuple[str, str]]:
    pairs = (part.rpartition(":") for part in text.split(","))
    return [(name.strip(), value.strip()) for name, _, value in pairs if name.strip() and value.strip()]


def _same_beginning(one: str, other: str) -> bool:
    one, other = one.lower(), other.lower()
    return one.startswith(other) or other.startswith(one)

"""Which entry of its lists a WebUI takes for a name that a request says: one rule for each kind of thing.

The rules are the servers' own, read in the sources that `dialects` names and checked against recorded answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, cast

from webui.drivers.a1111.checkpoint_names import find_checkpoint, find_refiner, nearest_model
from webui.drivers.a1111.dialects import SDNEXT, UNKNOWN, dialect_of
from webui.drivers.a1111.indexes import by_alias, exact_match, index_of, lora_index
from webui.drivers.a1111.sampling_names import find_sampler, find_scheduler
from webui.work.catalog import Catalog, Found, Has, Need, Thing

MOST_REMEMBERED: Final = 20_000
"""Answers that one catalog keeps: records of a submission name the same things again and again."""

NOTHING_ASKED: Final[Mapping[Thing, frozenset[str]]] = {
    Thing.CHECKPOINT: frozenset({""}),
    Thing.REFINER: frozenset({"", "None", "none", "Use same checkpoint"}),
    Thing.VAE: frozenset({"", "None", "Automatic", "auto"}),
    Thing.MODULE: frozenset({"", "None", "Built in", "Use same choices"}),
    Thing.SAMPLER: frozenset({"", "Use same sampler"}),
    Thing.SCHEDULER: frozenset({"", "Automatic", "automatic", "Use same scheduler"}),
    Thing.UPSCALER: frozenset({"None"}),
    Thing.HIRES_UPSCALER: frozenset({"None"}),
    Thing.DETECTOR: frozenset({"None"}),
    Thing.FACE_RESTORER: frozenset({"", "None"}),
}
"""Words that name nothing: every server takes them."""

Rule = Callable[[Catalog, str], Found]


def find(catalog: Catalog, need: Need) -> Found:
    """See `webui.driver.Driver.find`. Answers are remembered in the catalog, and so are the indexes of its lists."""
    remembered = cast(dict[Need, Found], catalog.memo.setdefault("found", {}))
    found = remembered.get(need)
    if found is None:
        if len(remembered) >= MOST_REMEMBERED:
            remembered.clear()
        found = remembered[need] = _find(catalog, need)
    return found


def _find(catalog: Catalog, need: Need) -> Found:
    if need.name in NOTHING_ASKED.get(need.thing, ()):
        return Found(Has.YES, index_of(catalog, need.thing).exact.get(need.name))
    dialect = dialect_of(catalog.dialect)
    if need.thing is Thing.VAE and dialect.vae_list is None:
        return _vae_that_is_ignored(catalog, need.name)
    if need.thing not in catalog.lists:
        return Found(Has.UNKNOWN)
    found = RULES.get(dialect.name, _A1111)[need.thing](catalog, need.name)
    if found.has is Has.NO and (need.thing in catalog.partial or dialect is UNKNOWN):
        return Found(Has.UNKNOWN, nearest=found.nearest)
    return found


# --- the rules of A1111, which the others share as far as they do not say otherwise ----------------------


def _vae(catalog: Catalog, name: str) -> Found:
    return exact_match(catalog, Thing.VAE, name)


def _vae_that_is_ignored(catalog: Catalog, name: str) -> Found:
    """Forge: `sd_vae` is still a setting, and nothing reads it."""
    title = dialect_of(catalog.dialect).title
    modules = index_of(catalog, Thing.MODULE)
    if name in modules.exact:
        return Found(Has.NO, nearest=name, why=f"{title} ignores the VAE of a request; name it as a module")
    return Found(
        Has.NO,
        nearest=modules.nearest(name),
        why=f"{title} ignores the VAE of a request, and has no such module",
    )


def _module(catalog: Catalog, name: str) -> Found:
    """Of a path the file's name counts."""
    return exact_match(catalog, Thing.MODULE, re.split(r"[\\/]", name)[-1])


def _lora(catalog: Catalog, name: str) -> Found:
    """`load_networks`: by alias or file name, but only by file name where two share the alias. Case matters."""
    index = lora_index(catalog)
    entry = index.exact.get(name)
    if entry is None:
        return Found(Has.NO, nearest=index.nearest(name))
    return Found(Has.YES, entry)


def _embedding(catalog: Catalog, name: str) -> Found:
    """The tokenizer knows neither case nor spaces. One that was skipped is there: another checkpoint may take it."""
    index = index_of(catalog, Thing.EMBEDDING)
    entry = index.whatever_the_case(name)
    if entry is None:
        return Found(Has.NO, nearest=index.nearest(name))
    return Found(Has.YES, entry, why="" if entry.usable else entry.note)


def _script(catalog: Catalog, name: str) -> Found:
    return exact_match(catalog, Thing.SCRIPT, name.lower())


def _plain(thing: Thing) -> Rule:
    return lambda catalog, name: exact_match(catalog, thing, name)


_A1111: Final[dict[Thing, Rule]] = {
    Thing.CHECKPOINT: find_checkpoint,
    Thing.REFINER: find_refiner,
    Thing.VAE: _vae,
    Thing.MODULE: _module,
    Thing.SAMPLER: find_sampler,
    Thing.SCHEDULER: find_scheduler,
    Thing.UPSCALER: _plain(Thing.UPSCALER),
    Thing.HIRES_UPSCALER: _plain(Thing.HIRES_UPSCALER),
    Thing.LORA: _lora,
    Thing.EMBEDDING: _embedding,
    Thing.SCRIPT: _script,
    Thing.DETECTOR: _plain(Thing.DETECTOR),
    Thing.FACE_RESTORER: _plain(Thing.FACE_RESTORER),
}


# --- SD.Next, read and not recorded: what differs only in case or folders is not known to be missing ------


TINY_VAE: Final = "TAESD"
"""It is part of SD.Next, and in no list."""


def _sdnext(thing: Thing) -> Rule:
    def rule(catalog: Catalog, name: str) -> Found:
        if thing is Thing.VAE and name == TINY_VAE:
            return Found(Has.YES)
        found = exact_match(catalog, thing, name)
        if found.has is Has.NO and found.entry is None:
            meant = index_of(catalog, thing).whatever_the_case(name) or by_alias(catalog, thing, name)
            if meant is not None:
                return Found(Has.UNKNOWN, nearest=meant.name)
        return found

    return rule


def _sdnext_checkpoint(catalog: Catalog, name: str) -> Found:
    """Registered are name, path, short hash and title; a name of Hugging Face or an address may be fetched."""
    for entry in catalog.lists[Thing.CHECKPOINT]:
        if name in (entry.name, *entry.aliases, *entry.hashes[:1]):
            return Found(Has.YES, entry)
    if "/" in name or "\\" in name:
        return Found(Has.UNKNOWN, nearest=nearest_model(index_of(catalog, Thing.CHECKPOINT), name))
    return _sdnext(Thing.CHECKPOINT)(catalog, name)


_SDNEXT: Final[Mapping[Thing, Rule]] = (
    _A1111
    | {thing: _sdnext(thing) for thing in (Thing.VAE, Thing.SAMPLER, Thing.SCHEDULER, Thing.LORA)}
    | {thing: _sdnext(thing) for thing in (Thing.UPSCALER, Thing.HIRES_UPSCALER, Thing.DETECTOR)}
    | {Thing.CHECKPOINT: _sdnext_checkpoint, Thing.REFINER: _sdnext(Thing.REFINER)}
)

RULES: Final[Mapping[str, Mapping[Thing, Rule]]] = {SDNEXT.name: _SDNEXT}
"""By dialect; those that are not here have A1111's, and differ where `dialects` and `sampling_names` say so."""

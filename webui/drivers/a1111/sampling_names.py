"""Which sampler and which scheduler a WebUI takes for a name."""

from __future__ import annotations

from webui.drivers.a1111.dialects import FORGE, FORGE_NEO, dialect_of
from webui.drivers.a1111.indexes import by_alias, exact_match, index_of
from webui.work.catalog import Catalog, Found, Has, Thing


def _splits_names(catalog: Catalog) -> bool:
    """Forge, and A1111 since 1.10: these brought the schedulers of which Simple is one."""
    if dialect_of(catalog.dialect) in (FORGE, FORGE_NEO):
        return True
    return "Simple" in index_of(catalog, Thing.SCHEDULER).exact


def find_sampler(catalog: Catalog, name: str) -> Found:
    """A1111 1.9 takes the very name. Later ones and Forge split `DPM++ 2M Karras`; else they draw with the first."""
    index = index_of(catalog, Thing.SAMPLER)
    entry = index.exact.get(name)
    bare = _without_scheduler(catalog, name)
    splits = _splits_names(catalog)
    if splits:
        entry = index.exact.get(bare)
    if entry is not None:
        return Found(Has.YES, entry)
    meant = index.exact.get(bare) or by_alias(catalog, Thing.SAMPLER, bare)
    nearest = meant.name if meant else index.nearest(bare)
    if splits:
        first = catalog.lists[Thing.SAMPLER][:1]
        why = f"it would draw with {first[0].name} and say nothing" if first else ""
    elif meant and bare != name:
        why = f"it takes the sampler ({meant.name}) and the scheduler as two fields"
    else:
        why = f"it takes only the very name {meant.name}" if meant else ""
    return Found(Has.NO, nearest=nearest, why=why)


def _without_scheduler(catalog: Catalog, name: str) -> str:
    """`get_sampler_and_scheduler`: every scheduler's label, name and aliases are taken off its end, in their order."""
    for scheduler in catalog.lists.get(Thing.SCHEDULER, ()):
        for ending in (scheduler.name, *scheduler.aliases):
            if name.endswith(f" {ending}"):
                name = name.removesuffix(f" {ending}")
                break
    return name


def find_scheduler(catalog: Catalog, name: str) -> Found:
    return exact_match(catalog, Thing.SCHEDULER, name)

"""Which checkpoint a WebUI takes for a name: by override, and by the laxer rule of refiner and hires fix."""

from __future__ import annotations

import re
from typing import Final

from webui.drivers.a1111.indexes import index_of
from webui.drivers.a1111.name_index import NameIndex
from webui.work.catalog import Catalog, Found, Has, Thing

_OLD_HASH: Final = re.compile(r"(?:(?P<name>.+) )?\[?(?P<hash>[0-9a-f]{8})\]?", re.DOTALL)
"""The short hash of early WebUIs, which servers still take and do not list."""
_CHECKSUM: Final = re.compile(r"\s*\[[^]]+]\s*$")
_TITLED: Final = re.compile(r"(.+) \[([0-9a-f]{6,64})\]", re.DOTALL)


def find_checkpoint(catalog: Catalog, name: str) -> Found:
    """`override_settings` takes an id and nothing else; any other name it drops, and draws with what is loaded."""
    index = index_of(catalog, Thing.CHECKPOINT)
    entry = index.exact.get(name)
    if entry is not None:
        return Found(Has.YES, entry)
    old = _OLD_HASH.fullmatch(name)
    if old and (not old["name"] or old["name"] in index.exact):
        return Found(Has.UNKNOWN)
    titled = _TITLED.fullmatch(name)
    same = index.exact.get(titled[1]) if titled else None
    if same is None:
        return Found(Has.NO, nearest=nearest_model(index, name))
    if not same.hashes:
        why = f"it has not hashed {same.name} yet, and until then takes it only without a hash"
    else:
        why = f"the hash of its {titled[1] if titled else name} is {same.hashes[0]}"
    return Found(Has.NO, nearest=same.name, why=why)


def nearest_model(index: NameIndex, name: str) -> str:
    """A path of another machine names its file."""
    return index.nearest(re.split(r"[\\/]", name)[-1])


def find_refiner(catalog: Catalog, name: str) -> Found:
    """`get_closet_checkpoint_match`: an id, or a part of a title, with or without what stands in brackets at its end.

    Hires fix resolves its checkpoint in the same way.
    """
    index = index_of(catalog, Thing.REFINER)
    entry = index.exact.get(name)
    if entry is not None:
        return Found(Has.YES, entry)
    bare = _CHECKSUM.sub("", name)
    for part in (name, bare):
        holding = [one for one in catalog.lists[Thing.REFINER] if part in one.name]
        if holding:
            entry = min(holding, key=lambda one: len(one.name))
            wrong = part != name and bool(entry.hashes)
            return Found(Has.YES, entry, why=f"its hash there is {entry.hashes[0]}" if wrong else "")
    return Found(Has.NO, nearest=nearest_model(index, name))

"""The indexes of a catalog's lists: built when first asked for, kept in the catalog's memo."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final, cast

from webui.drivers.a1111.name_index import NameIndex
from webui.work.catalog import Catalog, Entry, Found, Has, Thing

FORBIDDEN_ALIASES: Final = ("none", "Addams")
"""Never an alias, says the LoRA extension; those that two files share join them."""


def index_of(catalog: Catalog, thing: Thing) -> NameIndex:
    index = catalog.memo.get(thing)
    if index is None:
        names = _NAMES.get(thing, _by_name)
        index = catalog.memo[thing] = NameIndex(names(catalog.lists.get(thing, ())))
    return cast(NameIndex, index)


def _by_name(entries: tuple[Entry, ...]) -> Iterator[tuple[str, Entry]]:
    return ((entry.name, entry) for entry in entries)


def _by_label_and_name(entries: tuple[Entry, ...]) -> Iterator[tuple[str, Entry]]:
    """Of schedulers: the name wins where it is another one's label."""
    for entry in entries:
        yield entry.name, entry
    for entry in entries:
        yield from ((name, entry) for name in entry.aliases[:1])


def _by_id(entries: tuple[Entry, ...]) -> Iterator[tuple[str, Entry]]:
    """Of checkpoints: every id under which `CheckpointInfo` registers one that has been hashed, or not yet.

    These are the name of its file below the folder of checkpoints, the same with _ for / and without an ending, that
    without folders, and each with the hash; so an own title always wins over another one's shorter names.
    """
    for entry in entries:
        short = entry.hashes[0][:10] if entry.hashes else ""
        file_name = entry.name.removesuffix(f" [{short}]")
        stem = _without_ending(re.split(r"[\\/]", file_name)[-1])
        for name in (_without_ending(re.sub(r"[\\/]", "_", file_name)), file_name, stem, *entry.aliases):
            yield name, entry
        if short:
            for name in (f"{file_name} [{short}]", f"{stem} [{short}]", short, *entry.hashes):
                yield name, entry
    for entry in entries:
        yield entry.name, entry


def _without_ending(name: str) -> str:
    return name.rpartition(".")[0] or name


_NAMES: Final[Mapping[Thing, Callable[[tuple[Entry, ...]], Iterator[tuple[str, Entry]]]]] = {
    Thing.CHECKPOINT: _by_id,
    Thing.REFINER: _by_id,
    Thing.SCHEDULER: _by_label_and_name,
}


def lora_index(catalog: Catalog) -> NameIndex:
    index = catalog.memo.get("LoRA aliases")
    if index is None:
        by_file: dict[str, Entry] = {}
        by_alias: dict[str, Entry] = {}
        forbidden = set(FORBIDDEN_ALIASES)
        for entry in catalog.lists[Thing.LORA]:
            by_file[entry.name] = entry
            for alias in entry.aliases or (entry.name,):
                if alias in by_alias:
                    forbidden.add(alias.lower())
                by_alias[entry.name] = by_alias[alias] = entry
        names = {name: entry for name, entry in by_alias.items() if name.lower() not in forbidden}
        names |= {name: entry for name, entry in by_file.items() if name.lower() in forbidden}
        index = catalog.memo["LoRA aliases"] = NameIndex(names.items())
    return cast(NameIndex, index)


def exact_match(catalog: Catalog, thing: Thing, name: str) -> Found:
    index = index_of(catalog, thing)
    entry = index.exact.get(name)
    if entry is None:
        return Found(Has.NO, nearest=index.nearest(name))
    return _as_usable(entry)


def _as_usable(entry: Entry) -> Found:
    """A note of one that can be used is a doubt."""
    return Found(Has.YES if entry.usable else Has.NO, entry, why=entry.note)


def by_alias(catalog: Catalog, thing: Thing, name: str) -> Entry | None:
    """By what a person may call it, and the server does not take."""
    asked = name.casefold()
    for entry in catalog.lists[thing]:
        if asked in (entry.name.casefold(), *(alias.casefold() for alias in entry.aliases)):
            return entry
    return None

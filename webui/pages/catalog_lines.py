"""What pages show of a node's lists: how many names of each kind, how old they are, and the names themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.utils import timezone

from webui.driver import UnknownDriverError, driver_of
from webui.models import Node, NodeCatalog, NodeState
from webui.nodes.catalogs import KnownCatalog, catalog_of
from webui.work.catalog import Catalog, Entry, Thing

SHOWN: Final = tuple(thing for thing in Thing if thing is not Thing.REFINER)
"""A refiner is any checkpoint: the same list again."""
MOST_NAMES: Final = 200
LONGEST_SEARCH: Final = 100
HASH_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class KindCount:
    thing: Thing
    label: str
    names: int
    unusable: int

    @property
    def words(self) -> str:
        return f"{self.names:,}"


@dataclass(frozen=True, slots=True)
class CatalogCard:
    """Equal cards mean equal pages. `counts` is empty where the lists were never read."""

    dialect: str
    version: str
    read_at: datetime | None
    age_min: int
    is_of_this_boot: bool
    waits_because: str
    """Why somebody wants the lists read again, while that has not happened."""
    waits_for: str
    problem: str
    notes: tuple[str, ...]
    counts: tuple[KindCount, ...]

    @property
    def version_of_page(self) -> str:
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class NameLine:
    """One name of a list; `also` are other names that the server takes for it, or that are often used."""

    kind: str
    name: str
    also: str
    hash: str
    usable: bool
    note: str


def label_of(thing: Thing) -> str:
    """`Checkpoints`, `VAEs`, `LoRAs`: a kind in the plural, as a heading."""
    plural = f"{thing.value}s"
    return plural[:1].upper() + plural[1:]


def catalog_card(node: Node) -> CatalogCard:
    """Two small queries; the document only where this process has not read it yet."""
    row = NodeCatalog.objects.filter(node_id=node.pk).defer("document").first() or NodeCatalog(node=node)
    known = catalog_of(node)
    catalog = known.catalog or Catalog()
    age_s = (timezone.now() - known.read_at).total_seconds() if known.read_at else 0
    return CatalogCard(
        dialect=_dialect(node, known),
        version=catalog.version,
        read_at=known.read_at,
        age_min=int(age_s // 60),
        is_of_this_boot=row.generation == node.generation,
        waits_because=row.wanted_because if row.wanted_at else "",
        waits_for="idle" if node.state == NodeState.READY else "ready",
        problem=row.problem,
        notes=catalog.notes,
        counts=tuple(
            KindCount(
                thing,
                label_of(thing),
                len(catalog.lists[thing]),
                sum(1 for entry in catalog.lists[thing] if not entry.usable),
            )
            for thing in SHOWN
            if thing in catalog.lists
        ),
    )


def catalog_part(node: Node) -> dict[str, object]:
    """What the template of the counts needs besides the node."""
    card = catalog_card(node)
    return {"catalog": card, "catalog_version": card.version_of_page}


def _dialect(node: Node, known: KnownCatalog) -> str:
    if known.catalog is None:
        return ""
    try:
        return driver_of(node.driver).dialect_title(known.catalog.dialect)
    except UnknownDriverError:
        return known.catalog.dialect


def name_lines(node: Node, kind: str, search: str) -> tuple[list[NameLine], int]:
    """The first names of one kind ("" = of all) that hold these words in any of their names, and how many there are."""
    catalog = catalog_of(node).catalog or Catalog()
    words = search.casefold().split()
    found = [
        (thing, entry)
        for thing in SHOWN
        if kind in ("", thing.value)
        for entry in catalog.lists.get(thing, ())
        if all(word in text for text in (_searched(entry),) for word in words)
    ]
    return [_line(thing, entry) for thing, entry in found[:MOST_NAMES]], len(found)


def _searched(entry: Entry) -> str:
    return "\n".join((entry.name, *entry.aliases, *entry.hashes)).casefold()


def _line(thing: Thing, entry: Entry) -> NameLine:
    return NameLine(
        kind=thing.value,
        name=entry.name,
        also=_joined(alias for alias in entry.aliases if alias != entry.name),
        hash=entry.hashes[0][:HASH_SHOWN] if entry.hashes else "",
        usable=entry.usable,
        note=entry.note,
    )


def _joined(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))

"""The catalog of a node: kept in its row as one document, read from there once per process, and asked for anew.

Reading it from the server is the keeper's room (`webui.keeper.catalog_reader`).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Final, NamedTuple

from django.db.models import Q
from django.utils import timezone
from pydantic import TypeAdapter, ValidationError

from webui.models import Node, NodeCatalog
from webui.values import FrozenValue
from webui.work.catalog import Catalog, Entry, JsonScalar, Thing

SCHEMA: Final = 1
LONGEST_NOTE: Final = 200
MOST_KEPT: Final = 64
"""Catalogs that a process keeps in memory: more nodes than any page shows."""


class KnownCatalog(NamedTuple):
    """What is known of a node's lists; no catalog where they were never read, or are no longer understood."""

    catalog: Catalog | None
    read_at: datetime | None


NEVER_READ: Final = KnownCatalog(None, None)

# --- the document ----------------------------------------------------------------------------------------

EntryRow = tuple[str, list[str], list[str], bool, str]
"""An entry in the order of its fields; thousands of them stand in a document, so without their names."""


class CatalogDocument(FrozenValue):
    """The JSON of a catalog. A change that older code would misread needs another `SCHEMA`."""

    written_as: int
    """`SCHEMA` of the code that wrote it."""
    dialect: str
    version: str
    options: dict[str, JsonScalar]
    lists: dict[str, list[EntryRow]]
    partial: list[str]
    notes: list[str]


_DOCUMENT = TypeAdapter(CatalogDocument)


def as_document(catalog: Catalog) -> str:
    return CatalogDocument(
        written_as=SCHEMA,
        dialect=catalog.dialect,
        version=catalog.version,
        options=dict(catalog.options),
        lists={
            thing.value: [
                (one.name, list(one.aliases), list(one.hashes), one.usable, one.note) for one in entries
            ]
            for thing, entries in catalog.lists.items()
        },
        partial=sorted(thing.value for thing in catalog.partial),
        notes=list(catalog.notes),
    ).model_dump_json()


def from_document(text: str) -> Catalog | None:
    """None for what is no catalog of this schema: its server is simply read again. Kinds of later versions are left."""
    try:
        told = _DOCUMENT.validate_json(text)
    except ValidationError:
        return None
    if told.written_as != SCHEMA:
        return None
    known = {thing.value: thing for thing in Thing}
    return Catalog(
        dialect=told.dialect,
        version=told.version,
        lists={
            known[name]: tuple(
                Entry(row[0], tuple(row[1]), tuple(row[2]), usable=row[3], note=row[4]) for row in rows
            )
            for name, rows in told.lists.items()
            if name in known
        },
        options=told.options,
        partial=frozenset(known[name] for name in told.partial if name in known),
        notes=tuple(told.notes),
    )


# --- the row ---------------------------------------------------------------------------------------------

_kept: OrderedDict[tuple[int, datetime], Catalog | None] = OrderedDict()
_guard = threading.Lock()
_ROW = NodeCatalog._meta.get_field("node").remote_field


def catalog_of(node: Node) -> KnownCatalog:
    """One small query, and the document only where this process has not read it yet.

    Without that query where the node's row was read together with that of its catalog.
    """
    if _ROW.is_cached(node):
        kept: NodeCatalog | None = getattr(node, "catalog", None)
        read_at = kept.read_at if kept is not None else None
        if read_at is None:
            return NEVER_READ
        with _guard:
            if (node.pk, read_at) in _kept:
                return KnownCatalog(_kept[node.pk, read_at], read_at)
    return catalogs_of([node.pk]).get(node.pk, NEVER_READ)


def catalog_of_boot(node: Node, generation: int) -> Catalog | None:
    """Its catalog, if that very boot was asked for it."""
    kept: NodeCatalog | None = getattr(node, "catalog", None)
    return catalog_of(node).catalog if kept is not None and kept.generation == generation else None


def catalogs_of(node_ids: Iterable[int]) -> dict[int, KnownCatalog]:
    """Of those nodes whose lists were ever read, or asked for."""
    rows = NodeCatalog.objects.filter(node_id__in=list(node_ids)).values_list("node_id", "read_at")
    found: dict[int, KnownCatalog] = {}
    missing: dict[int, datetime] = {}
    for node_id, read_at in rows:
        with _guard:
            if read_at is None:
                found[node_id] = NEVER_READ
            elif (node_id, read_at) in _kept:
                found[node_id] = KnownCatalog(_kept[node_id, read_at], read_at)
            else:
                missing[node_id] = read_at
    if missing:
        documents = NodeCatalog.objects.filter(node_id__in=missing, read_at__isnull=False)
        for node_id, read_at, text in documents.values_list("node_id", "read_at", "document"):
            assert read_at is not None, "as filtered"
            catalog = from_document(text)
            _keep(node_id, read_at, catalog)
            found[node_id] = KnownCatalog(catalog, read_at)
    return found


def _keep(node_id: int, read_at: datetime, catalog: Catalog | None) -> None:
    """Of one node the newest alone: an older one is never asked for again."""
    with _guard:
        for key in [key for key in _kept if key[0] == node_id]:
            del _kept[key]
        _kept[node_id, read_at] = catalog
        while len(_kept) > MOST_KEPT:
            _kept.popitem(last=False)


def store(node: Node, catalog: Catalog, *, at: datetime | None = None) -> None:
    """What the server of this node, in the boot that the row shows, has now."""
    NodeCatalog.objects.update_or_create(
        node_id=node.pk,
        defaults={
            "document": as_document(catalog),
            "dialect": catalog.dialect[:32],
            "generation": node.generation,
            "read_at": at or timezone.now(),
            "problem": "",
        },
    )
    if _ROW.is_cached(node):
        # Whoever goes on with this node looks at what it has now.
        _ROW.delete_cached_value(node)


def note_unusable(node: Node, things: Collection[Thing], name: str, why: str) -> None:
    """A result showed that what this node lists does not work there. Counts until its lists are read again."""
    known = catalog_of(node).catalog
    if known is None:
        return
    lists = {
        thing: tuple(
            replace(one, usable=False, note=why[:LONGEST_NOTE]) if one.name == name else one
            for one in entries
        )
        if thing in things
        else entries
        for thing, entries in known.lists.items()
    }
    if lists != known.lists:
        store(node, replace(known, lists=lists, memo={}))


def note_problem(node: Node, problem: str) -> None:
    """Why its lists could not be read; what was read before stays."""
    NodeCatalog.objects.update_or_create(node_id=node.pk, defaults={"problem": problem[:300]})


def want_catalog(node_id: int, because: str) -> None:
    """Ask for the lists of a node to be read again, after its server has looked at its disk once more.

    Somebody who asked before keeps the place: that reading serves both. It is done by the node's `run_node`: the
    server looks at its disk only while it is idle.
    """
    NodeCatalog.objects.get_or_create(node_id=node_id)
    NodeCatalog.objects.filter(node_id=node_id, wanted_at=None).update(
        wanted_at=timezone.now(), wanted_because=because[:300]
    )


def fulfil(node_id: int, wanted_at: datetime) -> None:
    """The wish of this time is fulfilled; a later one stays."""
    NodeCatalog.objects.filter(Q(node_id=node_id, wanted_at=wanted_at)).update(
        wanted_at=None, wanted_because=""
    )

"""The kept catalog of each node: what its server had when it was last asked, and the wish to ask again."""

from __future__ import annotations

import json
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.utils import timezone

from webui.models import Node, NodeCatalog
from webui.work.catalog import Catalog, Entry, Thing

SCHEMA = 1


def catalog_of(node: Node) -> tuple[Catalog | None, datetime | None]:
    """What the node's server had and when it said so; None for both where it was never read."""
    kept = NodeCatalog.objects.filter(node_id=node.pk).first()
    if kept is None or not kept.document or kept.read_at is None:
        return None, None
    return from_document(kept.document), kept.read_at


def want_catalog(node_id: int, because: str) -> None:
    """Ask the node's keeper to read the lists again as soon as its server is idle; a wish that stands is kept."""
    NodeCatalog.objects.get_or_create(node_id=node_id)
    waits_for_none = NodeCatalog.objects.filter(node_id=node_id, wanted_at=None)
    waits_for_none.update(wanted_at=timezone.now(), wanted_because=because[:300])


def to_document(catalog: Catalog) -> str:
    """Compact JSON; `from_document` reads it back."""
    lists = {
        str(thing): [[e.name, e.aliases, e.hashes, e.usable, e.note] for e in entries]
        for thing, entries in catalog.lists.items()
    }
    document = {
        "schema": SCHEMA,
        "dialect": catalog.dialect,
        "version": catalog.version,
        "lists": lists,
        "options": dict(catalog.options),
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


@lru_cache(maxsize=32)
def from_document(text: str) -> Catalog:
    """Raises ValueError for what is no catalog."""
    document: dict[str, Any] = json.loads(text)
    lists = {
        Thing(thing): tuple(Entry(e[0], tuple(e[1]), tuple(e[2]), e[3], e[4]) for e in entries)
        for thing, entries in document["lists"].items()
    }
    return Catalog(document["dialect"], document["version"], lists, document["options"])

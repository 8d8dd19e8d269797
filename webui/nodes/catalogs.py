"""What a node's server was found to have (`NodeCatalog`): read back as values, and wished anew."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from django.utils import timezone

from webui.models import Node, NodeCatalog
from webui.work.catalog import Catalog, Entry, Thing

SCHEMA: Final = 1
_read: dict[int, tuple[datetime, Catalog | None]] = {}
"""By node: when its lists were read, and what they said."""


def catalog_of(node: Node) -> tuple[Catalog | None, datetime | None]:
    """The lists as they were last read, and when; (None, None) where they never were."""
    kept: NodeCatalog | None = getattr(node, "catalog", None)
    if kept is None or kept.read_at is None:
        return None, None
    known = _read.get(node.pk)
    if known is None or known[0] != kept.read_at:
        known = _read[node.pk] = (kept.read_at, _from_json(kept.document))
    return known[1], kept.read_at


def want_catalog(node_id: int, because: str) -> None:
    """Ask that the lists are read again; whoever asks first is named."""
    NodeCatalog.objects.get_or_create(node_id=node_id)
    NodeCatalog.objects.filter(node_id=node_id, wanted_at__isnull=True).update(
        wanted_at=timezone.now(), wanted_because=because[:300]
    )


def as_json(catalog: Catalog) -> str:
    """As `NodeCatalog.document` keeps it."""
    lists = {
        str(thing): [[one.name, one.aliases, one.hashes, one.usable, one.note] for one in entries]
        for thing, entries in catalog.lists.items()
    }
    document = {
        "schema": SCHEMA,
        "dialect": catalog.dialect,
        "version": catalog.version,
        "lists": lists,
        "options": dict(catalog.options),
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _from_json(text: str) -> Catalog | None:
    """None for what cannot be read: as if it had never been."""
    try:
        document: dict[str, Any] = json.loads(text)
        if document["schema"] != SCHEMA:
            return None
        lists = {
            Thing(thing): tuple(
                Entry(name, tuple(aliases), tuple(hashes), usable, note)
                for name, aliases, hashes, usable, note in entries
            )
            for thing, entries in document["lists"].items()
        }
        return Catalog(document["dialect"], document["version"], lists, document["options"])
    except (ValueError, TypeError, KeyError):
        return None

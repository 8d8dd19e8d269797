"""What a node's server has, as a command tells it: one line for each kind, or the whole of it as JSON."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from jobs.cli import CommandAnswer, who
from webui.driver import driver_of
from webui.models import Node, NodeCatalog
from webui.nodes.catalogs import catalog_of, want_catalog
from webui.typed_command import typed
from webui.words import count, duration
from webui.work.catalog import Entry, Thing

POLL_S = 0.2
MOST_SHOWN = 6
"""Names of each kind that the text shows; --json has all."""


def tell_catalog(node: Node, *, refresh: bool, timeout_s: float) -> CommandAnswer:
    """With `refresh`, after the lists were read again, or when `timeout_s` is over."""
    waited = _await_reading(node, timeout_s) if refresh else ""
    row = NodeCatalog.objects.filter(node_id=node.pk).defer("document").first()
    catalog, read_at = catalog_of(node)
    answer = CommandAnswer(
        {
            "name": node.name,
            "read_at": read_at,
            "generation": row.generation if row is not None else None,
            "problem": row.problem if row is not None else "",
            "wanted_because": row.wanted_because if row is not None else "",
            "dialect": catalog.dialect if catalog is not None else "",
            "version": catalog.version if catalog is not None else "",
            "options": dict(catalog.options) if catalog is not None else {},
            "notes": list(catalog.notes) if catalog is not None else [],
            "lists": _lists(catalog.lists) if catalog is not None else {},
        }
    )
    if waited:
        answer.line(waited)
    if row is not None and row.problem:
        answer.line(f"The lists of {node.name} could not be read: {row.problem}")
    if catalog is None or read_at is None:
        return answer.line(
            f"Nothing is known yet of what {node.name} has. `{typed('run_node')} {node.name}` reads its lists once "
            "its WebUI is ready."
        )
    title = driver_of(node.driver).dialect_title(catalog.dialect)
    age = duration((timezone.now() - read_at).total_seconds())
    answer.line(f"{node.name} is {title}; its lists were read {age} ago.")
    for note in catalog.notes:
        answer.line(note)
    rows = []
    for thing, entries in catalog.lists.items():
        names = ", ".join(entry.name for entry in entries[:MOST_SHOWN])
        more = f", and {len(entries) - MOST_SHOWN:,} more" if len(entries) > MOST_SHOWN else ""
        unusable = sum(1 for entry in entries if not entry.usable)
        rows.append((count(len(entries), thing.value), unusable or "", names + more))
    return answer.table("", ("kind", "cannot be used", "names"), rows)


def _lists(lists: Mapping[Thing, tuple[Entry, ...]]) -> dict[str, list[dict[str, Any]]]:
    return {
        thing.value: [
            {
                "name": entry.name,
                "aliases": list(entry.aliases),
                "hashes": list(entry.hashes),
                "usable": entry.usable,
                "note": entry.note,
            }
            for entry in entries
        ]
        for thing, entries in lists.items()
    }


def _await_reading(node: Node, timeout_s: float) -> str:
    """Asks for a reading and waits; what is to be said where it did not come."""
    want_catalog(node.pk, f"{who()} asked for it")
    until = time.monotonic() + timeout_s
    wanted = NodeCatalog.objects.filter(node_id=node.pk, wanted_at__isnull=False)
    while wanted.exists():
        if time.monotonic() >= until:
            return (
                f"Not read again within {timeout_s:g} s. `{typed('run_node')} {node.name}` reads it as soon as the "
                "WebUI is ready and no job runs on it. This is what was known before."
            )
        time.sleep(POLL_S)
    return ""

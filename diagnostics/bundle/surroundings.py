"""Where a job ran, as far as it tells nothing of who runs it: versions, settings, this machine, what a server has."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import psutil
from django.conf import settings
from django.db import connection

from diagnostics.bundle.door import Door
from jobs.models import Job, StageAttempt
from webui.driver import UnknownDriverError, driver_of
from webui.models import Node, NodeCatalog
from webui.nodes.catalogs import NEVER_READ, KnownCatalog, catalogs_of
from webui.work.catalog import Catalog, Entry

PACKAGES: Final = ("stablenew", "Django", "django-q2", "pydantic", "Pillow", "requests", "psutil", "psycopg")
MOST_NAMES: Final = 500
"""Of one kind in a server's catalog; how many there are is told in any case."""


def versions(nodes: list[Node]) -> dict[str, Any]:
    """Of the programs; the platform is told without the machine's name."""
    known = catalogs_of(node.pk for node in nodes)
    return {
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "python": platform.python_version(),
        "database": f"{connection.display_name} {'.'.join(map(str, connection.get_database_version()))}",
        "platform": {
            "system": platform.system(),
            "release": platform.release(),
            "architecture": platform.machine(),
        },
        "servers": [_server(node, known.get(node.pk, NEVER_READ).catalog) for node in nodes],
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _server(node: Node, catalog: Catalog | None) -> dict[str, Any]:
    try:
        title = driver_of(node.driver).title
    except UnknownDriverError:
        title = "unknown"
    return {
        "node": node.name,
        "driver": node.driver,
        "driver_title": title,
        "dialect": (catalog and catalog.dialect) or "not known",
        "version": (catalog and catalog.version) or "not known",
        "simulated": node.simulated,
        "managed": node.managed,
        "generation": node.generation,
        "checkpoint": node.checkpoint,
    }


def safe_settings() -> dict[str, Any]:
    """Our settings: numbers and switches with their values, of all others only whether they are set."""
    ours = (name for name in dir(settings) if name.startswith("STABLENEW_"))
    return {name: _shown(getattr(settings, name)) for name in sorted(ours)}


def _shown(value: object) -> Any:
    if isinstance(value, bool | int | float):
        return value
    return "set" if value else "not set"


def machine(nodes: list[Node]) -> dict[str, Any]:
    """The machine that makes the bundle; that of a node may be another one, whose server tells its own memory."""
    memory = psutil.virtual_memory()
    return {
        "cores": os.cpu_count(),
        "load": [round(one, 2) for one in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "memory_bytes": memory.total,
        "memory_free_bytes": memory.available,
        "output_disk": _disk(Path(settings.STABLENEW_OUTPUT_DIR)),
        "data_disk": _disk(Path(settings.STABLENEW_DATA_DIR)),
        "servers": [
            {
                "node": node.name,
                "memory_bytes": node.ram_bytes,
                "graphics_memory_used_bytes": node.vram_used_bytes,
                "graphics_memory_bytes": node.vram_total_bytes,
            }
            for node in nodes
        ],
    }


def _disk(folder: Path) -> dict[str, int] | None:
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return {"bytes": usage.total, "free_bytes": usage.free}


def nodes_of(job: Job) -> list[Node]:
    """Where it ran or runs, in order; for a job that never ran none."""
    ids = StageAttempt.objects.filter(job=job).order_by("id").values_list("node_id", flat=True)
    wanted = dict.fromkeys([*ids, *([job.node_id] if job.node_id else [])])
    found = {node.pk: node for node in Node.objects.filter(pk__in=wanted)}
    return [found[pk] for pk in wanted if pk in found]


# --- what a server has --------------------------------------------------------------------------------------


def catalogs(nodes: list[Node], door: Door) -> list[dict[str, Any]]:
    known = catalogs_of(node.pk for node in nodes)
    problems = dict(NodeCatalog.objects.filter(node__in=nodes).values_list("node_id", "problem"))
    return [_catalog(node, known.get(node.pk, NEVER_READ), problems.get(node.pk, ""), door) for node in nodes]


def _catalog(node: Node, known: KnownCatalog, problem: str, door: Door) -> dict[str, Any]:
    catalog = known.catalog or Catalog()
    return {
        "node": node.name,
        "read_at": known.read_at.isoformat() if known.read_at else None,
        "problem": door.text(problem),
        "lists": {thing.value: _list(entries, door) for thing, entries in catalog.lists.items()},
        "options": door.json(catalog.options),
        "notes": door.json(catalog.notes),
    }


def _list(entries: Sequence[Entry], door: Door) -> dict[str, Any]:
    """Names alone: aliases may be paths."""
    return {"count": len(entries), "names": door.names([_told(one) for one in entries[:MOST_NAMES]])}


def _told(entry: Entry) -> str:
    """What cannot be used as it is says so."""
    return entry.name if entry.usable else f"{entry.name} (not usable: {entry.note or 'no reason told'})"

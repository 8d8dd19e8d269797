"""Where a job ran, as far as it tells nothing of who runs it: versions, settings, this machine, what a server has."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import psutil
from django.conf import settings
from django.db import Error, connection

from diagnostics.bundle.door import Door
from jobs.models import Job, StageAttempt
from webui.driver import UnknownDriverError, driver_of
from webui.models import Node, NodeCatalog

PACKAGES: Final = ("stablenew", "Django", "django-q2", "pydantic", "Pillow", "requests", "psutil", "psycopg")
MOST_NAMES: Final = 500
"""Of one kind in a server's catalog; how many there are is told in any case."""


def versions(nodes: list[Node]) -> dict[str, Any]:
    """Of the programs; the platform is told without the machine's name."""
    return {
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "python": platform.python_version(),
        "database": _database_version(),
        "platform": {
            "system": platform.system(),
            "release": platform.release(),
            "architecture": platform.machine(),
        },
        "servers": [_server(node) for node in nodes],
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _database_version() -> str:
    if connection.vendor == "sqlite":
        import sqlite3

        return f"SQLite {sqlite3.sqlite_version}"
    try:
        found = connection.cursor().connection.info.server_version
    except (Error, AttributeError):
        return connection.vendor
    return f"PostgreSQL {found // 10_000}.{found % 10_000}"


def _server(node: Node) -> dict[str, Any]:
    found = NodeCatalog.objects.filter(node=node).first()
    document = _catalog_document(found)
    try:
        title = driver_of(node.driver).title
    except UnknownDriverError:
        title = "unknown"
    return {
        "node": node.name,
        "driver": node.driver,
        "driver_title": title,
        "dialect": (found.dialect if found else "") or "not known",
        "version": str(document.get("version") or "not known"),
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
    return [_catalog(node, NodeCatalog.objects.filter(node=node).first(), door) for node in nodes]


def _catalog(node: Node, found: NodeCatalog | None, door: Door) -> dict[str, Any]:
    document = _catalog_document(found)
    lists = document.get("lists")
    told: dict[str, Any] = {
        "node": node.name,
        "read_at": _moment(found.read_at) if found else None,
        "problem": door.text(found.problem) if found else "",
        "lists": {},
        "options": {},
    }
    if isinstance(lists, Mapping):
        told["lists"] = {door.name(str(kind)): _list(entries, door) for kind, entries in lists.items()}
    options = document.get("options")
    if isinstance(options, Mapping):
        told["options"] = door.json({str(key): value for key, value in list(options.items())[:100]})
    return told


def _list(entries: object, door: Door) -> dict[str, Any]:
    found = entries if isinstance(entries, list) else []
    names = list(_entry_names(found[:MOST_NAMES]))
    return {"count": len(found), "names": door.names(names)}


def _entry_names(entries: list[object]) -> Iterator[str]:
    """Names alone: aliases may be paths. What cannot be used as it is says so."""
    for entry in entries:
        if isinstance(entry, Mapping):
            unusable = (
                "" if entry.get("usable", True) else f" (not usable: {entry.get('note') or 'no reason told'})"
            )
            yield f"{entry.get('name') or ''}{unusable}"
        else:
            yield str(entry)


def _catalog_document(found: NodeCatalog | None) -> dict[str, Any]:
    try:
        value = json.loads(found.document) if found and found.document else {}
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _moment(at: datetime | None) -> str | None:
    return at.isoformat() if at else None

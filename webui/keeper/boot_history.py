"""One row for each generation of a node's WebUI, from its start to its end; written through `boots` alone.

A row that cannot be written is told in the log and left: no start, restart or stop ever waits for its history.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from django.db import DatabaseError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from webui.models import Boot, Node
from webui.processes.process import machine_boot_id
from webui.processes.start_ticks import started_at

logger = logging.getLogger(__name__)

KEPT_BOOTS = 200
"""So many of the newest generations of a node are kept."""
NOT_WRITTEN_DOWN = "Its start was not written down."
UNSEEN_END = "Nobody saw its end."


def begun(node: Node, because: str, *, at: datetime | None = None) -> None:
    """The generation that the row shows has begun (`at`: now); those before it are over, the oldest forgotten."""

    def write() -> None:
        earlier = Boot.objects.filter(node_id=node.pk, generation__lt=node.generation)
        earlier.filter(ended_at=None, ended_because="").update(ended_because=UNSEEN_END)
        row = Boot(
            node_id=node.pk,
            generation=node.generation,
            begun_at=at or timezone.now(),
            begun_because=because,
            pid=node.pid,
        )
        # A database that was put back to an earlier state may know this generation already.
        Boot.objects.bulk_create(
            [row],
            update_conflicts=True,
            unique_fields=["node", "generation"],
            update_fields=["begun_at", "begun_because", "pid", "ready_at", "ended_at", "ended_because"],
        )
        earlier.filter(generation__lte=node.generation - KEPT_BOOTS).delete()

    _never_in_the_way(node, write)


def ready(node: Node) -> None:
    """It has become READY; only the first time counts."""

    def write() -> None:
        rows = _rows(node)
        if not rows.filter(ready_at=None).update(ready_at=timezone.now()) and not rows.exists():
            _write_down_late(node, ready_at=timezone.now())

    _never_in_the_way(node, write)


def ended(node: Node, because: str, *, seen: bool = True) -> None:
    """It is over; the first reason stands. Where nobody has `seen` it, the row names no time of its end."""
    if not node.generation:
        return
    columns: dict[str, object] = {"ended_at": timezone.now(), "ended_because": because}
    if not seen:
        columns = {"ended_because": f"{UNSEEN_END} {because}".rstrip()}

    def write() -> None:
        rows = _rows(node)
        if not rows.filter(ended_at=None, ended_because="").update(**columns) and not rows.exists():
            _write_down_late(node, ready_at=node.last_ready_at, **columns)

    _never_in_the_way(node, write)


def was_ready(node: Node) -> bool | None:
    """Whether the row's boot has ever been READY; None where it was not written down."""
    rows = [ready_at is not None for ready_at in _rows(node).values_list("ready_at", flat=True)]
    return any(rows) if rows else None


def _rows(node: Node) -> QuerySet[Boot]:
    return Boot.objects.filter(node_id=node.pk, generation=node.generation)


def _write_down_late(node: Node, *, ready_at: datetime | None, **columns: object) -> None:
    """A boot from before there was a history, or whose start met a database that did not answer."""
    begun_at = node.state_since
    if node.process_start_ticks is not None and node.boot_id == machine_boot_id():
        begun_at = started_at(node.process_start_ticks)
    if ready_at is not None and ready_at < begun_at:
        ready_at = None
    Boot.objects.create(
        node_id=node.pk,
        generation=node.generation,
        begun_at=begun_at,
        begun_because=NOT_WRITTEN_DOWN,
        pid=node.pid,
        ready_at=ready_at,
        **columns,
    )


def _never_in_the_way(node: Node, write: Callable[[], None]) -> None:
    try:
        with transaction.atomic():
            write()
    except DatabaseError as exc:
        logger.warning(
            "The history of node %s, generation %d, lacks an entry: %s",
            node.name,
            node.generation,
            exc,
            extra={"event": "node.history_not_written", "node": node.name, "generation": node.generation},
        )

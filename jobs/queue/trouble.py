"""Checkpoints that fail on one node again and again: counted at the end of each job, held there after three in a row.

What is held is a lack of that node (`CheckpointTrouble.held_at`): it claims no job that needs the checkpoint, and goes
on with others. A success of the checkpoint there, a changed file, or a person lets it go.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Exists, OuterRef

from jobs.models import CheckpointTrouble
from webui.models import Node
from webui.words import count
from webui.work.catalog import Catalog, Thing

logger = logging.getLogger(__name__)

#: So many failures in a row hold a checkpoint.
HOLD_AFTER = 3
#: What the column can hold.
MOST = 32_767
NAME_LENGTH = 300
#: Of a runner: whether anything is counted on its node at all; only the node's own running job adds to it.
TROUBLED = Exists(CheckpointTrouble.objects.filter(node_id=OuterRef("node_id")))


@dataclass(frozen=True, slots=True)
class Trouble:
    """A checkpoint that failed on a node; `held` since that moment, None while it is only counted."""

    checkpoint: str
    failures: int
    what: str
    held: datetime | None

    def words(self, node: str) -> str:
        """As a person reads it, without a full stop: it may go on."""
        return f"{self.checkpoint} {self.what} {count(self.failures, 'time')} on {node}"


def note_failure(node: Node, checkpoint: str, what: str, now: datetime) -> bool:
    """A job FAILED there because of this checkpoint; True where that holds it from now on.

    Runs inside the caller's transaction, after the lock of the job. `what` is that of `WebUICheckpointError`.
    """
    name = checkpoint[:NAME_LENGTH]
    rows = CheckpointTrouble.objects.select_for_update()
    row, _ = rows.get_or_create(node_id=node.pk, checkpoint=name)
    row.failures, row.what = min(row.failures + 1, MOST), what
    begins = row.held_at is None and row.failures >= HOLD_AFTER
    if begins:
        row.held_at = now
    row.save()
    if begins:
        logger.error(
            "Node %s takes no more jobs with checkpoint %s: it %s %d times in a row.",
            node.name,
            name,
            what,
            row.failures,
            extra={
                "event": "checkpoint.held",
                "node": node.name,
                "checkpoint": name,
                "failures": row.failures,
            },
        )
    return begins


def note_success(node_id: int, checkpoints: Collection[str]) -> None:
    """A job that named these is COMPLETED there: nothing is counted any more. Inside the caller's transaction."""
    names = [name[:NAME_LENGTH] for name in checkpoints if name]
    CheckpointTrouble.objects.filter(node_id=node_id, checkpoint__in=names).delete()


def troubles_of(node_id: int) -> tuple[Trouble, ...]:
    """Everything that is counted on a node, held ones first."""
    rows = CheckpointTrouble.objects.filter(node_id=node_id).order_by("checkpoint")
    found = [Trouble(row.checkpoint, row.failures, row.what, row.held_at) for row in rows]
    return tuple(sorted(found, key=lambda one: one.held is None))


def release(node_id: int, checkpoint: str = "") -> list[str]:
    """Let a checkpoint go, or all that are counted on this node; their names. Inside the caller's transaction."""
    rows = CheckpointTrouble.objects.filter(node_id=node_id)
    if checkpoint:
        rows = rows.filter(checkpoint=checkpoint[:NAME_LENGTH])
    names = sorted(rows.select_for_update().values_list("checkpoint", flat=True))
    if names:
        rows.filter(checkpoint__in=names).delete()
    return names


def release_changed(node_id: int, before: Catalog, after: Catalog) -> list[str]:
    """Let those go whose file is another one by the node's own lists, as they were and as they are now."""
    was, now = _hashes(before), _hashes(after)
    changed = [
        trouble.checkpoint
        for trouble in troubles_of(node_id)
        if (new := _of(now, trouble.checkpoint)) and new != _of(was, trouble.checkpoint)
    ]
    return [name for checkpoint in changed for name in release(node_id, checkpoint)]


def _hashes(catalog: Catalog) -> dict[str, frozenset[str]]:
    """By every name that a request may say."""
    listed = catalog.lists.get(Thing.CHECKPOINT, ())
    return {name: frozenset(entry.hashes) for entry in listed for name in (entry.name, *entry.aliases)}


def _of(hashes: dict[str, frozenset[str]], checkpoint: str) -> frozenset[str]:
    return hashes.get(checkpoint, frozenset())

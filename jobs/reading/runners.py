"""How the runner of a node is, for a node's card."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from jobs.clock import database_now
from jobs.lifecycle import JobStatus
from jobs.models import Job
from jobs.queue.hold_words import ABOUT_RUNNER, Hold, holds_of, lasting
from jobs.queue.holds import Occupant, facts_of, runner_of
from jobs.queue.trouble import troubles_of
from webui.models import Node


@dataclass(frozen=True, slots=True)
class HeldCheckpoint:
    """A checkpoint that this node takes no job with any more; `text` says why."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class RunnerCard:
    """What a page shows of one node's runner."""

    node_id: int
    node: str
    running_job_id: int | None
    holds: tuple[Hold, ...]
    held_checkpoints: tuple[HeldCheckpoint, ...] = ()

    @property
    def trouble(self) -> Hold | None:
        """What holds the runner itself; None while that works."""
        return next((hold for hold in self.holds if hold.code in ABOUT_RUNNER), None)

    @property
    def version(self) -> str:
        """Equal versions mean equal cards."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]


def runner_card(node_id: int) -> RunnerCard | None:
    """Three queries, whatever the size of the queue; None if there is no such node."""
    node = Node.objects.select_related("runner").filter(pk=node_id).first()
    if node is None:
        return None
    now = database_now()
    job_id = (
        Job.objects.filter(status=JobStatus.RUNNING, node_id=node_id).values_list("pk", flat=True).first()
    )
    running = {node_id: Occupant(job_id, node.name, node.card)} if job_id else {}
    facts = facts_of(node, runner_of(node), now=now, running=running)
    held = tuple(
        HeldCheckpoint(one.checkpoint, f"{one.words(node.name)}.")
        for one in troubles_of(node.pk)
        if one.held is not None
    )
    return RunnerCard(node.pk, node.name, job_id, lasting(holds_of(facts, now)), held)

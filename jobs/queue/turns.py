"""Whose turn it is: which nodes of a kind should take what waits, so that work goes round.

Idle nodes take turns, the one whose last claim is oldest first. The wake-up asks here whom to wake and the claim
whether its node may go ahead, so both follow one rule: whoever gives way gives way to a node that is woken.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache

from django.db.models import Exists, F, OuterRef, Q

from jobs.clock import database_now
from jobs.composed import Composed
from jobs.lifecycle import JobStatus
from jobs.models import Job, NodeLack, QueueControl, Runner
from jobs.queue.holds import HoldCode, facts_of, held_by, occupants
from jobs.queue.lanes import free_lanes
from webui.models import NodeState

#: A woken node that has not answered for so long loses its turn to the next one. It hears within a tenth of a second;
#: its own `run_node` replaces an engine that does not hear.
PATIENCE_S = 10.0
#: So many jobs at the head of the queue are dealt out one by one; where more wait, there is work for everybody.
WINDOW = 50

#: Of a runner: its node lacks something that jobs need.
LACKS_SOMETHING = Exists(NodeLack.objects.filter(node_id=OuterRef("node_id")))

_OTHERS = Runner.objects.filter(node__kind=OuterRef("node__kind")).exclude(pk=OuterRef("pk"))
_RUNS = Exists(Job.objects.filter(status=JobStatus.RUNNING, node_id=OuterRef("node_id")))
#: Of a runner: other nodes take this kind of jobs, too.
HAS_PEERS = Exists(_OTHERS)
#: Of a runner: such a node may be idle and have claimed less lately. Only then is there a turn to look at.
HAS_RIVALS = Exists(
    _OTHERS.filter(
        ~_RUNS,
        Q(last_claim_at=None) | Q(last_claim_at__lte=OuterRef("last_claim_at")),
        node__state=NodeState.READY,
    )
)


_PAUSED = Composed(QueueControl.objects.filter(pk=QueueControl.SINGLETON_ID).values_list("paused", flat=True))


@dataclass(frozen=True, slots=True)
class TurnOrder:
    """Runners by what is expected of them; nobody while nothing of the kind waits.

    Nodes of a busy card are in none: the end of the job there wakes them all, so that each has its turn.
    """

    due: tuple[Runner, ...] = ()
    """Idle, and there is a job for each: in the order of their turns."""
    busy: tuple[Runner, ...] = ()
    """A job runs there. When it ends they may take the next one."""
    unable: tuple[Runner, ...] = ()
    """They take no job now, as far as anybody knows."""
    more_waits: bool = False
    """Also when each of `due` has taken a job."""
    paused: bool = False


@dataclass(slots=True)
class _Deal:
    """Jobs at the head of the queue (id, id of their needs), given to one idle node after another."""

    jobs: Sequence[tuple[int, int | None]]
    lacks: frozenset[tuple[int, int]]
    """(node, needs) of which the node lacks something."""
    taken: set[int] = field(default_factory=set)
    cards: set[str] = field(default_factory=set)

    @property
    def shows_all(self) -> bool:
        return len(self.jobs) < WINDOW

    @property
    def leaves_some(self) -> bool:
        return not self.shows_all or len(self.taken) < len(self.jobs)

    def gives(self, runner: Runner) -> bool:
        """Whether there is a job for this node beside those of the nodes before it."""
        node = runner.node
        if node.card and node.card in self.cards:
            return False
        fit = (job for job, needs in self.jobs if needs is None or (node.pk, needs) not in self.lacks)
        job = next((job for job in fit if job not in self.taken), None)
        if job is not None:
            self.taken.add(job)
        elif self.shows_all or (_lacks(runner) and not free_lanes(node.pk, node.kind, 1)):
            return False
        self.cards.add(node.card)
        return True


def turns_of(kind: str, claimant: Runner | None = None) -> TurnOrder:
    """Who should take a job of this kind, as the database says now. `claimant` is known to be free to take one.

    One query where none waits, else five or six.
    """
    # First what waits, then who is idle: whoever takes one of these jobs meanwhile is no longer in anybody's way.
    jobs = list(_head_of_queue(kind))
    if not jobs:
        return TurnOrder()
    paused = bool(_PAUSED.one())
    now, running = database_now(), occupants()
    idle, busy, unable = [], [], []
    for runner in _runners_of(kind):
        facts = facts_of(runner.node, runner, now=now, running=running)
        held = set(held_by(facts, lambda: now)) - {HoldCode.BREAKER_DUE}
        is_claimant = claimant is not None and runner.pk == claimant.pk
        if is_claimant or not (held or paused or _is_deaf(runner, now)):
            idle.append(runner)
        elif not (facts.running_job_id or facts.neighbour):
            unable.append(runner)
        elif not runner.node.card:
            busy.append(runner)
    deal = _Deal(jobs, _lacks_among(idle, jobs))
    due = [runner for runner in idle if deal.gives(runner)]
    return TurnOrder(tuple(due), tuple(busy), tuple(unable), more_waits=deal.leaves_some, paused=paused)


def is_due(runner: Runner) -> bool:
    """Whether a node that is free may take a job now, or gives way to nodes whose turn it is."""
    return runner in turns_of(runner.node.kind, runner).due


@cache
def _head_of_queue(kind: str) -> Composed[Job, tuple[int, int | None]]:
    waiting = Job.objects.filter(status=JobStatus.QUEUED, kind=kind).order_by("priority", "position", "id")
    return Composed(waiting.values_list("pk", "needs_id")[:WINDOW])


@cache
def _runners_of(kind: str) -> Composed[Runner, Runner]:
    """In the order of their turns."""
    runners = Runner.objects.filter(node__kind=kind).select_related("node").annotate(lacks=LACKS_SOMETHING)
    return Composed(runners.order_by(F("last_claim_at").asc(nulls_first=True), "pk"))


def _is_deaf(runner: Runner, now: datetime) -> bool:
    """It was woken and has not answered for long. Of a wake-up from its own last claim nobody knows since when."""
    if not runner.token_pending:
        return False
    return runner.woken_at is None or now - runner.woken_at > timedelta(seconds=PATIENCE_S)


def _lacks_among(
    runners: Iterable[Runner], jobs: Sequence[tuple[int, int | None]]
) -> frozenset[tuple[int, int]]:
    nodes = [runner.node_id for runner in runners if _lacks(runner)]
    if not nodes:
        return frozenset()
    needed = {needs for _, needs in jobs if needs is not None}
    return frozenset(
        NodeLack.objects.filter(node_id__in=nodes, needs_id__in=needed).values_list("node_id", "needs_id")
    )


def _lacks(runner: Runner) -> bool:
    return bool(getattr(runner, "lacks", False))

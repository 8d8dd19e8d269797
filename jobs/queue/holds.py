"""Why a node takes no job now: the one answer, for the claim and for every page, command and check that tells it.

Codes and facts only, which is all that a claim needs; `jobs.queue.hold_words` puts them into words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.db.models import Exists, OuterRef, Q

from jobs.clock import database_now
from jobs.composed import Composed
from jobs.lifecycle import JobStatus
from jobs.models import Job, NodeLack, QueueControl, Runner
from jobs.queue.breaker import CLOSED, Breaker, is_open
from webui.kinds import WorkKind
from webui.models import Node, NodeState, Wish

#: `run_node` writes its heartbeat every second; this much silence means that it is gone or stuck.
HEARTBEAT_FRESH_S = 15.0
#: Wishes that end what is there.
ENDING = {Wish.STOP: "stop", Wish.RESTART: "restart"}


class HoldCode(StrEnum):
    PAUSED = "paused"
    NO_WORKERS = "no_workers"
    """No node of a kind is running: there is none, or each has no runner, is stopped, has failed or is not reached."""
    LACKING = "lacking"
    """No node of their kind has what some jobs need: it holds these alone."""
    NO_WORKER = "no_worker"
    DRAINING = "draining"
    WISH = "wish"
    NOT_READY = "node_not_ready"
    MUST_QUIET = "must_quiet"
    STORAGE = "storage"
    """Its machine cannot keep what a job makes."""
    BREAKER_OPEN = "breaker_open"
    BREAKER_TRIES = "breaker_tries"
    BREAKER_DUE = "breaker_due"
    """Takes one job, as a test: told, but no hold for a claim."""
    BUSY = "busy"
    CARD_BUSY = "card_busy"


@dataclass(frozen=True, slots=True)
class Pause:
    by: str
    reason: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Occupant:
    """A running job: where, and on which graphics card (may be empty). Without a job: a request that nobody waits for
    any more, and that may still use the card.
    """

    job_id: int | None
    node: str
    card: str


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """One node and its runner. `alive`: its `run_node` wrote a heartbeat just now. `neighbour` runs on its card."""

    node_id: int
    name: str
    state: str
    state_reason: str = ""
    kind: str = WorkKind.IMAGE
    card: str = ""
    wish: str = ""
    wish_by: str = ""
    wish_reason: str = ""
    alive: bool = True
    heartbeat_at: datetime | None = None
    draining: bool = False
    must_quiet: bool = False
    storage_reason: str = ""
    storage_since: datetime | None = None
    breaker: Breaker = CLOSED
    running_job_id: int | None = None
    neighbour: Occupant | None = None

    @property
    def stopped_as_asked(self) -> bool:
        return self.state == NodeState.STOPPED and self.wish == Wish.STOP


# --- what holds ---------------------------------------------------------------------------------------------


def held_by(node: NodeFacts, clock: Callable[[], datetime]) -> Iterator[HoldCode]:
    """What keeps this node from a job, what has to go first in front. The clock is asked only of an open breaker."""
    held = {
        HoldCode.NO_WORKER: not node.alive,
        HoldCode.DRAINING: node.draining,
        HoldCode.WISH: node.wish in ENDING and not node.stopped_as_asked,
        HoldCode.NOT_READY: node.state != NodeState.READY,
        HoldCode.MUST_QUIET: node.must_quiet,
        HoldCode.STORAGE: bool(node.storage_reason),
    }
    yield from (code for code, holds in held.items() if holds)
    if node.breaker.is_open and node.running_job_id:
        yield HoldCode.BREAKER_TRIES
    elif node.breaker.is_open:
        yield HoldCode.BREAKER_DUE if node.breaker.may_claim(clock()) else HoldCode.BREAKER_OPEN
    elif node.running_job_id:
        yield HoldCode.BUSY
    if node.neighbour:
        yield HoldCode.CARD_BUSY


def takes_jobs(runner: Runner, *, paused: bool, clock: Callable[[], datetime] = database_now) -> bool:
    """Whether a node whose runner lives takes jobs now, if nothing runs on it or its card (`is_busy`)."""
    return not paused and all(
        code == HoldCode.BREAKER_DUE for code in held_by(facts_of(runner.node, runner), clock)
    )


def is_busy(node: Node) -> bool:
    """A job runs on this node or on its graphics card, or a request that was given up may still use the card."""
    if runs_there(node):
        return True
    return bool(node.card) and _LEFTOVERS.filter(node__card=node.card).exclude(node=node).exists()


def runs_there(node: Node) -> bool:
    """A job runs on this node or on its graphics card."""
    here = Q(node_id=node.pk) | Q(card=node.card) if node.card else Q(node_id=node.pk)
    return Job.objects.filter(here, status=JobStatus.RUNNING).exists()


#: States in which a server may work at a request that nobody waits for: ready, and until a restart has ended it.
MAY_STILL_WORK = (NodeState.READY, NodeState.RESTARTING)
#: Runners of shared cards whose server may do so.
_LEFTOVERS = Runner.objects.filter(must_quiet=True, node__state__in=MAY_STILL_WORK).exclude(node__card="")
_NODES_OF_LEFTOVERS = Composed(Node.objects.filter(runner__in=_LEFTOVERS).select_related("runner"))
#: Of a runner: another node of its card has such a request.
CARD_LEFTOVER = Exists(_LEFTOVERS.filter(node__card=OuterRef("node__card")).exclude(pk=OuterRef("pk")))


# --- facts --------------------------------------------------------------------------------------------------


def runner_of(node: Node) -> Runner | None:
    """None before the node's first `run_node`."""
    runner: Runner | None = getattr(node, "runner", None)
    return runner


def is_alive(runner: Runner | None, now: datetime) -> bool:
    if runner is None or runner.heartbeat_at is None:
        return False
    return now - runner.heartbeat_at < timedelta(seconds=HEARTBEAT_FRESH_S)


_RUNNING = Composed(
    Job.objects.filter(status=JobStatus.RUNNING).values_list("node_id", "pk", "node__name", "card")
)


def occupants(nodes: Iterable[Node] | None = None) -> dict[int, Occupant]:
    """What runs, by the id of its node. `nodes` are all of them, where these are at hand with their runners."""
    running = {node_id: Occupant(job_id, node, card) for node_id, job_id, node, card in _RUNNING if node_id}
    return {**leftovers_of(_NODES_OF_LEFTOVERS if nodes is None else nodes), **running}


def leftovers_of(nodes: Iterable[Node]) -> dict[int, Occupant]:
    """Requests that were given up and may still use a card, by the id of their node, which has its runner at hand."""
    return {
        node.pk: Occupant(None, node.name, node.card)
        for node in nodes
        if node.card
        and node.state in MAY_STILL_WORK
        and (runner := runner_of(node)) is not None
        and runner.must_quiet
    }


def facts_of(
    node: Node,
    runner: Runner | None,
    *,
    now: datetime | None = None,
    running: Mapping[int, Occupant] | None = None,
) -> NodeFacts:
    """Without `now` its runner is known to live; without `running` nothing is known of what runs."""
    running = running or {}
    own = running.get(node.pk)
    others = (one for node_id, one in running.items() if node_id != node.pk and one.card)
    return NodeFacts(
        node_id=node.pk,
        name=node.name,
        state=node.state,
        state_reason=node.state_reason,
        kind=node.kind,
        card=node.card,
        wish=node.wish,
        wish_by=node.wish_by,
        wish_reason=node.wish_reason,
        alive=now is None or is_alive(runner, now),
        heartbeat_at=runner.heartbeat_at if runner else None,
        draining=bool(runner and runner.draining),
        must_quiet=bool(runner and runner.must_quiet),
        storage_reason=runner.storage_reason if runner else "",
        storage_since=runner.storage_since if runner else None,
        breaker=Breaker.of(runner) if runner else CLOSED,
        running_job_id=own.job_id if own else None,
        neighbour=next((one for one in others if one.card == node.card), None),
    )


def another_takes(job: Job, node: Node) -> bool:
    """Whether this job would be taken at once by another node than this one."""
    control = QueueControl.objects.only("paused").get(pk=QueueControl.SINGLETON_ID)
    now = database_now()
    lacking = set(NodeLack.objects.filter(needs_id=job.needs_id).values_list("node_id", flat=True))
    lacking.add(node.pk)
    others = (one for one in all_facts(now) if one.kind == node.kind and one.node_id not in lacking)
    return not control.paused and any(not any(held_by(one, lambda: now)) for one in others)


def all_facts(now: datetime) -> tuple[NodeFacts, ...]:
    """Every node, in two queries."""
    nodes = list(Node.objects.select_related("runner"))
    running = occupants(nodes)
    return tuple(facts_of(node, runner_of(node), now=now, running=running) for node in nodes)


def lasting_facts(nodes: Sequence[Node], now: datetime) -> list[NodeFacts]:
    """Facts of these nodes without what just passes: one query, and only while a breaker is open."""
    broken = any((runner := runner_of(node)) and is_open(runner) for node in nodes)
    running = occupants() if broken else {}
    return [facts_of(node, runner_of(node), now=now, running=running) for node in nodes]


def pause_of(control: QueueControl) -> Pause | None:
    return Pause(control.paused_by, control.pause_reason, control.paused_at) if control.paused else None

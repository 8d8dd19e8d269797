"""How the runners of nodes are: worker, heartbeat, breaker; for a node's card and the queue page."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs.clock import database_now
from jobs.lifecycle import JobStatus
from jobs.models import Job, Runner
from jobs.queue.breaker import Breaker
from webui.models import Node
from webui.typed_command import typed

#: `run_node` writes its heartbeat every second; this much silence means that it is gone or stuck.
HEARTBEAT_FRESH_S = 15.0


@dataclass(frozen=True, slots=True)
class OpenBreaker:
    """Why a node takes no jobs, and when the next one is tried."""

    node_id: int
    node: str
    reason: str
    since: datetime | None
    next_try_at: datetime | None
    due: bool
    """The time has come: the next job that can be claimed is tried."""
    trying_job_id: int | None
    """The canary that runs just now."""


@dataclass(frozen=True, slots=True)
class WorkerState:
    """Icon, word and colour (`status` chooses it), and a sentence where something is to be done."""

    status: str
    icon: str
    word: str
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class RunnerCard:
    """What a page shows of one node's runner."""

    node_id: int
    node: str
    worker: WorkerState
    silent_since: datetime | None
    """Only of a heartbeat that is old: a fresh one changes every second and says nothing more."""
    running_job_id: int | None
    breaker: OpenBreaker | None

    @property
    def version(self) -> str:
        """Equal versions mean equal cards."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]


def runner_card(node_id: int) -> RunnerCard | None:
    """Two queries, whatever the size of the queue; None if there is no such node."""
    node = Node.objects.select_related("runner").filter(pk=node_id).first()
    if node is None:
        return None
    now, runner = database_now(), runner_of(node)
    alive = is_alive(runner, now)
    running = Job.objects.filter(status=JobStatus.RUNNING, node_id=node_id)
    running_job_id = running.values_list("pk", flat=True).first()
    return RunnerCard(
        node_id=node.pk,
        node=node.name,
        worker=worker_state(node, runner, alive=alive),
        silent_since=None if runner is None or alive else runner.heartbeat_at,
        running_job_id=running_job_id,
        breaker=open_breaker(node, running_job_id, now),
    )


def runner_of(node: Node) -> Runner | None:
    """None before the node's first `run_node`."""
    runner: Runner | None = getattr(node, "runner", None)
    return runner


def is_alive(runner: Runner | None, now: datetime) -> bool:
    if runner is None or runner.heartbeat_at is None:
        return False
    return now - runner.heartbeat_at < timedelta(seconds=HEARTBEAT_FRESH_S)


def open_breaker(node: Node, running_job_id: int | None, now: datetime) -> OpenBreaker | None:
    """None while the node's breaker is closed (`runner` loaded). A job that runs meanwhile is the canary."""
    runner = runner_of(node)
    breaker = Breaker.of(runner) if runner else None
    if breaker is None or not breaker.is_open:
        return None
    return OpenBreaker(
        node_id=node.pk,
        node=node.name,
        reason=breaker.reason,
        since=breaker.opened_at,
        next_try_at=breaker.until,
        due=breaker.may_claim(now),
        trying_job_id=running_job_id,
    )


def worker_state(node: Node, runner: Runner | None, *, alive: bool) -> WorkerState:
    if runner is None or not alive:
        command = typed(f"run_node {node.name}")
        start = f"Jobs wait. Start it with {typed('up')} or {command}."
        if runner is None or runner.heartbeat_at is None:
            return WorkerState("STOPPED", "state-STOPPED", "No running workers", start)
        sentence = f"It is gone or stuck; jobs wait. Look at its log, or start it again: {command}."
        return WorkerState("WARNING", "warning", "Worker silent", sentence)
    if runner.draining:
        return WorkerState("WARNING", "info", "Worker draining", "It starts no more jobs and will end.")
    if runner.must_quiet:
        sentence = "A worker was lost; no job starts until the WebUI has finished what that one had sent."
        return WorkerState("RUNNING", "status-RUNNING", "Waiting for quiet", sentence)
    return WorkerState("READY", "state-READY", "Worker running")

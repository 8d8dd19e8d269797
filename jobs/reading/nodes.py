"""All nodes as pages show them: each with its WebUI, its worker and its breaker."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from jobs.clock import database_now
from jobs.lifecycle import JobStatus
from jobs.models import Job
from jobs.queue.breaker import Breaker
from jobs.reading.runners import OpenBreaker, WorkerState, is_alive, open_breaker, runner_of, worker_state
from webui.models import Node
from webui.pages.node_card import NodeCard, node_card


@dataclass(frozen=True, slots=True)
class NodeLine:
    """Equal lines mean equal pages."""

    card: NodeCard
    worker: WorkerState
    silent_since: datetime | None
    breaker: OpenBreaker | None


def node_lines() -> tuple[NodeLine, ...]:
    """One query; another one only while a breaker is open."""
    nodes = list(Node.objects.select_related("runner"))
    now = database_now()
    broken = [node.pk for node in nodes if (runner := runner_of(node)) and Breaker.of(runner).is_open]
    running = Job.objects.filter(status=JobStatus.RUNNING, node_id__in=broken)
    canaries = dict(running.values_list("node_id", "pk")) if broken else {}
    return tuple(_line(node, canaries.get(node.pk), now) for node in nodes)


def _line(node: Node, canary_id: int | None, now: datetime) -> NodeLine:
    runner = runner_of(node)
    alive = is_alive(runner, now)
    return NodeLine(
        card=node_card(node),
        worker=worker_state(node, runner, alive=alive),
        silent_since=None if runner is None or alive else runner.heartbeat_at,
        breaker=open_breaker(node, canary_id, now),
    )


def version_of(lines: Sequence[NodeLine]) -> str:
    return hashlib.sha256(repr(lines).encode()).hexdigest()[:16]

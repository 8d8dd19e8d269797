"""Claim, renew and give back a job: at most one RUNNING job per node, and the first of the queue first.

A claim is one short transaction whose own condition says whether the node may run anything now.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache, lru_cache

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import F, QuerySet

from jobs.clock import database_now
from jobs.composed import Composed
from jobs.lifecycle import EventType, JobStatus
from jobs.models import Job, NodeLack, QueueControl, Runner
from jobs.queue import storage
from jobs.queue.holds import is_busy, takes_jobs
from jobs.queue.identity import ProcessIdentity
from jobs.queue.lanes import free_lanes, head_of_lane
from jobs.queue.moves import fence, move_locked
from jobs.queue.trouble import TROUBLED
from jobs.queue.wakeup import LACKS_SOMETHING
from webui.models import Node

logger = logging.getLogger(__name__)

_CONTROL = Composed(
    QueueControl.objects.filter(pk=QueueControl.SINGLETON_ID).values_list("paused", "queued", "running")
)


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that this process now owns (with its record), and the token that proves it."""

    job: Job
    run_token: uuid.UUID
    runner: Runner
    """As the claim read it, with its node."""
    more: bool = False
    """More jobs wait: the next wake-up is due as soon as this job's work is under way.

    Never on a graphics card that nodes may share: there the end of the job wakes them all, so that each has its turn.
    """
    troubled: bool = False
    """A checkpoint has failed on the node (`jobs.queue.trouble`), so that a success may end that."""
    job_id: int = field(init=False)
    runner_id: int = field(init=False)
    node: Node = field(init=False)
    node_id: int = field(init=False)

    def __post_init__(self) -> None:
        facts = {"job_id": self.job.pk, "runner_id": self.runner.pk, "node": self.runner.node}
        for name, value in {**facts, "node_id": self.runner.node_id}.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, slots=True)
class LeaseState:
    """What a run learns when it renews its lease."""

    owned: bool
    cancel_requested_by: str = ""
    interrupt_by_operator: bool = False


def claim_next(runner_id: int, owner: ProcessIdentity) -> Claim | None:
    """Claim the first queued job of the node's kind by (priority, position, id) that needs nothing it lacks, or None.

    None when nothing of that is queued, the queue is paused, the node takes no jobs (`takes_jobs`), it or its
    graphics card is busy, its machine cannot keep what the job makes, another claim came first, or another host has
    the node by now. If more jobs wait (`more`), the run sends the next wake-up as soon as its first request is under
    way, so that no poll gap appears between jobs.
    """
    room = storage.measure()
    try:
        with transaction.atomic(durable=True):
            return _claim_within(runner_id, owner, room)
    except IntegrityError:
        # One RUNNING job per node and per card: another token of this node, or a node of this card, was faster.
        Runner.objects.filter(pk=runner_id).update(token_pending=False)
        logger.info("Another claim was faster.", extra={"event": "claim.lost", "runner_id": runner_id})
        return None


@cache
def _runner(runner_id: int) -> Composed[Runner, Runner]:
    # What the node's lists say is long, and read only where they have changed; when they were read is not.
    runner = Runner.objects.filter(pk=runner_id).select_related("node__catalog")
    runner = runner.defer("node__catalog__document").annotate(lacks=LACKS_SOMETHING, troubled=TROUBLED)
    return Composed(runner)


def _claim_within(runner_id: int, owner: ProcessIdentity, room: storage.Room) -> Claim | None:
    runner = _runner(runner_id).one()
    paused, queued, running = _CONTROL.one()
    if runner.host_identity not in ("", owner.host):
        # A host that slept: another one runs this node now.
        return None
    free = takes_jobs(runner, paused=paused) and not (running and is_busy(runner.node))
    job = _take(runner.node, lacks=getattr(runner, "lacks", False)) if free else None
    if job is not None and (lack := room.lack_for(job)):
        storage.hold(runner, lack)
        job = None
    if job is None:
        Runner.objects.filter(pk=runner_id).update(token_pending=False)
        return None
    now = database_now()
    token = uuid.uuid4()
    # The ledger counted this job, too, and those of other kinds. A wrong guess costs a wake-up that finds nothing; to
    # ask for the next one of this kind would cost each claim a tenth of its time.
    more = queued > 1 and not runner.node.card
    if more != runner.token_pending:
        Runner.objects.filter(pk=runner_id).update(token_pending=more)
    move_locked(
        job,
        JobStatus.RUNNING,
        event=EventType.RUNNING,
        changes={
            "node_id": runner.node_id,
            "card": runner.node.card,
            "owner": str(owner),
            "run_token": token,
            "lease_until": now + timedelta(seconds=settings.STABLENEW_LEASE_S),
            "started_at": job.started_at or now,
        },
        data={
            "node": runner.node.name,
            "generation": runner.node.generation,
            "run_token": str(token),
            "worker_pid": owner.pid,
        },
    )
    return Claim(job, token, runner, more, troubled=bool(getattr(runner, "troubled", False)))


def head_of_queue(kind: str) -> QuerySet[Job]:
    """The first queued job of this kind with its record, as the claim asks for it: by its index, then one record."""
    in_order = Job.objects.filter(status=JobStatus.QUEUED, kind=kind).order_by("priority", "position", "id")
    return in_order.select_related("record")[:1]


@lru_cache(maxsize=256)
def _head(kind: str, lane: tuple[int | None] | None, *, locked: bool) -> Composed[Job, Job]:
    head = head_of_queue(kind) if lane is None else head_of_lane(kind, *lane)
    return Composed(head.select_for_update(skip_locked=True, of=("self",)) if locked else head)


def next_job(node: Node) -> Job | None:
    """What this node would claim next; nothing is locked."""
    return next(_heads(node, lacks=NodeLack.objects.filter(node=node).exists(), locked=False), None)


def _take(node: Node, *, lacks: bool) -> Job | None:
    return next(_heads(node, lacks=lacks, locked=connection.features.has_select_for_update_skip_locked), None)


def _heads(node: Node, *, lacks: bool, locked: bool) -> Iterator[Job]:
    """The head of the queue; or one by one those of the lanes without what the node lacks, which cost a read more."""
    lanes = [(needs_id,) for needs_id in free_lanes(node.pk, node.kind)] if lacks else [None]
    for lane in lanes:
        yield from _head(node.kind, lane, locked=locked)


def renew(claim: Claim) -> LeaseState:
    """Extend the lease and read what people asked for meanwhile. Not owned = stop at once."""
    now = database_now()
    lease = now + timedelta(seconds=settings.STABLENEW_LEASE_S)
    if not fence(claim.job_id, claim.run_token).update(lease_until=lease):
        return LeaseState(owned=False)
    return read_requests(claim)


def read_requests(claim: Claim) -> LeaseState:
    """Is the run still ours, was a cancel asked, does an operator want the node back? One query."""
    row = (
        fence(claim.job_id, claim.run_token)
        .annotate(
            draining=F("node__runner__draining"),
            interrupt_at=F("node__runner__interrupt_at"),
        )
        .values("cancel_requested_at", "cancel_requested_by", "draining", "interrupt_at")
        .first()
    )
    if row is None:
        return LeaseState(owned=False)
    due = row["interrupt_at"] is not None and row["interrupt_at"] <= database_now()
    return LeaseState(
        owned=True,
        cancel_requested_by=row["cancel_requested_by"] or ("somebody" if row["cancel_requested_at"] else ""),
        interrupt_by_operator=bool(row["draining"] and due),
    )

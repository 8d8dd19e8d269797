"""Claim, renew and give back a job: at most one RUNNING job per node, and the first of the queue first.

A claim is one short transaction whose own condition says whether the node may run anything now.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import Any

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import F, QuerySet

from jobs.clock import database_now
from jobs.composed import Composed
from jobs.errors import FencedError
from jobs.lifecycle import EventType, JobStatus
from jobs.models import Job, NodeLack, QueueControl, Runner, StageAttempt
from jobs.queue import storage
from jobs.queue.holds import CARD_LEFTOVER, runs_there, takes_jobs
from jobs.queue.identity import ProcessIdentity
from jobs.queue.lanes import free_lanes, head_of_lane
from jobs.queue.moves import fence, move_locked
from jobs.queue.trouble import TROUBLED
from jobs.queue.turns import HAS_PEERS, HAS_RIVALS, LACKS_SOMETHING, is_due
from jobs.queue.wakeup import kick_others
from webui.kinds import server_noun
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
    lost: StageAttempt | None = None
    """The request of a lost run that still goes on: this run takes it up, and is no further execution."""
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


@dataclass(frozen=True, slots=True)
class _Passed:
    """A wake-up that led to no job although some may wait: others of the kind are woken, but perhaps not this one."""

    kind: str
    but: int | None = None


def claim_next(runner_id: int, owner: ProcessIdentity) -> Claim | None:
    """Claim the first queued job of the node's kind by (priority, position, id) that needs nothing it lacks, or None.

    None when nothing of that is queued, the queue is paused, the node takes no jobs (`takes_jobs`), it or its
    graphics card is busy, it is the turn of other nodes of its kind (`jobs.queue.turns`), its machine cannot keep what
    the job makes, another claim came first, or another host has the node by now. Whoever could take what waits instead
    is woken. If more jobs wait (`more`), the run sends the next wake-up as soon as its first request is under way, so
    that no poll gap appears between jobs.
    """
    room = storage.measure()
    try:
        with transaction.atomic(durable=True):
            found = _claim_within(runner_id, owner, room)
    except IntegrityError:
        # One RUNNING job per node and per card: another token of this node, or a node of this card, was faster.
        Runner.objects.filter(pk=runner_id).update(token_pending=False)
        logger.info("Another claim was faster.", extra={"event": "claim.lost", "runner_id": runner_id})
        found = _Passed(Node.objects.values_list("kind", flat=True).get(runner=runner_id), runner_id)
    if isinstance(found, _Passed):
        # After the commit, so that it sees what the others have done meanwhile.
        kick_others(found.kind, found.but)
        return None
    return found


@cache
def _runner(runner_id: int) -> Composed[Runner, Runner]:
    # What the node's lists say is long, and read only where they have changed; when they were read is not.
    runner = Runner.objects.filter(pk=runner_id).select_related("node__catalog")
    runner = runner.defer("node__catalog__document").annotate(lacks=LACKS_SOMETHING, troubled=TROUBLED)
    runner = runner.annotate(has_peers=HAS_PEERS, has_rivals=HAS_RIVALS, leftover=CARD_LEFTOVER)
    return Composed(runner)


def _claim_within(runner_id: int, owner: ProcessIdentity, room: storage.Room) -> Claim | _Passed | None:
    runner = _runner(runner_id).one()
    paused, queued, running = _CONTROL.one()
    if runner.host_identity not in ("", owner.host):
        # A host that slept: another one runs this node now.
        return None
    if runner.lost_attempt_id is not None and (taken := _take_up(runner, owner)) is not None:
        return taken
    free = takes_jobs(runner, paused=paused) and not (running and runs_there(runner.node))
    free = free and not _known(runner, "leftover")
    due = free and not (queued and _known(runner, "has_rivals") and not is_due(runner))
    job = _take(runner.node, lacks=_known(runner, "lacks")) if due else None
    if job is not None and (lack := room.lack_for(job)):
        storage.hold(runner, lack)
        job, free = None, False
    if job is None:
        Runner.objects.filter(pk=runner_id).update(token_pending=False)
        if (due and free) or not queued or not _known(runner, "has_peers"):
            return None
        return _Passed(runner.node.kind, None if free else runner_id)
    # The ledger counted this job, too, and those of other kinds. A wrong guess costs a wake-up that finds nothing; to
    # ask for the next one of this kind would cost each claim a tenth of its time.
    more = queued > 1 and not runner.node.card
    now = database_now()
    changed: dict[str, Any] = {"token_pending": more} if more != runner.token_pending else {}
    if _known(runner, "has_peers"):
        changed["last_claim_at"] = now
    if changed:
        Runner.objects.filter(pk=runner_id).update(**changed)
    return _claimed(runner, job, owner, now, more=more)


def _claimed(
    runner: Runner,
    job: Job,
    owner: ProcessIdentity,
    now: datetime,
    *,
    more: bool,
    lost: StageAttempt | None = None,
) -> Claim:
    token = uuid.uuid4()
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
    return Claim(job, token, runner, more, _known(runner, "troubled"), lost)


def _known(runner: Runner, fact: str) -> bool:
    """A fact that the claim's own look at the runner brought along."""
    return bool(getattr(runner, fact, False))


def hand_over(runner: Runner, job: Job, lost: StageAttempt) -> None:
    """A running job whose process is gone stays where it is, for the next process of its node: `lost` goes on there.

    The lost process is fenced from here on. In the caller's transaction, with the job locked.
    """
    lease = database_now() + timedelta(seconds=settings.STABLENEW_LEASE_S)
    if not fence(job.pk, lost.run_token).update(run_token=uuid.uuid4(), lease_until=lease):
        raise FencedError(job.pk)
    Runner.objects.filter(pk=runner.pk).update(lost_attempt=lost)


def is_handed_over(runner: Runner, job: Job) -> bool:
    """Whether it still waits for the next process of its node, for as long as a lease holds."""
    lost = runner.lost_attempt
    if lost is None or lost.job_id != job.pk or job.lease_until is None:
        return False
    return job.run_token != lost.run_token and job.lease_until > database_now()


def _take_up(runner: Runner, owner: ProcessIdentity) -> Claim | None:
    """The job that was handed over; None where it has ended meanwhile."""
    lost = runner.lost_attempt
    assert lost is not None
    running = Job.objects.filter(pk=lost.job_id, status=JobStatus.RUNNING, node_id=runner.node_id)
    job = running.select_related("record").select_for_update(of=("self",)).first()
    waiting = Runner.objects.filter(pk=runner.pk, lost_attempt=lost)
    if not waiting.update(lost_attempt=None, token_pending=False) or job is None:
        return None
    reason = f"the process that ran it was lost, and its {server_noun(job.kind)} goes on with it"
    data = {"reason": reason, "charged": False}
    move_locked(job, JobStatus.QUEUED, event=EventType.REQUEUED, data=data)
    return _claimed(runner, job, owner, database_now(), more=False, lost=lost)


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

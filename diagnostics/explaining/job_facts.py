"""The facts that an account of one job is told from: values, and the constant number of queries that fill them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Q, Subquery
from django.db.models.functions import Now

from jobs.clock import database_now
from jobs.errors import NotFoundError
from jobs.lifecycle import TERMINAL, EventType, JobStatus
from jobs.models import Job, LifecycleEvent, OutputImage, QueueControl, StageAttempt
from jobs.queue.held_jobs import Lacking, held_sets, why_held
from jobs.queue.holds import HEARTBEAT_FRESH_S, NodeFacts, Pause, all_facts, pause_of
from jobs.queue.positions import waiting
from jobs.reading.live import silence_of
from jobs.running.envelope import read_envelope
from webui.kinds import WorkKind
from webui.models import Node

#: The latest jobs that repeat one job, so many of them.
MAX_RERUNS = 5


@dataclass(frozen=True, slots=True)
class EventFacts:
    kind: str
    at: datetime
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RerunFacts:
    """One job that runs the same record again."""

    job_id: int
    by: str
    status: str


@dataclass(frozen=True, slots=True)
class Situation:
    """What is stored about one job and about what it waits for, read at `now`.

    `events` stand in the order in which they happened; `requests` were sent in `runs`; `ahead` counts the queued
    jobs before it; `pictures` what is kept of all stages, `images` each picture once, however many stages it
    went through. `current_stage` is empty before the first request; `silent_s` is how long the WebUI that runs it has
    answered nothing, None where it answers. `reruns` are the latest jobs that repeat it, the
    latest first.
    """

    now: datetime
    job_id: int
    status: str
    stages: tuple[str, ...]
    kind: str = WorkKind.IMAGE
    node: str = ""
    node_id: int | None = None
    retry_count: int = 0
    ahead: int = 0
    images: int = 0
    pictures: int = 0
    current_stage: str = ""
    silent_s: float | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    lease_until: datetime | None = None
    cancel_requested_by: str = ""
    cancel_requested_at: datetime | None = None
    error: dict[str, Any] | None = None
    needs_attention: bool = False
    reruns: tuple[RerunFacts, ...] = ()
    events: tuple[EventFacts, ...] = ()
    requests: int = 0
    runs: int = 0
    pause: Pause | None = None
    nodes: tuple[NodeFacts, ...] = ()
    lacking: Lacking | None = None
    """What nodes lack of what it needs, while it waits; None where none is known to lack anything."""
    held: bool = False
    """No node of its kind has everything that it needs."""

    def last_event(self, *kinds: EventType) -> EventFacts | None:
        return next((event for event in reversed(self.events) if event.kind in kinds), None)


def situation_of(job_id: int) -> Situation:
    """At most thirteen queries, whatever the job has been through; `NotFoundError` when there is none."""
    job = Job.objects.select_related("record", "node__runner").filter(pk=job_id).first()
    if job is None:
        raise NotFoundError(f"There is no job {job_id}. `jobs list` shows those that are there.")
    now = database_now()
    record = json.loads(job.record.canonical_json)
    events = LifecycleEvent.objects.filter(job_id=job_id).order_by("sequence")
    sent = StageAttempt.objects.filter(job_id=job_id).aggregate(
        requests=Count("id"), runs=Count("run_number", distinct=True)
    )
    kept = OutputImage.objects.filter(job_id=job_id, take=job.take).aggregate(
        pictures=Count("id"), images=Count("image_index", distinct=True)
    )
    control = QueueControl.objects.get(pk=QueueControl.SINGLETON_ID)
    waits = job.status == JobStatus.QUEUED and job.needs_id is not None
    lacking = why_held([job.needs_id]).get(job.needs_id) if waits and job.needs_id else None
    return Situation(
        now=now,
        job_id=job.pk,
        status=job.status,
        stages=tuple(stage["stage"] for stage in record["stage_chain"] if stage["enabled"]),
        kind=job.kind,
        node=job.node.name if job.node else "",
        node_id=job.node_id,
        retry_count=job.retry_count,
        ahead=_ahead(job) if job.status == JobStatus.QUEUED else 0,
        images=kept["images"],
        pictures=kept["pictures"],
        current_stage=job.current_stage,
        silent_s=silence_of(job),
        started_at=job.started_at,
        finished_at=job.finished_at,
        lease_until=job.lease_until,
        cancel_requested_by=job.cancel_requested_by,
        cancel_requested_at=job.cancel_requested_at,
        error=read_envelope(job.error) or None,
        needs_attention=job.needs_attention,
        reruns=_reruns(job),
        events=tuple(EventFacts(event.event_type, event.at, event.data) for event in events),
        requests=sent["requests"],
        runs=sent["runs"],
        pause=pause_of(control),
        nodes=all_facts(now),
        lacking=lacking,
        held=lacking is not None and job.needs_id in held_sets().get(job.kind, ()),
    )


def _ahead(job: Job) -> int:
    before = Q(priority__lt=job.priority) | Q(priority=job.priority, position__lt=job.position)
    before |= Q(priority=job.priority, position=job.position, id__lt=job.pk)
    return waiting().filter(before).count()


def _reruns(job: Job) -> tuple[RerunFacts, ...]:
    if job.status not in TERMINAL:
        return ()
    rows = job.reruns.order_by("-id").values_list("id", "queued_by", "status")
    return tuple(RerunFacts(*row) for row in rows[:MAX_RERUNS])


#: What of a node and its runner an account tells, as far as time alone does not change it.
OF_NODES = ("name", "kind", "card", "state", "state_reason", "wish", "wish_by", "wish_reason")
OF_RUNNERS = (
    "runner__draining",
    "runner__must_quiet",
    "runner__breaker_reason",
    "runner__progress__silent_s",
)


def situation_version(job_id: int) -> str | None:
    """Changes whenever the account may; None without such a job. One query where there is a node, else two.

    Every step of the job has a sequence number, every move, pause and request to cancel a version of the
    control row; nodes and runners change without either, and some of it by time alone.
    """
    job = Job.objects.filter(pk=job_id)
    control = Subquery(QueueControl.objects.values("version")[:1])
    rows = list(
        Node.objects.order_by("pk")
        .annotate(
            now=Now(),
            control=control,
            sequence=Subquery(job.values("last_sequence")),
            lease=Subquery(job.values("lease_until")),
        )
        .values_list(
            "now",
            "sequence",
            "control",
            "lease",
            "runner__heartbeat_at",
            "runner__breaker_until",
            *OF_NODES,
            *OF_RUNNERS,
        )
    )
    if not rows:
        alone = job.annotate(control=control).values_list("last_sequence", "control").first()
        return None if alone is None else f"{alone[0]}.{alone[1]}"
    if rows[0][1] is None:
        return None
    told = [(_times(row), row[6:]) for row in rows]
    return f"{rows[0][1]}.{rows[0][2]}.{hashlib.sha256(repr(told).encode()).hexdigest()[:12]}"


def _times(row: tuple[Any, ...]) -> tuple[bool, bool, datetime | None]:
    """What the passing of time changes: the claim has run out, the worker is silent, the breaker's next try."""
    now, lease, heartbeat, until = row[0], row[3], row[4], row[5]
    silent = heartbeat is None or now - heartbeat >= timedelta(seconds=HEARTBEAT_FRESH_S)
    waiting = until if until is not None and until > now else None
    return lease is not None and lease < now, silent, waiting

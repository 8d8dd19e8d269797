"""What changes while people watch: ledger, pause, running jobs, runners; and the version that polls ask for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import BigIntegerField, F, Func, IntegerField, QuerySet, Subquery
from django.db.models.functions import Now
from django.utils.text import capfirst

from jobs.clock import database_now
from jobs.lifecycle import JobStatus
from jobs.models import Job, QueueControl, Runner
from jobs.queue.hold_words import ABOUT_STATE, Hold, holds_of_queue, told_together
from jobs.queue.holds import (
    HEARTBEAT_FRESH_S,
    HoldCode,
    Occupant,
    Pause,
    facts_of,
    held_by,
    leftovers_of,
    pause_of,
    runner_of,
)
from jobs.reading.lists import JobLine, job_lines
from jobs.reading.outlook import AttentionCount, attention, time_left_s
from webui.kinds import WorkKind, server_noun
from webui.models import Node
from webui.words import ServerNoun, duration

#: What a node is busy with that works off the queue.
GOING_ON = frozenset({HoldCode.BUSY})


@dataclass(frozen=True, slots=True)
class LiveVersion:
    """Equal versions mean equal pages: moves and pauses, progress, and what time alone changes:

    how many runners are alive and how many open breakers wait for their next try.
    """

    control: int
    progress: int
    workers: int
    waiting_breakers: int

    def __str__(self) -> str:
        return f"{self.control}.{self.progress}.{self.workers}.{self.waiting_breakers}"

    @property
    def but_for_progress(self) -> tuple[int, int, int]:
        return self.control, self.workers, self.waiting_breakers

    @property
    def order(self) -> int:
        """Made of the parts that only grow, so an answer with a smaller one is a late one."""
        return self.control + self.progress


@dataclass(frozen=True, slots=True)
class Ledger:
    """submitted = queued + running + completed + failed + cancelled, at every moment."""

    submitted: int
    queued: int
    running: int
    completed: int
    failed: int
    cancelled: int


@dataclass(frozen=True, slots=True)
class QueueProgress:
    """How far the running job is; `stage_number` counts from 1, `fraction` (0-1) is of the whole job."""

    stage: str
    stage_number: int
    stage_total: int
    step: int | None
    steps: int | None
    fraction: float | None
    elapsed_s: float | None
    left_s: float | None
    preview: int | None
    """Grows with each new picture of the work in progress; None while there is none."""
    silent_s: float | None = None
    """How long the server had answered nothing when it was last asked; None where it answers."""
    phase: str = ""
    """What the server does, where that is no step."""
    waits_for: str = ""
    """What the run waits for while nothing is under way."""
    kind: str = WorkKind.IMAGE

    @property
    def server(self) -> ServerNoun:
        return server_noun(self.kind)

    @property
    def words(self) -> str:
        """`Encoding`, `Step 3 of 8`, `txt2img, stage 1 of 2 · step 3 of 20`: a film or an edit has one stage."""
        counts = f"step {self.step} of {self.steps}" if self.steps and not self.phase else ""
        doing = f"waiting for {self.waits_for}" if self.waits_for else self.phase or counts
        if self.kind != WorkKind.IMAGE:
            return capfirst(doing) or "Started"
        place = f"{self.stage}, stage {self.stage_number} of {self.stage_total}"
        return " · ".join(filter(None, (place, doing)))

    @property
    def percent(self) -> int | None:
        return None if self.fraction is None else round(self.fraction * 100)

    @property
    def line(self) -> str:
        """All of it in one line, for commands."""
        told = [self.words]
        told += [] if self.percent is None else [f"{self.percent} %"]
        told += [f"about {duration(self.left_s)} left"] if self.left_s else []
        return ", ".join(told)


@dataclass(frozen=True, slots=True)
class RunningJob:
    line: JobLine
    node_id: int
    node: str
    card: str
    progress: QueueProgress | None


@dataclass(frozen=True, slots=True)
class Live:
    """The part of the queue page that is asked for every second."""

    ledger: Ledger
    pause: Pause | None
    running: tuple[RunningJob, ...]
    holds: tuple[Hold, ...]
    """Without those of a node's state: the strip of nodes on the same page tells them."""
    attention: AttentionCount
    all_held: bool
    """Every job that waits needs what no node has."""
    estimate_s: float | None
    """Seconds until the queue is done, roughly; None where nothing can be said."""

    @property
    def busy(self) -> bool:
        """Something runs, or may start at any moment: pages look every second."""
        return bool(self.ledger.running or (self.ledger.queued and not self.pause))

    @property
    def mood(self) -> str:
        """Which icon the tab shows: `warning`, `busy` or `calm`."""
        if self.attention or any(hold.code != HoldCode.PAUSED for hold in self.holds):
            return "warning"
        return "busy" if self.ledger.running else "calm"

    @property
    def tab_title(self) -> str:
        """With the number of jobs that are not done."""
        waiting = self.ledger.queued + self.ledger.running
        return f"({waiting}) StableNew" if waiting else "StableNew"

    @property
    def spoken(self) -> str:
        """What a screen reader is told when it changes."""
        said = [] if self.pause else ["The queue is not paused."]
        said += [hold.text for hold in self.holds]
        if self.attention:
            said.append(
                f"{self.attention} {'failure needs' if self.attention.count == 1 else 'failures need'} attention."
            )
        return " ".join(said)

    @property
    def failures_version(self) -> str:
        """Changes when another job fails, and when somebody deals with a failure."""
        return f"{self.attention.count}.{self.ledger.failed}"


def _count(runners: QuerySet[Runner]) -> Subquery:
    return Subquery(
        runners.order_by().values(total=Func(F("id"), function="COUNT", output_field=IntegerField()))
    )


# Composed once: putting such a query together takes longer than running it, and many people ask every second.
_CONTROL = QueueControl.objects.filter(pk=QueueControl.SINGLETON_ID)
_VERSION = _CONTROL.annotate(
    progress=Subquery(
        # A plain function, because an aggregate would bring a GROUP BY.
        Runner.objects.order_by().values(
            total=Func(F("progress_version"), function="SUM", output_field=BigIntegerField())
        )
    ),
    workers=_count(Runner.objects.filter(heartbeat_at__gt=Now() - timedelta(seconds=HEARTBEAT_FRESH_S))),
    waiting_breakers=_count(Runner.objects.filter(breaker_until__gt=Now())),
).values_list("version", "progress", "workers", "waiting_breakers")
_NODES = Node.objects.select_related("runner")
_RUNNING = (
    Job.objects.filter(status=JobStatus.RUNNING)
    .select_related("record", "node__runner")
    .order_by("node__name")
)


def live_version() -> LiveVersion:
    """One query, whatever the size of the queue."""
    control, progress, workers, waiting = _VERSION.get()
    return LiveVersion(control, int(progress or 0), workers or 0, waiting or 0)


def live() -> Live:
    """A handful of queries, whatever the size of the queue."""
    control = _CONTROL.get()
    now = database_now()
    running = running_jobs() if control.running else ()
    known = list(_NODES.all())
    occupied = leftovers_of(known)
    occupied |= {run.node_id: Occupant(run.line.id, run.node, run.card) for run in running}
    nodes = [facts_of(node, runner_of(node), now=now, running=occupied) for node in known]
    pause = pause_of(control)
    holds = holds_of_queue(pause, nodes, now, queued=control.queued)
    held = sum(hold.jobs for hold in holds)
    silent = any(run.progress is not None and run.progress.silent_s is not None for run in running)
    working = [node for node in nodes if set(held_by(node, lambda: now)) <= GOING_ON]
    return Live(
        ledger=ledger_of(control),
        pause=pause,
        running=running,
        holds=told_together((hold for hold in holds if hold.code not in ABOUT_STATE), nodes),
        attention=attention(),
        all_held=0 < control.queued <= held,
        estimate_s=None if pause or silent else time_left_s(control.queued - held, len(working)),
    )


def ledger_of(control: QueueControl) -> Ledger:
    return Ledger(
        submitted=control.submitted,
        queued=control.queued,
        running=control.running,
        completed=control.completed,
        failed=control.failed,
        cancelled=control.cancelled,
    )


def running_jobs() -> tuple[RunningJob, ...]:
    jobs = list(_RUNNING.all())
    return tuple(
        RunningJob(
            line, job.node_id or 0, job.node.name if job.node else "", job.card, progress_of(job, line)
        )
        for job, line in zip(jobs, job_lines(jobs), strict=True)
    )


def progress_of(job: Job, line: JobLine) -> QueueProgress | None:
    """What the runner last wrote about this very job (`node__runner` loaded); None before its first look."""
    runner: Runner | None = getattr(job.node, "runner", None)
    told: dict[str, Any] = (runner.progress if runner else None) or {}
    if told.get("job_id") != job.pk:
        return None
    done, total = int(told["stage_index"]), max(1, int(told["stage_total"]))
    within: float | None = told.get("progress")
    pictures = max(1, line.summary.estimated_image_count)
    if within is not None and told.get("image_index") is not None:
        within = (int(told["image_index"]) + within) / pictures
    return QueueProgress(
        stage=str(told["stage"]),
        stage_number=done + 1,
        stage_total=total,
        step=told.get("step"),
        steps=told.get("steps"),
        fraction=None if within is None else min(1.0, (done + min(within, 1.0)) / total),
        elapsed_s=told.get("elapsed_s"),
        left_s=told.get("eta_s"),
        preview=told.get("preview"),
        silent_s=told.get("silent_s"),
        phase=str(told.get("phase") or ""),
        waits_for=str(told.get("waiting") or ""),
        kind=job.kind,
    )


def silence_of(job: Job) -> float | None:
    """How long the WebUI that runs this job (`node__runner` loaded) has answered nothing; None where it answers."""
    runner: Runner | None = getattr(job.node, "runner", None)
    told: dict[str, Any] = (runner.progress if runner else None) or {}
    return told.get("silent_s") if told.get("job_id") == job.pk and job.status == JobStatus.RUNNING else None

"""Put records into the queue as jobs; the one place where job rows are made. Runs in the caller's transaction."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django.utils import timezone

from jobs.lifecycle import EventType, JobStatus, Priority
from jobs.models import Job, JobRecord, LifecycleEvent
from jobs.queue.moves import count_move, event_data
from jobs.queue.positions import front_of, reserve_back
from jobs.records.stage_config import STAGES, WORKER_STAGES
from webui.kinds import WorkKind

#: Rows per INSERT: SQLite takes 32,766 values in one statement, the widest row here has 16.
INSERT_ROWS = 2000
#: The kind of node that a chain needs which begins with this stage.
KIND_OF_STAGE = dict.fromkeys(STAGES, WorkKind.IMAGE) | {stage: WorkKind(stage) for stage in WORKER_STAGES}


@contextmanager
def collector_paused() -> Iterator[None]:
    """No garbage collection meanwhile: over 100,000 new rows that all live, it costs a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def insert_jobs(
    records: Sequence[JobRecord],
    facts: Sequence[Mapping[str, Any]],
    *,
    priority: Priority,
    run_now: bool,
    by: str,
    data: Mapping[str, Any],
    rerun_of: Sequence[int] | None = None,
    needs: Sequence[int | None] | None = None,
    truth_policies: Sequence[str] | None = None,
) -> list[Job]:
    """One queued job per record, in order, with its first two events, counted in the ledger.

    `facts` come from `facts_of`; `by` is who asked; `data` are further facts of the events; `rerun_of` names
    the job that each one repeats; `needs` are their sets of needs, None for what nobody looks at; `truth_policies` are
    those of the submissions that ask for one of their own.
    """
    now = timezone.now()
    nothing: Sequence[int | None] = [None] * len(records)
    originals = nothing if rerun_of is None else rerun_of
    sets = nothing if needs is None else needs
    policies = [""] * len(records) if truth_policies is None else truth_policies
    first = front_of(priority, len(records)) if run_now else reserve_back(len(records))
    jobs = Job.objects.bulk_create(
        (
            Job(
                record_id=record.pk,
                rerun_of_id=original,
                needs_id=needed,
                priority=priority,
                position=first + offset,
                pack_name=record.pack_name,
                checkpoint=record.checkpoint,
                kind=kind_of(fact["stage_chain_labels"]),
                queued_by=by[:150],
                truth_policy=policy,
                submitted_at=now,
                last_sequence=2,
            )
            for offset, (record, fact, original, needed, policy) in enumerate(
                zip(records, facts, originals, sets, policies, strict=True)
            )
        ),
        batch_size=INSERT_ROWS,
    )
    LifecycleEvent.objects.bulk_create(
        (
            LifecycleEvent(
                job_id=job.pk,
                sequence=sequence,
                event_type=event,
                to_status=to_status,
                at=now,
                data=event_data({**fact, "job_id": job.pk}, event, _origin(job, data)),
            )
            for job, fact in zip(jobs, facts, strict=True)
            for sequence, event, to_status in (
                (1, EventType.SUBMITTED, ""),
                (2, EventType.QUEUED, JobStatus.QUEUED),
            )
        ),
        batch_size=INSERT_ROWS,
    )
    count_move(None, JobStatus.QUEUED, len(jobs))
    return jobs


def kind_of(stages: Sequence[str]) -> WorkKind:
    """What a chain asks for, by its first enabled stage: the later ones change what that one has made."""
    return KIND_OF_STAGE[stages[0]]


def _origin(job: Job, data: Mapping[str, Any]) -> Mapping[str, Any]:
    return data if job.rerun_of_id is None else {**data, "rerun_of": job.rerun_of_id}

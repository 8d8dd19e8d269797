"""The one function that moves a job: table, compare-and-swap, event, ledger, in one transaction.

Lock order in every transaction: BulkAction, then Job (several always by id), then Node or Runner, then QueueControl.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet

from jobs.clock import database_now
from jobs.errors import FencedError, IllegalTransitionError, NotFoundError
from jobs.lifecycle import TERMINAL, TRANSITIONS, EventType, JobStatus
from jobs.models import HistoryEntry, Job, LifecycleEvent, OutputImage, QueueControl
from jobs.queue.summary import facts_of
from jobs.queue.wakeup import kick_card

logger = logging.getLogger(__name__)

# Composed once: putting a query together takes longer than running it.
_CONTROL = QueueControl.objects.filter(pk=QueueControl.SINGLETON_ID)


def move_job(
    job_id: int,
    to: JobStatus,
    *,
    event: EventType,
    run_token: uuid.UUID | None = None,
    changes: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
) -> Job:
    """Move one job and commit.

    `run_token` fences: given, the job must still carry it. `changes` are further columns of the job,
    `data` further facts of the event. Raises `IllegalTransitionError` (after committing an
    ILLEGAL_TRANSITION event), `FencedError`, `NotFoundError`.
    """
    try:
        # durable: the refusal below must outlive the failed transaction, so none may stand around it.
        with transaction.atomic(durable=True):
            return move_in_transaction(
                job_id, to, event=event, run_token=run_token, changes=changes, data=data
            )
    except IllegalTransitionError as exc:
        _record_refusal(exc)
        raise


def move_in_transaction(
    job_id: int,
    to: JobStatus,
    *,
    event: EventType,
    run_token: uuid.UUID | None = None,
    changes: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
) -> Job:
    """As `move_job`, inside the caller's transaction and without keeping a refusal as an event."""
    return move_locked(lock_job(job_id, run_token), to, event=event, changes=changes, data=data)


def move_locked(
    job: Job,
    to: JobStatus,
    *,
    event: EventType,
    changes: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    preceding: tuple[EventType, Mapping[str, Any]] | None = None,
) -> Job:
    """As `move_in_transaction`, for a job that is known; `FencedError` if its row has changed meanwhile.

    `preceding` is an event of the job that goes before, written with the move.
    """
    before = JobStatus(job.status)
    if to not in TRANSITIONS[before]:
        raise IllegalTransitionError(job.pk, before, to)
    now = database_now()
    events = []
    sequence = job.last_sequence + 1
    if preceding is not None:
        events.append(_event(job, preceding[0], sequence, data=preceding[1]))
        sequence += 1
    columns: dict[str, Any] = {"status": to, "last_sequence": sequence, **(changes or {})}
    if before is JobStatus.RUNNING:
        columns |= {"owner": "", "run_token": None, "lease_until": None, "current_stage": ""}
    if to in TERMINAL:
        columns |= {"finished_at": now, "needs_attention": to is JobStatus.FAILED}
    unchanged = Job.objects.filter(
        pk=job.pk, status=before, run_token=job.run_token, last_sequence=job.last_sequence
    )
    if not unchanged.update(**columns):
        raise FencedError(job.pk)
    for name, value in columns.items():
        setattr(job, name, value)
    events.append(_event(job, event, sequence, from_status=before, to_status=to, data=data))
    LifecycleEvent.objects.bulk_create(events)
    if to in TERMINAL:
        _write_history(job)
    if before is JobStatus.RUNNING and job.card:
        transaction.on_commit(partial(kick_card, job), robust=True)
    count_move(before, to)
    return job


def fence(job_id: int, run_token: uuid.UUID, **known: Any) -> QuerySet[Job]:
    """The job's row while that run owns it: the one condition of whatever a run writes. No row: it was taken over."""
    return Job.objects.filter(pk=job_id, run_token=run_token, status=JobStatus.RUNNING, **known)


def lock_job(job_id: int, run_token: uuid.UUID | None) -> Job:
    """The job's row, locked until the transaction ends; `FencedError` if that run no longer owns it."""
    rows = Job.objects.filter(pk=job_id) if run_token is None else fence(job_id, run_token)
    job = rows.select_related("record").select_for_update(of=("self",)).first()
    if job is None and run_token is not None:
        raise FencedError(job_id)
    if job is None:
        raise NotFoundError(f"There is no job {job_id}.")
    return job


def add_event(
    job: Job,
    event: EventType,
    *,
    from_status: str = "",
    to_status: str = "",
    data: Mapping[str, Any] | None = None,
) -> LifecycleEvent:
    """Append the event with the sequence number that the caller has just given to the locked job."""
    row = _event(job, event, job.last_sequence, from_status=from_status, to_status=to_status, data=data)
    row.save()
    return row


def _event(
    job: Job,
    event: EventType,
    sequence: int,
    *,
    from_status: str = "",
    to_status: str = "",
    data: Mapping[str, Any] | None = None,
) -> LifecycleEvent:
    return LifecycleEvent(
        job_id=job.pk,
        sequence=sequence,
        event_type=event,
        from_status=from_status,
        to_status=to_status,
        data=event_data({**facts_of(job.record.canonical_json), "job_id": job.pk}, event, data),
    )


def event_data(
    facts: Mapping[str, Any], event: EventType, data: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What every event carries: its type, its job, the summary's fields, and its own facts."""
    return {"event_type": str(event), **facts, **(data or {})}


def count_move(before: JobStatus | None, after: JobStatus, count: int = 1) -> None:
    """Keep the ledger and wake the pages; `before` None counts a submission."""
    counters: dict[str, Any] = {
        "version": F("version") + 1,
        after.lower(): F(after.lower()) + count,
    }
    if before is None:
        counters["submitted"] = F("submitted") + count
    else:
        counters[before.lower()] = F(before.lower()) - count
    _CONTROL.update(**counters)


def move_many(
    jobs: Sequence[Job], to: JobStatus, *, event: EventType, data: Mapping[str, Any] | None = None
) -> None:
    """As `move_locked`, for many jobs of one status whose rows the caller has locked, in a few statements.

    Only to an end: other moves give each job columns of its own.
    """
    before = JobStatus(jobs[0].status)
    if to not in TRANSITIONS[before] or to not in TERMINAL:
        raise IllegalTransitionError(jobs[0].pk, before, to)
    columns: dict[str, Any] = {
        "status": to,
        "finished_at": database_now(),
        "needs_attention": to is JobStatus.FAILED,
    }
    changed = Job.objects.filter(pk__in=[job.pk for job in jobs], status=before).update(
        **columns, last_sequence=F("last_sequence") + 1
    )
    if changed != len(jobs):
        raise FencedError(jobs[0].pk)
    for job in jobs:
        for name, value in columns.items():
            setattr(job, name, value)
    append_events(jobs, event, from_status=before, to_status=to, data=data)
    paths: dict[int, list[str]] = {}
    kept = OutputImage.objects.filter(job_id__in=[job.pk for job in jobs], take=F("job__take"))
    for job_id, path in kept.values_list("job_id", "path"):
        paths.setdefault(job_id, []).append(path)
    HistoryEntry.objects.bulk_create(_history_entry(job, paths.get(job.pk, [])) for job in jobs)
    count_move(before, to, len(jobs))


def append_events(
    jobs: Sequence[Job],
    event: EventType,
    *,
    from_status: str = "",
    to_status: str = "",
    data: Mapping[str, Any] | None = None,
) -> None:
    """One event for each of these locked jobs, whose `last_sequence` the caller has raised by one in the database."""
    for job in jobs:
        job.last_sequence += 1
    LifecycleEvent.objects.bulk_create(
        _event(job, event, job.last_sequence, from_status=from_status, to_status=to_status, data=data)
        for job in jobs
    )


def _write_history(job: Job) -> None:
    _history_entry(job, [output.path for output in job.results]).save()


def _history_entry(job: Job, output_paths: list[str]) -> HistoryEntry:
    assert job.finished_at is not None
    return HistoryEntry(
        job=job,
        record_id=job.record_id,
        record_sha256=job.record.sha256,
        status=job.status,
        submitted_at=job.submitted_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        output_paths=output_paths,
        error_message=(job.error or {}).get("message", ""),
        retry_count=job.retry_count,
    )


def note(
    job_id: int,
    event: EventType,
    *,
    from_status: str = "",
    to_status: str = "",
    data: Mapping[str, Any] | None = None,
) -> None:
    """An event of any job that moves nothing; committed. Raises `NotFoundError`."""
    with transaction.atomic(durable=True):
        job = lock_job(job_id, None)
        job.last_sequence += 1
        Job.objects.filter(pk=job.pk).update(last_sequence=job.last_sequence)
        add_event(job, event, from_status=from_status, to_status=to_status, data=data)


def _record_refusal(refusal: IllegalTransitionError) -> None:
    note(
        refusal.job_id,
        EventType.ILLEGAL_TRANSITION,
        from_status=refusal.from_status,
        to_status=refusal.to_status,
        data={"reason": str(refusal)},
    )
    logger.warning("%s", refusal, extra={"event": "job.illegal_transition", "job_id": refusal.job_id})

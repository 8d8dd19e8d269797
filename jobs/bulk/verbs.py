"""What each verb of an act on many jobs does to one chunk of them, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never

from django.db.models import F, QuerySet

from jobs.lifecycle import TERMINAL, EventType, JobStatus
from jobs.models import BulkAction, BulkVerb, Job
from jobs.queue.held_jobs import held, run_anyway
from jobs.queue.moves import append_events, move_many
from jobs.queue.reorder import reorder
from jobs.submitting.reruns import queue_again

#: The others are for jobs that have ended.
QUEUED_VERBS = frozenset({BulkVerb.CANCEL, BulkVerb.FRONT, BulkVerb.BACK, BulkVerb.PRIORITY, BulkVerb.ANYWAY})


def fitting(verb: BulkVerb, jobs: QuerySet[Job]) -> QuerySet[Job]:
    """Those jobs that the verb can do something to."""
    if verb == BulkVerb.ANYWAY:
        return jobs.filter(held())
    if verb in QUEUED_VERBS:
        return jobs.filter(status=JobStatus.QUEUED)
    if verb == BulkVerb.DISMISS:
        return jobs.filter(needs_attention=True)
    return jobs.filter(status__in=sorted(TERMINAL))


def do_chunk(action: BulkAction, jobs: Sequence[Job]) -> int:
    """Do the act's verb to these jobs, in this order; how many still fitted. The act's row is locked."""
    if not jobs:
        return 0
    verb = BulkVerb(action.verb)
    locked = _lock(verb, jobs, action.bounds["last_id"])
    if not locked:
        return 0
    by: dict[str, Any] = {"by": action.asked_by, "bulk": action.pk}
    match verb:
        case BulkVerb.CANCEL:
            data = {**by, "reason": action.bounds.get("reason", "before it ran")}
            move_many(locked, JobStatus.CANCELLED, event=EventType.CANCELLED, data=data)
        case BulkVerb.FRONT | BulkVerb.BACK | BulkVerb.PRIORITY:
            reorder(action, locked)
        case BulkVerb.RETRY:
            queue_again(locked, by=action.asked_by, data=by)
        case BulkVerb.ANYWAY:
            run_anyway(locked, data=by)
        case BulkVerb.DISMISS:
            Job.objects.filter(pk__in=[job.pk for job in locked]).update(
                needs_attention=False, last_sequence=F("last_sequence") + 1
            )
            append_events(locked, EventType.DISMISSED, data=by)
        case _:
            assert_never(verb)
    return len(locked)


def _lock(verb: BulkVerb, jobs: Sequence[Job], last_id: int) -> list[Job]:
    """Those that still fit, as they are now, in the given order.

    All rows of the chunk, always by id: so two acts, or an act and a claim, never wait for each other in a ring.
    """
    rows = fitting(verb, Job.objects.filter(pk__in=[job.pk for job in jobs]))
    now = {job.pk: job for job in rows.select_for_update().order_by("id")}
    if verb == BulkVerb.RETRY:
        # Only with the rows locked: a form that is sent twice, even at once, runs nothing twice.
        again = Job.objects.filter(rerun_of__in=list(now), pk__gt=last_id)
        repeated = set(again.values_list("rerun_of", flat=True))
        now = {pk: job for pk, job in now.items() if pk not in repeated}
    for job in jobs:
        if job.pk in now:
            # A record never changes: the one that was read before the lock will do.
            now[job.pk].record = job.record
    return [now[job.pk] for job in jobs if job.pk in now]

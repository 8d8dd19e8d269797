"""What an admin does about failures: run again, cancel, dismiss. Only the services behind the pages change anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from django.db.models import Max

from jobs.bulk import acts
from jobs.lifecycle import JobStatus
from jobs.models import BulkAction, BulkVerb, Job
from jobs.queue import control
from jobs.queue.control import CancelResult

#: As many as the list lists; more at once are chosen by cause, on the page of failures.
MAX_CHOSEN = 1_000


class Act(StrEnum):
    RUN_AGAIN = "run-again"
    CANCEL = "cancel"
    DISMISS = "dismiss"

    @property
    def verb(self) -> BulkVerb:
        return VERBS[self]


VERBS = {Act.RUN_AGAIN: BulkVerb.RETRY, Act.CANCEL: BulkVerb.CANCEL, Act.DISMISS: BulkVerb.DISMISS}


@dataclass(frozen=True, slots=True)
class ChosenFailures:
    """Jobs that somebody chose for an act, and those of them that it applies to now.

    `newest_id` is the newest job at that moment: what has been run again since has a later one.
    """

    act: Act
    job_ids: tuple[int, ...]
    applies: tuple[int, ...]
    newest_id: int

    @property
    def others(self) -> int:
        return len(self.job_ids) - len(self.applies)


@dataclass(frozen=True, slots=True)
class Done:
    """`bulk` is the act on many jobs, which goes on where it is not ended; None where none was needed.

    `made` are the new jobs of a rerun; `asked` are running jobs that end with the answer to their interrupted request.
    """

    count: int
    left_alone: int
    bulk: BulkAction | None = None
    made: tuple[int, ...] = ()
    asked: tuple[int, ...] = ()


def acts_on(job: Job) -> tuple[Act, ...]:
    """What applies to one job now."""
    if job.status in (JobStatus.QUEUED, JobStatus.RUNNING):
        return () if job.cancel_requested_at else (Act.CANCEL,)
    return (Act.RUN_AGAIN, Act.DISMISS) if job.needs_attention else (Act.RUN_AGAIN,)


def choose(act: Act, job_ids: Iterable[int]) -> ChosenFailures:
    """What of these jobs the act applies to now, at most `MAX_CHOSEN` of them."""
    ids = tuple(dict.fromkeys(job_ids))[:MAX_CHOSEN]
    jobs = Job.objects.filter(pk__in=ids)
    if act is Act.CANCEL:
        jobs = jobs.filter(status__in=(JobStatus.QUEUED, JobStatus.RUNNING), cancel_requested_at=None)
    elif act is Act.DISMISS:
        jobs = jobs.filter(needs_attention=True)
    else:
        jobs = jobs.filter(finished_at__isnull=False)
    applies = set(jobs.values_list("pk", flat=True))
    newest = Job.objects.aggregate(newest=Max("id"))["newest"] or 0
    return ChosenFailures(act, ids, tuple(job_id for job_id in ids if job_id in applies), newest)


def perform(choice: ChosenFailures, *, by: str) -> Done:
    """Do it to the jobs that it applies to: at once up to a chunk, else the first chunk; `Done.bulk` then goes on.

    A job that was run again since `newest_id` is not run again once more: the form was sent twice.
    """
    ids = choice.applies
    if choice.act is Act.CANCEL:
        return _cancel(ids, by)
    if choice.act is Act.RUN_AGAIN:
        again = Job.objects.filter(rerun_of__in=ids, pk__gt=choice.newest_id)
        repeated = set(again.values_list("rerun_of", flat=True))
        ids = tuple(job_id for job_id in ids if job_id not in repeated)
    return _bulk(choice.act, ids, by, left_alone=len(choice.job_ids) - len(ids))


def _bulk(act: Act, ids: Sequence[int], by: str, *, left_alone: int) -> Done:
    if not ids:
        return Done(0, left_alone)
    newest = Job.objects.aggregate(newest=Max("id"))["newest"] or 0
    action = acts.advance(acts.start(act.verb, ids, by=by).pk)
    made: tuple[int, ...] = ()
    if act is Act.RUN_AGAIN:
        rows = Job.objects.filter(rerun_of__in=ids, pk__gt=newest).order_by("id")
        made = tuple(rows.values_list("pk", flat=True))
    return Done(action.done, left_alone + action.skipped, action, made)


def _cancel(ids: Sequence[int], by: str) -> Done:
    """Running jobs one by one, for there is one on each node at most; the others in bulk."""
    running = list(Job.objects.filter(pk__in=ids, status=JobStatus.RUNNING).values_list("pk", flat=True))
    results = {job_id: control.cancel(job_id, by=by).result for job_id in running}
    asked = tuple(job_id for job_id, result in results.items() if result is CancelResult.REQUESTED)
    done = _bulk(Act.CANCEL, [job_id for job_id in ids if job_id not in asked], by, left_alone=0)
    return replace(done, count=done.count + len(asked), asked=asked)

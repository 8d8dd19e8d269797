"""Run finished jobs again: new jobs from the very same records, so that hashes and pictures can be compared."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

from jobs.errors import RecordProblem, RefusedError
from jobs.lifecycle import TERMINAL, JobStatus, Priority
from jobs.models import Job
from jobs.queue.enqueue import insert_jobs
from jobs.queue.fitness import renew_lacks
from jobs.queue.summary import facts_of
from jobs.queue.wakeup import kick_all
from jobs.submitting.refusals import too_many

logger = logging.getLogger(__name__)


def rerun(job_ids: Sequence[int], *, by: str, run_now: bool = False) -> list[int]:
    """Queue the records of these finished jobs again, in the order given; the new job ids.

    All or nothing: `RefusedError` names every job that does not exist or has not finished. A new job keeps
    the priority of the one that it repeats.
    """
    wanted = list(dict.fromkeys(job_ids))
    found = Job.objects.select_related("record").in_bulk(wanted)
    problems = [*too_many(len(wanted)), *(problem for i in wanted for problem in _problems(i, found.get(i)))]
    if not wanted:
        problems = [RecordProblem(code="nothing", message="There is no job to run again.")]
    if problems:
        raise RefusedError(problems)
    originals = [found[job_id] for job_id in wanted]
    with transaction.atomic(durable=True):
        # The rows first, by id, as every transaction on many jobs: the new jobs refer to them.
        list(Job.objects.filter(pk__in=wanted).order_by("id").select_for_update().values_list("id"))
        made = queue_again(originals, by=by, data={"by": by}, run_now=run_now)
    kick_all()
    logger.info("%s runs %s jobs again.", by, len(made), extra={"event": "jobs.rerun", "by": by})
    return [made[job_id] for job_id in wanted]


def queue_again(
    originals: Sequence[Job], *, by: str, data: Mapping[str, Any], run_now: bool = False
) -> dict[int, int]:
    """Queue the records of these finished jobs in the caller's transaction; the new job's id by the old one's.

    The caller has locked the rows. `data` are further facts of the new jobs' first events.
    """
    made: dict[int, int] = {}
    for priority in Priority:
        group = [job for job in originals if job.priority == priority]
        if not group:
            continue
        jobs = insert_jobs(
            [job.record for job in group],
            [facts_of(job.record.canonical_json) for job in group],
            priority=priority,
            run_now=run_now,
            by=by,
            data=data,
            rerun_of=[job.pk for job in group],
            needs=[job.needs_id for job in group],
            truth_policies=[job.truth_policy for job in group],
        )
        renew_lacks({job.needs_id for job in group if job.needs_id is not None})
        made |= {old.pk: new.pk for old, new in zip(group, jobs, strict=True)}
    Job.objects.filter(pk__in=list(made), needs_attention=True).update(needs_attention=False)
    return made


def finished_jobs(*, status: str = "", pack: str = "") -> list[int]:
    """Ids of finished jobs with this status and of this pack, oldest first."""
    jobs = Job.objects.filter(status__in=[status] if status else sorted(TERMINAL))
    if pack:
        jobs = jobs.filter(pack_name=pack)
    return list(jobs.order_by("id").values_list("id", flat=True))


def _problems(job_id: int, job: Job | None) -> list[RecordProblem]:
    if job is None:
        return [RecordProblem(code="not_found", message=f"There is no job {job_id}.")]
    if JobStatus(job.status) not in TERMINAL:
        message = f"Job {job_id} is {job.status}; only finished jobs can be run again."
        return [RecordProblem(code="not_finished", message=message)]
    return []

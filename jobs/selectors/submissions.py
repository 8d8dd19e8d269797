"""One submission as its page shows it: how its jobs stand now, the jobs themselves, their newest pictures.

A rerun belongs to no submission.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Max, Min, QuerySet, Sum

from jobs.lifecycle import TERMINAL, JobStatus
from jobs.models import Job, JobRecord, QueueControl, Submission
from jobs.selectors.lists import JobLine, Thumb, job_lines

#: Jobs on one page, and pictures in the strip.
JOBS_SHOWN = 25
PICTURES_SHOWN = 12
_FAR = 2**62


@dataclass(frozen=True, slots=True)
class Standing:
    status: JobStatus
    jobs: int


@dataclass(frozen=True, slots=True)
class PictureLine:
    """The last picture of a job that ended."""

    job_id: int
    thumb: Thumb


@dataclass(frozen=True, slots=True)
class SubmissionFacts:
    """What was asked for; it never changes. `packs` are names with revisions' numbers and ids of the packs."""

    id: int
    created_at: datetime
    submitted_by: str
    job_count: int
    image_count: int
    build_seed: int
    packs: tuple[tuple[int, str, int], ...]
    first_job: int | None
    last_job: int | None
    asked: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SubmissionProgress:
    """How its jobs stand at `version` of the queue. `images` are pictures of completed jobs."""

    version: int
    standing: tuple[Standing, ...]
    total: int
    ended: int
    images: int
    pictures: tuple[PictureLine, ...]

    @property
    def is_over(self) -> bool:
        return self.ended >= self.total

    @property
    def queued(self) -> int:
        return next((line.jobs for line in self.standing if line.status is JobStatus.QUEUED), 0)

    @property
    def percent(self) -> int:
        return 100 * self.ended // self.total if self.total else 100


@dataclass(frozen=True, slots=True)
class SubmissionJobs:
    """Some of its jobs in order; `after` is the id to go on from, 0 on the last page."""

    lines: tuple[JobLine, ...]
    after: int


def submission_facts(submission_id: int) -> SubmissionFacts | None:
    """None when there is no such submission."""
    made = Submission.objects.select_related("submitted_by").filter(pk=submission_id).first()
    if made is None:
        return None
    jobs = _jobs_of(made.pk).aggregate(first=Min("id"), last=Max("id"))
    packs = made.revisions.order_by("pack__name").values_list("pack_id", "pack__name", "number")
    return SubmissionFacts(
        id=made.pk,
        created_at=made.created_at,
        submitted_by=made.submitted_by.get_username() if made.submitted_by else "",
        job_count=made.job_count,
        image_count=made.image_count,
        build_seed=made.build_seed,
        packs=tuple(packs),
        first_job=jobs["first"],
        last_job=jobs["last"],
        asked=_asked(made.options[0]["options"]) if made.options else (),
    )


def queue_version() -> int:
    """The number that every change of the queue raises; one query."""
    return QueueControl.objects.values_list("version", flat=True).first() or 0


def submission_progress(submission_id: int) -> SubmissionProgress:
    version = queue_version()
    grouped = (
        _jobs_of(submission_id)
        .values_list("status")
        .annotate(jobs=Count("id"), images=Sum("record__image_count"))
        .order_by()
    )
    rows = {JobStatus(status): (jobs, images) for status, jobs, images in grouped}
    return SubmissionProgress(
        version=version,
        standing=tuple(Standing(status, rows[status][0]) for status in JobStatus if status in rows),
        total=sum(jobs for jobs, _ in rows.values()),
        ended=sum(jobs for status, (jobs, _) in rows.items() if status in TERMINAL),
        images=rows.get(JobStatus.COMPLETED, (0, 0))[1],
        pictures=_pictures(submission_id) if JobStatus.COMPLETED in rows else (),
    )


def submission_jobs(submission_id: int, status: str = "", after: int = 0) -> SubmissionJobs:
    """Its jobs in the order in which they were submitted; `status` "" takes all."""
    jobs = _jobs_of(submission_id).filter(id__gt=min(after, _FAR)).order_by("id")
    if status:
        jobs = jobs.filter(status=status)
    found = list(jobs.select_related("record")[: JOBS_SHOWN + 1])
    shown = found[:JOBS_SHOWN]
    return SubmissionJobs(job_lines(shown, with_thumbs=True), shown[-1].pk if len(found) > JOBS_SHOWN else 0)


def queued_ids(submission_id: int) -> list[int]:
    """Its jobs that wait, in order."""
    waiting = _jobs_of(submission_id).filter(status=JobStatus.QUEUED).order_by("id")
    return list(waiting.values_list("id", flat=True))


def _jobs_of(submission_id: int) -> QuerySet[Job]:
    # Records first, by their index: a join would be left to a planner that may begin with the jobs.
    records = JobRecord.objects.filter(submission=submission_id).values("pk")
    return Job.objects.filter(record__in=records, rerun_of=None)


def _pictures(submission_id: int) -> tuple[PictureLine, ...]:
    done = _jobs_of(submission_id).filter(status=JobStatus.COMPLETED).order_by("-finished_at", "-id")
    lines = job_lines(done.select_related("record")[:PICTURES_SHOWN], with_thumbs=True)
    return tuple(PictureLine(line.id, line.thumb) for line in lines if line.thumb is not None)


def _asked(options: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The options that somebody set, in words."""
    found = []
    if options.get("rows") is not None:
        found.append(("rows", ", ".join(str(row + 1) for row in options["rows"][:50])))
    found += [("setting", f"{path}={value}") for path, value in options.get("overrides", {}).items()]
    for name in ("matrix", "sweeps"):
        label = "sweep" if name == "sweeps" else name
        found += [
            (label, f"{key}={', '.join(map(str, values))}") for key, values in options.get(name, {}).items()
        ]
    if options.get("preset"):
        found.append(("preset", "settings of another pack stand under its own"))
    if options.get("repeat", 1) > 1:
        found.append(("repeat", str(options["repeat"])))
    if options.get("limit"):
        found.append(("limit", f"at most {options['limit']:,} records"))
    return tuple(found[:40])

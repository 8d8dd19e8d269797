"""One submission as its page shows it: how its jobs stand now, the jobs themselves, their pictures.

A rerun belongs to no submission.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Min, QuerySet, Sum, Value
from django.db.models.functions import Coalesce

from jobs.errors import NotFoundError
from jobs.lifecycle import TERMINAL, JobStatus
from jobs.models import Job, JobRecord, QueueControl, Submission
from jobs.reading.lists import JobLine, Thumb, job_lines
from webui.kinds import WorkKind, count_results

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
    """The last picture of a completed job."""

    job_id: int
    thumb: Thumb


ANYWAY = (("anyway", "runs whatever nodes lack; nothing is held for it"),)


@dataclass(frozen=True, slots=True)
class SubmissionFacts:
    """What was asked for; it never changes. `packs` are id of the pack, name and number of the revision.

    `ends` are the first job and, where there are more, the last.
    """

    id: int
    created_at: datetime
    submitted_by: str
    job_count: int
    results: str
    """What they make, in words."""
    build_seed: int
    packs: tuple[tuple[int, str, int], ...]
    ends: tuple[int, ...]
    asked: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SubmissionProgress:
    """How its jobs stand at `version` of the queue. `results` says in words what completed jobs made."""

    version: int
    standing: tuple[Standing, ...]
    total: int
    ended: int
    results: str
    pictures: tuple[PictureLine, ...]
    has_pictures: bool
    """Whether films and edits can be made of what it made."""

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


def submission_facts(submission_id: int) -> SubmissionFacts:
    made = _submission(submission_id)
    packs = made.revisions.order_by("pack__name").values_list("pack_id", "pack__name", "number")
    return SubmissionFacts(
        id=made.pk,
        created_at=made.created_at,
        submitted_by=made.submitted_by.get_username() if made.submitted_by else "",
        job_count=made.job_count,
        results=submission_results(made),
        build_seed=made.build_seed,
        packs=tuple(packs),
        ends=_ends(made.pk),
        asked=(_asked(made.options[0]["options"]) if made.options else ())
        + (ANYWAY if made.runs_anyway else ()),
    )


def submission_results(made: Submission) -> str:
    """What it was to make: `3 pictures`, `1 film`."""
    return count_results(_asked_for(made))


def _asked_for(made: Submission) -> dict[str, int]:
    """Results by kind; only where packs of several kinds came together are records counted."""
    kinds = list(made.revisions.order_by("pack__kind").values_list("pack__kind", flat=True).distinct())
    if len(kinds) == 1:
        return {kinds[0]: made.image_count}
    by_kind = JobRecord.objects.filter(submission=made).values_list("revision__pack__kind")
    return dict(by_kind.annotate(Sum("image_count")).order_by())


def _submission(submission_id: int) -> Submission:
    """`NotFoundError` when there is none; so for all that read one."""
    made = Submission.objects.select_related("submitted_by").filter(pk=submission_id).first()
    if made is None:
        raise NotFoundError(f"There is no submission {submission_id}.")
    return made


def queue_version() -> int:
    """The number that every change of the queue raises; one query."""
    return QueueControl.objects.values_list("version", flat=True).first() or 0


def submission_progress(jobs: QuerySet[Job]) -> SubmissionProgress:
    """How the jobs of a submission, as `jobs_of` gives them, stand now."""
    version = queue_version()
    grouped = jobs.values_list("status", "pack_name").annotate(Count("id"), Min("record_id")).order_by()
    rows = [(JobStatus(status), number, record_id) for status, _, number, record_id in grouped]
    counts: Counter[JobStatus] = Counter()
    for status, number, _ in rows:
        counts[status] += number
    done = {record_id: number * (status is JobStatus.COMPLETED) for status, number, record_id in rows}
    made = _results_of(done)
    return SubmissionProgress(
        version=version,
        standing=tuple(Standing(status, counts[status]) for status in JobStatus if counts[status]),
        total=counts.total(),
        ended=sum(counts[status] for status in TERMINAL),
        results=count_results(made),
        pictures=_pictures(jobs) if counts[JobStatus.COMPLETED] else (),
        has_pictures=any(number for kind, number in made.items() if kind != WorkKind.I2V),
    )


def submission_jobs(jobs: QuerySet[Job], status: str = "", after: int = 0) -> SubmissionJobs:
    """Some of the jobs in the order in which they were submitted; `status` "" takes all."""
    jobs = jobs.filter(id__gt=min(after, _FAR)).order_by("id")
    if status:
        jobs = _that_are(status, jobs)
    found = list(jobs.select_related("record")[: JOBS_SHOWN + 1])
    shown = found[:JOBS_SHOWN]
    return SubmissionJobs(job_lines(shown, with_thumbs=True), shown[-1].pk if len(found) > JOBS_SHOWN else 0)


def queued_ids(submission_id: int) -> list[int]:
    """Its jobs that wait, in order."""
    waiting = _that_are(JobStatus.QUEUED, jobs_of(submission_id)).order_by("id")
    return list(waiting.values_list("id", flat=True))


def jobs_of(submission_id: int) -> QuerySet[Job]:
    """Its jobs, by their numbers alone where these follow each other without a gap: a join costs ten times that."""
    made, ends = _submission(submission_id), _ends(submission_id)
    if ends and ends[-1] - ends[0] + 1 == made.job_count:
        return Job.objects.filter(id__gte=ends[0], id__lte=ends[-1])
    records = JobRecord.objects.filter(submission=submission_id).values("pk")
    return Job.objects.filter(record__in=records, rerun_of=None)


def _ends(submission_id: int) -> tuple[int, ...]:
    """Its first job and its last: those of its first and last record, as one insert made them all in order."""
    records = JobRecord.objects.filter(submission=submission_id).values_list("pk", flat=True)
    ends = [*records.order_by("pk")[:1], *records.order_by("-pk")[:1]]
    # Reruns are left out here and not there: SQLite's planner would walk all jobs that are none.
    jobs = Job.objects.filter(record__in=ends).values_list("id", "rerun_of")
    return tuple(sorted(job_id for job_id, rerun_of in jobs if rerun_of is None))


def _that_are(status: str, jobs: QuerySet[Job]) -> QuerySet[Job]:
    """Those of one status. Compared with the plain column, SQLite's planner would walk all jobs of that status."""
    return jobs.alias(standing=Coalesce("status", Value(""))).filter(standing=status)


def _results_of(done: Mapping[int, int]) -> Counter[str]:
    """What completed jobs made, by kind; `done` maps a record of each pack to how many of that pack are done.

    No option varies the pictures per job within a pack.
    """
    each = JobRecord.objects.filter(pk__in=done).values_list("pk", "image_count", "revision__pack__kind")
    found: Counter[str] = Counter()
    for pk, images, kind in each:
        found[kind] += done[pk] * images
    return found


def _pictures(jobs: QuerySet[Job]) -> tuple[PictureLine, ...]:
    done = _that_are(JobStatus.COMPLETED, jobs).order_by("-id").select_related("record")
    lines = job_lines(done[:PICTURES_SHOWN], with_thumbs=True)
    return tuple(PictureLine(line.id, line.thumb) for line in lines if line.thumb is not None)


def _asked(options: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The options that somebody set, in words."""
    found = []
    if options.get("rows") is not None:
        found.append(("rows", ", ".join(str(row + 1) for row in options["rows"][:50])))
    if options.get("strict"):
        found.append(("strict", "what other programs read is refused"))
    if options.get("skip_unfilled"):
        found.append(("rows", "without rows whose slots have no values"))
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

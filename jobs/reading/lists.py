"""Lists of jobs: the queue, the history, everything; keyset pages, never an offset."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from jobs.clock import database_now
from jobs.lifecycle import TERMINAL, JobStatus, Priority, TruthVerdict
from jobs.models import Job, OutputImage
from jobs.queue.filters import JobFilter
from jobs.queue.held_jobs import why_jobs_are_held
from jobs.queue.hold_words import kinds_without_workers
from jobs.queue.holds import all_facts
from jobs.queue.lack_words import reason
from jobs.queue.positions import waiting
from jobs.queue.search import IN_QUEUE, LATEST_END, NEWEST, Search, search_finished, search_queue, step
from jobs.queue.summary import UnifiedJobSummary, summarize
from jobs.running.envelope import read_envelope
from webui.kinds import WorkKind

PAGE_SIZE = 50
EVERY = JobFilter()


@dataclass(frozen=True, slots=True)
class Thumb:
    """One picture of a job, to show in a list."""

    output_id: int
    width_px: int
    height_px: int
    sha256: str
    is_film: bool = False

    @property
    def noun(self) -> str:
        return "film" if self.is_film else "picture"


@dataclass(frozen=True, slots=True)
class JobLine:
    """One line of a list."""

    summary: UnifiedJobSummary
    kind: WorkKind
    status: JobStatus
    priority: Priority
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_by: str
    error_message: str
    error_code: str
    needs_attention: bool
    queued_by: str
    truth: TruthVerdict | None
    """None: its pictures were not judged."""
    thumb: Thumb | None
    held: str = ""
    """Why it waits although its turn may come: no node has what it needs."""

    @property
    def id(self) -> int:
        return self.summary.job_id

    @property
    def row(self) -> int:
        """As people count."""
        return self.summary.prompt_pack_row_index + 1

    @property
    def variant(self) -> str:
        """Which of the records of its row this is; empty where there is only one."""
        s = self.summary
        parts = [f"variant {s.variant_index + 1} of {s.variant_total}"] if s.variant_total > 1 else []
        if s.batch_total > 1:
            parts.append(f"repeat {s.batch_index + 1} of {s.batch_total}")
        return ", ".join(parts)

    @property
    def waiting(self) -> bool:
        return self.status is JobStatus.QUEUED

    @property
    def ended(self) -> bool:
        return self.status in TERMINAL

    @property
    def run_s(self) -> float | None:
        """Seconds from the first claim to the end."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True)
class JobPage:
    """Some lines; `after` is the key of the next page, empty on the last.

    `first_number` is the place in the queue of the first line, from 1, where the whole queue is listed.
    `searched` says how many rows were looked at, where that ended the page before the list's end: `after` goes
    on from there, even when no line was found.
    """

    lines: tuple[JobLine, ...]
    after: str
    first_number: int | None = None
    searched: int | None = None


def job_lines(
    jobs: Iterable[Job], *, with_thumbs: bool = False, with_holds: bool = False
) -> tuple[JobLine, ...]:
    """The lines of these jobs (their `record` loaded); thumbs and holds cost one more query each, as a rule."""
    rows = list(jobs)
    why = _held(rows) if with_holds else {}
    thumbs = _thumbs([job.pk for job in rows]) if with_thumbs else {}
    return tuple(
        JobLine(
            summary=summarize(job),
            kind=WorkKind(job.kind),
            status=JobStatus(job.status),
            priority=Priority(job.priority),
            started_at=job.started_at,
            finished_at=job.finished_at,
            cancel_requested_by=job.cancel_requested_by if job.cancel_requested_at else "",
            error_message=read_envelope(job.error).get("message", ""),
            error_code=job.error_code,
            needs_attention=job.needs_attention,
            queued_by=job.queued_by,
            truth=TruthVerdict(job.truth) if job.truth else None,
            thumb=thumbs.get(job.pk),
            held=why.get(job.pk, ""),
        )
        for job in rows
    )


def _held(jobs: Sequence[Job]) -> dict[int, str]:
    """Why those of these jobs that are queued are held, by their ids.

    That nothing at all runs is told above the list; here only of the kinds that others pass by.
    """
    waiting_jobs = [job for job in jobs if job.status == JobStatus.QUEUED]
    kinds = {job.kind for job in waiting_jobs}
    held = kinds_without_workers(kinds, all_facts(database_now())) if kinds - {WorkKind.IMAGE} else {}
    lacking = why_jobs_are_held(waiting_jobs)
    why = {job.pk: reason(lacking[job.needs_id]) for job in waiting_jobs if job.needs_id in lacking}
    return {job.pk: held[job.kind].text for job in waiting_jobs if job.kind in held} | why


def _thumbs(job_ids: Sequence[int]) -> dict[int, Thumb]:
    found: dict[int, Thumb] = {}
    if not job_ids:
        return found
    pictures = (
        OutputImage.objects.filter(job_id__in=job_ids)
        .order_by("job_id", "-take", "-stage_index", "image_index")
        .values_list("job_id", "id", "width_px", "height_px", "sha256", "frames")
    )
    for job_id, output_id, width_px, height_px, sha256, frames in pictures:
        found.setdefault(job_id, Thumb(output_id, width_px, height_px, sha256, frames is not None))
    return found


def queued(chosen: JobFilter = EVERY, after: str = "", *, size: int = PAGE_SIZE) -> JobPage:
    """Waiting jobs in the order in which they will run."""
    found = step(search_queue(chosen), IN_QUEUE, after, size)
    first_number = None if chosen or not found.jobs else 1 + _before(found.jobs[0], after)
    return JobPage(job_lines(found.jobs, with_holds=True), found.after, first_number, found.searched)


def history(chosen: JobFilter = EVERY, after: str = "", *, size: int = PAGE_SIZE) -> JobPage:
    """Jobs that reached an end, the latest first."""
    found = step(search_finished(chosen), LATEST_END, after, size)
    return JobPage(job_lines(found.jobs, with_thumbs=True), found.after, searched=found.searched)


def everything(after: str = "", *, size: int = PAGE_SIZE) -> JobPage:
    """All jobs, the latest submitted first."""
    found = step(Search(Job.objects.all()), NEWEST, after, size)
    return JobPage(job_lines(found.jobs, with_thumbs=True), found.after)


def _before(job: Job, after: str) -> int:
    """How many wait before this one: none on the first page, else the index counts them."""
    if not after:
        return 0
    return waiting().filter(IN_QUEUE.before(IN_QUEUE.key(job))).count()

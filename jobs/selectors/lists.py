"""Lists of jobs: the queue, the history, everything; keyset pages, never an offset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import Q, QuerySet

from jobs.lifecycle import TERMINAL, JobStatus, Priority
from jobs.models import Job, OutputImage
from jobs.summary import UnifiedJobSummary, summarize

PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class Thumb:
    """One picture of a job, to show in a list."""

    output_id: int
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class JobLine:
    """One line of a list."""

    summary: UnifiedJobSummary
    status: JobStatus
    priority: Priority
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_by: str
    error_message: str
    thumb: Thumb | None

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
    """Some lines; `after` is the key of the next page, empty on the last."""

    lines: tuple[JobLine, ...]
    after: str


def job_lines(jobs: Iterable[Job], *, with_thumbs: bool = False) -> tuple[JobLine, ...]:
    """The lines of these jobs (their `record` loaded); thumbs cost one more query."""
    rows = list(jobs)
    thumbs = _thumbs([job.pk for job in rows]) if with_thumbs else {}
    return tuple(
        JobLine(
            summary=summarize(job),
            status=JobStatus(job.status),
            priority=Priority(job.priority),
            started_at=job.started_at,
            finished_at=job.finished_at,
            cancel_requested_by=job.cancel_requested_by if job.cancel_requested_at else "",
            error_message=(job.error or {}).get("message", ""),
            thumb=thumbs.get(job.pk),
        )
        for job in rows
    )


def _thumbs(job_ids: Sequence[int]) -> dict[int, Thumb]:
    found: dict[int, Thumb] = {}
    if not job_ids:
        return found
    pictures = (
        OutputImage.objects.filter(job_id__in=job_ids)
        .order_by("job_id", "-take", "-stage_index", "image_index")
        .values_list("job_id", "id", "width_px", "height_px")
    )
    for job_id, output_id, width_px, height_px in pictures:
        found.setdefault(job_id, Thumb(output_id, width_px, height_px))
    return found


def queued(after: str = "", *, size: int = PAGE_SIZE) -> JobPage:
    """Waiting jobs in the order in which they will run."""
    rows = _with_record().filter(status=JobStatus.QUEUED).order_by("priority", "position", "id")
    key = _read_key(after, int, int, int)
    if key is not None:
        priority, position, job_id = key
        rows = rows.filter(
            Q(priority__gt=priority)
            | Q(priority=priority, position__gt=position)
            | Q(priority=priority, position=position, id__gt=job_id)
        )
    return _page(rows, size, lambda job: f"{job.priority}~{job.position}~{job.pk}")


def history(status: str = "", after: str = "", *, size: int = PAGE_SIZE) -> JobPage:
    """Jobs that reached an end, the latest first; `status` is one of the terminal ones or empty."""
    rows = _with_record().filter(finished_at__isnull=False).order_by("-finished_at", "-id")
    if status:
        rows = rows.filter(status=status)
    key = _read_key(after, _moment, int)
    if key is not None:
        finished_at, job_id = key
        rows = rows.filter(Q(finished_at__lt=finished_at) | Q(finished_at=finished_at, id__lt=job_id))
    return _page(rows, size, lambda job: f"{_microseconds(job.finished_at)}~{job.pk}", with_thumbs=True)


def everything(after: str = "", *, size: int = PAGE_SIZE) -> JobPage:
    """All jobs, the latest submitted first."""
    rows = _with_record().order_by("-id")
    key = _read_key(after, int)
    if key is not None:
        rows = rows.filter(id__lt=key[0])
    return _page(rows, size, lambda job: str(job.pk), with_thumbs=True)


def _with_record() -> QuerySet[Job]:
    return Job.objects.select_related("record")


def _page(rows: QuerySet[Job], size: int, key: Callable[[Job], str], *, with_thumbs: bool = False) -> JobPage:
    found = list(rows[: size + 1])
    shown = found[:size]
    after = key(shown[-1]) if len(found) > size else ""
    return JobPage(job_lines(shown, with_thumbs=with_thumbs), after)


def _read_key(text: str, *kinds: Callable[[str], Any]) -> tuple[Any, ...] | None:
    """The parts of a page key; one that nobody made counts as none, which gives the first page."""
    parts = text.split("~")
    if len(parts) != len(kinds) or any(len(part) > 20 for part in parts):
        return None
    try:
        return tuple(kind(part) for kind, part in zip(kinds, parts, strict=True))
    except (ValueError, OverflowError):
        return None


def _microseconds(at: datetime | None) -> int:
    assert at is not None
    return round((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)


def _moment(text: str) -> datetime:
    seconds, micro = divmod(int(text), 1_000_000)
    return datetime.fromtimestamp(seconds, tz=UTC).replace(microsecond=micro)

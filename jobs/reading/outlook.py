"""What every page says of the queue at a glance: failures that wait for a person, and when it may be done."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean

from jobs.lifecycle import JobStatus
from jobs.models import Job

#: Failures are counted up to here; beyond, the exact number helps nobody and costs a walk.
ATTENTION_LIMIT = 9_999
#: Finished jobs that an estimate is made from, and the fewest that say anything.
SAMPLE = 20
LEAST_SAMPLE = 3
# Composed once: putting such a query together takes longer than running it, and every page asks.
_ATTENTION = Job.objects.filter(needs_attention=True).order_by()[: ATTENTION_LIMIT + 1]
_COMPLETED = (
    Job.objects.filter(status=JobStatus.COMPLETED, finished_at__isnull=False, started_at__isnull=False)
    .order_by("-finished_at", "-id")
    .values_list("started_at", "finished_at")
)
_LAST = _COMPLETED[:SAMPLE]


@dataclass(frozen=True, slots=True)
class AttentionCount:
    """How many failures nobody has run again or dismissed; `count` stops at `ATTENTION_LIMIT`."""

    count: int
    more: bool

    def __str__(self) -> str:
        return f"{self.count:,}+" if self.more else f"{self.count:,}"

    def __bool__(self) -> bool:
        return self.count > 0


def attention() -> AttentionCount:
    """One query on an index that holds nothing but such failures."""
    found = _ATTENTION.count()
    return AttentionCount(min(found, ATTENTION_LIMIT), found > ATTENTION_LIMIT)


@dataclass(frozen=True, slots=True)
class Duration:
    """How long jobs of a kind took of late: `each_s` on average, of so many."""

    each_s: float
    jobs: int


def recent_duration(kind: str) -> Duration | None:
    """None where no job of this kind has completed yet."""
    took_s = _seconds(_COMPLETED.filter(kind=kind)[:SAMPLE])
    return Duration(fmean(took_s), len(took_s)) if took_s else None


def time_left_s(queued: int, nodes: int) -> float | None:
    """Seconds that `nodes` nodes need for `queued` jobs like the last completed ones; one query.

    None if there is nothing to wait for, nobody to do it, or too little to judge by.
    """
    if not queued or not nodes:
        return None
    took_s = _seconds(_LAST.all())
    return fmean(took_s) * queued / nodes if len(took_s) >= LEAST_SAMPLE else None


def _seconds(rows: Iterable[tuple[datetime | None, datetime | None]]) -> list[float]:
    return [(finished - started).total_seconds() for started, finished in rows if started and finished]

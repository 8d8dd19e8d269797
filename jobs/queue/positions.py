"""Places in the queue: blocks from one counter at the back, the smallest place minus one at the front."""

from __future__ import annotations

from django.db.models import F, Min, QuerySet

from jobs.lifecycle import JobStatus
from jobs.models import Job, QueueControl


def waiting() -> QuerySet[Job]:
    """Queued jobs of all kinds; the second condition is what their index has and the claim's has not."""
    return Job.objects.filter(status=JobStatus.QUEUED, finished_at__isnull=True)


def hold_places() -> None:
    """Let nobody else give places at the back, or by an act at the front, until the transaction ends."""
    QueueControl.objects.select_for_update().get(pk=QueueControl.SINGLETON_ID)


def reserve_back(count: int) -> int:
    """First position of a block of `count` at the back of the queue; locks the counter's row."""
    QueueControl.objects.filter(pk=QueueControl.SINGLETON_ID).update(next_position=F("next_position") + count)
    control = QueueControl.objects.values("next_position").get(pk=QueueControl.SINGLETON_ID)
    return control["next_position"] - count


def front_of(priority: int, count: int = 1) -> int:
    """First position of a block of `count` before everything queued with this priority."""
    smallest = waiting().filter(priority=priority).aggregate(first=Min("position"))
    first: int | None = smallest["first"]
    if first is None:
        return reserve_back(count)
    return first - count

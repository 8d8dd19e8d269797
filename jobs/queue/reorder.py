"""Other places in the queue for jobs that wait: to the front, to the back, to another priority; their order is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import F

from jobs.lifecycle import EventType, Priority
from jobs.models import BulkAction, BulkVerb, Job
from jobs.queue.moves import append_events
from jobs.queue.positions import front_of, hold_places, reserve_back


def reorder(action: BulkAction, jobs: Sequence[Job]) -> None:
    """Move these jobs (locked, queued, in the order of the queue) to where the act wants them.

    The act's first chunk reserves places for all of its jobs, and `bounds` keeps the next free ones: later
    chunks stand behind earlier ones, and jobs that come meanwhile do not get between them.
    """
    hold_places()
    data: dict[str, Any] = {"by": action.asked_by, "bulk": action.pk}
    if action.verb == BulkVerb.PRIORITY:
        assert action.priority is not None
        # Whoever has that priority already keeps its place.
        jobs = [job for job in jobs if job.priority != action.priority]
        data["priority"] = Priority(action.priority).name
    else:
        data["where"] = action.verb
    for job in jobs:
        job.position = _next_place(action, job.priority)
    Job.objects.bulk_update(jobs, ["position"])
    columns: dict[str, Any] = {"last_sequence": F("last_sequence") + 1}
    if action.priority is not None:
        columns["priority"] = action.priority
    Job.objects.filter(pk__in=[job.pk for job in jobs]).update(**columns)
    append_events(jobs, EventType.MOVED, data=data)


def _next_place(action: BulkAction, priority: int) -> int:
    places: dict[str, int] = action.bounds.setdefault("places", {})
    # One block at the back serves all priorities; the front is one of its own in each.
    block = str(priority) if action.verb == BulkVerb.FRONT else "back"
    if block not in places:
        at_front = action.verb == BulkVerb.FRONT
        places[block] = front_of(priority, action.total) if at_front else reserve_back(action.total)
    place = places[block]
    places[block] += 1
    return place

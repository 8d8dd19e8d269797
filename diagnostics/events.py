"""The structured event stream behind the Debug Hub: one bounded, filtered, keyset-paged read.

Writing events belongs to `jobs.queue.moves`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from jobs.models import LifecycleEvent
from jobs.reading.event_sentences import event_text, event_title, event_tone

#: Events on one page, and the most that one call gives.
PAGE_SIZE = 100
MAX_EVENTS = 5_000
#: An event may be stored this much after one that happened later: transactions end in an order of their own.
SKEW = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What to show; None everywhere shows everything. `since` is inclusive, `until` exclusive."""

    job_id: int | None = None
    event_type: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class StreamedEvent:
    """One event as page and JSON lines show it; `text` and `tone` (a status, for its colour) are for people."""

    id: int
    job_id: int
    sequence: int
    event_type: str
    from_status: str
    to_status: str
    at: datetime
    data: dict[str, Any]

    @property
    def title(self) -> str:
        return event_title(self.event_type, self.data)

    @property
    def text(self) -> str:
        return event_text(self.event_type, self.data)

    @property
    def tone(self) -> str:
        return event_tone(self.event_type)

    @property
    def pretty(self) -> str:
        """Its data for people."""
        return json.dumps(self.data, indent=2, ensure_ascii=False)

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "job_id": self.job_id,
            "sequence": self.sequence,
            "event_type": self.event_type,
            "from": self.from_status,
            "to": self.to_status,
            "at": self.at.isoformat(),
            "data": self.data,
        }


@dataclass(frozen=True, slots=True)
class EventPage:
    """Newest first; `next_before` asks for the page after this one, None when there is none."""

    events: tuple[StreamedEvent, ...]
    next_before: int | None


def stream(wanted: EventFilter, *, before: int | None = None, limit: int = PAGE_SIZE) -> EventPage:
    """The newest `limit` events (at most `MAX_EVENTS`) that pass the filter and are older than `before`."""
    limit = max(1, min(limit, MAX_EVENTS))
    rows: QuerySet[LifecycleEvent] = LifecycleEvent.objects.order_by("-id")
    if wanted.job_id is not None:
        rows = rows.filter(job_id=wanted.job_id)
    if wanted.event_type:
        rows = rows.filter(event_type=wanted.event_type)
    rows = _within(rows, wanted)
    if before is not None:
        rows = rows.filter(id__lt=before)
    found = list(rows[: limit + 1])
    events = tuple(_streamed(row) for row in found[:limit])
    return EventPage(events, next_before=events[-1].id if len(found) > limit else None)


def _within(rows: QuerySet[LifecycleEvent], wanted: EventFilter) -> QuerySet[LifecycleEvent]:
    """Those of the wanted time. No index knows the time, but ids grow with it: so a range of ids bounds the walk."""
    bounded = wanted.job_id is None
    if wanted.since is not None:
        rows = rows.filter(at__gte=wanted.since)
        if bounded:
            rows = rows.filter(id__gte=first_id_at(wanted.since - SKEW))
    if wanted.until is not None:
        rows = rows.filter(at__lt=wanted.until)
        if bounded:
            rows = rows.filter(id__lt=first_id_at(wanted.until + SKEW))
    return rows


def first_id_at(moment: datetime) -> int:
    """The id from which on events are not before this moment, by halving: one look-up of a row for each step."""
    newest = LifecycleEvent.objects.order_by("-id").values_list("id", flat=True).first() or 0
    before, after = 0, newest + 1
    while before + 1 < after:
        middle = (before + after) // 2
        row = (
            LifecycleEvent.objects.filter(id__gte=middle, id__lt=after)
            .order_by("id")
            .values_list("id", "at")
            .first()
        )
        if row is None or row[1] >= moment:
            after = middle
        else:
            before = row[0]
    return after


def json_lines(events: tuple[StreamedEvent, ...]) -> Iterator[str]:
    """One JSON object a line, keys in a fixed order."""
    for event in events:
        yield json.dumps(event.as_json(), ensure_ascii=False) + "\n"


def _streamed(row: LifecycleEvent) -> StreamedEvent:
    return StreamedEvent(
        id=row.pk,
        job_id=row.job_id,
        sequence=row.sequence,
        event_type=row.event_type,
        from_status=row.from_status,
        to_status=row.to_status,
        at=row.at,
        data=row.data,
    )

"""The Debug Hub: one stream as page and as JSON lines."""

from __future__ import annotations

import html
import json
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.http import StreamingHttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from diagnostics import events
from diagnostics.events import EventFilter, first_id_at, stream
from jobs.lifecycle import EventType
from jobs.models import Job, LifecycleEvent
from jobs.queue import control
from tests.factories import make_job, make_runner, make_user, submit
from tests.integration.finished_jobs import complete
from tests.markup import markup

pytestmark = pytest.mark.django_db


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(make_user())
    return client


def lines(client: Client, query: str = "") -> list[dict[str, object]]:
    answer = client.get(f"{reverse('events-jsonl')}{query}")
    assert answer.status_code == 200
    assert isinstance(answer, StreamingHttpResponse)
    text = b"".join(answer.streaming_content).decode()
    return [json.loads(line) for line in text.splitlines()]


def test_stream_is_newest_first_and_carries_the_summary_of_its_job() -> None:
    job = make_job()
    complete(make_runner())
    found = stream(EventFilter()).events
    assert [event.event_type for event in found] == ["COMPLETED", "RUNNING", "QUEUED", "SUBMITTED"]
    for event in found:
        assert event.data["event_type"] == event.event_type
        assert event.data["job_id"] == event.job_id == job.pk
        assert event.data["prompt_pack_id"] == job.record.pack_name


def test_filters_by_job_type_and_time() -> None:
    first, second = make_job(), make_job()
    control.cancel(second.pk, by="ada")
    assert {event.job_id for event in stream(EventFilter(job_id=first.pk)).events} == {first.pk}
    cancelled = stream(EventFilter(event_type=EventType.CANCELLED)).events
    assert [event.job_id for event in cancelled] == [second.pk]
    at = cancelled[0].at
    assert cancelled[0] in stream(EventFilter(since=at)).events
    assert cancelled[0] not in stream(EventFilter(until=at)).events
    assert not stream(EventFilter(since=timezone.now() + timedelta(hours=1))).events


def add_event(job: Job, minutes: int) -> int:
    """One more event of this job, that long before or after now; its id."""
    Job.objects.filter(pk=job.pk).update(last_sequence=F("last_sequence") + 1)
    job.refresh_from_db()
    at = timezone.now() + timedelta(minutes=minutes)
    return LifecycleEvent.objects.create(
        job=job, sequence=job.last_sequence, event_type=EventType.REQUEUED, at=at, data={"job_id": job.pk}
    ).pk


def test_time_is_found_by_halving_the_ids() -> None:
    job = make_job()
    start = timezone.now()
    ids = [add_event(job, minutes) for minutes in range(60, 60 * 20, 60)]
    for number, event_id in enumerate(ids, start=1):
        assert first_id_at(start + timedelta(minutes=60 * number - 30)) == event_id
    assert first_id_at(start + timedelta(days=30)) == ids[-1] + 1
    assert first_id_at(start - timedelta(days=30)) == 1
    with CaptureQueriesContext(connection) as caught:
        first_id_at(start + timedelta(minutes=500))
    assert len(caught) <= 2 + ids[-1].bit_length()


def test_time_filters_hold_exactly_though_events_are_stored_a_little_out_of_order() -> None:
    job = make_job()
    now = timezone.now()
    late, early, last = add_event(job, 305), add_event(job, 299), add_event(job, 600)
    five_hours = now + timedelta(minutes=300)
    assert [event.id for event in stream(EventFilter(since=five_hours)).events] == [last, late]
    until = [event.id for event in stream(EventFilter(until=five_hours)).events]
    assert until[0] == early
    assert late not in until


def test_every_filter_walks_a_bounded_part_of_an_index() -> None:
    """There may be millions of events: neither a sort nor a walk through all of them."""
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL plans by the size of the tables, and here they are small.")
    job = make_job()
    now = timezone.now()
    for wanted, words in (
        (EventFilter(), "SCAN jobs_lifecycleevent"),
        (EventFilter(until=now), "USING INTEGER PRIMARY KEY (rowid<?)"),
        (EventFilter(since=now, until=now), "USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        (EventFilter(event_type=EventType.FAILED, since=now), "event_by_type (event_type=? AND id>?)"),
        (EventFilter(job_id=job.pk, until=now), "(job_id=?)"),
    ):
        with CaptureQueriesContext(connection) as caught, connection.cursor() as cursor:
            stream(wanted)
            cursor.execute(f"EXPLAIN QUERY PLAN {caught[-1]['sql']}")
            plan = " | ".join(row[3] for row in cursor.fetchall())
        assert words in plan
        assert "TEMP B-TREE" not in plan


def test_events_are_told_in_sentences(viewer: Client) -> None:
    job = make_job()
    add_event(job, 1)
    text = html.unescape(markup(viewer.get(f"{reverse('events')}?job={job.pk}")))
    assert "It waits at the head of the queue. This was not charged to the job." in text


def test_pages_by_key_show_every_event_once() -> None:
    submit(repeat=7)
    seen: list[int] = []
    before = None
    while True:
        page = stream(EventFilter(), before=before, limit=4)
        seen += [event.id for event in page.events]
        before = page.next_before
        if before is None:
            break
    assert seen == list(LifecycleEvent.objects.order_by("-id").values_list("id", flat=True))


def test_stream_is_bounded(viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    submit(repeat=60)
    assert len(stream(EventFilter()).events) == 100
    assert len(stream(EventFilter(), limit=events.MAX_EVENTS * 10).events) == 120
    with monkeypatch.context() as patched:
        patched.setattr(events, "MAX_EVENTS", 110)
        assert len(stream(EventFilter(), limit=5_000).events) == 110
    page = viewer.get(reverse("events") + "?limit=5000")
    assert len(page.context["page"].events) == 100


def test_json_lines_equal_the_stream_and_link_to_the_next_page(viewer: Client) -> None:
    job = make_job()
    expected = [event.as_json() for event in stream(EventFilter(job_id=job.pk)).events]
    assert lines(viewer, f"?job={job.pk}") == expected
    first = viewer.get(f"{reverse('events-jsonl')}?limit=1&job={job.pk}")
    assert first["Content-Type"].startswith("application/x-ndjson")
    target = first["Link"].partition(">")[0].lstrip("<")
    assert lines(viewer, "?" + target.partition("?")[2]) == expected[1:2]


def test_page_shows_events_and_keeps_its_filter(viewer: Client) -> None:
    submit(repeat=60)
    text = markup(viewer.get(f"{reverse('events')}?type=QUEUED"))
    assert '<option value="QUEUED" selected>' in text
    assert "Queued</span>" in text
    assert "Submitted</span>" not in text
    other = markup(viewer.get(f"{reverse('events')}?type=COMPLETED"))
    assert "No event passes this filter." in other
    everything = viewer.get(reverse("events"))
    older = everything.context["older"]
    assert f"?{older}" in markup(everything)
    assert len(viewer.get(f"{reverse('events')}?{older}").context["page"].events) == 20


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("job=abc", "job='abc' is not a number."),
        ("type=NONSENSE", "type='NONSENSE' is not an event type."),
        ("since=yesterday", "since='yesterday' is not a time."),
        ("until=2026-13-45", "until='2026-13-45' is not a time."),
        ("before=99999999999999999999", "is not a number."),
    ],
)
def test_filter_that_cannot_be_read_is_named(viewer: Client, query: str, words: str) -> None:
    make_job()
    page = viewer.get(f"{reverse('events')}?{query}")
    assert page.status_code == 200
    assert words in str(page.context["errors"])
    refused = viewer.get(f"{reverse('events-jsonl')}?{query}")
    assert refused.status_code == 400
    assert words in str(refused.json()["errors"])

"""The Debug Hub: one stream as page and as JSON lines."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.http import StreamingHttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from diagnostics import events
from diagnostics.events import EventFilter, stream
from jobs import services
from jobs.lifecycle import EventType
from jobs.models import LifecycleEvent
from tests.factories import make_job, make_runner, make_user, submit
from tests.integration.finished_jobs import complete

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
    services.cancel(second.pk, by="ada")
    assert {event.job_id for event in stream(EventFilter(job_id=first.pk)).events} == {first.pk}
    cancelled = stream(EventFilter(event_type=EventType.CANCELLED)).events
    assert [event.job_id for event in cancelled] == [second.pk]
    at = cancelled[0].at
    assert cancelled[0] in stream(EventFilter(since=at)).events
    assert cancelled[0] not in stream(EventFilter(until=at)).events
    assert not stream(EventFilter(since=timezone.now() + timedelta(hours=1))).events


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
    text = viewer.get(f"{reverse('events')}?type=QUEUED").content.decode()
    assert '<option value="QUEUED" selected>' in text
    assert "SUBMITTED</span>" not in text
    other = viewer.get(f"{reverse('events')}?type=COMPLETED").content.decode()
    assert "No event passes this filter." in other
    everything = viewer.get(reverse("events"))
    older = everything.context["older"]
    assert f"?{older}" in everything.content.decode()
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

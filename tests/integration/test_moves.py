"""One function moves a job: table, compare-and-swap, event, ledger, history."""

from __future__ import annotations

import uuid

import pytest
from django.db import transaction
from django.db.models import Count

from jobs.errors import FencedError, IllegalTransitionError, NotFoundError
from jobs.lifecycle import EventType, JobStatus
from jobs.models import HistoryEntry, Job, LifecycleEvent, QueueControl
from jobs.queue.control import CancelResult, cancel
from jobs.queue.moves import move_job
from jobs.queue.summary import summarize
from jobs.records.record import sha256_text
from tests.factories import make_job, make_running_job

pytestmark = pytest.mark.django_db(transaction=True)


def assert_ledger_is_true() -> None:
    control = QueueControl.objects.get()
    counted = dict(Job.objects.values_list("status").annotate(n=Count("id")))
    for status in JobStatus:
        assert getattr(control, status.lower()) == counted.get(status, 0), status
    assert control.submitted == Job.objects.count()


def test_move_writes_status_event_history_and_ledger() -> None:
    job, claim = make_running_job()
    move_job(job.pk, JobStatus.COMPLETED, event=EventType.COMPLETED, run_token=claim.run_token)
    job.refresh_from_db()
    assert job.status == JobStatus.COMPLETED
    assert job.owner == ""
    assert job.run_token is None
    events = list(job.events.values_list("sequence", "event_type", "from_status", "to_status"))
    assert events == [
        (1, "SUBMITTED", "", ""),
        (2, "QUEUED", "", "QUEUED"),
        (3, "RUNNING", "QUEUED", "RUNNING"),
        (4, "COMPLETED", "RUNNING", "COMPLETED"),
    ]
    entry = HistoryEntry.objects.get(job=job)
    assert entry.finished_at == job.finished_at
    assert entry.record_sha256 == sha256_text(job.record.canonical_json)
    assert_ledger_is_true()


def test_every_event_carries_its_type_its_job_and_the_summary() -> None:
    job, claim = make_running_job()
    move_job(job.pk, JobStatus.COMPLETED, event=EventType.COMPLETED, run_token=claim.run_token)
    facts = summarize(job).facts()
    for event in job.events.all():
        assert event.data["event_type"] == event.event_type
        assert {key: event.data[key] for key in facts} == facts


def test_illegal_move_is_refused_and_kept_as_an_event() -> None:
    job = make_job()
    with pytest.raises(IllegalTransitionError, match="is QUEUED and cannot become COMPLETED"):
        move_job(job.pk, JobStatus.COMPLETED, event=EventType.COMPLETED)
    job.refresh_from_db()
    assert job.status == JobStatus.QUEUED
    last = job.events.last()
    assert last is not None
    assert (last.event_type, last.from_status, last.to_status) == (
        "ILLEGAL_TRANSITION",
        "QUEUED",
        "COMPLETED",
    )
    assert_ledger_is_true()


def test_move_must_not_stand_in_another_transaction() -> None:
    job = make_job()
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        move_job(job.pk, JobStatus.CANCELLED, event=EventType.CANCELLED)


def test_another_run_token_is_fenced() -> None:
    job, _ = make_running_job()
    with pytest.raises(FencedError):
        move_job(job.pk, JobStatus.COMPLETED, event=EventType.COMPLETED, run_token=uuid.uuid4())
    job.refresh_from_db()
    assert job.status == JobStatus.RUNNING
    assert not LifecycleEvent.objects.filter(event_type=EventType.COMPLETED).exists()


def test_unknown_job_is_named() -> None:
    with pytest.raises(NotFoundError, match="no job 4711"):
        move_job(4711, JobStatus.CANCELLED, event=EventType.CANCELLED)


def test_cancel_in_every_state() -> None:
    running, claim = make_running_job()
    queued = make_job()
    assert cancel(queued.pk, by="ann").result is CancelResult.CANCELLED
    assert cancel(running.pk, by="ann").result is CancelResult.REQUESTED
    running.refresh_from_db()
    assert running.cancel_requested_by == "ann"
    assert cancel(running.pk, by="bob").result is CancelResult.REQUESTED
    running.refresh_from_db()
    assert running.cancel_requested_by == "ann"
    move_job(running.pk, JobStatus.COMPLETED, event=EventType.COMPLETED, run_token=claim.run_token)
    late = cancel(running.pk, by="ann")
    assert late.result is CancelResult.TOO_LATE
    assert late.message == f"Job {running.pk} is already COMPLETED."
    assert_ledger_is_true()


def test_version_moves_with_every_move() -> None:
    before = QueueControl.objects.get().version
    job = make_job()
    middle = QueueControl.objects.get().version
    cancel(job.pk, by="ann")
    assert before < middle < QueueControl.objects.get().version

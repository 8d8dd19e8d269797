"""The promises of the queue stand in the database: each is broken here by going around the code."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from jobs.lifecycle import EventType, JobStatus
from jobs.models import (
    AttemptOutcome,
    HistoryEntry,
    Job,
    LifecycleEvent,
    OutputImage,
    QueueControl,
    Runner,
    StageAttempt,
    Submission,
)
from jobs.queue.control import cancel
from tests.factories import make_job, make_node, make_pack, make_runner, make_running_job, running_columns

pytestmark = pytest.mark.django_db


def refused(**columns: Any) -> None:
    """A queued job that is given these columns must be refused by the database."""
    job = make_job()
    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.filter(pk=job.pk).update(**columns)


def test_status_is_one_of_the_enum() -> None:
    refused(status="SUBMITTED")


def test_priority_is_one_of_the_enum() -> None:
    refused(priority=15)


def test_retry_count_never_exceeds_one() -> None:
    refused(retry_count=2)


def test_terminal_job_needs_finished_at() -> None:
    refused(status=JobStatus.COMPLETED)


def test_unfinished_job_has_no_finished_at() -> None:
    refused(finished_at=timezone.now())


@pytest.mark.parametrize("missing", ["owner", "run_token", "lease_until", "node"])
def test_running_job_needs_owner_token_lease_and_node(missing: str) -> None:
    columns = running_columns(make_node())
    columns[missing] = "" if missing == "owner" else None
    refused(**columns)


@pytest.mark.parametrize("column", ["owner", "run_token", "lease_until"])
def test_waiting_job_is_owned_by_nobody(column: str) -> None:
    refused(**{column: running_columns(make_node())[column]})


def test_one_running_job_per_node() -> None:
    node = make_node()
    first, second = make_job(), make_job()
    Job.objects.filter(pk=first.pk).update(**running_columns(node))
    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.filter(pk=second.pk).update(**running_columns(node))
    Job.objects.filter(pk=second.pk).update(**running_columns(make_node()))


def test_one_running_job_per_card() -> None:
    first, second, free = make_job(), make_job(), make_job()
    Job.objects.filter(pk=first.pk).update(**running_columns(make_node()), card="gpu0")
    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.filter(pk=second.pk).update(**running_columns(make_node()), card="gpu0")
    for job, card in ((second, "gpu1"), (free, "")):
        Job.objects.filter(pk=job.pk).update(**running_columns(make_node()), card=card)
    cancelled = Job.objects.filter(pk=make_job().pk)
    assert cancelled.update(card="gpu0"), "the card of a job that does not run is only remembered"


def test_one_event_per_job_and_sequence() -> None:
    job = make_job()
    with pytest.raises(IntegrityError), transaction.atomic():
        LifecycleEvent.objects.create(job=job, sequence=1, event_type=EventType.RUNNING)


def test_event_type_is_documented() -> None:
    job = make_job()
    with pytest.raises(IntegrityError), transaction.atomic():
        LifecycleEvent.objects.create(job=job, sequence=9, event_type="SOMETHING")


def test_one_history_entry_per_finished_job() -> None:
    job = make_job()
    cancel(job.pk, by="somebody")
    entry = HistoryEntry.objects.get(job=job)
    with pytest.raises(IntegrityError), transaction.atomic():
        HistoryEntry.objects.create(
            job=job,
            record=job.record,
            record_sha256=entry.record_sha256,
            status=JobStatus.CANCELLED,
            submitted_at=job.submitted_at,
            finished_at=timezone.now(),
            retry_count=0,
        )


def test_history_holds_only_ends() -> None:
    job = make_job()
    with pytest.raises(IntegrityError), transaction.atomic():
        HistoryEntry.objects.create(
            job=job,
            record=job.record,
            record_sha256=job.record.sha256,
            status=JobStatus.RUNNING,
            submitted_at=job.submitted_at,
            finished_at=timezone.now(),
            retry_count=0,
        )


def make_attempt(job: Job, **columns: Any) -> StageAttempt:
    values = {"run_number": 1, "stage": "txt2img", "stage_index": 0, "node_generation": 1, "task_id": "t"}
    return StageAttempt.objects.create(
        job=job, run_token=uuid.uuid4(), node=make_node(), **{**values, **columns}
    )


def test_attempt_is_ended_exactly_with_its_outcome() -> None:
    job = make_job()
    for columns in ({"outcome": AttemptOutcome.COMPLETED}, {"ended_at": timezone.now()}):
        with pytest.raises(IntegrityError), transaction.atomic():
            make_attempt(job, **columns)


def test_attempt_outcome_is_known() -> None:
    job = make_job()
    with pytest.raises(IntegrityError), transaction.atomic():
        make_attempt(job, outcome="strange", ended_at=timezone.now())


def test_one_accepted_picture_per_job_stage_and_index() -> None:
    job, _ = make_running_job()
    attempt = make_attempt(job)

    def add() -> None:
        OutputImage.objects.create(
            job=job,
            attempt=attempt,
            stage="txt2img",
            stage_index=0,
            image_index=0,
            path=f"{uuid.uuid4()}.png",
            sha256="0" * 64,
            size_bytes=1,
            width_px=8,
            height_px=8,
        )

    add()
    with pytest.raises(IntegrityError), transaction.atomic():
        add()


def test_pack_content_and_revision_number_come_once() -> None:
    revision = make_pack()
    with pytest.raises(IntegrityError), transaction.atomic():
        revision.pack.revisions.create(number=1, text="x", sha256="1" * 64, row_count=1)
    with pytest.raises(IntegrityError), transaction.atomic():
        revision.pack.revisions.create(number=2, text="x", sha256=revision.sha256, row_count=1)


def test_idempotency_key_comes_once() -> None:
    Submission.objects.create(key="k", build_seed=1, job_count=0, image_count=0)
    with pytest.raises(IntegrityError), transaction.atomic():
        Submission.objects.create(key="k", build_seed=1, job_count=0, image_count=0)


def test_ledger_always_balances() -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        QueueControl.objects.filter(pk=1).update(queued=F("queued") + 1)


def test_there_is_one_queue_control() -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        QueueControl.objects.create(pk=2)


def test_one_runner_per_node() -> None:
    runner = make_runner()
    with pytest.raises(IntegrityError), transaction.atomic():
        Runner.objects.create(node=runner.node)


@pytest.mark.parametrize("column", ["state", "wish"])
def test_node_state_and_wish_are_known(column: str) -> None:
    node = make_node()
    with pytest.raises(IntegrityError), transaction.atomic():
        type(node).objects.filter(pk=node.pk).update(**{column: "odd"})

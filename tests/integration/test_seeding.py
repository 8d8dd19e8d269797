"""A seeded database holds what a real one would, as far as rows go: constraints, hashes, ledger, envelopes."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.models import Count, F, Max

from diagnostics.health import check_ledger
from jobs.lifecycle import TERMINAL, JobStatus
from jobs.models import (
    AttemptOutcome,
    HistoryEntry,
    Job,
    JobRecord,
    LifecycleEvent,
    OutputImage,
    Runner,
    StageAttempt,
    Submission,
)
from jobs.queue.claims import claim_next
from jobs.queue.identity import ProcessIdentity
from jobs.queue.summary import facts_of
from jobs.records.checks import validate_record
from jobs.records.record import NormalizedJobRecord, canonical_json, sha256_text
from jobs.running.envelope import UnifiedErrorEnvelope
from jobs.running.outputs import read_kept
from stablenew_site.roles import Role
from tests.benchmark.page_list import all_pages
from tests.benchmark.pages import client_of
from tests.e2e.stack import Stack
from tests.factories import make_job
from tests.seed.command import Command
from tests.seed.plan import Sizes
from tests.seed.seeder import NotEmptyError, seed
from webui.models import Node, NodeState

pytestmark = pytest.mark.django_db

SIZES = Sizes.of(queued=40, finished=400, failed=60)


def test_seeded_rows_keep_every_promise_of_the_tables() -> None:
    made = seed(SIZES)
    connection.check_constraints()
    assert check_ledger().ok
    counts = Counter(Job.objects.values_list("status", flat=True))
    assert counts == {
        JobStatus.QUEUED: 40,
        JobStatus.COMPLETED: SIZES.completed,
        JobStatus.FAILED: 60,
        JobStatus.CANCELLED: SIZES.cancelled,
    }
    assert Job.objects.filter(needs_attention=True).count() == made.needs_attention >= 6
    assert not Job.objects.filter(needs_attention=True, reruns__isnull=False).exists()
    assert Job.objects.filter(rerun_of__status=JobStatus.FAILED).count() == made.reruns
    assert JobRecord.objects.count() == Job.objects.count() - made.reruns
    assert not Job.objects.exclude(pack_name=F("record__pack_name")).exists()
    assert not Job.objects.exclude(checkpoint=F("record__checkpoint")).exists()
    for submission in Submission.objects.annotate(number=Count("records")):
        assert submission.job_count == submission.number


def test_seeded_jobs_have_the_events_and_the_history_of_their_life() -> None:
    seed(SIZES)
    told = LifecycleEvent.objects.values("job_id").annotate(number=Count("id"), last=Max("sequence"))
    lives = {row["job_id"]: (row["number"], row["last"]) for row in told}
    for job in Job.objects.all():
        assert lives[job.pk] == (job.last_sequence, job.last_sequence)
        moves = job.events.exclude(to_status="").order_by("sequence").values_list("from_status", "to_status")
        assert [after for _, after in moves][:-1] == [before for before, _ in moves][1:]
        assert moves[len(moves) - 1][1] == job.status
    ended = Job.objects.filter(status__in=TERMINAL)
    assert HistoryEntry.objects.count() == ended.count()
    assert not ended.exclude(history__finished_at=F("finished_at")).exists()
    assert not Job.objects.filter(started_at__lt=F("submitted_at")).exists()
    assert not StageAttempt.objects.filter(ended_at__gt=F("job__finished_at")).exists()


def test_seeded_records_are_what_a_runner_would_take() -> None:
    seed(SIZES)
    for row in JobRecord.objects.order_by("id")[::9]:
        record = NormalizedJobRecord.from_canonical(row.canonical_json)
        assert canonical_json(record) == row.canonical_json
        assert sha256_text(row.canonical_json) == row.sha256
        assert validate_record(record) == []
        assert (record.seed, record.base_model, record.width) == (row.seed, row.checkpoint, row.width_px)
        assert record.pack_revision == row.revision.sha256
        event = LifecycleEvent.objects.get(job__record=row, job__rerun_of=None, sequence=1)
        wanted = {**facts_of(row.canonical_json), "job_id": event.job_id}
        assert event.data == {"event_type": "SUBMITTED", **wanted, "submission": row.submission_id}
    Node.objects.update(state=NodeState.READY, wish="")
    runner = Runner.objects.order_by("id")[0]
    assert claim_next(runner.pk, ProcessIdentity.of_self()) is not None


def test_seeded_failures_have_envelopes_and_the_attempts_that_these_name() -> None:
    seed(SIZES)
    for job in Job.objects.filter(status=JobStatus.FAILED):
        envelope = UnifiedErrorEnvelope.model_validate(job.error)
        assert (envelope.job_id, envelope.code) == (job.pk, job.error_code)
        tasks = [attempt["task_id"] for attempt in envelope.execution_metadata["attempts"]]
        assert tasks == list(job.attempts.order_by("id").values_list("task_id", flat=True))
        assert len({*job.attempts.values_list("run_number", flat=True)}) == job.retry_count + 1


def test_breakers_have_counted_the_crashes_since_the_last_completed_job_of_their_node() -> None:
    seed(Sizes.of(queued=0, finished=100, failed=80))
    crashed = (AttemptOutcome.SERVER_ERROR, AttemptOutcome.UNAVAILABLE)
    counted = []
    for runner in Runner.objects.all():
        ended = Job.objects.filter(node=runner.node).order_by("finished_at")
        completed = ended.filter(status=JobStatus.COMPLETED).latest("finished_at")
        crashes = [
            job
            for job in ended.filter(finished_at__gt=completed.finished_at)
            if job.attempts.latest("pk").outcome in crashed and not of_named_checkpoint(job)
        ]
        assert runner.crash_failures == len(crashes)
        assert bool(runner.breaker_until) == (len(crashes) >= settings.STABLENEW_BREAKER_FAILURES)
        counted.append(runner.crash_failures)
    assert max(counted) > 0


def of_named_checkpoint(job: Job) -> bool:
    """What is counted for that checkpoint on its node, and not for the breaker."""
    return job.error_code == "WEBUI_NAN" and bool(json.loads(job.record.canonical_json)["base_model"])


def test_pictures_are_drawn_for_the_newest_jobs_only_and_the_rows_know_their_bytes() -> None:
    seed(Sizes.of(queued=3, finished=30), pictures=4)
    drawn = [read_kept(row) is not None for row in OutputImage.objects.order_by("job_id")]
    newest = set(Job.objects.exclude(finished_at=None).order_by("-id").values_list("pk", flat=True)[:4])
    assert drawn == [row.job_id in newest for row in OutputImage.objects.order_by("job_id")]
    assert any(drawn)


def test_a_database_with_jobs_is_refused_and_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    make_job()
    with pytest.raises(NotEmptyError):
        seed(SIZES)
    with pytest.raises(SystemExit, match="1"):
        call_command(Command(), queued=5, finished=5)
    assert "Seed an empty one" in capsys.readouterr().err
    assert Job.objects.count() == 1


@pytest.mark.stack
def test_the_program_fills_an_empty_database_once(stack: Stack) -> None:
    made = stack.program("tests.seed", "--queued", 3, "--finished", 4)
    assert made["sizes"] == {"queued": 3, "finished": 4, "failed": 0, "cancelled": 0}
    ledger = stack.status()["ledger"]
    assert (ledger["queued"], ledger["completed"]) == (3, 4)
    document = stack.program("tests.seed", expect=1)
    assert document["errors"][0]["code"] == "not_empty"


def test_every_page_answers_on_a_seeded_database() -> None:
    seed(SIZES, pictures=2)
    people = {False: client_of(Role.OPERATOR), True: client_of(Role.ADMIN)}
    pages = all_pages()
    assert len(pages) > 50
    for page in pages:
        answer = page.ask(people[page.in_admin], 0)
        assert answer.status_code in (200, 204), page

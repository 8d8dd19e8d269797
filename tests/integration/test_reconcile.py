"""What becomes of a job whose worker is gone: five verdicts, each with what it writes."""

from __future__ import annotations

import os
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from diagnostics.evidence.artifacts import artifacts_of
from jobs.errors import FencedError
from jobs.lifecycle import MAX_IDLE_CLAIMS, EventType, JobStatus
from jobs.models import AttemptOutcome, Job, OutputImage, Runner, StageAttempt
from jobs.queue.claims import Claim, claim_next
from jobs.queue.control import cancel
from jobs.queue.identity import ProcessIdentity
from jobs.queue.moves import move_job
from jobs.records.record import NormalizedJobRecord
from jobs.running.attempts import (
    accept,
    charge_retry,
    end_attempt,
    next_run_number,
    start_attempt,
    start_take,
)
from jobs.running.requests import Unit, units_of
from jobs.supervising import reconcile as reconciling
from jobs.supervising import worker_tail
from jobs.supervising.reconcile import reconcile, reconcile_abandoned_nodes, requeue_uncharged
from tests.factories import make_job, make_running_job

pytestmark = pytest.mark.django_db(transaction=True)
ME = ProcessIdentity.of_self()


def dead(owner: ProcessIdentity) -> bool:
    return False


def first_unit(job: Job) -> Unit:
    return units_of(NormalizedJobRecord.from_canonical(job.record.canonical_json))[0][0]


def start(job: Job, claim: Claim) -> StageAttempt:
    number = next_run_number(claim.job)
    return start_attempt(claim, first_unit(job), run_number=number, task_id=f"task-{job.pk}", announce=True)


def finish_unit(job: Job, claim: Claim) -> None:
    attempt = start(job, claim)
    output = OutputImage(
        job=job,
        attempt=attempt,
        stage="txt2img",
        stage_index=0,
        image_index=0,
        path=f"{job.pk}.png",
        sha256="0" * 64,
        size_bytes=1,
        width_px=64,
        height_px=64,
    )
    accept(claim, attempt, first_unit(job), [output], stage_complete=True)


def lose(claim: Claim) -> tuple[Job, Runner]:
    """Reconcile as if the worker were gone; the job and its runner afterwards."""
    runner = Runner.objects.get(pk=claim.runner_id)
    assert reconcile(runner, dead) == 1
    runner.refresh_from_db()
    return Job.objects.select_related("record").get(pk=claim.job_id), runner


def claim_again(runner: Runner) -> Claim:
    Runner.objects.filter(pk=runner.pk).update(must_quiet=False)
    claim = claim_next(runner.pk, ME)
    assert claim is not None
    return claim


def test_a_living_worker_is_left_alone() -> None:
    job, claim = make_running_job()
    assert reconcile(Runner.objects.get(), lambda owner: owner.process() is not None) == 0
    job.refresh_from_db()
    assert job.run_token == claim.run_token


def test_a_cancelled_job_is_cancelled() -> None:
    job, claim = make_running_job()
    start(job, claim)
    cancel(job.pk, by="ann")
    job, _ = lose(claim)
    assert job.status == JobStatus.CANCELLED


def test_a_job_with_every_stage_complete_is_completed_without_another_post() -> None:
    job, claim = make_running_job()
    finish_unit(job, claim)
    job, runner = lose(claim)
    assert job.status == JobStatus.COMPLETED
    assert not runner.must_quiet
    assert job.attempts.count() == 1


def test_a_job_that_started_nothing_is_queued_again_uncharged_at_the_head() -> None:
    job, claim = make_running_job()
    waiting = make_job()
    job, runner = lose(claim)
    assert (job.status, job.retry_count, job.idle_claims) == (JobStatus.QUEUED, 0, 1)
    assert job.position < waiting.position
    assert not runner.must_quiet


def test_a_job_that_no_worker_ever_starts_fails_in_the_end() -> None:
    job, claim = make_running_job()
    for count in range(MAX_IDLE_CLAIMS - 1):
        job, runner = lose(claim)
        assert (job.status, job.idle_claims) == (JobStatus.QUEUED, count + 1)
        claim = claim_again(runner)
    job, _ = lose(claim)
    assert job.status == JobStatus.FAILED
    assert job.error is not None
    assert job.error["code"] == "WORKER_LOST"


def test_a_started_job_gets_its_one_retry_and_the_webui_must_be_quiet_first() -> None:
    job, claim = make_running_job()
    waiting = make_job()
    attempt = start(job, claim)
    job, runner = lose(claim)
    assert (job.status, job.retry_count) == (JobStatus.QUEUED, 1)
    assert job.position < waiting.position
    assert (runner.must_quiet, runner.suspect_task_id) == (True, attempt.task_id)
    assert claim_next(runner.pk, ME) is None
    attempt.refresh_from_db()
    assert attempt.outcome == AttemptOutcome.LOST
    event = job.events.get(event_type=EventType.REQUEUED)
    assert event.data["charged"] is True


def test_a_job_lost_in_its_retry_fails_and_never_runs_a_third_time() -> None:
    job, claim = make_running_job()
    start(job, claim)
    job, runner = lose(claim)
    claim = claim_again(runner)
    start(job, claim)
    job, _ = lose(claim)
    assert (job.status, job.retry_count) == (JobStatus.FAILED, 1)
    assert job.history.error_message.endswith("in the retry.")


def test_a_granted_retry_that_never_began_is_not_charged_again() -> None:
    job, claim = make_running_job()
    start(job, claim)
    job, runner = lose(claim)
    claim = claim_again(runner)
    job, _ = lose(claim)
    assert (job.status, job.retry_count) == (JobStatus.QUEUED, 1)


def test_a_worker_lost_between_the_grant_and_the_retry_charges_nothing() -> None:
    job, claim = make_running_job()
    attempt = start(job, claim)
    end_attempt(attempt, AttemptOutcome.SERVER_ERROR, reason="500")
    assert charge_retry(claim, attempt, {"stage": "txt2img"})
    job, runner = lose(claim)
    assert (job.status, job.retry_count, job.idle_claims) == (JobStatus.QUEUED, 1, 1)
    assert not runner.must_quiet
    claim = claim_again(runner)
    start(job, claim)
    job, _ = lose(claim)
    assert (job.status, job.error_code) == (JobStatus.FAILED, "WORKER_LOST")


def test_a_worker_lost_in_the_retry_of_a_crash_keeps_the_evidence_of_the_crash() -> None:
    job, claim = make_running_job()
    attempt = start(job, claim)
    end_attempt(attempt, AttemptOutcome.SERVER_ERROR, reason="500", artifact_paths=["1/webui_tail.log"])
    assert charge_retry(claim, attempt, {"stage": "txt2img"})
    start(job, claim)
    job, _ = lose(claim)
    assert job.error is not None
    day = f"{job.started_at:%Y-%m-%d}"
    kept = [f"{day}/{job.pk}/worker_tail.log", "1/webui_tail.log"]
    assert (job.error["code"], job.error["artifact_paths"]) == ("WORKER_LOST", kept)


def worker_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """As if the output of this process went to a file with this text."""
    log = tmp_path / "node.log"
    log.write_text(text)
    monkeypatch.setattr(worker_tail, "OUTPUT", log)


def test_the_end_of_a_lost_workers_log_is_kept_with_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker_wrote(tmp_path, monkeypatch, "an older line\n" * 500 + "MemoryError: a lighthouse on a cliff\n")
    job, claim = make_running_job()
    start(job, claim)
    job, _ = lose(claim)
    [artifact] = artifacts_of(job.pk)
    text = artifact.file().read_text()
    assert text.endswith("MemoryError: [removed]\n")
    assert "lighthouse" not in text
    assert len(text.splitlines()) == worker_tail.TAIL_LINES
    assert job.events.get(event_type=EventType.REQUEUED).data["artifacts"] == [artifact.path]


def test_a_second_loss_keeps_the_first_ones_log_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker_wrote(tmp_path, monkeypatch, "the first end\n")
    job, claim = make_running_job()
    start(job, claim)
    job, runner = lose(claim)
    worker_wrote(tmp_path, monkeypatch, "the second end\n")
    start(job, claim := claim_again(runner))
    job, _ = lose(claim)
    texts = {artifact.name: artifact.file().read_text() for artifact in artifacts_of(job.pk)}
    assert texts == {
        "worker_tail.log": "the second end\n",
        "attempt-1/worker_tail.log": "the first end\n",
    }


def test_a_worker_whose_output_is_no_file_here_is_told_where_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    monkeypatch.setattr(worker_tail, "OUTPUT", Path(f"/proc/self/fd/{writer}"))
    job, claim = make_running_job()
    job, _ = lose(claim)
    os.close(reader)
    os.close(writer)
    assert artifacts_of(job.pk)[0].file().read_text() == f"{worker_tail.NO_FILE}\n"
    job, claim = make_running_job(claim.runner)
    elsewhere = ProcessIdentity("another-host", 1, 1)
    Job.objects.filter(pk=job.pk).update(owner=str(elsewhere))
    job, _ = lose(claim)
    assert artifacts_of(job.pk)[0].file().read_text() == f"{worker_tail.ELSEWHERE}\n"


def test_a_disk_that_takes_no_evidence_costs_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(worker_tail, "write_file", full)
    job, claim = make_running_job()
    start(job, claim)
    job, _ = lose(claim)
    assert (job.status, job.retry_count) == (JobStatus.QUEUED, 1)
    assert artifacts_of(job.pk) == ()


def test_the_one_retry_is_granted_to_one_attempt_and_only_to_the_run_that_owns_the_job() -> None:
    job, claim = make_running_job()
    attempt = start(job, claim)
    assert charge_retry(claim, attempt, {"stage": "txt2img"})
    # Asked again by a write whose answer was lost.
    assert charge_retry(claim, attempt, {"stage": "txt2img"})
    assert not charge_retry(claim, start(job, claim), {"stage": "txt2img"})
    assert job.events.filter(event_type=EventType.CRASH_SUSPECTED).count() == 1
    lose(claim)
    with pytest.raises(FencedError):
        charge_retry(claim, attempt, {"stage": "txt2img"})


def test_the_pictures_of_an_earlier_take_complete_nothing() -> None:
    job, claim = make_running_job()
    finish_unit(job, claim)
    start_take(claim)
    job, _ = lose(claim)
    assert (job.status, job.take, job.results) == (JobStatus.QUEUED, 2, [])


def test_job_that_ended_a_moment_before_its_worker_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    job, claim = make_running_job()

    def has_ended(job_id: int, run_token: uuid.UUID | None) -> Job:
        raise FencedError(job_id)

    monkeypatch.setattr(reconciling, "lock_job", has_ended)
    requeue_uncharged(claim.runner, reason="drain")
    job.refresh_from_db()
    assert (job.status, job.operator_requeues) == (JobStatus.RUNNING, 0)


def test_the_lost_run_can_write_nothing_more() -> None:
    job, claim = make_running_job()
    attempt = start(job, claim)
    lose(claim)
    with pytest.raises(FencedError):
        end_attempt(attempt, AttemptOutcome.COMPLETED)
    with pytest.raises(FencedError):
        start(job, claim)
    with pytest.raises(FencedError):
        move_job(job.pk, JobStatus.COMPLETED, event=EventType.COMPLETED, run_token=claim.run_token)


def test_the_jobs_of_other_nodes_are_not_judged() -> None:
    _, claim = make_running_job()
    other, _ = make_running_job()
    lose(claim)
    other.refresh_from_db()
    assert other.status == JobStatus.RUNNING


def test_an_operators_stop_is_charged_to_nobody() -> None:
    job, claim = make_running_job()
    start(job, claim)
    requeue_uncharged(Runner.objects.get(pk=claim.runner_id), reason="drain")
    job.refresh_from_db()
    assert (job.status, job.retry_count, job.operator_requeues) == (JobStatus.QUEUED, 0, 1)


@pytest.mark.parametrize(("heartbeat_s", "lease_s"), [(200, 10), (10, 200), (200, 200)])
def test_another_hosts_job_is_judged_only_when_heartbeat_and_lease_are_long_over(
    heartbeat_s: int, lease_s: int
) -> None:
    job, claim = make_running_job()
    now = timezone.now()
    Runner.objects.filter(pk=claim.runner_id).update(heartbeat_at=now - timedelta(seconds=heartbeat_s))
    Job.objects.filter(pk=job.pk).update(lease_until=now - timedelta(seconds=lease_s))
    judged = reconcile_abandoned_nodes()
    silent = heartbeat_s > 120 and lease_s > 120
    assert judged == (1 if silent and connection.vendor != "sqlite" else 0)

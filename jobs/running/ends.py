"""How a run ends: the job's last move, its envelope, and what is told of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from django.db import transaction

from jobs.clock import database_now
from jobs.errors import FencedError, RunError
from jobs.lifecycle import EventType, JobStatus
from jobs.models import AttemptOutcome, Job, Runner, StageAttempt
from jobs.queue.breaker import note_crash_failure
from jobs.queue.claims import Claim
from jobs.queue.moves import lock_job, move_locked
from jobs.queue.positions import front_of
from jobs.running.attempts import announce, close_attempts, insist
from jobs.running.envelope import envelope_of
from jobs.running.execution import execution_metadata
from jobs.running.outputs import set_aside_unaccepted, write_manifest
from jobs.running.stop_signals import StopSignals
from jobs.running.unit import Kept, relative
from webui.errors import WebUIError, WebUIGatewayError, WebUIUnavailableError, crash_eligible
from webui.recovery.recovery import RecoveryEnding, RecoveryOutcome

logger = logging.getLogger(__name__)


class UnitFailed(Exception):  # noqa: N818 - carries a webui error to the end of the run
    """A unit could not be mended; `outcome` says what was tried, `artifact_paths` where the evidence is."""

    def __init__(self, outcome: RecoveryOutcome[list[Kept]], artifact_paths: Sequence[Path]) -> None:
        super().__init__(outcome.ending.value)
        self.outcome = outcome
        self.artifact_paths = artifact_paths


@dataclass(slots=True)
class RunEnd:
    """The end of one claimed job's run; `stage` is the one under way."""

    claim: Claim
    signals: StopSignals
    stage: str = ""

    def end(
        self,
        status: JobStatus,
        event: EventType,
        *,
        changes: dict[str, Any] | None = None,
        data: dict[str, Any] | None = None,
        also: Callable[[], None] = lambda: None,
    ) -> None:
        """Move the job out of RUNNING; `also` writes in the same transaction."""

        def write() -> Job:
            with transaction.atomic(durable=True):
                job = lock_job(self.claim.job_id, self.claim.run_token)
                close_attempts(job, AttemptOutcome.ERROR, "the run ended before it could be accepted")
                also()
                return move_locked(job, status, event=event, changes=changes, data=data)

        try:
            self.tell(insist(write))
        except FencedError as exc:
            self.fenced(exc)

    def fenced(self, error: FencedError) -> None:
        logger.warning("%s", error, extra={"event": "run.fenced", "job_id": self.claim.job_id})

    def tell(self, job: Job) -> None:
        status = job.status
        logger.info(
            "Job %s is %s.", job.pk, status, extra={"event": f"job.{status.lower()}", "job_id": job.pk}
        )
        if status != JobStatus.COMPLETED:
            set_aside_unaccepted(job)
        if status == JobStatus.QUEUED:
            return
        try:
            write_manifest(job)
        except OSError as exc:
            logger.warning("The manifest of job %s was not written: %s", job.pk, exc)

    def fail_unit(self, failed: UnitFailed) -> None:
        error = failed.outcome.error
        assert error is not None
        if failed.outcome.ending is RecoveryEnding.EXHAUSTED:
            data = {
                "stage": self.stage,
                "error_code": error.code,
                "reason": str(error),
                "artifacts": relative(failed.artifact_paths),
            }
            try:
                insist(partial(announce, self.claim, EventType.RETRY_EXHAUSTED, data))
            except FencedError as exc:
                self.fenced(exc)
                return
        crashed = crash_eligible(error) or isinstance(error, WebUIGatewayError)
        self.fail(error, artifact_paths=failed.artifact_paths, crashed=crashed)

    def fail(self, error: Exception, *, artifact_paths: Sequence[Path] = (), crashed: bool = False) -> None:
        lost_in_front = isinstance(error, WebUIGatewayError)
        if isinstance(error, WebUIUnavailableError) and not lost_in_front:
            # Until the keeper has looked, no further job may burn on a server that is gone.
            self.signals.ask_restart(str(error))
        if not isinstance(error, WebUIError | RunError):
            logger.exception("Job %s failed.", self.claim.job_id)
        execution = execution_metadata(Job.objects.get(pk=self.claim.job_id)).as_json()
        envelope = envelope_of(
            error,
            job_id=self.claim.job_id,
            stage=self.stage,
            execution=execution,
            artifact_paths=relative(artifact_paths),
        )
        self.end(
            JobStatus.FAILED,
            EventType.FAILED,
            changes={"error": envelope.as_json(), "error_code": envelope.code},
            data={"error": envelope.as_json()},
            also=partial(self._note_crash, envelope.message, must_quiet=lost_in_front)
            if crashed
            else lambda: None,
        )

    def _note_crash(self, reason: str, *, must_quiet: bool) -> None:
        """`must_quiet`: the WebUI may still draw for this job, and nothing else runs there until that is over."""
        note_crash_failure(self.claim.runner_id, reason, database_now())
        if must_quiet:
            last = StageAttempt.objects.filter(run_token=self.claim.run_token).order_by("-id").first()
            Runner.objects.filter(pk=self.claim.runner_id).update(
                must_quiet=True, quiet_since=None, suspect_task_id=last.task_id if last else ""
            )

    def requeue(self, reason: str, *, operator: bool) -> None:
        job = Job.objects.get(pk=self.claim.job_id)
        changes = {
            "position": front_of(job.priority),
            "operator_requeues": job.operator_requeues + operator,
        }
        data = {"reason": reason, "charged": False}
        self.end(JobStatus.QUEUED, EventType.REQUEUED, changes=changes, data=data)

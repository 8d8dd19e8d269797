"""How a run ends: the job's last move, its envelope, and what is told of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from django.db import Error, transaction

from jobs.clock import database_now
from jobs.errors import FencedError, RunError
from jobs.lifecycle import EventType, JobStatus
from jobs.models import AttemptOutcome, Job, StageAttempt
from jobs.queue import storage
from jobs.queue.breaker import note_crash_failure
from jobs.queue.claims import Claim
from jobs.queue.fitness import recompute_lacks
from jobs.queue.moves import fence, lock_job, move_locked
from jobs.queue.positions import front_of
from jobs.queue.trouble import note_failure
from jobs.running.attempts import announce, close_attempts
from jobs.running.departures import (
    CancelledRun,
    DrainedRun,
    LackingRun,
    NodeLostRun,
    StorageRun,
    WorkerLeaves,
)
from jobs.running.envelope import envelope_of
from jobs.running.execution import execution_metadata
from jobs.running.leftover import require_quiet
from jobs.running.outputs import set_aside_unaccepted, write_manifest
from jobs.running.own_machine import of_own_machine
from jobs.running.sent_request import SentRequest
from jobs.running.state import Kept
from jobs.running.stop_signals import StopSignals
from jobs.running.unit import relative
from webui.books import insist, is_away, surely
from webui.errors import (
    WebUICheckpointError,
    WebUIError,
    WebUIGatewayError,
    WebUIHangError,
    crash_eligible,
)
from webui.kinds import server_noun
from webui.recovery.recovery import RecoveryEnding, RecoveryOutcome

logger = logging.getLogger(__name__)


Also = Callable[[Job, StageAttempt | None], None]


def _nothing(job: Job, last: StageAttempt | None) -> None:
    """Nothing more is written with the end of a run."""


class UnitFailed(Exception):  # noqa: N818 - carries a webui error to the end of the run
    """A unit could not be mended.

    `outcome` says what was tried, `artifact_paths` where the evidence is, `sent` what a log line tells of the request,
    `checkpoint` with which one it was to be drawn ("" = any).
    """

    def __init__(
        self,
        outcome: RecoveryOutcome[list[Kept]],
        artifact_paths: Sequence[Path],
        sent: SentRequest,
        checkpoint: str = "",
    ) -> None:
        super().__init__(outcome.ending.value)
        self.outcome = outcome
        self.artifact_paths = artifact_paths
        self.sent = sent
        self.checkpoint = checkpoint


@dataclass(slots=True)
class RunEnd:
    """The end of one claimed job's run; `stage` is the one under way."""

    claim: Claim
    signals: StopSignals
    stage: str = ""
    _holds_checkpoint: bool = False
    """This end is the one after which its node holds the checkpoint."""

    def by(self, why: Exception) -> None:
        """Whatever has stopped the run decides how it ends."""
        match why:
            case FencedError():
                self.fenced(why)
            case CancelledRun():
                self.end(JobStatus.CANCELLED, EventType.CANCELLED, data={"by": why.by})
            case DrainedRun():
                self.requeue("drain", operator=True)
            case NodeLostRun():
                self.give_back(
                    f"the {server_noun(self.claim.job.kind)} is not ready again: {why}", operator=False
                )
            case LackingRun():
                self.requeue(str(why), operator=True)
            case StorageRun():
                self.hold_storage(why)
            case MemoryError() | OSError():
                # Of a WebUI they are `WebUIError`s: this is our own machine, and no job's fault.
                self.hold_storage(of_own_machine(why, storage.output_root()))
            case UnitFailed():
                self.fail_unit(why)
            case _ if is_away(why):
                logger.error("Job %s goes back: the database is away.", self.claim.job_id, exc_info=why)
                self.give_back(f"the database did not answer ({type(why).__name__})", operator=True)
            case _:
                self.fail(why)

    def end(
        self,
        status: JobStatus,
        event: EventType,
        *,
        changes: dict[str, Any] | None = None,
        data: dict[str, Any] | None = None,
        also: Also = _nothing,
    ) -> None:
        """Move the job out of RUNNING; `also` writes in the same transaction, and gets the run's last attempt."""

        def write() -> Job:
            with transaction.atomic(durable=True):
                job = lock_job(self.claim.job_id, self.claim.run_token)
                outcome = AttemptOutcome.DRAINED if status is JobStatus.QUEUED else AttemptOutcome.ERROR
                last = close_attempts(job, outcome, "the run ended before it could be accepted")
                if last is None and self.claim.lost is not None:
                    # Nobody has taken it up.
                    require_quiet(self.claim.runner_id, job, self.claim.lost)
                also(job, last)
                return move_locked(job, status, event=event, changes=changes, data=data)

        def write_again() -> Job:
            """The commit may have arrived, and only its answer been lost."""
            ended = Job.objects.select_related("record").filter(pk=self.claim.job_id, status=status).first()
            return write() if ended is None or status == JobStatus.QUEUED else ended

        try:
            self.tell(insist(write, again=write_again))
        except FencedError as exc:
            self.fenced(exc)

    def fenced(self, error: FencedError) -> None:
        """Raises `WorkerLeaves` where the job is ours all the same: nobody else would ever end it."""
        if surely(fence(self.claim.job_id, self.claim.run_token).exists):
            raise WorkerLeaves(str(error)) from error
        logger.warning("%s", error, extra={"event": "run.fenced", "job_id": self.claim.job_id})

    def tell(self, job: Job) -> None:
        status = job.status
        logger.info(
            "Job %s is %s.", job.pk, status, extra={"event": f"job.{status.lower()}", "job_id": job.pk}
        )
        if status != JobStatus.COMPLETED:
            surely(set_aside_unaccepted, job)
        if status == JobStatus.QUEUED:
            return
        try:
            write_manifest(job)
        except (OSError, Error) as exc:
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
                surely(announce, self.claim, EventType.RETRY_EXHAUSTED, data)
            except FencedError as exc:
                self.fenced(exc)
                return
            failed.sent.tell(EventType.RETRY_EXHAUSTED, error.code, str(error))
        crashed = crash_eligible(error) or isinstance(error, WebUIGatewayError)
        self.fail(error, artifact_paths=failed.artifact_paths, crashed=crashed, checkpoint=failed.checkpoint)

    def fail(
        self,
        error: Exception,
        *,
        artifact_paths: Sequence[Path] = (),
        crashed: bool = False,
        checkpoint: str = "",
    ) -> None:
        lost_in_front = isinstance(error, WebUIGatewayError)
        if isinstance(error, WebUIError) and error.leaves_server_unusable:
            # Until the keeper has looked, no further job may burn on it.
            self.signals.ask_restart(f"job {self.claim.job_id} failed. {error.told_of(error.server).what}")
        if not isinstance(error, WebUIError | RunError):
            logger.error("Job %s failed.", self.claim.job_id, exc_info=error)
        execution = insist(self._execution)
        envelope = envelope_of(
            error,
            job_id=self.claim.job_id,
            stage=self.stage,
            execution=execution,
            artifact_paths=relative(artifact_paths),
        )
        also: Also = _nothing
        if isinstance(error, WebUICheckpointError) and checkpoint:
            also = partial(self._note_checkpoint, checkpoint, error.what)
        elif crashed or isinstance(error, WebUICheckpointError):
            # A checkpoint that nobody named is the node's own, and cannot be held by a name.
            # What hangs uses its graphics card until the restart has ended it, and another node may share that.
            hangs = isinstance(error, WebUIHangError) and bool(self.claim.node.card)
            also = partial(self._note_crash, envelope.message, must_quiet=lost_in_front or hangs)
        self.end(
            JobStatus.FAILED,
            EventType.FAILED,
            changes={"error": envelope.as_json(), "error_code": envelope.code},
            data={"error": envelope.as_json()},
            also=also,
        )
        if self._holds_checkpoint:
            # Before the next claim: the supervisor's own look comes up to a second later.
            surely(recompute_lacks, self.claim.node_id)

    def _note_checkpoint(self, checkpoint: str, what: str, job: Job, last: StageAttempt | None) -> None:
        self._holds_checkpoint = note_failure(self.claim.node, checkpoint, what, database_now())

    def _execution(self) -> dict[str, Any]:
        return execution_metadata(Job.objects.get(pk=self.claim.job_id)).as_json()

    def _note_crash(self, reason: str, job: Job, last: StageAttempt | None, *, must_quiet: bool) -> None:
        """`must_quiet`: the WebUI may still draw for this job, and nothing else runs there until that is over."""
        note_crash_failure(self.claim.runner_id, reason, database_now())
        if must_quiet and last is not None:
            require_quiet(self.claim.runner_id, job, last)

    def requeue(self, reason: str, *, operator: bool, also: Also = _nothing) -> None:
        """Back to the head of the queue. By an `operator` means: nothing that the job or its WebUI did."""

        def places() -> tuple[int, int]:
            job = Job.objects.get(pk=self.claim.job_id)
            return front_of(job.priority), job.operator_requeues + operator

        position, requeues = insist(places)
        changes = {"position": position, "operator_requeues": requeues}
        data = {"reason": reason, "charged": False}
        self.end(JobStatus.QUEUED, EventType.REQUEUED, changes=changes, data=data, also=also)

    def give_back(self, reason: str, *, operator: bool) -> None:
        """As `requeue`, where the last request may still be generating: the node is left in peace until it has.

        What a WebUI of ours was making has ended with the restart that it got.
        """
        self.requeue(reason, operator=operator, also=self._leave_in_peace)

    def _leave_in_peace(self, job: Job, last: StageAttempt | None) -> None:
        node = self.claim.node
        may_generate = {""} if node.managed and not node.adopted_foreign else {"", AttemptOutcome.UNAVAILABLE}
        if last is not None and last.outcome in may_generate:
            require_quiet(self.claim.runner_id, job, last)

    def hold_storage(self, found: StorageRun) -> None:
        """Uncharged, and no node of this machine takes a job before files can be written again."""
        runner = self.claim.runner

        def hold(job: Job, last: StageAttempt | None) -> None:
            self._leave_in_peace(job, last)
            storage.hold(runner, str(found))

        self.requeue(str(found), operator=True, also=hold)
        if found.fresh_process:
            raise WorkerLeaves(str(found))

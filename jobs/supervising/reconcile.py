"""Jobs whose worker is gone: decide what becomes of each, once, and make sure the WebUI is quiet first.

Judges only jobs of its own node. A verdict is a compare-and-swap on the lost run's token, so a worker that
lives after all is fenced, and a verdict that comes too late does nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q

from jobs.clock import database_now
from jobs.errors import FencedError, WorkerLostError
from jobs.lifecycle import MAX_IDLE_CLAIMS, EventType, JobStatus
from jobs.models import AttemptOutcome, Job, Runner, StageAttempt
from jobs.queue.claims import hand_over, is_handed_over
from jobs.queue.identity import ProcessIdentity
from jobs.queue.moves import lock_job, move_in_transaction
from jobs.queue.positions import front_of
from jobs.records.reading import read_record
from jobs.running.afterlife import request_that_goes_on
from jobs.running.attempts import close_attempts
from jobs.running.envelope import envelope_of
from jobs.running.execution import execution_metadata
from jobs.running.leftover import require_quiet
from jobs.running.live_preview import forget_preview
from jobs.running.outputs import set_aside_unaccepted
from jobs.running.requests import units_of
from jobs.supervising.worker_tail import keep_worker_tail
from webui.kinds import server_noun

logger = logging.getLogger(__name__)

LOST = "the process that ran the job was lost"

#: Says whether the worker that owns a running job is still at work.
IsAlive = Callable[[ProcessIdentity], bool]


def reconcile(
    runner: Runner, is_alive: IsAlive, *, silent: bool = False, cancelled: Mapping[str, str] | None = None
) -> int:
    """Judge the running jobs of this runner's node that have no living worker; how many there were.

    Nothing is judged where the runner has another owner by now, or, if it was `silent`, any sign of life.
    `cancelled` says by whom and why all of them are cancelled, whatever else they would get.
    """
    judged = 0
    running = Job.objects.filter(status=JobStatus.RUNNING, node_id=runner.node_id)
    for job in running.select_related("record"):
        owner = ProcessIdentity.parse(job.owner)
        if (owner is not None and is_alive(owner)) or is_handed_over(runner, job):
            continue
        try:
            verdict = _judge(runner, job, silent=silent, cancelled=cancelled)
        except FencedError:
            continue
        judged += 1
        forget_preview(runner.node)
        logger.warning(
            "Job %s had lost its runner: %s.",
            job.pk,
            verdict,
            extra={"event": "job.worker_lost", "job_id": job.pk, "verdict": verdict},
        )
    return judged


def reconcile_abandoned_nodes() -> int:
    """Judge running jobs of nodes of other hosts whose supervisor and lease are both long silent.

    Never on an embedded database: there every node is on this machine and the lock proves more.
    """
    if connection.vendor == "sqlite":
        return 0
    long_ago = database_now() - timedelta(seconds=settings.STABLENEW_FOREIGN_LEASE_S)
    silent = Runner.objects.filter(Q(heartbeat_at__isnull=True) | Q(heartbeat_at__lt=long_ago))
    abandoned = silent.filter(node__jobs__status=JobStatus.RUNNING, node__jobs__lease_until__lt=long_ago)
    return sum(reconcile(runner, lambda owner: False, silent=True) for runner in abandoned.distinct())


def requeue_uncharged(runner: Runner, *, reason: str) -> None:
    """An operator ended the worker of this node's running job: back to the head, charged to nobody."""
    for job in Job.objects.filter(status=JobStatus.RUNNING, node_id=runner.node_id):
        try:
            set_aside_unaccepted(_given_back(runner, job, reason))
        except FencedError:
            # Its end was written a moment before the worker's.
            continue
        forget_preview(runner.node)


def _given_back(runner: Runner, job: Job, reason: str) -> Job:
    with transaction.atomic(durable=True):
        locked = lock_job(job.pk, job.run_token)
        started = close_attempts(locked, AttemptOutcome.DRAINED, LOST)
        if started is not None and started.ended_at is None:
            require_quiet(runner.pk, locked, started)
        changes = {
            "position": front_of(locked.priority),
            "operator_requeues": locked.operator_requeues + 1,
        }
        data = {"reason": reason, "charged": False}
        _move(locked, JobStatus.QUEUED, EventType.REQUEUED, changes=changes, data=data)
    return locked


def _judge(runner: Runner, job: Job, *, silent: bool, cancelled: Mapping[str, str] | None) -> str:
    evidence = keep_worker_tail(job)
    goes_on = None if silent else request_that_goes_on(runner.node, job)
    with transaction.atomic(durable=True):
        locked = lock_job(job.pk, job.run_token)
        if locked.status != JobStatus.RUNNING or not _is_as_seen(runner, silent=silent):
            raise FencedError(job.pk)
        started = close_attempts(locked, AttemptOutcome.LOST, LOST)
        if goes_on is not None and goes_on == started and locked.cancel_requested_at is None:
            hand_over(runner, locked, goes_on)
            return f"its {server_noun(locked.kind)} goes on with it, and so does the next process"
        was_open = started is not None and started.ended_at is None
        if started is None and (started := _never_taken_up(runner, locked)) is not None:
            was_open = True
        if started is not None and was_open:
            require_quiet(runner.pk, locked, started)
        if cancelled is None:
            verdict = _verdict(locked, started, evidence)
        else:
            _move(locked, JobStatus.CANCELLED, EventType.CANCELLED, data=dict(cancelled))
            verdict = "cancelled with the whole queue"
    set_aside_unaccepted(locked)
    return verdict


def _never_taken_up(runner: Runner, job: Job) -> StageAttempt | None:
    """The request of a job that was handed over, and that no process took up in time."""
    lost = runner.lost_attempt
    if lost is None or lost.job_id != job.pk:
        return None
    Runner.objects.filter(pk=runner.pk).update(lost_attempt=None)
    return lost


def _is_as_seen(runner: Runner, *, silent: bool) -> bool:
    """Whether the runner has the owner that it had when it was read; locked until the verdict stands."""
    rows = Runner.objects.filter(pk=runner.pk, host_identity=runner.host_identity, pid=runner.pid)
    if silent:
        rows = rows.filter(heartbeat_at=runner.heartbeat_at)
    return rows.select_for_update().values_list("pk", flat=True).first() is not None


def _verdict(job: Job, started: StageAttempt | None, evidence: list[str]) -> str:
    """The first of five that fits; `started` is the last thing that the lost run sent, if any."""
    if job.cancel_requested_at is not None:
        _move(job, JobStatus.CANCELLED, EventType.CANCELLED, data={"by": job.cancel_requested_by})
        return "cancelled, as was asked"
    if _is_complete(job):
        _move(job, JobStatus.COMPLETED, EventType.COMPLETED, data={"reason": "every stage was complete"})
        return "completed, every stage was done"
    if started is None or _only_granted(job, started):
        if job.idle_claims + 1 >= MAX_IDLE_CLAIMS:
            _fail(
                job,
                f"the process that was to run it was lost {job.idle_claims + 1} times before it started anything",
                evidence,
            )
            return "failed, no runner ever started it"
        changes = {"position": front_of(job.priority), "idle_claims": job.idle_claims + 1}
        reason = (
            "the process that was to run it was lost before it started anything"
            if started is None
            else "the process that ran it was lost before the retry"
        )
        data = {"reason": reason, "charged": False, "artifacts": evidence}
        _move(job, JobStatus.QUEUED, EventType.REQUEUED, changes=changes, data=data)
        return "queued again at the head, uncharged"
    if job.retry_count == 0:
        changes = {"position": front_of(job.priority), "retry_count": 1, "retry_after": started.pk}
        data = {
            "reason": "the process that ran it was lost",
            "charged": True,
            "stage": started.stage,
            "artifacts": evidence,
        }
        _move(job, JobStatus.QUEUED, EventType.REQUEUED, changes=changes, data=data)
        return "queued again at the head with its one retry"
    _fail(job, "the process that ran it was lost again, in the retry", evidence)
    return "failed, the retry was lost as well"


def _only_granted(job: Job, last: StageAttempt) -> bool:
    """The job has its one retry, and what the lost run sent was before that."""
    return job.retry_after is not None and last.pk <= job.retry_after


def _is_complete(job: Job) -> bool:
    record = read_record(job.record.canonical_json)
    wanted = {
        (unit.stage.stage, image)
        for units in units_of(record)
        for unit in units
        for image in unit.image_indexes
    }
    return wanted == {(output.stage, output.image_index) for output in job.results}


def _fail(job: Job, why: str, evidence: list[str]) -> None:
    error = WorkerLostError(f"Job {job.pk} failed: {why}.")
    execution = execution_metadata(job).as_json()
    envelope = envelope_of(error, job_id=job.pk, stage=job.current_stage, execution=execution)
    # Beside what an earlier failure of a WebUI has left.
    paths = tuple(dict.fromkeys([*evidence, *envelope.artifact_paths]))
    envelope = envelope.model_copy(update={"artifact_paths": paths})
    changes = {"error": envelope.as_json(), "error_code": envelope.code}
    _move(job, JobStatus.FAILED, EventType.FAILED, changes=changes, data={"error": envelope.as_json()})


def _move(
    job: Job,
    to: JobStatus,
    event: EventType,
    *,
    changes: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
) -> None:
    move_in_transaction(job.pk, to, event=event, run_token=job.run_token, changes=changes, data=data)

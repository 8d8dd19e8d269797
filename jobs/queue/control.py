"""What people do to the queue: cancel, pause, resume, resume a node. Acts on many jobs are in `jobs.bulk.acts`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import StrEnum

from django.db import transaction
from django.db.models import F

from jobs.clock import database_now
from jobs.errors import FencedError, IllegalTransitionError, NotFoundError
from jobs.lifecycle import TERMINAL, EventType, JobStatus
from jobs.models import Job, QueueControl, Runner
from jobs.queue import breaker, trouble
from jobs.queue.moves import move_in_transaction
from jobs.queue.wakeup import kick, kick_all
from webui.models import Node

logger = logging.getLogger(__name__)


class CancelResult(StrEnum):
    CANCELLED = "cancelled"
    REQUESTED = "requested"
    TOO_LATE = "too_late"


@dataclass(frozen=True, slots=True)
class Cancelled:
    job_id: int
    result: CancelResult
    message: str


def cancel(job_id: int, *, by: str) -> Cancelled:
    """Cancel a queued job now, ask a running one to stop, or say why it is too late."""
    # A queued job may be claimed between the look and the move, so the second look decides.
    for _ in range(3):
        job = Job.objects.only("status").filter(pk=job_id).first()
        if job is None:
            raise NotFoundError(f"There is no job {job_id}.")
        if job.status in TERMINAL:
            message = f"Job {job_id} is already {job.status}."
            return Cancelled(job_id, CancelResult.TOO_LATE, message)
        if job.status == JobStatus.RUNNING and _ask_to_stop(job_id, by):
            message = f"Job {job_id} is running; it ends with the answer to its interrupted request."
            return Cancelled(job_id, CancelResult.REQUESTED, message)
        if job.status == JobStatus.QUEUED and _cancel_queued(job_id, by):
            return Cancelled(job_id, CancelResult.CANCELLED, f"Job {job_id} is cancelled.")
    message = f"Job {job_id} keeps changing; try again."
    return Cancelled(job_id, CancelResult.TOO_LATE, message)


def _ask_to_stop(job_id: int, by: str) -> bool:
    running = Job.objects.filter(pk=job_id, status=JobStatus.RUNNING)
    if running.filter(cancel_requested_at__isnull=False).exists():
        return True
    asked = bool(running.update(cancel_requested_at=database_now(), cancel_requested_by=by[:150]))
    touch()
    return asked


def _cancel_queued(job_id: int, by: str) -> bool:
    try:
        with transaction.atomic(durable=True):
            move_in_transaction(
                job_id,
                JobStatus.CANCELLED,
                event=EventType.CANCELLED,
                data={"by": by, "reason": "before it ran"},
            )
    except (IllegalTransitionError, FencedError):
        return False
    return True


def pause(*, by: str, reason: str = "") -> bool:
    """Stop claims; running jobs go on. False when it was paused already."""
    paused = QueueControl.objects.filter(pk=QueueControl.SINGLETON_ID, paused=False).update(
        paused=True,
        paused_by=by[:150],
        pause_reason=reason[:300],
        paused_at=database_now(),
        version=F("version") + 1,
    )
    return bool(paused)


def resume(*, by: str) -> bool:
    """Let claims go on. False when it was not paused."""
    resumed = QueueControl.objects.filter(pk=QueueControl.SINGLETON_ID, paused=True).update(
        paused=False, paused_by="", pause_reason="", paused_at=None, version=F("version") + 1
    )
    if resumed:
        logger.info("%s resumed the queue.", by, extra={"event": "queue.resumed", "by": by})
        kick_all()
    return bool(resumed)


def resume_node(node: Node, *, by: str) -> bool:
    """Let a node with an open breaker try one job at once. False when its breaker is not open.

    If the job completes, the others follow; if it crashes, the node waits again, and longer.
    """
    runner_id = Runner.objects.filter(node=node).values_list("pk", flat=True).first()
    with transaction.atomic():
        if runner_id is None or not breaker.try_now(runner_id, database_now()):
            return False
        kick(runner_id)
        touch()
    logger.info(
        "%s lets node %s try one job now.",
        by,
        node.name,
        extra={"event": "breaker.resumed", "node": node.name, "by": by},
    )
    return True


def release_checkpoint(node: Node, checkpoint: str = "", *, by: str) -> list[str]:
    """Let checkpoints that failed on this node again and again be tried there once more; their names."""
    runner_id = Runner.objects.filter(node=node).values_list("pk", flat=True).first()
    with transaction.atomic():
        names = trouble.release(node.pk, checkpoint)
        if names and runner_id is not None:
            kick(runner_id)
        if names:
            touch()
    if names:
        logger.info(
            "%s lets node %s try %s again.",
            by,
            node.name,
            ", ".join(names),
            extra={"event": "checkpoint.released", "node": node.name, "by": by, "checkpoints": names},
        )
    return names


def touch() -> None:
    """Tell polling pages that something changed that no move of a job tells them."""
    QueueControl.objects.filter(pk=QueueControl.SINGLETON_ID).update(version=F("version") + 1)

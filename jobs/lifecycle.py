"""The life of a job as values: statuses, event types and the one table of allowed moves.

    (SUBMITTED) -> QUEUED -> RUNNING -> COMPLETED
                      |         |-----> FAILED
                      |         |-----> CANCELLED
                      |         '-----> QUEUED      (recovery, or an operator's drain or restart)
                      '-----> CANCELLED

SUBMITTED is the first event, not a resting status. Writing a move belongs to `jobs.queue.moves`.
"""

from __future__ import annotations

from django.db import models


class JobStatus(models.TextChoices):
    QUEUED = "QUEUED", "Queued"
    RUNNING = "RUNNING", "Running"
    COMPLETED = "COMPLETED", "Completed"
    FAILED = "FAILED", "Failed"
    CANCELLED = "CANCELLED", "Cancelled"


TERMINAL = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})

TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.CANCELLED}),
    JobStatus.RUNNING: frozenset(
        {JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.QUEUED}
    ),
    JobStatus.COMPLETED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
}


class TruthVerdict(models.TextChoices):
    """Whether pictures are what was asked for: of a picture, and of a job by its worst one; empty = never judged."""

    VERIFIED = "verified", "Verified"
    UNPROVEN = "unproven", "Unproven"
    DRIFTED = "drifted", "Drifted"


class TruthPolicy(models.TextChoices):
    """What becomes of a picture that is not what was asked for, where it is of use all the same.

    One that is of none (black, flat, cut off, of a wrong size, number or checkpoint) costs the retry by MARK, too.
    """

    MARK = "mark", "Mark it"
    RETRY = "retry", "Retry once, then fail"
    FAIL = "fail", "Fail the job"


class EventType(models.TextChoices):
    """Everything that can happen to a job; `docs/lifecycle.md` has one JSON example of each.

    Its sentence for people stands in `jobs.reading.event_sentences`.
    """

    SUBMITTED = "SUBMITTED", "Submitted"
    QUEUED = "QUEUED", "Queued"
    RUNNING = "RUNNING", "Running"
    STAGE_STARTED = "STAGE_STARTED", "Stage started"
    STAGE_COMPLETED = "STAGE_COMPLETED", "Stage completed"
    CRASH_SUSPECTED = "QUEUE_JOB_WEBUI_CRASH_SUSPECTED", "WebUI crash suspected"
    WEBUI_RESTARTED = "WEBUI_RESTARTED", "WebUI restarted"
    RETRY_STARTED = "RETRY_STARTED", "Retry started"
    RETRY_EXHAUSTED = "QUEUE_JOB_WEBUI_RETRY_EXHAUSTED", "Retry exhausted"
    REQUEUED = "REQUEUED", "Requeued"
    COMPLETED = "COMPLETED", "Completed"
    FAILED = "FAILED", "Failed"
    CANCELLED = "CANCELLED", "Cancelled"
    MOVED = "MOVED", "Moved in the queue"
    DISMISSED = "DISMISSED", "Failure dismissed"
    ILLEGAL_TRANSITION = "ILLEGAL_TRANSITION", "Illegal transition refused"


class Priority(models.IntegerChoices):
    """Lower runs first."""

    HIGH = 10, "High"
    NORMAL = 20, "Normal"
    LOW = 30, "Low"


#: Claims of a job that were lost before anything was started; the last of them makes it FAILED (WORKER_LOST).
MAX_IDLE_CLAIMS = 3

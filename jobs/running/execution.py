"""`JobExecutionMetadata`: how a job was executed, read from its attempts; frozen, JSON, no prompt in it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from jobs.models import Job, StageAttempt


@dataclass(frozen=True, slots=True)
class AttemptFacts:
    """One call of one stage. Times are ISO 8601, durations seconds."""

    stage: str
    image_index: int | None
    run_number: int
    attempt_index: int
    max_attempts: int
    node: str
    generation: int
    task_id: str
    outcome: str
    http_status: int | None
    reason: str
    wait_s: float
    duration_s: float | None
    started_at: str
    ended_at: str | None
    artifact_paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JobExecutionMetadata:
    """`executions` counts runs with at least one started attempt; never more than two because of failures."""

    retry_count: int
    operator_requeues: int
    executions: int
    nodes: tuple[str, ...]
    attempts: tuple[AttemptFacts, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def execution_metadata(job: Job) -> JobExecutionMetadata:
    attempts = tuple(
        attempt_facts(attempt)
        for attempt in StageAttempt.objects.filter(job_id=job.pk).select_related("node").order_by("id")
    )
    return JobExecutionMetadata(
        retry_count=job.retry_count,
        operator_requeues=job.operator_requeues,
        executions=len({attempt.run_number for attempt in attempts}),
        nodes=tuple(dict.fromkeys(attempt.node for attempt in attempts)),
        attempts=attempts,
    )


def attempt_facts(attempt: StageAttempt) -> AttemptFacts:
    return AttemptFacts(
        stage=attempt.stage,
        image_index=attempt.image_index,
        run_number=attempt.run_number,
        attempt_index=attempt.attempt_index,
        max_attempts=attempt.max_attempts,
        node=attempt.node.name,
        generation=attempt.node_generation,
        task_id=attempt.task_id,
        outcome=attempt.outcome,
        http_status=attempt.http_status,
        reason=attempt.reason,
        wait_s=attempt.wait_s,
        duration_s=attempt.duration_s,
        started_at=attempt.started_at.isoformat(),
        ended_at=attempt.ended_at.isoformat() if attempt.ended_at else None,
        artifact_paths=tuple(attempt.artifact_paths),
    )

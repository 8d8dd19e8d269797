"""Jobs that crashed, with attempts, events and files of evidence as a run leaves them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import F
from django.utils import timezone

from jobs.lifecycle import EventType, JobStatus
from jobs.models import AttemptOutcome, Job, Runner, StageAttempt
from jobs.queue.claims import Claim
from jobs.queue.moves import add_event, move_job
from jobs.running.envelope import envelope_of
from jobs.running.execution import execution_metadata
from jobs.running.outputs import output_root
from tests.integration.finished_jobs import add_picture, claim
from webui.errors import WebUIConnectionLostError, WebUIError, WebUIServerError

PLAIN = ("stage_failure_payload.json", "webui_tail.log")


def server_error() -> WebUIError:
    return WebUIServerError("CUDA error: an illegal memory access", endpoint="/sdapi/v1/txt2img", status=500)


def write_evidence(job_id: int, *names: str) -> list[str]:
    """Real files in the run directory of a job; their paths as rows store them."""
    paths = []
    for name in names:
        path = f"2026-01-31/{job_id}/{name}"
        file = output_root() / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text('{"prompt": "sha256"}' if name.endswith(".json") else f"last words of {name}\n")
        paths.append(path)
    return paths


def crash(
    claimed: Claim, *, run_number: int = 1, paths: Sequence[str] = (), status: int | None = 500
) -> StageAttempt:
    """One POST that was answered with a crash."""
    return StageAttempt.objects.create(
        job_id=claimed.job_id,
        run_token=claimed.run_token,
        run_number=run_number,
        stage="txt2img",
        stage_index=0,
        attempt_index=1,
        max_attempts=3,
        node_id=claimed.node_id,
        node_generation=claimed.node.generation,
        task_id=f"task{run_number}",
        ended_at=timezone.now(),
        outcome=AttemptOutcome.SERVER_ERROR if status else AttemptOutcome.UNAVAILABLE,
        http_status=status,
        reason="CUDA error: an illegal memory access",
        wait_s=0.0,
        duration_s=2.5,
        artifact_paths=list(paths),
    )


def tell(job_id: int, event: EventType, data: dict[str, Any]) -> None:
    """An event of a running job."""
    Job.objects.filter(pk=job_id).update(last_sequence=F("last_sequence") + 1)
    add_event(Job.objects.select_related("record").get(pk=job_id), event, data=data)


def begin_retry(claimed: Claim) -> None:
    """Crash once, with evidence, and be granted the retry after a restart."""
    names = [*PLAIN, *(f"attempt-1/{name}" for name in PLAIN)]
    paths = write_evidence(claimed.job_id, *names)
    attempt = crash(claimed, paths=paths)
    Job.objects.filter(pk=claimed.job_id).update(retry_count=1, retry_after=attempt.pk)
    tell(
        claimed.job_id,
        EventType.CRASH_SUSPECTED,
        {
            "stage": "txt2img",
            "attempt": 1,
            "error_code": "WEBUI_SERVER_ERROR",
            "error_type": "WebUIServerError",
            "http_status": 500,
            "payload_keys": ["prompt", "seed"],
            "restart": True,
            "generation": claimed.node.generation,
            "artifacts": paths,
            "reason": "CUDA error: an illegal memory access",
        },
    )
    tell(
        claimed.job_id,
        EventType.WEBUI_RESTARTED,
        {"generation": claimed.node.generation + 1, "waited_s": 3.25},
    )
    tell(
        claimed.job_id, EventType.RETRY_STARTED, {"stage": "txt2img", "run_number": 2, "from_stage_1": False}
    )


def complete_in_retry(runner: Runner) -> Job:
    """The head of the queue crashes once and is COMPLETED in its retry."""
    claimed = claim(runner)
    begin_retry(claimed)
    add_picture(claimed)
    StageAttempt.objects.filter(job_id=claimed.job_id, outcome="").update(
        run_number=2, ended_at=timezone.now(), outcome=AttemptOutcome.COMPLETED, http_status=200
    )
    return move_job(
        claimed.job_id, JobStatus.COMPLETED, event=EventType.COMPLETED, run_token=claimed.run_token
    )


def fail_in_retry(runner: Runner, error: WebUIError | None = None) -> Job:
    """The head of the queue crashes, and again in its retry: FAILED with envelope, events and evidence."""
    claimed = claim(runner)
    begin_retry(claimed)
    paths = [f"2026-01-31/{claimed.job_id}/{name}" for name in PLAIN]
    crash(claimed, run_number=2, paths=paths, status=None)
    tell(
        claimed.job_id,
        EventType.RETRY_EXHAUSTED,
        {"stage": "txt2img", "error_code": "WEBUI_CONNECTION_LOST", "artifacts": paths},
    )
    job = Job.objects.get(pk=claimed.job_id)
    error = error or WebUIConnectionLostError("The connection broke.", endpoint="/sdapi/v1/txt2img")
    error.__cause__ = ConnectionResetError(104, "Connection reset by peer")
    envelope = envelope_of(
        error, job_id=job.pk, stage="txt2img", execution=execution_metadata(job).as_json()
    ).model_copy(update={"artifact_paths": tuple(paths)})
    document = envelope.as_json()
    return move_job(
        claimed.job_id,
        JobStatus.FAILED,
        event=EventType.FAILED,
        run_token=claimed.run_token,
        changes={"error": document, "error_code": document["code"]},
        data={"error": document},
    )

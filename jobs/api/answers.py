"""What the API says of jobs: one value per thing, composed for many jobs in the same few queries."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import F
from django.urls import reverse
from pydantic import Field

from jobs.api.waiting import why_jobs_wait
from jobs.lifecycle import JobStatus, Priority
from jobs.models import Job, OutputImage
from jobs.pages.pictures import HASH_CHARS, UNKNOWN_TYPE
from jobs.reading.lists import JobLine, job_lines
from jobs.reading.live import progress_of
from jobs.running.envelope import read_envelope
from webui.kinds import WorkKind
from webui.values import FrozenValue


class ApiOutput(FrozenValue):
    """One result. Its addresses are of this server; `url` answers `Range` requests."""

    id: int
    stage: str
    url: str
    thumbnail_url: str
    media_type: str
    sha256: str
    size_bytes: int
    width: int = Field(description="Pixels.")
    height: int = Field(description="Pixels.")
    seed: int | None = Field(description="With which it was truly made, where the server told.")
    frames: int | None = Field(description="Of a film; null for a picture, as the next two.")
    fps: float | None
    duration_s: float | None


class ApiProgress(FrozenValue):
    """How far a running job is."""

    stage: str
    stage_number: int = Field(description="From 1.")
    stage_total: int
    step: int | None
    steps: int | None
    fraction: float | None = Field(description="Of the whole job, from 0 to 1.")
    elapsed_s: float | None
    left_s: float | None = Field(description="Seconds to its end, roughly.")


class ApiFailure(FrozenValue):
    """Why a job failed, and what to do."""

    code: str
    message: str
    remedy: str


class ApiJob(FrozenValue):
    """One job. Times are ISO 8601 in UTC."""

    id: int
    kind: WorkKind
    status: JobStatus
    pack: str
    row: int = Field(description="Of the pack, from 1.")
    prompt: str
    checkpoint: str = Field(
        description="The checkpoint or model that it asks for; empty = the one that is loaded."
    )
    seed: int
    priority: str = Field(description=f"{', '.join(one.label.lower() for one in Priority)}.")
    submitted_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    retry_count: int
    error: ApiFailure | None
    hold: str | None = Field(description="Why it waits, beyond the jobs in front of it.")
    progress: ApiProgress | None = Field(description="While it runs.")
    outputs: tuple[ApiOutput, ...]


class ApiJobs(FrozenValue):
    """The newest jobs, the latest submitted first."""

    jobs: tuple[ApiJob, ...]


class ApiError(FrozenValue):
    """Why a question was not answered."""

    code: str
    message: str


class ApiRefusal(FrozenValue):
    error: ApiError


def answers(jobs: Sequence[Job]) -> tuple[ApiJob, ...]:
    """These jobs (`record` and `node__runner` loaded), in their order."""
    lines = job_lines(jobs, with_holds=True)
    waits = why_jobs_wait(lines, {job.pk: job.kind for job in jobs})
    outputs = _outputs([job.pk for job in jobs])
    return tuple(
        _answer(job, line, waits.get(job.pk), outputs.get(job.pk, ()))
        for job, line in zip(jobs, lines, strict=True)
    )


def _answer(job: Job, line: JobLine, hold: str | None, outputs: Sequence[ApiOutput]) -> ApiJob:
    record: dict[str, Any] = json.loads(job.record.canonical_json)
    return ApiJob(
        id=job.pk,
        kind=WorkKind(job.kind),
        status=JobStatus(job.status),
        pack=line.summary.prompt_pack_name,
        row=line.row,
        prompt=record["positive_prompt"],
        checkpoint=job.checkpoint,
        seed=line.summary.seed,
        priority=line.priority.label.lower(),
        submitted_at=job.submitted_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        retry_count=job.retry_count,
        error=_failure(job),
        hold=hold,
        progress=_progress(job, line),
        outputs=tuple(outputs),
    )


def _failure(job: Job) -> ApiFailure | None:
    if job.status != JobStatus.FAILED:
        return None
    envelope = read_envelope(job.error)
    return ApiFailure(
        code=job.error_code,
        message=str(envelope.get("message", "")),
        remedy=str(envelope.get("remediation", "")),
    )


def _progress(job: Job, line: JobLine) -> ApiProgress | None:
    told = progress_of(job, line) if job.status == JobStatus.RUNNING else None
    if told is None:
        return None
    return ApiProgress(
        stage=told.stage,
        stage_number=told.stage_number,
        stage_total=told.stage_total,
        step=told.step,
        steps=told.steps,
        fraction=told.fraction,
        elapsed_s=told.elapsed_s,
        left_s=told.left_s,
    )


def _outputs(job_ids: Sequence[int]) -> dict[int, list[ApiOutput]]:
    """By job, what counts as its result: of its present take."""
    found: dict[int, list[ApiOutput]] = {}
    for row in OutputImage.objects.filter(job_id__in=job_ids, take=F("job__take")).defer("infotext"):
        found.setdefault(row.job_id, []).append(
            ApiOutput(
                id=row.pk,
                stage=row.stage,
                url=_address("output", row),
                thumbnail_url=_address("thumb", row),
                media_type=row.media_type or UNKNOWN_TYPE,
                sha256=row.sha256,
                size_bytes=row.size_bytes,
                width=row.width_px,
                height=row.height_px,
                seed=row.seed,
                frames=row.frames,
                fps=row.fps,
                duration_s=row.duration_s,
            )
        )
    return found


def _address(name: str, row: OutputImage) -> str:
    # With its hash, so that whoever has fetched it may keep it.
    return f"{reverse(name, args=[row.pk])}?v={row.sha256[:HASH_CHARS]}"

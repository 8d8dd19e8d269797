"""Jobs that have ended or run, made through claim and move, with real picture files in the output folder."""

from __future__ import annotations

import hashlib
import io
import itertools
from pathlib import Path

from django.db.models import F
from PIL import Image

from jobs.lifecycle import EventType, JobStatus
from jobs.models import Job, OutputImage, Runner, StageAttempt
from jobs.queue.claims import Claim, claim_next
from jobs.queue.identity import ProcessIdentity
from jobs.queue.moves import move_job
from jobs.running.envelope import envelope_of
from jobs.running.live_preview import preview_path
from jobs.running.outputs import output_root
from tests.factories import its_turn
from webui.errors import SamplerNotFoundError

_names = itertools.count(1)


def claim(runner: Runner) -> Claim:
    claimed = claim_next(its_turn(runner).pk, ProcessIdentity.of_self())
    assert claimed is not None, "nothing could be claimed"
    return claimed


def add_picture(claimed: Claim, *, path: str = "", infotext: str = "a castle\nSteps: 20") -> OutputImage:
    """A result of txt2img; `path` (relative to the output folder) may point at a file of the test's own."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), "teal").save(buffer, "PNG")
    content = buffer.getvalue()
    if not path:
        path = f"2026-01-31/{claimed.job_id}/1-txt2img-{next(_names):03d}.png"
        file = Path(output_root()) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    attempt = StageAttempt.objects.create(
        job_id=claimed.job_id,
        run_token=claimed.run_token,
        run_number=1,
        stage="txt2img",
        stage_index=0,
        node_id=claimed.node_id,
        node_generation=claimed.node.generation,
        task_id="task",
    )
    return OutputImage.objects.create(
        job_id=claimed.job_id,
        attempt=attempt,
        stage="txt2img",
        stage_index=0,
        image_index=OutputImage.objects.filter(job_id=claimed.job_id).count(),
        path=path,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        width_px=64,
        height_px=48,
        seed=7,
        infotext=infotext,
    )


def complete(runner: Runner, *, pictures: int = 1) -> Job:
    """Run the head of the queue to COMPLETED."""
    claimed = claim(runner)
    for _ in range(pictures):
        add_picture(claimed)
    return move_job(
        claimed.job_id, JobStatus.COMPLETED, event=EventType.COMPLETED, run_token=claimed.run_token
    )


def fail(runner: Runner) -> Job:
    """Run the head of the queue to FAILED, with the envelope of a refusal."""
    claimed = claim(runner)
    error = SamplerNotFoundError("Sampler not found", endpoint="/sdapi/v1/txt2img", status=404)
    envelope = envelope_of(error, job_id=claimed.job_id, stage="txt2img").as_json()
    return move_job(
        claimed.job_id,
        JobStatus.FAILED,
        event=EventType.FAILED,
        run_token=claimed.run_token,
        changes={"error": envelope, "error_code": envelope["code"]},
        data={"error": envelope},
    )


def show_preview(runner: Runner, claimed: Claim, *, number: int = 1) -> bytes:
    """What the run of this claim would show of the picture that is being made."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), "navy").save(buffer, "WEBP")
    path = preview_path(runner.node)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
    told = {
        "job_id": claimed.job_id,
        "stage": "txt2img",
        "stage_index": 0,
        "stage_total": 1,
        "preview": number,
    }
    Runner.objects.filter(pk=runner.pk).update(progress=told, progress_version=F("progress_version") + 1)
    return buffer.getvalue()

"""The requests of a job as `replay.json`: the one that failed, or of a job that did not fail one for each unit."""

from __future__ import annotations

from collections.abc import Sequence

from diagnostics.explaining.sent_requests import KeptPictures, RequestLostError, request_of
from diagnostics.replay.document import MOST_REQUESTS, CameOf, RecordedRequest, ReplayDocument
from jobs.lifecycle import JobStatus
from jobs.models import AttemptOutcome, Job, OutputImage, StageAttempt
from jobs.records.reading import read_record
from jobs.running.envelope import read_envelope
from webui.work.unit import Request


def recorded_json(job: Job, *, most_bytes: int) -> tuple[bytes | None, str]:
    """The document in at most so many bytes, and why requests are left out of it ("" for none).

    None where nothing is left, then with the reason.
    """
    attempts = _attempts_that_count(job)
    if not attempts:
        return None, "nothing was sent for it"
    record = read_record(job.record.canonical_json)
    outputs = list(OutputImage.objects.filter(job=job))
    kept = KeptPictures.of(outputs, job.take)
    found: list[RecordedRequest] = []
    reasons: list[str] = []
    room = most_bytes
    for attempt in attempts[:MOST_REQUESTS]:
        try:
            request = request_of(record, attempt, kept)
        except RequestLostError as exc:
            reasons.append(str(exc))
            continue
        one = _recorded(job, attempt, request, [row for row in outputs if row.attempt_id == attempt.pk])
        size_bytes = len(one.model_dump_json())
        if size_bytes > room:
            reasons.append(f"a request has {size_bytes / 1024**2:.1f} MB: raise STABLENEW_BUNDLE_MAX_BYTES")
            continue
        room -= size_bytes
        found.append(one)
    if not found:
        return None, "; ".join(dict.fromkeys(reasons))
    document = ReplayDocument(driver=attempts[-1].node.driver, job=job.pk, requests=tuple(found))
    return document.model_dump_json(indent=1).encode(), ""


def _attempts_that_count(job: Job) -> Sequence[StageAttempt]:
    """Of a failed job its last request that did not succeed, of any other the last of each unit."""
    attempts = list(StageAttempt.objects.filter(job=job).select_related("node").order_by("id"))
    if job.status == JobStatus.FAILED:
        return [one for one in attempts if one.outcome != AttemptOutcome.COMPLETED][-1:]
    return list({(one.stage_index, one.image_index): one for one in attempts}.values())


def _recorded(
    job: Job, attempt: StageAttempt, request: Request, outputs: Sequence[OutputImage]
) -> RecordedRequest:
    error = read_envelope(job.error) if job.status == JobStatus.FAILED else {}
    context = error.get("context") or {}
    return RecordedRequest(
        stage=request.stage,
        endpoint=request.endpoint,
        sha256=request.sha256,
        body=dict(request.body),
        pictures=request.pictures,
        size_px=request.size_px,
        checkpoint=request.checkpoint,
        came=CameOf(
            outcome=attempt.outcome or "under way",
            code=str(error.get("code") or ""),
            http_status=attempt.http_status,
            words=str(context.get("words") or "")[:20_000],
            pictures=tuple(row.sha256 for row in sorted(outputs, key=lambda row: row.image_index)),
        ),
    )

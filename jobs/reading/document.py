"""Everything that is known about one job, as one JSON document: for commands and tests."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings

from jobs.models import Job, OutputImage
from jobs.queue.summary import summarize
from jobs.records.record import sha256_text
from jobs.running.envelope import read_envelope
from jobs.running.execution import attempt_facts, execution_metadata
from jobs.running.outputs import film_facts


def job_document(job: Job) -> dict[str, Any]:
    """Everything that is known about one job; the record's hash is computed from its bytes now."""
    return {
        "id": job.pk,
        "status": job.status,
        "priority": job.get_priority_display().lower(),
        "retry_count": job.retry_count,
        "operator_requeues": job.operator_requeues,
        "submission": job.record.submission_id,
        "submitted_at": job.submitted_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "summary": asdict(summarize(job)),
        "record": json.loads(job.record.canonical_json),
        "record_hash": sha256_text(job.record.canonical_json),
        "events": [
            {
                "sequence": event.sequence,
                "event_type": event.event_type,
                "from": event.from_status,
                "to": event.to_status,
                "at": event.at,
                "data": event.data,
            }
            for event in job.events.order_by("sequence")
        ],
        "stage_attempts": [
            asdict(attempt_facts(attempt)) for attempt in job.attempts.select_related("node").order_by("id")
        ],
        "execution_metadata": execution_metadata(job).as_json(),
        "outputs": [_output(image) for image in job.results],
        "error_code": job.error_code,
        "error": read_envelope(job.error) or None,
    }


def _output(image: OutputImage) -> dict[str, Any]:
    return {
        "path": str(Path(settings.STABLENEW_OUTPUT_DIR) / image.path),
        "sha256": image.sha256,
        "stage": image.stage,
        "image_index": image.image_index,
        "width": image.width_px,
        "height": image.height_px,
        "seed": image.seed,
        "size_bytes": image.size_bytes,
        "infotext": image.infotext,
        **film_facts(image),
    }

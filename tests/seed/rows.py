"""Rows that wait for their insert, table by table, and the columns in which they stand."""

from __future__ import annotations

from itertools import count

from django.db import transaction

from jobs.models import HistoryEntry, Job, JobRecord, LifecycleEvent, OutputImage, StageAttempt
from tests.seed.inserts import Row, Table

RECORD = (
    *("id", "submission_id", "revision_id", "canonical_json", "sha256", "pack_name", "row_index"),
    *("checkpoint", "sampler", "seed", "width_px", "height_px", "image_count"),
)
JOB = (
    *(
        "id",
        "record_id",
        "rerun_of_id",
        "status",
        "priority",
        "position",
        "pack_name",
        "checkpoint",
        "queued_by",
    ),
    *("retry_count", "retry_after", "node_id", "last_sequence", "submitted_at", "started_at", "finished_at"),
    *("error", "error_code", "needs_attention", "needs_id", "truth"),
)
EVENT = ("job_id", "sequence", "event_type", "from_status", "to_status", "at", "data")
ATTEMPT = (
    *("id", "job_id", "run_token", "run_number", "stage", "stage_index", "image_index", "max_attempts"),
    *("node_id", "node_generation", "task_id", "started_at", "ended_at", "outcome", "http_status"),
    *("reason", "duration_s", "artifact_paths"),
)
OUTPUT = (
    *("job_id", "attempt_id", "stage", "stage_index", "image_index", "path", "sha256", "size_bytes"),
    *("width_px", "height_px", "seed", "infotext", "created_at"),
)
HISTORY = (
    *("job_id", "record_id", "record_sha256", "status", "submitted_at", "started_at", "finished_at"),
    *("output_paths", "error_message", "retry_count"),
)


class Rows:
    """What is to be inserted next."""

    def __init__(self) -> None:
        self.records: list[Row] = []
        self.jobs: list[Row] = []
        self.events: list[Row] = []
        self.attempts: list[Row] = []
        self.outputs: list[Row] = []
        self.history: list[Row] = []
        self.attempt_ids = count(1)
        self._tables = (
            (Table(JobRecord, *RECORD), self.records),
            (Table(Job, *JOB), self.jobs),
            (Table(LifecycleEvent, *EVENT), self.events),
            (Table(StageAttempt, *ATTEMPT), self.attempts),
            (Table(OutputImage, *OUTPUT), self.outputs),
            (Table(HistoryEntry, *HISTORY), self.history),
        )

    def write(self) -> None:
        """Insert and forget all of them."""
        with transaction.atomic():
            for table, rows in self._tables:
                table.insert(rows)
                rows.clear()

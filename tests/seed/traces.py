"""The rows that a job leaves: events, attempts, pictures, its own and that of its history. When, `lives` says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from jobs.envelope import UnifiedErrorEnvelope
from jobs.execution import AttemptFacts
from jobs.lifecycle import EventType, JobStatus
from jobs.models import AttemptOutcome
from jobs.records import NormalizedJobRecord
from tests.seed.inserts import stamp
from tests.seed.pictures import drawn, infotext_of, only_named
from tests.seed.rows import Rows
from webui.models import Node
from webui.retry import STAGE_RETRY_POLICIES


@dataclass(frozen=True, slots=True)
class Cast:
    """A record that is in the database, as its jobs need it. `facts` is what their events say of it, as JSON."""

    record_id: int
    record: NormalizedJobRecord
    """Of its mould: seeds and number of the repeat are another's."""
    seed: int
    sha256: str
    facts: str


class Traces:
    """One job on its way to rows; what it has been through so far."""

    __slots__ = (
        "_broken",
        "_by",
        "_generation",
        "_node",
        "_paths",
        "_priority",
        "_rerun_of",
        "_resumes_at",
        "_retry_after",
        "_rows",
        "_run_number",
        "_sequence",
        "_started_at",
        "_submitted_at",
        "_token",
        "cast",
        "job_id",
    )

    def __init__(
        self,
        rows: Rows,
        job_id: int,
        cast: Cast,
        by: str,
        priority: int,
        submitted_at: datetime,
        rerun_of: int | None = None,
    ) -> None:
        self.job_id = job_id
        self.cast = cast
        self._rows = rows
        self._rerun_of = rerun_of
        self._by = by
        self._priority = priority
        self._submitted_at = submitted_at
        self._started_at: datetime | None = None
        self._node: Node | None = None
        self._generation = 0
        self._token = ""
        self._run_number = 1
        self._sequence = 0
        self._retry_after: int | None = None
        self._resumes_at: datetime | None = None
        self._broken: list[AttemptFacts] = []
        self._paths: list[str] = []

    def _end(
        self,
        status: JobStatus,
        at: datetime,
        facts: str = "",
        error: UnifiedErrorEnvelope | None = None,
        *,
        needs_attention: bool = False,
    ) -> None:
        before = JobStatus.QUEUED if self._started_at is None else JobStatus.RUNNING
        told = None if error is None else json.dumps(error.as_json())
        self._tell(
            EventType(status), at, facts if told is None else f', "error": {told}', before=before, to=status
        )
        self._job(status, at, told, "" if error is None else error.code, needs_attention=needs_attention)
        self._rows.history.append(
            (
                self.job_id,
                self.cast.record_id,
                self.cast.sha256,
                status.value,
                stamp(self._submitted_at),
                self._started_at and stamp(self._started_at),
                stamp(at),
                json.dumps(self._paths),
                "" if error is None else error.message,
                self._run_number - 1,
            )
        )

    def _job(
        self,
        status: JobStatus,
        finished_at: datetime | None = None,
        error: str | None = None,
        error_code: str = "",
        *,
        needs_attention: bool = False,
    ) -> None:
        record = self.cast.record
        self._rows.jobs.append(
            (
                self.job_id,
                self.cast.record_id,
                self._rerun_of,
                status.value,
                self._priority,
                self.job_id,
                record.prompt_pack_id,
                record.base_model,
                self._by,
                self._run_number - 1,
                self._retry_after,
                self._node and self._node.pk,
                self._sequence,
                stamp(self._submitted_at),
                self._started_at and stamp(self._started_at),
                finished_at and stamp(finished_at),
                error,
                error_code,
                needs_attention,
            )
        )

    def _now(self, after_s: float) -> datetime:
        begun = self._resumes_at if self._run_number == 2 else self._started_at
        assert begun is not None
        return begun + timedelta(seconds=after_s)

    def _tell(self, event: EventType, at: datetime, facts: str, *, before: str = "", to: str = "") -> None:
        self._sequence += 1
        data = f'{{"event_type": "{event.value}", "job_id": {self.job_id}{self.cast.facts}{facts}}}'
        self._rows.events.append(
            (self.job_id, self._sequence, event.value, str(before), str(to), stamp(at), data)
        )

    def _stage_event(
        self, event: EventType, stage: str, index: int, at: datetime, facts: Mapping[str, Any]
    ) -> None:
        told = {"stage": stage, "stage_index": index, "run_number": self._run_number}
        self._tell(event, at, as_facts({**told, **facts}))

    def _attempt(
        self,
        stage: str,
        index: int,
        image_index: int | None,
        times: tuple[datetime, datetime],
        outcome: AttemptOutcome,
        status: int | None,
        reason: str = "",
    ) -> int:
        assert self._node is not None
        start, end = times
        attempt_id = next(self._rows.attempt_ids)
        most = STAGE_RETRY_POLICIES[stage].max_attempts
        task_id = f"stablenew-{self.job_id}-{self._run_number}-{attempt_id}"
        duration_s = (end - start).total_seconds()
        self._rows.attempts.append(
            (
                attempt_id,
                self.job_id,
                self._token,
                self._run_number,
                stage,
                index,
                image_index,
                most,
                self._node.pk,
                self._generation,
                task_id,
                stamp(start),
                stamp(end),
                outcome.value,
                status,
                reason,
                duration_s,
            )
        )
        if outcome is not AttemptOutcome.COMPLETED:
            self._broken.append(
                AttemptFacts(
                    stage=stage,
                    image_index=image_index,
                    run_number=self._run_number,
                    attempt_index=1,
                    max_attempts=most,
                    node=self._node.name,
                    generation=self._generation,
                    task_id=task_id,
                    outcome=outcome.value,
                    http_status=status,
                    reason=reason,
                    wait_s=0.0,
                    duration_s=duration_s,
                    started_at=start.isoformat(),
                    ended_at=end.isoformat(),
                    artifact_paths=(),
                )
            )
        return attempt_id

    def _picture(
        self, attempt_id: int, stage: str, index: int, image: int, at: datetime, in_file: bool
    ) -> str:
        record, seed = self.cast.record, self.cast.seed + image
        assert self._started_at is not None
        directory = Path(f"{self._started_at:%Y-%m-%d}") / str(self.job_id)
        stem = f"{index + 1}-{stage}-{image:03d}-run{self._run_number}"
        infotext = infotext_of(record, seed)
        picture = drawn(directory, stem, record, infotext) if in_file else only_named(directory, stem, record)
        self._rows.outputs.append(
            (
                self.job_id,
                attempt_id,
                stage,
                index,
                image,
                picture.path,
                picture.sha256,
                picture.size_bytes,
                picture.width,
                picture.height,
                seed,
                infotext,
                stamp(at),
            )
        )
        return picture.path


def as_facts(values: Mapping[str, Any]) -> str:
    """As JSON without braces, to go behind others."""
    return f", {json.dumps(values)[1:-1]}"

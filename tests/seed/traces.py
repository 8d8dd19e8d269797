"""The rows that a job leaves: events, attempts, pictures, its own and that of its history. When, `lives` says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobs.lifecycle import EventType, JobStatus, TruthVerdict
from jobs.models import AttemptOutcome, StageAttempt
from jobs.records.reading import AnyRecord
from jobs.running.envelope import UnifiedErrorEnvelope
from jobs.running.execution import AttemptFacts, attempt_facts
from jobs.supervising.worker_tail import WORKER_TAIL_FILE
from tests.seed.inserts import stamp
from tests.seed.pictures import drawn, infotext_of, only_named
from tests.seed.rows import ATTEMPT, Rows
from webui.evidence.failure_artifacts import FIRST_FAILURE, PAYLOAD_FILE, TAIL_FILE
from webui.http.retry import STAGE_RETRY_POLICIES
from webui.models import Node


@dataclass(frozen=True, slots=True)
class Cast:
    """A record that is in the database, as its jobs need it. `facts` is what their events say of it, as JSON."""

    record_id: int
    record: AnyRecord
    """Of its mould: seeds and number of the repeat are another's."""
    seed: int
    sha256: str
    facts: str
    needs_id: int


class Traces:
    """One job on its way to rows; what it has been through so far."""

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
        self.priority = priority
        self._submitted_at = submitted_at
        self._started_at: datetime | None = None
        self._node: Node | None = None
        self._generation = 0
        self._token = ""
        self._run_number = 1
        self._sequence = 0
        self._retry_after: int | None = None
        self._last_attempt = 0
        #: When the next request is sent, once it is claimed.
        self._goes_on_at = submitted_at
        #: The stage under way has been told.
        self._announced = False
        self._broken: list[AttemptFacts] = []
        #: Files that its failures have left, the newest first.
        self._evidence: list[str] = []
        self._paths: list[str] = []

    def _end(
        self,
        status: JobStatus,
        at: datetime,
        facts: str = "",
        error: UnifiedErrorEnvelope | None = None,
    ) -> None:
        before = JobStatus.QUEUED if self._started_at is None else JobStatus.RUNNING
        told = None if error is None else json.dumps(error.as_json())
        self._tell(
            EventType(status), at, facts if told is None else f', "error": {told}', before=before, to=status
        )
        self._job(status, at, told, "" if error is None else error.code)
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
    ) -> None:
        record = self.cast.record
        self._rows.jobs.append(
            (
                self.job_id,
                self.cast.record_id,
                self._rerun_of,
                status.value,
                self.priority,
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
                status is JobStatus.FAILED,
                self.cast.needs_id,
                # What a server says of itself seldom proves everything.
                str(TruthVerdict.UNPROVEN) if status is JobStatus.COMPLETED else "",
            )
        )

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
        artifacts: Sequence[str] = (),
    ) -> int:
        assert self._node is not None
        start, end = times
        self._last_attempt = next(self._rows.attempt_ids)
        values = {
            "id": self._last_attempt,
            "job_id": self.job_id,
            "run_token": self._token,
            "run_number": self._run_number,
            "stage": stage,
            "stage_index": index,
            "image_index": image_index,
            "max_attempts": STAGE_RETRY_POLICIES[stage].max_attempts,
            "node_id": self._node.pk,
            "node_generation": self._generation,
            "task_id": f"stablenew-{self.job_id}-{index}-{image_index or 0}-{self._token[:8]}",
            "started_at": stamp(start),
            "ended_at": stamp(end),
            "outcome": outcome.value,
            "http_status": status,
            "reason": reason,
            "duration_s": None if outcome is AttemptOutcome.LOST else (end - start).total_seconds(),
            "artifact_paths": json.dumps(artifacts) if artifacts else "[]",
        }
        self._rows.attempts.append(tuple(values[name] for name in ATTEMPT))
        if outcome is not AttemptOutcome.COMPLETED:
            told = {"started_at": start, "ended_at": end, "artifact_paths": artifacts, "wait_s": 0.0}
            attempt = StageAttempt(**values | told)
            attempt.node = self._node
            self._broken.append(attempt_facts(attempt))
        return self._last_attempt

    def _directory(self) -> str:
        """Where its files are, relative to the output folder."""
        assert self._started_at is not None
        return f"{self._started_at.date()}/{self.job_id}"

    def _write_evidence(self) -> list[str]:
        """What the failure has left; only its names, the files are not there."""
        directory, is_first = self._directory(), not self._evidence
        newest = [f"{directory}/{name}" for name in (PAYLOAD_FILE, TAIL_FILE)]
        first = [f"{directory}/{FIRST_FAILURE}/{name}" for name in (PAYLOAD_FILE, TAIL_FILE)]
        self._evidence = newest + first
        return self._evidence if is_first else newest

    def _worker_tails(self, losses: int) -> list[str]:
        """The ends of the logs of workers that were lost; only their names, too."""
        names = [WORKER_TAIL_FILE, f"{FIRST_FAILURE}/{WORKER_TAIL_FILE}"]
        return [f"{self._directory()}/{name}" for name in names[:losses]]

    def _picture(
        self, attempt_id: int, stage: str, index: int, image: int, at: datetime, in_file: bool
    ) -> str:
        record, seed = self.cast.record, self.cast.seed + image
        factor = record.enabled_stages[index].upscale.upscaling_resize if stage == "upscale" else 1
        size = int(record.width * factor), int(record.height * factor)
        directory = self._directory()
        stem = f"{index + 1}-{stage}-{image:03d}-run{self._run_number}"
        infotext = infotext_of(record, seed)
        picture = (drawn if in_file else only_named)(directory, stem, infotext, size)
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

"""The life of one job as a run would have left it: its events, attempts, pictures and end, as rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from jobs.envelope import UnifiedErrorEnvelope, envelope_of
from jobs.execution import AttemptFacts, JobExecutionMetadata
from jobs.lifecycle import EventType, JobStatus
from jobs.models import AttemptOutcome
from jobs.records import NormalizedJobRecord
from stablenew_site.seeding.causes import Cause
from stablenew_site.seeding.inserts import stamp
from stablenew_site.seeding.pictures import drawn, infotext_of, only_named
from stablenew_site.seeding.rows import Rows
from webui.models import Node
from webui.retry import STAGE_RETRY_POLICIES

#: Seconds from the claim to the first POST, and from the crash to the retry.
PREPARING_S, RESTARTING_S = 0.05, 14.0


@dataclass(frozen=True, slots=True)
class Cast:
    """A record that is in the database, as its jobs need it. `facts` is what their events say of it, as JSON."""

    record_id: int
    record: NormalizedJobRecord
    """Of its mould: seeds and number of the repeat are another's."""
    seed: int
    sha256: str
    facts: str


class Life:
    """One job on its way to rows: call what happens to it in order, then `end` (or `wait`)."""

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

    # --- what happens to it ------------------------------------------------------------------------

    def submit(self, origin: str) -> None:
        """`origin` are further facts of its first events, as JSON without braces."""
        self._tell(EventType.SUBMITTED, self._submitted_at, origin)
        self._tell(EventType.QUEUED, self._submitted_at, origin, to=JobStatus.QUEUED)

    def claim(self, node: Node, generation: int, token: str, at: datetime) -> None:
        self._node, self._generation, self._token, self._started_at = node, generation, token, at
        dashed = f"{token[:8]}-{token[8:12]}-{token[12:16]}-{token[16:20]}-{token[20:]}"
        facts = f', "node": "{node.name}", "generation": {generation}, "run_token": "{dashed}", "worker_pid": 4242'
        self._tell(EventType.RUNNING, at, facts, before=JobStatus.QUEUED, to=JobStatus.RUNNING)

    def run(self, ends_at: datetime, *, with_files: bool) -> None:
        """Every stage of the record, each picture accepted; the last one at `ends_at`."""
        record = self.cast.record
        stages = [stage.stage for stage in record.enabled_stages]
        begins_at = self._now(PREPARING_S)
        each = (ends_at - begins_at) / len(stages)
        for index, stage in enumerate(stages):
            start = begins_at + each * index
            end = min(ends_at, start + each)
            if index or self._run_number == 1:
                self._stage_event(EventType.STAGE_STARTED, stage, index, start, {"take": 1})
            images = range(record.images_per_prompt)
            groups: Sequence[tuple[int | None, Sequence[int]]] = (
                [(None, images)]
                if stage in ("txt2img", "img2img")
                else [(image, [image]) for image in images]
            )
            paths = []
            for image_index, group in groups:
                attempt = self._attempt(
                    stage, index, image_index, (start, end), AttemptOutcome.COMPLETED, 200
                )
                paths += [self._picture(attempt, stage, index, image, end, with_files) for image in group]
            self._stage_event(EventType.STAGE_COMPLETED, stage, index, end, {"outputs": paths})
            self._paths += paths

    def crash(self, cause: Cause, after_s: float) -> None:
        """The first execution breaks; the one retry begins."""
        error = cause.error(self.cast.record)
        start = self._now(PREPARING_S)
        at = start + timedelta(seconds=after_s)
        self._stage_event(EventType.STAGE_STARTED, "txt2img", 0, start, {"take": 1})
        self._retry_after = self._attempt(
            "txt2img", 0, None, (start, at), cause.outcome, cause.status, str(error)
        )
        restarted = at + timedelta(seconds=RESTARTING_S)
        suspected = {
            "stage": "txt2img",
            "attempt": 1,
            "error_code": getattr(error, "code", ""),
            "error_type": type(error).__name__,
            "http_status": cause.status,
            "reason": str(error),
            "payload_keys": ["cfg_scale", "negative_prompt", "prompt", "seed", "steps"],
            "restart": True,
            "generation": self._generation,
            "artifacts": [],
        }
        self._tell(EventType.CRASH_SUSPECTED, at, _facts(suspected))
        self._generation += 1
        self._run_number = 2
        assert self._node is not None
        seen = {"generation": self._generation, "waited_s": RESTARTING_S, "node": self._node.name}
        self._tell(EventType.WEBUI_RESTARTED, restarted, _facts(seen))
        begun = {"stage": "txt2img", "run_number": 2, "from_stage_1": False}
        self._tell(EventType.RETRY_STARTED, restarted, _facts(begun))
        self._resumes_at = restarted

    def fail(self, cause: Cause, at: datetime, *, needs_attention: bool) -> None:
        """The last execution breaks, and with it the job."""
        error = cause.error(self.cast.record)
        start = self._now(PREPARING_S)
        if self._run_number == 1:
            self._stage_event(EventType.STAGE_STARTED, "txt2img", 0, start, {"take": 1})
        self._attempt("txt2img", 0, None, (start, at), cause.outcome, cause.status, str(error))
        if self._run_number == 2:
            spent: dict[str, Any] = {
                "stage": "txt2img",
                "error_code": getattr(error, "code", ""),
                "reason": str(error),
                "artifacts": [],
            }
            self._tell(EventType.RETRY_EXHAUSTED, at, _facts(spent))
        assert self._node is not None
        execution = JobExecutionMetadata(
            retry_count=self._run_number - 1,
            operator_requeues=0,
            executions=self._run_number,
            nodes=(self._node.name,),
            attempts=tuple(self._broken),
        )
        envelope = envelope_of(error, job_id=self.job_id, stage="txt2img", execution=execution.as_json())
        told = envelope.model_copy(update={"timestamp": at})
        self._end(JobStatus.FAILED, at, error=told, needs_attention=needs_attention)

    # --- where it is now ---------------------------------------------------------------------------

    def wait(self) -> None:
        """It is still queued."""
        self._job(JobStatus.QUEUED)

    def cancel(self, at: datetime, by: str) -> None:
        """Before it ran."""
        self._end(JobStatus.CANCELLED, at, _facts({"by": by, "reason": "before it ran"}))

    def complete(self, at: datetime) -> None:
        self._end(JobStatus.COMPLETED, at)

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

    # --- rows of its life --------------------------------------------------------------------------

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
        self._tell(event, at, _facts({**told, **facts}))

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


def _facts(values: Mapping[str, Any]) -> str:
    """As JSON without braces, to go behind others."""
    return f", {json.dumps(values)[1:-1]}"

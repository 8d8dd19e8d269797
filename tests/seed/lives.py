"""The life of one job as a run would have left it: its events, attempts, pictures and end, as rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from jobs.envelope import envelope_of
from jobs.execution import JobExecutionMetadata
from jobs.lifecycle import EventType, JobStatus
from jobs.models import AttemptOutcome
from tests.seed.causes import Cause
from tests.seed.traces import Traces, as_facts
from webui.models import Node

#: Seconds from the claim to the first POST, and from the crash to the retry.
PREPARING_S, RESTARTING_S = 0.05, 14.0


class Life(Traces):
    """Call what happens to the job in order; `wait`, `cancel`, `complete` and `fail` come last."""

    __slots__ = ()

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
        self._tell(EventType.CRASH_SUSPECTED, at, as_facts(suspected))
        self._generation += 1
        self._run_number = 2
        assert self._node is not None
        seen = {"generation": self._generation, "waited_s": RESTARTING_S, "node": self._node.name}
        self._tell(EventType.WEBUI_RESTARTED, restarted, as_facts(seen))
        begun = {"stage": "txt2img", "run_number": 2, "from_stage_1": False}
        self._tell(EventType.RETRY_STARTED, restarted, as_facts(begun))
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
            self._tell(EventType.RETRY_EXHAUSTED, at, as_facts(spent))
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
        self._end(JobStatus.CANCELLED, at, as_facts({"by": by, "reason": "before it ran"}))

    def complete(self, at: datetime) -> None:
        self._end(JobStatus.COMPLETED, at)

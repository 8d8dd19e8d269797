"""The life of one job as a run would have left it: its events, attempts, pictures and end, as rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from jobs.errors import WorkerLostError
from jobs.lifecycle import EventType, JobStatus
from jobs.models import AttemptOutcome
from jobs.running.attempts import outcome_of
from jobs.running.envelope import envelope_of
from jobs.running.execution import JobExecutionMetadata
from jobs.running.requests import GENERATION_STAGES, units_of, work_of
from jobs.supervising.reconcile import LOST
from tests.seed.traces import Traces, as_facts
from webui.driver import driver_of
from webui.errors import WebUIError
from webui.models import Node
from webui.work.unit import DEFAULT_DRIVER

#: Seconds from the claim to the first POST, how long the first of two executions took to break, and from
#: there to the retry.
PREPARING_S, BROKEN_AFTER_S, RESTARTING_S = 0.05, 6.0, 14.0


def _no_picture(stage: str, image: int) -> bytes:
    raise LookupError("the first stage begins with no picture")


class Life(Traces):
    """Call what happens to the job in order; `wait`, `cancel`, `complete` and the fails come last."""

    # --- what happens to it ------------------------------------------------------------------------

    def submit(self, origin: str) -> None:
        """`origin` are further facts of its first events, as JSON without braces."""
        self._tell(EventType.SUBMITTED, self._submitted_at, origin)
        self._tell(EventType.QUEUED, self._submitted_at, origin, to=JobStatus.QUEUED)

    def claim(self, node: Node, generation: int, token: str, at: datetime) -> None:
        self._node, self._generation, self._token = node, generation, token
        self._started_at = self._started_at or at
        self._goes_on_at = at + timedelta(seconds=PREPARING_S)
        self._announced = False
        dashed = f"{token[:8]}-{token[8:12]}-{token[12:16]}-{token[16:20]}-{token[20:]}"
        facts = f', "node": "{node.name}", "generation": {generation}, "run_token": "{dashed}", "worker_pid": 4242'
        self._tell(EventType.RUNNING, at, facts, before=JobStatus.QUEUED, to=JobStatus.RUNNING)

    def run(self, ends_at: datetime, *, with_files: bool) -> None:
        """Every stage of the record, each picture accepted; the last one at `ends_at`."""
        record = self.cast.record
        stages = [stage.stage for stage in record.enabled_stages]
        begins_at = self._goes_on_at
        each = (ends_at - begins_at) / len(stages)
        for index, stage in enumerate(stages):
            start = begins_at + each * index
            end = min(ends_at, start + each)
            self._announce(stage, index, start)
            images = range(record.images_per_prompt)
            units: Sequence[tuple[int | None, Sequence[int]]] = (
                [(None, images)] if stage in GENERATION_STAGES else [(image, [image]) for image in images]
            )
            paths: list[str] = []
            for image_index, unit in units:
                attempt = self._attempt(
                    stage, index, image_index, (start, end), AttemptOutcome.COMPLETED, 200
                )
                paths += [self._picture(attempt, stage, index, image, end, with_files) for image in unit]
            self._paths += paths
            self._stage_event(EventType.STAGE_COMPLETED, stage, index, end, {"outputs": paths})
            self._announced = False

    def crash(self, error: Exception) -> None:
        """The first execution breaks; the WebUI is restarted, and the one retry begins."""
        at = self._goes_on_at + timedelta(seconds=BROKEN_AFTER_S)
        self._break(error, at)
        unit = units_of(self.cast.record)[0][0]
        request = driver_of(DEFAULT_DRIVER).request(work_of(self.cast.record, unit, _no_picture, task_id=""))
        suspected = {
            "stage": "txt2img",
            "attempt": 1,
            "error_code": getattr(error, "code", ""),
            "error_type": type(error).__name__,
            "http_status": getattr(error, "status", None),
            "reason": str(error),
            "payload_keys": list(request.body),
            "restart": True,
            "generation": self._generation,
            "artifacts": self._evidence,
        }
        self._tell(EventType.CRASH_SUSPECTED, at, as_facts(suspected))
        self._generation += 1
        assert self._node is not None
        self._goes_on_at = at + timedelta(seconds=RESTARTING_S)
        seen = {"generation": self._generation, "waited_s": RESTARTING_S, "node": self._node.name}
        seen |= {"restarted": True, "stage": "txt2img"}
        self._tell(EventType.WEBUI_RESTARTED, self._goes_on_at, as_facts(seen))
        self._begin_retry("txt2img", self._goes_on_at)

    def lose_worker(self, token: str) -> None:
        """The worker of the first execution is gone; another one, whose run has this token, begins the retry."""
        at = self._goes_on_at + timedelta(seconds=BROKEN_AFTER_S)
        self._lose(at)
        self._evidence = self._worker_tails(1)
        why = {"reason": "the process that ran it was lost", "charged": True, "stage": "txt2img"}
        facts = as_facts({**why, "artifacts": self._evidence})
        self._tell(EventType.REQUEUED, at, facts, before=JobStatus.RUNNING, to=JobStatus.QUEUED)
        assert self._node is not None
        self.claim(self._node, self._generation, token, at + timedelta(seconds=RESTARTING_S))
        # The run takes the stage from the job's row, where the move to the queue has emptied it.
        self._begin_retry("txt2img", self._goes_on_at)

    # --- where it is now ---------------------------------------------------------------------------

    def wait(self) -> None:
        """It is still queued."""
        self._job(JobStatus.QUEUED)

    def cancel(self, at: datetime, by: str) -> None:
        """Before it ran."""
        self._end(JobStatus.CANCELLED, at, as_facts({"by": by, "reason": "before it ran"}))

    def complete(self, at: datetime) -> None:
        self._end(JobStatus.COMPLETED, at)

    def fail(self, error: Exception, at: datetime) -> str:
        """The last execution breaks, and with it the job; the sentence that says why."""
        self._break(error, at)
        if self._run_number == 2:
            spent = {
                "stage": "txt2img",
                "error_code": getattr(error, "code", ""),
                "reason": str(error),
                "artifacts": self._evidence,
            }
            self._tell(EventType.RETRY_EXHAUSTED, at, as_facts(spent))
        return self._fail(error, at)

    def fail_for_its_worker(self, at: datetime) -> None:
        """The worker is gone again, in the retry."""
        self._lose(at)
        self._evidence = self._worker_tails(2)
        error = WorkerLostError(
            f"Job {self.job_id} failed: the process that ran it was lost again, in the retry.",
        )
        self._fail(error, at)

    # --- what these have in common -----------------------------------------------------------------

    def _announce(self, stage: str, index: int, at: datetime) -> None:
        if not self._announced:
            self._stage_event(EventType.STAGE_STARTED, stage, index, at, {"take": 1})
            self._announced = True

    def _break(self, error: Exception, at: datetime) -> None:
        """The request under way ends with this error at this time, its evidence is written."""
        start = self._goes_on_at
        self._announce("txt2img", 0, start)
        left = self._write_evidence() if isinstance(error, WebUIError) else []
        status = getattr(error, "status", None)
        self._attempt("txt2img", 0, None, (start, at), outcome_of(error), status, str(error), left)

    def _lose(self, at: datetime) -> None:
        start = self._goes_on_at
        self._announce("txt2img", 0, start)
        self._attempt("txt2img", 0, None, (start, at), AttemptOutcome.LOST, None, LOST)

    def _begin_retry(self, stage: str, at: datetime) -> None:
        self._run_number, self._retry_after = 2, self._last_attempt
        begun = {"stage": stage, "run_number": 2, "from_stage_1": False}
        self._tell(EventType.RETRY_STARTED, at, as_facts(begun))

    def _fail(self, error: Exception, at: datetime) -> str:
        assert self._node is not None
        execution = JobExecutionMetadata(
            retry_count=self._run_number - 1,
            operator_requeues=0,
            executions=self._run_number,
            nodes=(self._node.name,),
            attempts=tuple(self._broken),
        )
        envelope = envelope_of(
            error,
            job_id=self.job_id,
            stage="txt2img",
            execution=execution.as_json(),
            artifact_paths=self._evidence,
        )
        self._end(JobStatus.FAILED, at, error=envelope.model_copy(update={"timestamp": at}))
        return envelope.message

"""The worker's jobs: their states as a client sees them, bounded, each id once."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from webui.drivers.diffsynth.worker.orders import WorkOrder

MAX_JOBS: Final = 100
MAX_RESULTS: Final = 20
MAX_LISTED: Final = 20

PHASES: Final = ("", "prepare", "encode", "denoise", "decode", "save")
ENDED: Final = frozenset({"done", "failed", "cancelled"})


class BusyError(Exception):
    """Another job is running."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"The worker is busy with job {job_id}. Send this job when that one has ended.")
        self.job_id = job_id


class OtherJobError(Exception):
    """This id belongs to a job that asked for something else."""


@dataclass(frozen=True, slots=True)
class JobResult:
    """`frames` and `fps` are 0 of a picture. `used` is what the job truly ran with."""

    path: Path
    media_type: str
    size_bytes: int
    sha256: str
    width_px: int
    height_px: int
    frames: int
    fps: int
    used: Mapping[str, Any]

    @property
    def document(self) -> dict[str, Any]:
        told = {
            "media_type": self.media_type,
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
            "width": self.width_px,
            "height": self.height_px,
        }
        film = {"frames": self.frames, "fps": self.fps} if self.frames else {}
        return {**told, **film, "used": dict(self.used)}


@dataclass(slots=True)
class WorkerJob:
    """One job; changed by `WorkerJobs` alone."""

    id: str
    order: WorkOrder
    fingerprint: str
    state: str = "queued"
    phase: str = ""
    step: int = 0
    steps: int = 0
    began_s: float = 0.0
    ended_s: float | None = None
    error: tuple[str, str] | None = None
    result: JobResult | None = None
    has_file: bool = False
    cancel: threading.Event = field(default_factory=threading.Event)

    def document(self, now_s: float) -> dict[str, Any]:
        until_s = now_s if self.ended_s is None else self.ended_s
        return {
            "id": self.id,
            "state": self.state,
            "phase": self.phase,
            "step": self.step,
            "steps": self.steps,
            "elapsed_s": round(until_s - self.began_s, 3),
            "error": {"code": self.error[0], "message": self.error[1]} if self.error else None,
            "result": self.result.document if self.result else None,
        }


class WorkerJobs:
    """All jobs since the start, the oldest forgotten. Every method may be called by any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._jobs: dict[str, WorkerJob] = {}
        self._current: WorkerJob | None = None

    @property
    def current_id(self) -> str | None:
        with self._lock:
            return self._current.id if self._current else None

    def known(self, job_id: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """The state of the job of this id, or None. Raises OtherJobError where its body was another."""
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None:
                return None
            if job.fingerprint != fingerprint(body):
                raise OtherJobError
            return job.document(time.monotonic())

    def add(
        self, job_id: str, body: Mapping[str, Any], order: WorkOrder, pin: Callable[[tuple[str, ...]], None]
    ) -> tuple[WorkerJob, bool]:
        """The job of this id, and whether it is new; `pin` keeps the inputs of a new one.

        Raises BusyError, OtherJobError, and what `pin` raises.
        """
        with self._lock:
            job = self._jobs.get(job_id)
            if job is not None:
                if job.fingerprint != fingerprint(body):
                    raise OtherJobError
                return job, False
            if self._current is not None:
                raise BusyError(self._current.id)
            pin(order.inputs)
            job = WorkerJob(job_id, order, fingerprint(body), began_s=time.monotonic())
            self._jobs[job_id] = self._current = job
            while len(self._jobs) > MAX_JOBS:
                self._jobs.pop(next(iter(self._jobs)))
            return job, True

    def state(self, job_id: str) -> dict[str, Any] | None:
        with self._lock:
            job = self._jobs.get(job_id)
            return job.document(time.monotonic()) if job else None

    def newest(self) -> list[dict[str, Any]]:
        with self._lock:
            now_s = time.monotonic()
            return [job.document(now_s) for job in list(reversed(self._jobs.values()))[:MAX_LISTED]]

    def cancel(self, job_id: str) -> tuple[dict[str, Any], bool, bool] | None:
        """The state, whether it had ended before, and whether this is news; None where the id is unknown."""
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None:
                return None
            had_ended = job.state in ENDED
            is_news = not (had_ended or job.cancel.is_set())
            job.cancel.set()
            return job.document(time.monotonic()), had_ended, is_news

    def result(self, job_id: str) -> tuple[JobResult | None, bool] | None:
        """The result, and whether its file is still kept; None where the id is unknown."""
        with self._lock:
            job = self._jobs.get(job_id)
            return (job.result, job.has_file) if job else None

    def advance(self, job: WorkerJob, phase: str, step: int, steps: int) -> None:
        """Phases only go forward; steps are counted in one of them."""
        with self._lock:
            if PHASES.index(phase) >= PHASES.index(job.phase):
                job.state, job.phase = "running", phase
                job.step, job.steps = step, steps

    def finish(
        self,
        job: WorkerJob,
        state: str,
        *,
        error: tuple[str, str] | None = None,
        result: JobResult | None = None,
        holds: bool = False,
    ) -> list[Path]:
        """The end of the job; returns the files of results that are no longer kept.

        With `holds` no other job is taken after it: the process is about to end.
        """
        with self._lock:
            job.state, job.error, job.result = state, error, result
            job.ended_s = time.monotonic()
            job.has_file = result is not None
            if not holds:
                self._current = None
            return self._aged()

    def _aged(self) -> list[Path]:
        kept = sorted((job for job in self._jobs.values() if job.has_file), key=lambda job: job.ended_s or 0)
        aged = kept[: max(0, len(kept) - MAX_RESULTS)]
        for job in aged:
            job.has_file = False
        return [job.result.path for job in aged if job.result]


def fingerprint(body: Mapping[str, Any]) -> str:
    """Equal bodies have equal fingerprints, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()

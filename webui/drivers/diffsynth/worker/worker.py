"""The state of a worker: loading, then ready or failed; its one job thread; what it tells of itself."""

from __future__ import annotations

import os
import secrets
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

from webui.drivers.diffsynth.worker.configuration import ConfigurationError, WorkerConfiguration
from webui.drivers.diffsynth.worker.drawing import Build, LoadedPipeline, PipelineBuildError
from webui.drivers.diffsynth.worker.folder import WorkerFolder
from webui.drivers.diffsynth.worker.inputs import WorkerInputs
from webui.drivers.diffsynth.worker.jobs import ENDED, WorkerJob, WorkerJobs
from webui.drivers.diffsynth.worker.orders import limits_document, read_order
from webui.drivers.diffsynth.worker.running import JobRunner
from webui.drivers.diffsynth.worker.speech import say
from webui.drivers.diffsynth.worker.weights import problems_of

LAST_ANSWER_S: Final = 10.0
"""How long a process that must end waits for somebody to read why."""


class NotReadyError(Exception):
    """The worker is loading or has failed; `document` says which, as `GET /health` does."""

    def __init__(self, document: dict[str, Any]) -> None:
        super().__init__("The worker is not ready.")
        self.document = document


class MissingInputError(Exception):
    """An input picture was not put here, or has aged out"""

    def __init__(self, sha256: str) -> None:
        super().__init__(f"The picture {sha256} is not here. Put it to /inputs/{sha256} first.")
        self.sha256 = sha256


class Worker:
    """`read` gives the configuration, `build` the pipeline, `leave` ends the process with a status."""

    def __init__(
        self,
        kind: str,
        read: Callable[[], WorkerConfiguration],
        build: Build,
        folder: WorkerFolder,
        leave: Callable[[int], None],
        last_answer_s: float = LAST_ANSWER_S,
    ) -> None:
        self.kind = kind
        self.boot = secrets.token_hex(8)
        self.inputs = WorkerInputs(folder.inputs)
        self.jobs = WorkerJobs()
        self._read, self._build, self._folder, self._leave = read, build, folder, leave
        self._last_answer_s = last_answer_s
        self._began_s = time.monotonic()
        self._ready_s = 0.0
        self._phase = "files"
        self._reason = ""
        self._name = ""
        self._pipeline: LoadedPipeline | None = None
        self._queue: SimpleQueue[WorkerJob] = SimpleQueue()
        self._was_told = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._work, name="jobs", daemon=True).start()

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Whether it is ready, and what it says of itself."""
        who = {"kind": self.kind, "boot": self.boot, "pid": os.getpid()}
        pipeline = self._pipeline
        if self._reason:
            return False, {"state": "failed", "reason": self._reason, **who}
        if pipeline is None:
            return False, {"state": "loading", "phase": self._phase, **who}
        used, total = pipeline.vram_bytes() or (None, None)
        return True, {
            "state": "ready",
            **who,
            "model": self._name,
            "device": pipeline.device,
            "job": self.jobs.current_id,
            "ready_s": round(self._ready_s, 3),
            "limits": limits_document(self.kind),
            "loras": [lora.document for lora in pipeline.loras],
            "versions": dict(pipeline.versions),
            "memory": {"ram_bytes": _ram_bytes(), "vram_used_bytes": used, "vram_total_bytes": total},
        }

    def submit(self, job_id: str, body: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """The state of the job, and whether it is new.

        Raises OtherJobError, NotReadyError, RefusedOrderError, BusyError, MissingInputError.
        """
        known = self.jobs.known(job_id, body)
        if known is not None:
            return known, False
        ready, document = self.health()
        if not ready:
            raise NotReadyError(document)
        order = read_order(self.kind, self._name, body)
        job, is_new = self.jobs.add(job_id, body, order, self._pin)
        if is_new:
            say(f"job {job.id}: accepted")
            self._queue.put(job)
        return self.jobs.state(job_id) or {}, is_new

    def told(self, state: Mapping[str, Any]) -> None:
        """Somebody has read this state. Only a job that left the process unusable has ended and is still current."""
        if state["state"] in ENDED and state["id"] == self.jobs.current_id:
            self._was_told.set()

    def _pin(self, order_inputs: tuple[str, ...]) -> None:
        missing = self.inputs.pin(order_inputs)
        if missing is not None:
            raise MissingInputError(missing)

    def _work(self) -> None:
        try:
            configuration, pipeline = self._loaded()
        except (ConfigurationError, PipelineBuildError) as exc:
            self._fail(str(exc))
            return
        except Exception as exc:  # noqa: BLE001 - the library may raise anything; its reason is shown
            traceback.print_exc()
            self._fail(
                f"The pipeline could not be loaded: {type(exc).__name__}: {' '.join(str(exc).split())[:2000]}"
            )
            return
        self._name = configuration.name
        self._ready_s = time.monotonic() - self._began_s
        runner = JobRunner(configuration.name, pipeline, self.jobs, self.inputs, self._folder, self._end)
        self._pipeline = pipeline
        say(f"ready after {self._ready_s:.1f} s ({self.kind}, {configuration.name}, {pipeline.device})")
        while True:
            runner.run(self._queue.get())

    def _loaded(self) -> tuple[WorkerConfiguration, LoadedPipeline]:
        configuration = self._read()
        problems = problems_of(configuration)
        if problems:
            raise ConfigurationError([problem[0].upper() + problem[1:] for problem in problems])
        return configuration, self._build(configuration, self._enter)

    def _enter(self, phase: str) -> None:
        self._phase = phase
        say(f"loading: {phase}")

    def _fail(self, reason: str) -> None:
        """The process stays, so that whoever looks at the node can read the reason."""
        self._reason = reason
        say(f"failed: {reason}")

    def _end(self, status: int, job_id: str) -> None:
        """The process answers once more for the job that left it unusable, then it ends."""
        say(f"ending with status {status} because of job {job_id}")
        self._was_told.wait(self._last_answer_s)
        self._leave(status)


def _ram_bytes() -> int | None:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")

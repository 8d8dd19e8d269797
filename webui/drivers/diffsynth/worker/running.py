"""One job from its order to its end, in the worker's one job thread."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from PIL import Image

from webui.drivers.diffsynth.worker.drawing import (
    FatalDrawingError,
    JobCancelledError,
    LoadedPipeline,
    NoMemoryError,
)
from webui.drivers.diffsynth.worker.folder import WorkerFolder
from webui.drivers.diffsynth.worker.inputs import WorkerInputs
from webui.drivers.diffsynth.worker.jobs import JobResult, WorkerJob, WorkerJobs
from webui.drivers.diffsynth.worker.orders import WorkOrder
from webui.drivers.diffsynth.worker.saving import save_film, save_picture
from webui.drivers.diffsynth.worker.speech import say
from webui.work.fitting import Fit, UnusableInputError, fitted, read_rgb
from webui.work.limits import AUTO, auto_size

_MAX_MESSAGE: Final = 2000


class _InputError(Exception):
    """An input picture cannot be read."""


@dataclass(slots=True)
class _JobProgress:
    jobs: WorkerJobs
    job: WorkerJob

    def enter(self, phase: str) -> None:
        self.check()
        self.jobs.advance(self.job, phase, 0, 0)

    def step(self, done: int, steps: int) -> None:
        self.jobs.advance(self.job, "denoise", done, steps)

    def check(self) -> None:
        if self.job.cancel.is_set():
            raise JobCancelledError


class JobRunner:
    """`model` is the name that results tell. `end_process` is called after a job that left the process unusable."""

    def __init__(
        self,
        model: str,
        pipeline: LoadedPipeline,
        jobs: WorkerJobs,
        inputs: WorkerInputs,
        folder: WorkerFolder,
        end_process: Callable[[int, str], None],
    ) -> None:
        self.model = model
        self.pipeline = pipeline
        self.jobs = jobs
        self.inputs = inputs
        self.folder = folder
        self.end_process = end_process

    def run(self, job: WorkerJob) -> None:
        """Never raises: whatever happens is the end of this job alone."""
        try:
            result = self._made(job)
        except JobCancelledError:
            self._finish(job, "cancelled")
        except _InputError as exc:
            self._finish(job, "failed", error=("input", str(exc)))
        except (FatalDrawingError, MemoryError) as exc:
            fatal = (
                exc
                if isinstance(exc, FatalDrawingError)
                else NoMemoryError("The machine has no memory left.")
            )
            self._finish(job, "failed", error=(fatal.code, _sentence(fatal)), holds=True)
            self.end_process(fatal.exit_status, job.id)
        except Exception as exc:  # noqa: BLE001 - the library may raise anything, and the next job must run
            traceback.print_exc()
            self._finish(job, "failed", error=("failed", _sentence(exc)))
        else:
            self._finish(job, "done", result=result)

    def _made(self, job: WorkerJob) -> JobResult:
        progress = _JobProgress(self.jobs, job)
        progress.enter("prepare")
        order = job.order
        size_px, pictures = self._prepared(order)
        drawn = self.pipeline.draw(order, size_px, pictures, progress)
        progress.enter("save")
        used = self._used(order, size_px)
        told = {**used, "prompt": order.prompt, "negative_prompt": order.negative_prompt}
        if order.kind == "i2v":
            return save_film(self.folder.results, drawn, order.whole("fps"), used=used, told=told)
        return save_picture(self.folder.results, drawn[0], used=used, told=told)

    def _prepared(self, order: WorkOrder) -> tuple[tuple[int, int], list[Image.Image]]:
        pictures = []
        for number, sha256 in enumerate(order.inputs, start=1):
            try:
                pictures.append(read_rgb(self.inputs.read(sha256)))
            except (OSError, UnusableInputError) as exc:
                raise _InputError(f"Input picture {number} cannot be used: {exc}") from exc
        size_px = (order.whole("width"), order.whole("height"))
        if AUTO in size_px:
            size_px = auto_size(order.kind, *pictures[0].size)
        if order.kind == "i2v":
            fit = cast(Fit, order.word("fit"))
            pictures = [fitted(picture, *size_px, fit) for picture in pictures]
        return size_px, pictures

    def _used(self, order: WorkOrder, size_px: tuple[int, int]) -> dict[str, Any]:
        loras = [
            {"name": lora.name, "target": lora.target, "strength": lora.strength}
            for lora in self.pipeline.loras
        ]
        size = {"width": size_px[0], "height": size_px[1]}
        return {**order.parameters, **size, "seed": order.seed, "model": self.model, "loras": loras}

    def _finish(
        self,
        job: WorkerJob,
        state: str,
        *,
        error: tuple[str, str] | None = None,
        result: JobResult | None = None,
        holds: bool = False,
    ) -> None:
        say(f"job {job.id}: {state}" + (f" ({error[0]}: {error[1]})" if error else ""))
        for path in self.jobs.finish(job, state, error=error, result=result, holds=holds):
            path.unlink(missing_ok=True)


def _sentence(exc: BaseException) -> str:
    words = " ".join(str(exc).split())[:_MAX_MESSAGE]
    return words or f"It ended with {type(exc).__name__}."

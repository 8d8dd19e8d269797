"""What the worker asks of a pipeline, so that jobs, HTTP and files need no torch. `pipeline` has the real one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image

from webui.drivers.diffsynth.worker.configuration import WorkerConfiguration
from webui.drivers.diffsynth.worker.orders import WorkOrder


class JobCancelledError(Exception):
    """The job was cancelled between two steps."""


class FatalDrawingError(Exception):
    """The process cannot go on after this job; `exit_status` says why to whoever started it."""

    code = "failed"
    exit_status = 71


class NoMemoryError(FatalDrawingError):
    """The device or the machine has too little memory for this job."""

    code = "out_of_memory"
    exit_status = 70


class PipelineBuildError(Exception):
    """The pipeline cannot be loaded as configured; the message is for a person."""


class DrawingProgress(Protocol):
    """What a pipeline tells while it draws."""

    def enter(self, phase: str) -> None: ...

    def step(self, done: int, steps: int) -> None: ...

    def check(self) -> None:
        """Raises JobCancelledError."""


@dataclass(frozen=True, slots=True)
class FusedLora:
    """`tensors` of the model took it in; never 0."""

    name: str
    target: str
    strength: float
    tensors: int

    @property
    def document(self) -> dict[str, Any]:
        return {"name": self.name, "target": self.target, "tensors": self.tensors, "strength": self.strength}


class LoadedPipeline(Protocol):
    """Draws one job at a time, always in the same thread."""

    @property
    def device(self) -> str: ...

    @property
    def loras(self) -> tuple[FusedLora, ...]: ...

    @property
    def versions(self) -> Mapping[str, str]: ...

    def vram_bytes(self) -> tuple[int, int] | None:
        """Used and total of the device; None where it has none of its own."""

    def draw(
        self,
        order: WorkOrder,
        size_px: tuple[int, int],
        pictures: Sequence[Image.Image],
        progress: DrawingProgress,
    ) -> list[Image.Image]:
        """The frames of a film, or the one picture of an edit; `pictures` are RGB, those of a film in its size.

        Tells the phases encode, denoise and decode. Raises JobCancelledError, FatalDrawingError, or whatever the
        library raises.
        """


Build = Callable[[WorkerConfiguration, Callable[[str], None]], LoadedPipeline]
"""Loads a pipeline and tells the phases import, weights and loras. Raises PipelineBuildError."""

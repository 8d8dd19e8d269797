"""What a WebUI tells of the request that it works on, names exactly as on the wire."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator

from webui.drivers.a1111.quirks import lists_tasks
from webui.drivers.a1111.schemas import WireAnswer, WireRequest

ToldNumber = Annotated[float, BeforeValidator(lambda value: 0.0 if value is None else value)]
"""No number (NaN) is read as None, and means nothing."""


class ProgressState(WireAnswer):
    """Flags and sampling_steps of the last job stay visible when idle: look at job_count, never at them."""

    skipped: bool = False
    interrupted: bool = False
    stopping_generation: bool = False
    job: str = ""
    job_count: int = 0
    job_timestamp: str = ""
    job_no: int = 0
    sampling_step: int = 0
    sampling_steps: int = 0


class WireProgress(WireAnswer):
    """`progress` is 0-1 and falls back to 0 at the end; it cannot tell whose request is running."""

    progress: ToldNumber
    eta_relative: ToldNumber = 0.0
    state: ProgressState
    current_image: str | None = None
    textinfo: str | None = None


class InternalProgressRequest(WireRequest):
    id_task: str
    live_preview: bool = False
    id_live_preview: int = -1


class InternalProgress(WireAnswer):
    """Of one task id. A request that failed stays active until the next one starts."""

    @property
    def lists_tasks(self) -> bool:
        """Whether the server knows requests of the API by their task id at all."""
        return lists_tasks(self.model_extra or {})

    active: bool
    queued: bool
    completed: bool
    progress: float | None = None
    eta: float | None = None
    live_preview: str | None = None
    id_live_preview: int | None = None
    textinfo: str | None = None

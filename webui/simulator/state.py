"""What `/sdapi/v1/progress` reads: the state of the one job that runs, or of the last one.

Written by the working thread, read by any other; single attributes, so no lock.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from PIL import Image


@dataclass
class State:
    job: str = ""
    job_count: int = 0
    job_no: int = 0
    job_timestamp: str = "0"
    sampling_step: int = 0
    sampling_steps: int = 0
    skipped: bool = False
    interrupted: bool = False
    stopping_generation: bool = False
    started_at: float = field(default_factory=time.monotonic)
    preview_source: Image.Image | None = None
    preview_step: int = 0
    preview_id: int = 0
    preview: Image.Image | None = None

    def begin(self, job: str) -> None:
        """A job starts: earlier interrupts and skips are forgotten, as on the real server."""
        self.sampling_step = 0
        self.started_at = time.monotonic()
        self.job_no = 0
        self.job_timestamp = datetime.now().strftime("%Y%m%d%H%M%S")  # noqa: DTZ005 - the server's local time
        self.skipped = self.interrupted = self.stopping_generation = False
        self.preview = self.preview_source = None
        self.preview_step = self.preview_id = 0
        self.job = job
        self.job_count = -1

    def end(self) -> None:
        """Back to idle. Steps and interrupts of the job stay readable."""
        self.job = ""
        self.job_count = 0
        self.preview = self.preview_source = None

    def interrupt(self) -> None:
        """Heard before the next step; asked for while nothing runs it only stays readable."""
        self.interrupted = True

    def next_job(self) -> None:
        self.job_no += 1
        self.sampling_step = 0
        self.preview_step = 0

    def share_done(self) -> float:
        """0 to 1 over all passes and iterations of the running job."""
        if self.job_count <= 0:
            return 0.0
        share = self.job_no / self.job_count
        if self.sampling_steps > 0:
            share += self.sampling_step / self.sampling_steps / self.job_count
        return share

    def refresh_preview(self, every_n_steps: int) -> None:
        """Make a new preview once enough steps have passed; an eighth of the picture's size."""
        source = self.preview_source
        if source is None or every_n_steps <= 0 or self.sampling_step - self.preview_step < every_n_steps:
            return
        self.preview_step = self.sampling_step
        self.preview = source.resize((max(8, source.width // 8), max(8, source.height // 8)))
        self.preview_id += 1

    def shown(self) -> dict[str, Any]:
        return {
            "skipped": self.skipped,
            "interrupted": self.interrupted,
            "stopping_generation": self.stopping_generation,
            "job": self.job,
            "job_count": self.job_count,
            "job_timestamp": self.job_timestamp,
            "job_no": self.job_no,
            "sampling_step": self.sampling_step,
            "sampling_steps": self.sampling_steps,
        }

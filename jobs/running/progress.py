"""The progress of the running job: read from the WebUI, written for the pages.

Only this room talks to the WebUI while a request is under way; nothing here decides how a job ends.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import OperationalError
from django.db.models import F
from django.utils import timezone

from jobs.models import Runner
from jobs.queue.claims import Claim
from jobs.running.requests import Unit
from webui.driver import Server
from webui.errors import WebUIError, WebUINotSentError
from webui.work.told import Progress

T = TypeVar("T")
logger = logging.getLogger(__name__)


class ProgressBoard:
    """Writes the running job's progress to its `Runner`, at most once a second; a lost write is no harm."""

    def __init__(self, claim: Claim, stage_total: int) -> None:
        self._claim = claim
        self._stage_total = stage_total
        self._started = time.monotonic()

    def show(self, unit: Unit, progress: Progress | None, *, preview: int | None = None) -> None:
        """`preview` is the number of the picture that is being made (`jobs.running.live_preview`)."""
        told = progress if progress is not None and not progress.idle else None
        self._write(
            {
                "job_id": self._claim.job_id,
                "stage": unit.stage.stage,
                "stage_index": unit.stage_index,
                "stage_total": self._stage_total,
                "image_index": unit.image_index,
                "step": told.step if told else None,
                "steps": told.steps if told else None,
                "progress": round(told.fraction, 3) if told else None,
                "eta_s": round(told.eta_s, 1) if told else None,
                "preview": preview,
                "elapsed_s": round(time.monotonic() - self._started, 1),
                "updated_at": timezone.now().isoformat(),
            }
        )

    def show_waiting(self, unit: Unit, reason: str) -> None:
        """While nothing is under way: what the run waits for."""
        self._write(
            {
                "job_id": self._claim.job_id,
                "stage": unit.stage.stage,
                "stage_index": unit.stage_index,
                "stage_total": self._stage_total,
                "image_index": unit.image_index,
                "waiting": reason,
                "elapsed_s": round(time.monotonic() - self._started, 1),
                "updated_at": timezone.now().isoformat(),
            }
        )

    def clear(self) -> None:
        if time.monotonic() - self._started > FIRST_LOOK_S:
            self._write(None)

    def _write(self, value: dict[str, Any] | None) -> None:
        try:
            Runner.objects.filter(pk=self._claim.runner_id).update(
                progress=value, progress_version=F("progress_version") + 1
            )
        except OperationalError:
            logger.info("Progress of job %s was not written.", self._claim.job_id)


#: Seconds until the first look at a request, and between the following ones.
FIRST_LOOK_S = 0.25
LOOK_S = 1.0


@dataclass(slots=True)
class Gauge:
    """Reads the WebUI's progress; counts how often in a row it could not even be reached."""

    server: Server
    refused: int = 0

    def read(self) -> Progress | None:
        """Where the WebUI is, or None where it does not say just now: unreadable alone proves nothing."""
        try:
            progress = self.server.progress()
        except WebUIError as exc:
            self.refused = self.refused + 1 if isinstance(exc, WebUINotSentError) else 0
            logger.debug("Progress could not be read: %s", exc)
            return None
        self.refused = 0
        return progress

"""The progress of the running job, written for the pages."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Any

from django.db import Error
from django.db.models import F
from django.utils import timezone

from jobs.models import Runner
from jobs.queue.claims import Claim
from jobs.running.requests import Unit
from webui.books import is_away
from webui.work.told import Progress

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class ProgressBoard:
    """Writes the running job's progress to its `Runner`, at most once a second; a lost write is no harm."""

    claim: Claim
    stage_total: int
    began_s: float = field(default_factory=time.monotonic)

    def show(
        self,
        unit: Unit,
        progress: Progress | None,
        *,
        preview: int | None = None,
        silent_s: float | None = None,
    ) -> None:
        """`preview` is the number of the picture that is being made (`jobs.running.live_preview`), `silent_s` how long
        the WebUI has answered no question; None while it answers.
        """
        told = progress if progress is not None and not progress.idle else None
        self._write(
            {
                "job_id": self.claim.job_id,
                "stage": unit.stage.stage,
                "stage_index": unit.stage_index,
                "stage_total": self.stage_total,
                "image_index": unit.image_index,
                "step": told.step if told else None,
                "steps": told.steps if told else None,
                "progress": round(told.fraction, 3) if told else None,
                "eta_s": round(told.eta_s, 1) if told else None,
                "phase": progress.phase if progress is not None else "",
                "preview": preview,
                "silent_s": None if silent_s is None else round(silent_s, 1),
                "elapsed_s": round(time.monotonic() - self.began_s, 1),
                "updated_at": timezone.now().isoformat(),
            }
        )

    def show_waiting(self, unit: Unit, reason: str) -> None:
        """While nothing is under way: what the run waits for."""
        self._write(
            {
                "job_id": self.claim.job_id,
                "stage": unit.stage.stage,
                "stage_index": unit.stage_index,
                "stage_total": self.stage_total,
                "image_index": unit.image_index,
                "waiting": reason,
                "elapsed_s": round(time.monotonic() - self.began_s, 1),
                "updated_at": timezone.now().isoformat(),
            }
        )

    def clear(self) -> None:
        if time.monotonic() - self.began_s > FIRST_LOOK_S:
            self._write(None)

    def _write(self, value: dict[str, Any] | None) -> None:
        try:
            Runner.objects.filter(pk=self.claim.runner_id).update(
                progress=value, progress_version=F("progress_version") + 1
            )
        except Error as exc:
            if not is_away(exc):
                raise
            logger.info("Progress of job %s was not written.", self.claim.job_id)


#: Seconds until the first look at a request, and between the following ones.
FIRST_LOOK_S = 0.25
LOOK_S = 1.0

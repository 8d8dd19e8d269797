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
from webui.drivers.a1111.client import WebUIClient
from webui.drivers.a1111.schemas import Progress
from webui.errors import WebUIEndpointMissingError, WebUIError, WebUINotSentError

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
        state = progress.state if progress is not None and not progress.idle else None
        self._write(
            {
                "job_id": self._claim.job_id,
                "stage": unit.stage.stage,
                "stage_index": unit.stage_index,
                "stage_total": self._stage_total,
                "image_index": unit.image_index,
                "step": state.sampling_step if state else None,
                "steps": state.sampling_steps if state else None,
                "progress": round(progress.progress, 3) if progress is not None and state else None,
                "eta_s": round(progress.eta_relative, 1) if progress is not None and state else None,
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

    client: WebUIClient
    refused: int = 0

    def read(self) -> Progress | None:
        """Where the WebUI is, or None where it does not say just now: unreadable alone proves nothing."""
        try:
            progress = self.client.progress()
        except WebUIError as exc:
            self.refused = self.refused + 1 if isinstance(exc, WebUINotSentError) else 0
            logger.debug("Progress could not be read: %s", exc)
            return None
        self.refused = 0
        return progress


def request_is_active(client: WebUIClient, task_id: str, *, managed: bool) -> bool:
    """Whether the request that runs now is surely this one, so that an interrupt hits nobody else.

    A server started with --nowebui cannot tell (404): there, only our own managed node is ours alone.
    """
    try:
        return client.internal_progress(task_id).active
    except WebUIEndpointMissingError:
        return managed
    except WebUIError as exc:
        logger.info("The WebUI does not say whose request runs: %s", exc)
        return False

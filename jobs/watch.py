"""What goes on beside a POST: the request in a thread of its own, the lease, the progress of the WebUI.

Only this file and `jobs.preview` talk to the WebUI while a request is under way; nothing here decides how a job ends.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.db import OperationalError, connections
from django.db.models import F
from django.utils import timezone

from jobs.claims import Claim, renew
from jobs.models import Runner
from jobs.stages import Unit
from webui.client import WebUIClient
from webui.errors import WebUIEndpointMissingError, WebUIError, WebUINotSentError
from webui.schemas import Progress

T = TypeVar("T")
logger = logging.getLogger(__name__)


class BackgroundCall(Generic[T]):
    """One request in a thread that touches no database; `done` is set when it has ended, `error` if it failed."""

    def __init__(self, call: Callable[[], T], name: str) -> None:
        self.done = threading.Event()
        self._call = call
        self._result: T | None = None
        self.error: BaseException | None = None
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        try:
            self._result = self._call()
        except BaseException as exc:  # noqa: BLE001 - carried to the thread that asked, which raises it
            self.error = exc
        finally:
            self.done.set()

    def result(self) -> T:
        """The answer, or the error that the call raised; only after `done`."""
        if self.error is not None:
            raise self.error
        return self._result  # type: ignore[return-value]


class Lease:
    """Renews the lease of a run from `start` until `stop`, unless the job's deadline passes or it is lost."""

    def __init__(self, claim: Claim) -> None:
        self.lost = threading.Event()
        self._claim = claim
        self._stop = threading.Event()
        self._deadline = time.monotonic() + settings.STABLENEW_JOB_DEADLINE_S
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Called at the first look at a request: the claim's own lease covers the time until then."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"lease-{self._claim.job_id}", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop.wait(settings.STABLENEW_LEASE_RENEW_S):
                if time.monotonic() > self._deadline:
                    return
                try:
                    owned = renew(self._claim).owned
                except OperationalError:
                    logger.warning("The lease of job %s could not be renewed yet.", self._claim.job_id)
                    connections.close_all()
                    continue
                if not owned:
                    self.lost.set()
                    return
        finally:
            connections.close_all()


class ProgressBoard:
    """Writes the running job's progress to its `Runner`, at most once a second; a lost write is no harm."""

    def __init__(self, claim: Claim, stage_total: int) -> None:
        self._claim = claim
        self._stage_total = stage_total
        self._started = time.monotonic()

    def show(self, unit: Unit, progress: Progress | None, *, preview: int | None = None) -> None:
        """`preview` is the number of the picture that is being made (`jobs.preview`)."""
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

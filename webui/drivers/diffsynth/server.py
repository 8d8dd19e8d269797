"""One worker as the rest of the program speaks to it: what its answers mean, in words of no server's own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from webui.driver import Driver
from webui.drivers.diffsynth.catalog import catalog_of
from webui.drivers.diffsynth.client import WorkerClient
from webui.drivers.diffsynth.inspection import inspect, loading_words
from webui.drivers.diffsynth.schemas import (
    DONE,
    FAILED,
    LOADING,
    PHASES,
    STEP_PHASE,
    ToldHealth,
    ToldJob,
)
from webui.drivers.diffsynth.sending import JobSending
from webui.errors import (
    WebUIAuthError,
    WebUIBadAnswerError,
    WebUIConnectionLostError,
    WebUIEndpointMissingError,
    WebUIError,
    WebUINotSentError,
    WebUIRejectedError,
    WebUITimeoutError,
)
from webui.work.catalog import Catalog
from webui.work.told import (
    ApiAnswer,
    Asked,
    ConnectionVerdict,
    Fate,
    MemoryUse,
    Patience,
    Progress,
)
from webui.work.unit import Request

logger = logging.getLogger(__name__)

NO_WORKER = "{address} answers, but not as a DiffSynth worker ({words}). Correct the address."
NO_RESTART = (
    "It was not restarted: a DiffSynth worker does not restart itself. Restart it where it was started, or give the "
    "node a restart command."
)
LONGEST_ETA_S = 7 * 86_400.0
PHASE_BEGINS: Final = {"prepare": 0.0, "encode": 0.02, STEP_PHASE: 0.05, "decode": 0.85, "save": 0.97}
"""Of the whole job, as 0-1; guessed, so that a bar moves evenly."""
PHASE_WORDS: Final = {
    "prepare": "Preparing",
    "encode": "Encoding",
    STEP_PHASE: "Drawing",
    "decode": "Decoding",
    "save": "Saving",
}
LOADING_WORDS: Final = "Loading the model"


@dataclass(slots=True)
class DiffSynthServer:
    """See `webui.driver.Server`. One id is one job: who wants a request executed again gives it another `task_id`."""

    driver: Driver
    client: WorkerClient
    _sending: JobSending | None = None

    @property
    def base_url(self) -> str:
        return self.client.base_url

    @base_url.setter
    def base_url(self, base_url: str) -> None:
        self.client.base_url = base_url

    @property
    def auth(self) -> tuple[str, str] | None:
        return self.client.auth

    @auth.setter
    def auth(self, auth: tuple[str, str] | None) -> None:
        self.client.auth = auth

    # --- a unit of work ----------------------------------------------------------------------------

    def send(self, request: Request) -> Sequence[bytes]:
        # A request that was written down has no id, and shall be drawn however often it is sent.
        task_id = request.task_id or f"again-{uuid4().hex}"
        sending = JobSending(self.client, request, task_id)
        self._sending = sending
        try:
            return sending.run()
        finally:
            self._sending = None

    def progress(self) -> Progress:
        health = self.client.health()
        job = self.client.job(health.job) if health.job else None
        return (
            Progress(
                fingerprint=(health.boot, health.state),
                phase=LOADING_WORDS if health.state == LOADING else "",
            )
            if job is None
            else told_progress(health, job)
        )

    def preview(self) -> bytes | None:
        return None

    def is_running(self, task_id: str, *, alone: bool) -> bool:
        """One that still waits for the worker counts: it is ours to take back."""
        if self._sending is not None:
            return True
        try:
            job = self._job(task_id)
        except WebUIError as exc:
            logger.info("The worker does not say whether %s runs: %s", task_id, exc)
            return False
        return job is not None and job.runs

    def interrupt(self) -> None:
        """Our own request, where one is under way; else whatever runs."""
        sending = self._sending
        if sending is not None:
            sending.cancel()
        elif running := self.client.health().job:
            self.client.cancel(running)

    def end_leftover(self, task_id: str, *, alone: bool) -> bool:
        job = self._job(task_id)
        if job is None or not job.runs:
            return True
        self.client.cancel(job.id)
        return False

    def fate_of(self, task_id: str) -> Fate:
        try:
            job = self._job(task_id)
        except WebUIError as exc:
            logger.info("The worker does not say what became of %s: %s", task_id, exc)
            return Fate.UNKNOWN
        if job is None:
            return Fate.UNKNOWN
        if job.runs:
            return Fate.RUNNING
        return Fate.DONE if job.state == DONE else Fate.ENDED

    def _job(self, task_id: str) -> ToldJob | None:
        """None where the worker does not know it. Raises `WebUIError`."""
        return self.client.job(task_id) if task_id else None

    # --- the server itself -------------------------------------------------------------------------

    def ask(self) -> Asked:
        """One `GET /health`."""
        try:
            health = self.client.health()
        except WebUIAuthError:
            return Asked(ApiAnswer.WRONG_PASSWORD, self._wrong_token())
        except (WebUINotSentError, WebUIConnectionLostError) as exc:
            words = exc.words or type(exc).__name__
            return Asked(ApiAnswer.REFUSED, f"{self.base_url} does not answer: {words}.")
        except (WebUIEndpointMissingError, WebUIBadAnswerError, WebUIRejectedError) as exc:
            words = exc.words.strip()[:120] or f"HTTP {exc.status}"
            return Asked(ApiAnswer.NO_API, NO_WORKER.format(address=self.base_url, words=words))
        except WebUITimeoutError:
            return Asked(ApiAnswer.SILENT, f"{self.base_url} accepts connections and does not answer.")
        except WebUIError as exc:
            words = exc.words.strip()[:200] or exc.code
            return Asked(ApiAnswer.UNCLEAR, f"{self.base_url} is not ready: {words}.")
        if health.state == LOADING:
            return Asked(ApiAnswer.LOADING, loading_words(self.base_url, health), kind=health.kind)
        if health.state == FAILED:
            reason = health.reason.strip()[:1000] or "It gives no reason: see its log."
            return Asked(ApiAnswer.FAILED, reason, kind=health.kind)
        return Asked(ApiAnswer.API, kind=health.kind)

    def without_api(self) -> str:
        return ""

    def catalog(self) -> Catalog:
        return catalog_of(self.client.health())

    def refresh_lists(self) -> None:
        """It reads its files at its start alone."""

    def loaded_checkpoint(self, *, even_if_busy: bool) -> str | None:
        try:
            return self.client.health().model or None
        except WebUIError as exc:
            logger.debug("The model at %s is unknown: %s", self.base_url, exc)
            return None

    def memory(self) -> MemoryUse:
        try:
            told = self.client.health().memory
        except WebUIError:
            told = None
        if told is None:
            return MemoryUse()
        return MemoryUse(_bytes(told.ram_bytes), _bytes(told.vram_used_bytes), _bytes(told.vram_total_bytes))

    def restart(self) -> str:
        return NO_RESTART

    def inspect(self) -> ConnectionVerdict:
        return inspect(self.client, memory_words=lambda: self.memory().words())

    def _wrong_token(self) -> str:
        given = "refuses our token" if self.client.auth else "wants a token, and none is set"
        return (
            f"The worker at {self.base_url} {given}. Give the one that it was started with "
            "(STABLENEW_WORKER_TOKEN): `node change NAME --auth TOKEN`. If we are to start it, end that one."
        )


def told_progress(health: ToldHealth, job: ToldJob) -> Progress:
    """The worker's job in our words; another phase is a move, too."""
    steps, step = _counted(job.steps), _counted(job.step)
    share = min(step / steps, 1.0) if steps and job.phase == STEP_PHASE else 0.0
    begins = PHASE_BEGINS.get(job.phase, 0.0)
    ends = PHASE_BEGINS[PHASES[PHASES.index(job.phase) + 1]] if job.phase in PHASES[:-1] else begins
    fraction = begins + share * (ends - begins)
    eta_s = job.elapsed_s * (1 - fraction) / fraction if share else 0.0
    return Progress(
        fraction=fraction,
        eta_s=min(max(eta_s, 0.0), LONGEST_ETA_S),
        idle=not job.runs,
        step=step,
        steps=steps,
        fingerprint=(health.boot, job.id, job.state, job.phase[:50], step),
        patience=Patience.STEP if job.phase == STEP_PHASE else Patience.PHASE,
        phase="" if steps and job.phase == STEP_PHASE else PHASE_WORDS.get(job.phase, ""),
    )


def _counted(told: int) -> int:
    """What no job can have is not shown."""
    return told if 0 <= told < 2**31 else 0


def _bytes(told: int | None) -> int | None:
    """What no machine has is no number."""
    return told if told is not None and 0 <= told < 2**53 else None

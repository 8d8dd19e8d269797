"""One job from its input pictures to its result: put, post, poll, fetch. Ids are idempotent, so that a lost answer is
asked for again and the job is never executed twice.

A job that has ended is not sent again under its id: who wants it executed once more takes another.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from webui.drivers.diffsynth.answers import BUSY
from webui.drivers.diffsynth.client import JOBS, WorkerClient
from webui.drivers.diffsynth.schemas import CANCELLED, DONE, FAILED, READY, ToldJob, ToldRefusal, ToldResult
from webui.drivers.diffsynth.used import facts_of
from webui.errors import (
    InvalidImageError,
    WebUIAuthError,
    WebUIBadAnswerError,
    WebUIConnectionLostError,
    WebUIError,
    WebUIGatewayError,
    WebUINotSentError,
    WebUIOutOfMemoryError,
    WebUIServerError,
    WebUITimeoutError,
    WebUITooFewPicturesError,
    WebUITransientExhaustedError,
)
from webui.http.answer import HttpAnswer
from webui.http.transport import MAX_ANSWER_BYTES
from webui.work.pictures import Pictures
from webui.work.unit import Request

T = TypeVar("T")
logger = logging.getLogger(__name__)

FIRST_POLL_S: Final = 0.1
LONGEST_POLL_S: Final = 1.0
POLL_GROWTH: Final = 1.5
WAIT_S: Final = 1.0
"""Between two questions whether the worker is free, or has loaded."""
MOST_LOSSES: Final = 6
"""So many lost connections in a row, and the worker is gone."""
MOST_FETCHES: Final = 3
MOST_UPLOADS: Final = 3
"""A busy worker may drop a picture again before its job is accepted."""

LOST: Final = (WebUINotSentError, WebUIConnectionLostError, WebUIGatewayError)
"""What is asked again: nobody knows whether the worker heard the question."""

JOB_ERRORS: Final[dict[str, type[WebUIError]]] = {
    "out_of_memory": WebUIOutOfMemoryError,
    "input": InvalidImageError,
}
"""By the code of a job that failed. Any other may have left the worker's graphics card unusable."""


class _StartedAnewError(Exception):
    """The worker that had the job is gone, and another boot answers in its place."""


@dataclass
class JobSending:
    """Sends one request as the job `job_id`; `cancel` may be called from another thread."""

    client: WorkerClient
    request: Request
    job_id: str
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _boot: str = field(default="", init=False)
    _posted: bool = field(default=False, init=False)
    _lost: bool = field(default=False, init=False)
    """A connection was refused or broke."""
    _deadline: float = field(default=0.0, init=False)
    _cancelled: threading.Event = field(default_factory=threading.Event, init=False)

    def run(self) -> Pictures:
        """The one result, and what the worker tells of it. Raises `WebUIError` with the facts of a request."""
        began = self.clock()
        self._deadline = began + self.client.timeouts.generation_s
        try:
            return self._result_of(self._end_of(self._accepted()))
        except _StartedAnewError:
            words = "the worker was started anew and does not know the job any more"
            failure: WebUIError = WebUIConnectionLostError(words)
            raise self._told(failure, began) from None
        except WebUIError as error:
            failure = error
            if (self._boot or self._lost) and isinstance(error, WebUIAuthError):
                # It took our token, or was gone, a moment ago: this is another boot, which has one of its own.
                failure = WebUINotSentError("the worker was started anew")
            if self._posted and isinstance(failure, WebUINotSentError):
                failure = WebUIConnectionLostError(failure.words, error_class=failure.error_class)
            raise self._told(failure, began) from error.__cause__

    def cancel(self) -> None:
        """It ends at its next step; one that the worker has not accepted yet is not sent any more."""
        self._cancelled.set()
        self.client.cancel(self.job_id)

    # --- the steps ---------------------------------------------------------------------------------

    def _accepted(self) -> ToldJob:
        """Once the worker has its pictures and is free; a job of this id that it has already counts."""
        self._await_ready()
        body = {"id": self.job_id, **self.request.body}
        uploads = 0
        self._upload()
        while True:
            self._stop_if_cancelled()
            told = self._insist(lambda: self._post(body))
            if isinstance(told, ToldJob):
                if self._cancelled.is_set():
                    self._insist(lambda: self.client.cancel(self.job_id))
                return told
            if told.code == BUSY:
                self._pause(WAIT_S)
                continue
            uploads += 1
            if uploads >= MOST_UPLOADS:
                raise WebUIBadAnswerError(f"it lost an input picture again and again: {told.words}")
            self._upload()

    def _await_ready(self) -> None:
        while True:
            health = self._insist(self.client.health)
            if health.state == READY:
                self._boot = health.boot
                return
            if health.state == FAILED:
                raise WebUITransientExhaustedError(f"it says that it failed: {health.reason}", status=503)
            self._stop_if_cancelled()
            self._pause(WAIT_S)

    def _upload(self) -> None:
        """A picture that a written-down request only names must be there."""
        carried = {hashlib.sha256(content).hexdigest(): content for content in self.request.uploads}
        for sha256 in dict.fromkeys(self.request.body["inputs"]):
            self._stop_if_cancelled()
            if self._insist(lambda name=sha256: self.client.has_input(name)):  # type: ignore[misc]
                continue
            if sha256 not in carried:
                raise InvalidImageError(
                    f"the worker does not have the input picture {sha256[:12]}, and the request does not carry it"
                )
            self._insist(lambda name=sha256: self.client.put_input(name, carried[name]))  # type: ignore[misc]

    def _post(self, body: dict[str, Any]) -> ToldJob | ToldRefusal:
        """A job that may have been sent is sent again to the same boot alone: to the next one it would be new."""
        if self._posted and self.client.health().boot != self._boot:
            raise _StartedAnewError
        try:
            told = self.client.post_job(body)
        except WebUINotSentError:
            raise
        except WebUIError:
            self._posted = True
            raise
        self._posted = self._posted or isinstance(told, ToldJob)
        return told

    def _end_of(self, job: ToldJob) -> ToldJob:
        pause_s = FIRST_POLL_S
        while job.runs:
            self._pause(pause_s)
            pause_s = min(pause_s * POLL_GROWTH, LONGEST_POLL_S)
            told = self._insist(lambda: self.client.job(self.job_id))
            if told is None:
                raise _StartedAnewError
            job = told
        return job

    def _result_of(self, job: ToldJob) -> Pictures:
        if job.state == DONE and job.result is not None:
            return Pictures.of([self._fetched(job.result)], [facts_of(job.result.used)])
        if job.state == CANCELLED:
            raise WebUITooFewPicturesError("it was cancelled there")
        if job.error is None:
            raise WebUIBadAnswerError(f"the job is {job.state[:50]!r} and has no result")
        kind = JOB_ERRORS.get(job.error.code, WebUIServerError)
        raise kind(job.error.message or job.error.code, error_class=job.error.code or None)

    def _fetched(self, result: ToldResult) -> bytes:
        """Fetched again, not executed again, where what came is not what the worker has."""
        if not 0 < result.size_bytes <= MAX_ANSWER_BYTES:
            raise WebUIBadAnswerError(f"its result has {result.size_bytes} bytes")
        problem = ""
        for _ in range(MOST_FETCHES):
            answer = self._insist(self._fetch(result.size_bytes))
            if answer is None:
                raise _StartedAnewError
            problem = _damage(answer.body, answer.headers.get("X-Result-SHA256", ""), result)
            if not problem:
                return answer.body
            logger.info("The result of job %s is fetched again: %s", self.job_id, problem)
        raise WebUIBadAnswerError(f"its result came damaged {MOST_FETCHES} times: {problem}", status=200)

    def _fetch(self, size_bytes: int) -> Callable[[], HttpAnswer | None]:
        timeouts = self.client.timeouts
        return lambda: self.client.result(
            self.job_id, size_bytes=size_bytes, timeout_s=min(timeouts.queued_s, self._left_s())
        )

    # --- patience ----------------------------------------------------------------------------------

    def _insist(self, ask: Callable[[], T]) -> T:
        """Asked again where the answer was lost, a bounded number of times; silence is waited for until the deadline,
        because whoever watches the progress knows better whether the worker hangs.
        """
        losses, pause_s = 0, FIRST_POLL_S
        while True:
            self._left_s()
            try:
                return ask()
            except LOST as error:
                self._lost = True
                losses += 1
                if losses >= MOST_LOSSES:
                    raise
                logger.debug("Job %s: asked again after: %s", self.job_id, error)
            except WebUITimeoutError as error:
                losses = 0
                logger.debug("Job %s: asked again after: %s", self.job_id, error)
            self._pause(pause_s)
            pause_s = min(pause_s * 2, LONGEST_POLL_S)

    def _pause(self, pause_s: float) -> None:
        self.sleep(min(pause_s, self._left_s()))

    def _left_s(self) -> float:
        left_s = self._deadline - self.clock()
        if left_s <= 0:
            limit_s = self.client.timeouts.generation_s
            raise WebUITimeoutError(f"the job was not done after {limit_s:g} s")
        return left_s

    def _stop_if_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise WebUITooFewPicturesError("it was cancelled before the worker had it")

    def _told(self, error: WebUIError, began: float) -> WebUIError:
        """With the facts of the request that it failed, whichever question met the error."""
        error.endpoint, error.method, error.stage = JOBS, "POST", self.request.stage
        error.address, error.elapsed_s = self.client.base_url, self.clock() - began
        error.server = self.client.noun
        return error


def _damage(body: bytes, told_sha256: str, result: ToldResult) -> str:
    """Why these are not the bytes of the result; empty where they are."""
    if len(body) != result.size_bytes:
        return f"{len(body)} of {result.size_bytes} bytes came"
    sha256 = hashlib.sha256(body).hexdigest()
    if sha256 != result.sha256.lower() or (told_sha256 and told_sha256.lower() != sha256):
        return "its SHA-256 is another one"
    return ""

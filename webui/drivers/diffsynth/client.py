"""One worker over HTTP: a method per endpoint, each returns a typed value or raises a `WebUIError`.

Nothing is repeated, remembered or decided here; that is `sending`. The protocol stands in `docs/architecture.md`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from webui.drivers.diffsynth.answers import UNKNOWN_JOB, error_of, refusal_in
from webui.drivers.diffsynth.schemas import (
    FAILED,
    HEALTH,
    JOB,
    LOADING,
    READY,
    ToldHealth,
    ToldJob,
    ToldRefusal,
)
from webui.errors import WebUIBadAnswerError, WebUIEndpointMissingError, WebUIError
from webui.http.answer import HttpAnswer
from webui.http.connection import WebUIConnection
from webui.http.json_body import read_json
from webui.words import ServerNoun

T = TypeVar("T")

MOST_SMALL_BYTES: Final = 1024**2
"""Of every answer but a result."""
JOBS: Final = "/jobs"


class WorkerClient(WebUIConnection):
    """Sends each request on a connection of its own, so threads may share a client.

    `auth` is a name and the token; the name is nobody's.
    """

    noun = ServerNoun.WORKER
    judge = staticmethod(error_of)

    def headers(self) -> Mapping[str, str] | None:
        return {"Authorization": f"Bearer {self.auth[1]}"} if self.auth else None

    # --- the worker itself -------------------------------------------------------------------------

    def health(self) -> ToldHealth:
        """Ready, loading or failed. Raises for everything that is no worker's answer."""
        answer = self._ask("GET", "/health", also=(503,))
        told = self._told(answer, HEALTH, "GET", "/health", foreign_503=True)
        if told.state not in (LOADING, READY, FAILED):
            raise self._unusable(f"an unknown state {told.state[:50]!r}", answer, "GET", "/health", None)
        return told

    # --- a job -------------------------------------------------------------------------------------

    def has_input(self, sha256: str) -> bool:
        return self._ask("HEAD", f"/inputs/{sha256}", also=(404,)).status != 404

    def put_input(self, sha256: str, content: bytes) -> None:
        self._ask("PUT", f"/inputs/{sha256}", data=content, timeout_s=self.timeouts.queued_s)

    def post_job(self, body: Mapping[str, Any]) -> ToldJob | ToldRefusal:
        """The job, or why the worker takes it not now: it is busy, or lacks a picture. Raises for everything else."""
        answer = self._ask("POST", JOBS, json=body, also=(409, 422))
        if answer.status in (409, 422):
            refusal = refusal_in(answer)
            if refusal is not None and refusal.code in NOT_NOW:
                return refusal
            raise self._error(answer, "POST", JOBS)
        return self._told(answer, JOB, "POST", JOBS)

    def job(self, job_id: str) -> ToldJob | None:
        """None where the worker does not know it (any more)."""
        return self._of_job("GET", job_id, "")

    def cancel(self, job_id: str) -> ToldJob | None:
        return self._of_job("POST", job_id, "/cancel")

    def result(self, job_id: str, *, size_bytes: int, timeout_s: float) -> HttpAnswer | None:
        """The result's bytes as they came; a body longer than `size_bytes` is an error. None as of `job`."""
        endpoint = f"{JOBS}/{quote(job_id, safe='')}/result"
        most = max(size_bytes, MOST_SMALL_BYTES)
        answer = self.exchange("GET", endpoint, timeout_s=timeout_s, max_answer_bytes=most, also=(404,))
        return None if self._unknown(answer, "GET", endpoint) else answer

    def _of_job(self, method: str, job_id: str, what: str) -> ToldJob | None:
        endpoint = f"{JOBS}/{quote(job_id, safe='')}{what}"
        answer = self._ask(method, endpoint, also=(404,))
        return None if self._unknown(answer, method, endpoint) else self._told(answer, JOB, method, endpoint)

    def _unknown(self, answer: HttpAnswer, method: str, endpoint: str) -> bool:
        """Whether the worker says that it does not know the job. Raises for any other 404."""
        if answer.status != 404:
            return False
        refusal = refusal_in(answer)
        if refusal is None or refusal.code != UNKNOWN_JOB:
            raise self._error(answer, method, endpoint)
        return True

    # --- one exchange ------------------------------------------------------------------------------

    def _ask(
        self,
        method: str,
        endpoint: str,
        *,
        json: object = None,
        data: bytes | None = None,
        timeout_s: float | None = None,
        also: Collection[int] = (),
    ) -> HttpAnswer:
        return self.exchange(
            method,
            endpoint,
            json=json,
            data=data,
            timeout_s=self.timeouts.progress_s if timeout_s is None else timeout_s,
            max_answer_bytes=MOST_SMALL_BYTES,
            also=also,
        )

    def _told(
        self,
        answer: HttpAnswer,
        kind: TypeAdapter[T],
        method: str,
        endpoint: str,
        *,
        foreign_503: bool = False,
    ) -> T:
        try:
            return kind.validate_python(read_json(answer.body))
        except (ValidationError, ValueError) as exc:
            if foreign_503 and answer.status == 503:
                raise self._error(answer, method, endpoint) from exc
            words = f"not what a worker says but {answer.text()[:200] or 'nothing'!r}"
            raise self._unusable(words, answer, method, endpoint, None) from exc

    def _error(self, answer: HttpAnswer, method: str, endpoint: str) -> WebUIError:
        error = error_of(answer)
        error.method, error.endpoint, error.address, error.server = method, endpoint, self.base_url, self.noun
        return error


NOT_NOW: Final = frozenset({"busy", "missing_input"})
NOT_A_WORKER: Final = (WebUIBadAnswerError, WebUIEndpointMissingError)
"""What another program than a worker comes to."""

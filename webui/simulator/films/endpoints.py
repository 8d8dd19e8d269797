"""What a worker answers at each address; bodies are read through the caller, within bounds."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from webui.simulator.arrival import ArrivalEnding
from webui.simulator.films import fault_kinds
from webui.simulator.films.answers import SimulatedReply, TurnedAwayError, WorkerCall, json_answer
from webui.simulator.films.fault_kinds import JobPoint
from webui.simulator.films.jobs import SimulatedJob
from webui.simulator.films.limits import MAX_INPUT_BYTES
from webui.simulator.films.worker import SimulatedWorker

MAX_JSON_BYTES = 64 * 1024


class UnreadBody(Protocol):
    def read(self, most: int, *, may_be_chunked: bool) -> bytes:
        """All of it. Raises TurnedAwayError 411 without a length, 413 beyond `most` bytes."""


@dataclass(frozen=True)
class _Asked:
    """One request, and the part of its path that names something."""

    worker: SimulatedWorker
    called: WorkerCall
    name: str
    body: UnreadBody


_Handler = Callable[[_Asked], SimulatedReply]


def answer(worker: SimulatedWorker, called: WorkerCall, body: UnreadBody) -> SimulatedReply:
    """Raises ConnectionDropError where a fault wants the connection closed."""
    try:
        _authenticate(worker.settings.token, called)
        for pattern, methods in _ROUTES:
            found = pattern.fullmatch(called.path)
            if found is None:
                continue
            handler = methods.get(called.method)
            if handler is None:
                allowed = ", ".join(methods)
                message = f"{called.path} takes {allowed}."
                raise TurnedAwayError(405, "wrong_method", message, headers=(("Allow", allowed),))
            name = found["name"] if "name" in found.groupdict() else ""
            return handler(_Asked(worker, called, name, body))
        raise TurnedAwayError(404, "unknown_path", f"There is nothing at {called.path}.")
    except TurnedAwayError as refusal:
        return refusal.answer()


def _authenticate(token: str, called: WorkerCall) -> None:
    given = called.headers.get("authorization", "").encode("latin-1", "replace")
    if token and not hmac.compare_digest(given, f"Bearer {token}".encode()):
        message = "Give the worker's token: Authorization: Bearer TOKEN."
        raise TurnedAwayError(401, "unauthorized", message, headers=(("WWW-Authenticate", "Bearer"),))


def _health(request: _Asked) -> SimulatedReply:
    told = request.worker.health()
    return json_answer(told, 200 if told["state"] == "ready" else 503)


def _has_input(request: _Asked) -> SimulatedReply:
    return SimulatedReply(200 if request.name in request.worker.inputs else 404)


def _put_input(request: _Asked) -> SimulatedReply:
    known = request.name in request.worker.inputs
    content = request.body.read(MAX_INPUT_BYTES, may_be_chunked=True)
    width, height = request.worker.inputs.put(request.name, content)
    told = {"sha256": request.name, "width": width, "height": height}
    return json_answer(told, 200 if known else 201)


def _post_job(request: _Asked) -> SimulatedReply:
    content = request.body.read(MAX_JSON_BYTES, may_be_chunked=False)
    health = request.worker.health()
    if health["state"] != "ready":
        return json_answer(health, 503)
    job, is_new = request.worker.take(_document(content))
    return json_answer(job.document(), 202 if is_new else 200)


def _document(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise TurnedAwayError(400, "no_json", "The body is no JSON object.")
    return document


def _list_jobs(request: _Asked) -> SimulatedReply:
    return json_answer({"jobs": [job.document() for job in request.worker.jobs.newest()]})


def _tell_job(request: _Asked) -> SimulatedReply:
    job = _job(request)
    fault_kinds.strike(JobPoint.POLL, job)
    document = job.document()
    answer = json_answer(document)
    return replace(answer, when_sent=job.failure_told.set) if document["state"] == "failed" else answer


def _cancel_job(request: _Asked) -> SimulatedReply:
    job = _job(request)
    if job.has_ended:
        return json_answer(job.document())
    request.worker.journal.step("cancel", job.number, job.id)
    job.cancel.set()
    return json_answer(job.document(), 202)


def _give_result(request: _Asked) -> SimulatedReply:
    job = _job(request)
    if job.state != "done":
        raise TurnedAwayError(409, "not_done", f"The job {job.id} is {job.state}; it has no result.")
    fault_kinds.strike(JobPoint.RESULT, job)
    found = request.worker.jobs.content_of(job)
    if found is None:
        raise TurnedAwayError(410, "gone", f"The result of {job.id} is not kept any more.")
    told, content = found
    sha256 = "0" * 64 if job.tells_another_hash else told["sha256"]
    headers = [("X-Result-SHA256", sha256)]
    for name, header in _HEADERS.items():
        if name in told:
            headers.append((header, str(told[name])))
    return SimulatedReply(
        200,
        content,
        content_type=told["media_type"],
        headers=tuple(headers),
        ending=ArrivalEnding.HALF if job.cuts_answer else ArrivalEnding.WHOLE,
    )


_HEADERS = {
    "width": "X-Result-Width",
    "height": "X-Result-Height",
    "frames": "X-Result-Frames",
    "fps": "X-Result-FPS",
}


def _job(request: _Asked) -> SimulatedJob:
    job = request.worker.jobs.find(request.name)
    if job is None:
        raise TurnedAwayError(404, "unknown_job", f"There is no job {request.name}.")
    return job


_ID = r"(?P<name>[A-Za-z0-9._-]{1,100})"
_ROUTES: list[tuple[re.Pattern[str], dict[str, _Handler]]] = [
    (re.compile("/health"), {"GET": _health}),
    (re.compile("/inputs/(?P<name>[0-9a-f]{64})"), {"HEAD": _has_input, "PUT": _put_input}),
    (re.compile("/jobs"), {"GET": _list_jobs, "POST": _post_job}),
    (re.compile(f"/jobs/{_ID}"), {"GET": _tell_job}),
    (re.compile(f"/jobs/{_ID}/cancel"), {"POST": _cancel_job}),
    (re.compile(f"/jobs/{_ID}/result"), {"GET": _give_result}),
]

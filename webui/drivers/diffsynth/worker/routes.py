"""What the worker answers at which address. Knows no socket: `server` reads and writes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, Protocol

from webui.drivers.diffsynth.worker.answers import AnswerError, WorkerAnswer, json_answer, refused
from webui.drivers.diffsynth.worker.inputs import HashDiffersError, KeptInput
from webui.drivers.diffsynth.worker.jobs import BusyError, OtherJobError
from webui.drivers.diffsynth.worker.orders import JOB_ID, RefusedOrderError
from webui.drivers.diffsynth.worker.speech import say
from webui.drivers.diffsynth.worker.worker import MissingInputError, NotReadyError, Worker
from webui.work.fitting import UnusableInputError
from webui.work.limits import MAX_INPUT_BASE64_BYTES, MAX_INPUT_BYTES

MAX_JSON_BYTES: Final = 64 * 1024


class ReadBody(Protocol):
    """Reads the body, at most so many bytes; `limit` is the sentence that says so. Raises AnswerError."""

    def __call__(self, most: int, limit: str, *, may_be_chunked: bool = False) -> bytes: ...


_INPUT_LIMIT: Final = (
    f"An input picture has at most {MAX_INPUT_BYTES:,} bytes ({MAX_INPUT_BASE64_BYTES:,} as base64)."
)
_JSON_LIMIT: Final = f"A JSON body has at most {MAX_JSON_BYTES:,} bytes."
_UNKNOWN_JOB: Final = "There is no job of this id: it was never sent to this process, or it is too old."


class Routes:
    """Raises AnswerError."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self._table: tuple[
            tuple[re.Pattern[str], dict[str, Callable[[str, ReadBody], WorkerAnswer]]], ...
        ] = (
            (re.compile(r"/health()"), {"GET": self._health}),
            (re.compile(r"/inputs/([0-9a-f]{64})"), {"HEAD": self._has_input, "PUT": self._put_input}),
            (re.compile(r"/jobs()"), {"GET": self._list, "POST": self._submit}),
            (re.compile(rf"/jobs/({JOB_ID.pattern})"), {"GET": self._state}),
            (re.compile(rf"/jobs/({JOB_ID.pattern})/cancel"), {"POST": self._cancel}),
            (re.compile(rf"/jobs/({JOB_ID.pattern})/result"), {"GET": self._result}),
        )

    def answer(self, method: str, path: str, read_body: ReadBody) -> WorkerAnswer:
        for pattern, methods in self._table:
            found = pattern.fullmatch(path)
            if found is None:
                continue
            if method not in methods:
                allowed = ", ".join(methods)
                message = f"{path} takes {allowed}."
                raise AnswerError(
                    HTTPStatus.METHOD_NOT_ALLOWED, "wrong_method", message, headers={"Allow": allowed}
                )
            return methods[method](found[1], read_body)
        raise AnswerError(HTTPStatus.NOT_FOUND, "unknown_path", "There is nothing at this address.")

    def _health(self, _: str, __: ReadBody) -> WorkerAnswer:
        ready, document = self.worker.health()
        return json_answer(HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE, document)

    def _has_input(self, sha256: str, _: ReadBody) -> WorkerAnswer:
        there = self.worker.inputs.get(sha256)
        return WorkerAnswer(HTTPStatus.OK if there else HTTPStatus.NOT_FOUND)

    def _put_input(self, sha256: str, read_body: ReadBody) -> WorkerAnswer:
        content = read_body(MAX_INPUT_BYTES, _INPUT_LIMIT, may_be_chunked=True)
        try:
            kept, is_new = self.worker.inputs.keep(sha256, content)
            return json_answer(HTTPStatus.CREATED if is_new else HTTPStatus.OK, _input_document(kept))
        except HashDiffersError as exc:
            raise AnswerError(HTTPStatus.UNPROCESSABLE_ENTITY, "hash_differs", str(exc)) from exc
        except UnusableInputError as exc:
            raise AnswerError(HTTPStatus.UNPROCESSABLE_ENTITY, "no_picture", str(exc)) from exc
        except OSError as exc:
            message = f"The worker cannot keep the picture: {exc.strerror}. Make room on its disk."
            raise AnswerError(HTTPStatus.INSUFFICIENT_STORAGE, "storage", message) from exc

    def _list(self, _: str, __: ReadBody) -> WorkerAnswer:
        return json_answer(HTTPStatus.OK, {"jobs": self.worker.jobs.newest()})

    def _submit(self, _: str, read_body: ReadBody) -> WorkerAnswer:
        body = _object(read_body(MAX_JSON_BYTES, _JSON_LIMIT))
        job_id = body.get("id")
        if not isinstance(job_id, str) or not JOB_ID.fullmatch(job_id):
            message = "An id has 1 to 100 of the characters A-Z, a-z, 0-9, dot, underscore and hyphen."
            field = {"fields": [{"field": "id", "message": message}]}
            raise AnswerError(HTTPStatus.UNPROCESSABLE_ENTITY, "refused", message, more=field)
        try:
            state, is_new = self.worker.submit(job_id, body)
        except OtherJobError as exc:
            message = f"Another job has the id {job_id}. Give this one an id of its own."
            raise AnswerError(HTTPStatus.CONFLICT, "other_job", message) from exc
        except NotReadyError as exc:
            return json_answer(HTTPStatus.SERVICE_UNAVAILABLE, exc.document)
        except RefusedOrderError as exc:
            raise refused(exc.problems) from exc
        except BusyError as exc:
            raise AnswerError(HTTPStatus.CONFLICT, "busy", str(exc), more={"job": exc.job_id}) from exc
        except MissingInputError as exc:
            more = {"sha256": exc.sha256}
            raise AnswerError(HTTPStatus.UNPROCESSABLE_ENTITY, "missing_input", str(exc), more=more) from exc
        return json_answer(HTTPStatus.ACCEPTED if is_new else HTTPStatus.OK, state)

    def _state(self, job_id: str, _: ReadBody) -> WorkerAnswer:
        state = self.worker.jobs.state(job_id)
        if state is None:
            raise _unknown_job()
        return json_answer(HTTPStatus.OK, state, told=state)

    def _cancel(self, job_id: str, read_body: ReadBody) -> WorkerAnswer:
        found = self.worker.jobs.cancel(job_id)
        if found is None:
            raise _unknown_job()
        state, had_ended, is_news = found
        if is_news:
            say(f"job {job_id}: to be cancelled")
        return json_answer(HTTPStatus.OK if had_ended else HTTPStatus.ACCEPTED, state)

    def _result(self, job_id: str, _: ReadBody) -> WorkerAnswer:
        found = self.worker.jobs.result(job_id)
        if found is None:
            raise _unknown_job()
        result, has_file = found
        if result is None:
            raise AnswerError(HTTPStatus.CONFLICT, "not_done", "The job has no result, or none yet.")
        if not has_file:
            raise AnswerError(HTTPStatus.GONE, "gone", "The result is no longer kept. Run the job again.")
        headers = {
            "X-Result-SHA256": result.sha256,
            "X-Result-Width": str(result.width_px),
            "X-Result-Height": str(result.height_px),
        }
        if result.frames:
            headers |= {"X-Result-Frames": str(result.frames), "X-Result-FPS": str(result.fps)}
        return WorkerAnswer(HTTPStatus.OK, b"", headers, result.media_type, file=result.path)


def _unknown_job() -> AnswerError:
    return AnswerError(HTTPStatus.NOT_FOUND, "unknown_job", _UNKNOWN_JOB)


def _input_document(kept: KeptInput) -> dict[str, Any]:
    return {"sha256": kept.sha256, "width": kept.width_px, "height": kept.height_px}


def _object(content: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(content, parse_constant=_no_constant)
    except (ValueError, RecursionError) as exc:
        message = "The body is no valid JSON in UTF-8."
        raise AnswerError(HTTPStatus.BAD_REQUEST, "no_json", message) from exc
    if not isinstance(document, dict):
        raise AnswerError(HTTPStatus.BAD_REQUEST, "no_json", "The body must be a JSON object.")
    return document


def _no_constant(word: str) -> float:
    raise ValueError(f"{word} is no number of JSON")

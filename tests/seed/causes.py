"""Why jobs of a seeded database failed: ten causes, told by the exceptions that a real run raises."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import requests

from jobs.errors import JobDeadlineError
from jobs.records.reading import AnyRecord
from webui.drivers.a1111.answers import error_of
from webui.errors import UnknownCheckpointError, WebUIConnectionLostError, WebUIHangError
from webui.http.answer import HttpAnswer
from webui.words import ServerNoun

MakeError = Callable[[AnyRecord], Exception]
#: Where the nodes of a seeded database are: nothing listens there.
ADDRESS = "http://127.0.0.1:9"
#: What a run says of the request that failed.
_REQUEST: dict[str, Any] = {
    "endpoint": "/sdapi/v1/txt2img",
    "method": "POST",
    "stage": "txt2img",
    "server": ServerNoun.WEBUI,
}


def _answer(status: int, body: dict[str, object]) -> MakeError:
    """The error that a run meets when its WebUI answers so."""
    answer = HttpAnswer(status, "application/json", json.dumps(body).encode(), elapsed_s=0.2)

    def error(record: AnyRecord) -> Exception:
        made = error_of(answer, {})
        return type(made)(**made.facts(), **_REQUEST, address=ADDRESS)

    return error


def _server_error(error_class: str, words: str) -> MakeError:
    return _answer(500, {"error": error_class, "detail": "", "body": "", "errors": words})


def _connection_lost(record: AnyRecord) -> Exception:
    error = WebUIConnectionLostError(
        "Connection reset by peer",
        error_class="ConnectionResetError",
        elapsed_s=4.2,
        address=ADDRESS,
        **_REQUEST,
    )
    error.__cause__ = requests.ConnectionError("('Connection aborted.', ConnectionResetError(104))")
    return error


def _hang(record: AnyRecord) -> Exception:
    return WebUIHangError("its progress has not changed for 181 s", elapsed_s=181.0, **_REQUEST)


def _other_checkpoint(record: AnyRecord) -> Exception:
    words = f"asked for {record.base_model!r}, rendered with 'v1-5-pruned'"
    return UnknownCheckpointError(words, status=200, **_REQUEST)


def _too_long(record: AnyRecord) -> Exception:
    return JobDeadlineError("The job ran longer than 3600 s.")


_NO_DICT = {
    "loc": ["body", "alwayson_scripts"],
    "msg": "value is not a valid dict",
    "type": "type_error.dict",
}
out_of_memory = _server_error("OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.25 GiB")
#: Each with its share among the failures. None: the job's worker was lost, twice.
CAUSES: tuple[tuple[int, MakeError | None], ...] = (
    (22, out_of_memory),
    (18, _connection_lost),
    (12, _server_error("RuntimeError", "CUDA error: an illegal memory access was encountered")),
    (10, _other_checkpoint),
    (8, _hang),
    (8, _answer(404, {"error": "HTTPException", "detail": "Sampler not found", "body": "", "errors": ""})),
    (6, _server_error("NansException", "A tensor with all NaNs was produced in Unet.")),
    (5, _answer(422, {"detail": [_NO_DICT]})),
    (4, None),
    (3, _too_long),
)


def pick_cause(rng: random.Random) -> MakeError | None:
    [(_, cause)] = rng.choices(CAUSES, [weight for weight, _ in CAUSES])
    return cause

"""Judge one answer of a worker: its words, and which error of the tree it is; nothing is sent here."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from pydantic import ValidationError

from webui.drivers.diffsynth.schemas import ERROR, ToldRefusal
from webui.errors import (
    InvalidImageError,
    RequestValidationError,
    WebUIAuthError,
    WebUIBadAnswerError,
    WebUIEndpointMissingError,
    WebUIError,
    WebUIGatewayError,
    WebUINotOfferedError,
    WebUIRedirectError,
    WebUIRejectedError,
    WebUIRequestTooLargeError,
    WebUIServerError,
    WebUITransientError,
)
from webui.http.answer import HttpAnswer
from webui.http.json_body import read_json

BUSY: Final = "busy"
MISSING_INPUT: Final = "missing_input"
UNKNOWN_JOB: Final = "unknown_job"

_BY_CODE: Final[dict[str, type[WebUIError]]] = {
    "refused": RequestValidationError,
    "no_picture": InvalidImageError,
    # Its bytes were changed on their way.
    "hash_differs": WebUIBadAnswerError,
    MISSING_INPUT: WebUIBadAnswerError,
    "not_done": WebUIBadAnswerError,
    "gone": WebUIBadAnswerError,
}
_BY_STATUS: Final[dict[int, type[WebUIError]]] = {
    401: WebUIAuthError,
    403: WebUIAuthError,
    404: WebUIEndpointMissingError,
    405: WebUIEndpointMissingError,
    413: WebUIRequestTooLargeError,
    422: RequestValidationError,
    429: WebUITransientError,
    501: WebUINotOfferedError,
    503: WebUITransientError,
}
_OF_A_PROXY: Final = frozenset({408, 502, 504, *range(520, 600)})
"""A worker never says these: something in front of it waited too long, or could not reach it."""


def refusal_in(answer: HttpAnswer) -> ToldRefusal | None:
    """The worker's own words in an answer that is none of 200 to 299; None where it is somebody else's."""
    try:
        return ERROR.validate_python(read_json(answer.body)).error
    except (ValueError, ValidationError):
        return None


def error_of(answer: HttpAnswer, body: object = None, *, generates: bool = False) -> WebUIError:
    """See `webui.http.connection.WebUIConnection.judge`."""
    told = refusal_in(answer)
    words = told.words if told is not None else answer.text()[:200]
    if 300 <= answer.status < 400:
        kind: type[WebUIError] = WebUIGatewayError if generates else WebUIRedirectError
        words = "it redirects to another address"
    elif told is None and _is_of_something_in_front(answer, generates=generates):
        kind = WebUIGatewayError
    else:
        kind = _BY_CODE.get(told.code if told is not None else "") or _BY_STATUS.get(
            answer.status, WebUIServerError if answer.status >= 500 else WebUIRejectedError
        )
    return kind(words or _phrase(answer.status), status=answer.status, elapsed_s=answer.elapsed_s)


def _is_of_something_in_front(answer: HttpAnswer, *, generates: bool) -> bool:
    """A page for a browser where a worker was expected, or what only proxies say."""
    page = answer.is_page and (answer.status >= 500 or (generates and answer.status not in (401, 404, 413)))
    return answer.status in _OF_A_PROXY or page


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""

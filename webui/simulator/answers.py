"""What goes back over the wire, and what endpoints raise instead. How it is worded is the dialect's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

JSON = "application/json"


@dataclass(frozen=True)
class SimulatedAnswer:
    status: int
    body: bytes
    content_type: str | None = JSON
    headers: tuple[tuple[str, str], ...] = ()
    is_timed: bool = True
    """Carries `x-process-time`; answers to escaped exceptions do not."""


class RefusedRequestError(Exception):
    """The server's own refusal, with a status and a sentence: `Sampler not found`."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class EscapedError(Exception):
    """An exception that escaped inside the server: 500 with its class name and its text."""

    def __init__(self, error_class: str, text: str, body: dict[str, Any] | None = None) -> None:
        super().__init__(text)
        self.error_class = error_class
        self.text = text
        self.body = body
        """What the server could not answer, where it was its own answer that failed."""


class InvalidFieldsError(Exception):
    """The body does not fit the request's schema: 422 with one entry per wrong field."""

    def __init__(self, details: list[dict[str, Any]]) -> None:
        super().__init__("request fields are invalid")
        self.details = details


Failure = RefusedRequestError | EscapedError | InvalidFieldsError


def json_answer(value: Any, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> SimulatedAnswer:
    """Compact UTF-8, as the real server sends it. Raises ValueError on NaN, which JSON cannot carry."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return SimulatedAnswer(status, text.encode(), headers=headers)


def not_found() -> SimulatedAnswer:
    return json_answer({"detail": "Not Found"}, 404)


def method_not_allowed(allowed: str) -> SimulatedAnswer:
    return json_answer({"detail": "Method Not Allowed"}, 405, (("allow", allowed),))

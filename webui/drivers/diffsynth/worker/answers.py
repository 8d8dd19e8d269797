"""Answers of the worker: JSON, or the file of a result."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from webui.drivers.diffsynth.worker.orders import FieldProblem


@dataclass(frozen=True, slots=True)
class WorkerAnswer:
    """`file` is sent instead of `body` where it is given. `closes` ends the connection: its body was not read."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    file: Path | None = None
    closes: bool = False
    told: Mapping[str, Any] | None = None
    """The state of a job that the client has read once this is sent."""


class AnswerError(Exception):
    """A request that ends with this error."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        more: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        closes: bool = False,
    ) -> None:
        super().__init__(message)
        document = {"error": {"code": code, "message": message, **(more or {})}}
        self.answer = json_answer(status, document, headers=headers, closes=closes)


def json_answer(
    status: int,
    document: Mapping[str, Any],
    *,
    headers: Mapping[str, str] | None = None,
    closes: bool = False,
    told: Mapping[str, Any] | None = None,
) -> WorkerAnswer:
    body = json.dumps(document).encode()
    return WorkerAnswer(status, body, headers or {}, closes=closes, told=told)


def refused(problems: Iterable[FieldProblem]) -> AnswerError:
    """422 with every field that is wrong."""
    fields = [{"field": problem.field, "message": problem.message} for problem in problems]
    names = ", ".join(dict.fromkeys(one["field"] for one in fields))
    message = f"The job is refused. Change {names}."
    return AnswerError(HTTPStatus.UNPROCESSABLE_ENTITY, "refused", message, more={"fields": fields})

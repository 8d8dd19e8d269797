"""What a worker answers, and what its endpoints raise instead."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from webui.simulator.arrival import ArrivalEnding

JSON = "application/json; charset=utf-8"


@dataclass(frozen=True)
class SimulatedReply:
    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    ending: ArrivalEnding = ArrivalEnding.WHOLE
    closes: bool = False
    """The connection is closed after it: what the client still sends is not read."""
    when_sent: Callable[[], None] = lambda: None


class TurnedAwayError(Exception):
    """Answered with a status, a code and a sentence, and perhaps more facts or the fields that are wrong."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        fields: list[dict[str, str]] | None = None,
        facts: dict[str, Any] | None = None,
        headers: tuple[tuple[str, str], ...] = (),
        closes: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.fields = fields
        self.facts = facts or {}
        self.headers = headers
        self.closes = closes

    def answer(self) -> SimulatedReply:
        error = {"code": self.code, "message": str(self), **self.facts}
        if self.fields is not None:
            error["fields"] = self.fields
        return json_answer({"error": error}, self.status, self.headers, closes=self.closes)


class ConnectionDropError(Exception):
    """The connection is closed without an answer."""


@dataclass(frozen=True)
class WorkerCall:
    """One request without its body."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    """Names in small letters."""


def json_answer(
    value: Any, status: int = 200, headers: tuple[tuple[str, str], ...] = (), *, closes: bool = False
) -> SimulatedReply:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return SimulatedReply(status, text.encode("utf-8", "replace"), headers=headers, closes=closes)

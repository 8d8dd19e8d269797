"""`UnifiedErrorEnvelope`: one failure, told the same way on pages, in admin, in events and as JSON.

It holds facts about the request, never the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone
from pydantic import BaseModel, ConfigDict

from jobs.running.outputs import UnusablePictureError
from webui.errors import WebUIError


class RunError(Exception):
    """A run of ours cannot go on; `code` names why and `remediation` what a person can change."""

    def __init__(self, code: str, message: str, remediation: str, **context: Any) -> None:
        super().__init__(message)
        self.code = code
        self.remediation = remediation
        self.context = context


class UnifiedErrorEnvelope(BaseModel):
    """Why a job failed and what to do about it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    error_type: str
    subsystem: str
    severity: str = "error"
    message: str
    remediation: str
    stage: str
    job_id: int
    timestamp: datetime
    context: dict[str, Any] = {}
    cause_chain: tuple[str, ...] = ()
    artifact_paths: tuple[str, ...] = ()
    retry_info: dict[str, Any] = {}
    execution_metadata: dict[str, Any] = {}

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def envelope_of(
    error: BaseException,
    *,
    job_id: int,
    stage: str = "",
    execution: Mapping[str, Any] | None = None,
    artifact_paths: Sequence[str] = (),
) -> UnifiedErrorEnvelope:
    """The envelope of an exception that ended a run.

    `artifact_paths` are relative to the output folder; without any, those of the last attempt that left some.
    """
    code, subsystem, remediation, context = _judge(error)
    attempts = list((execution or {}).get("attempts", ()))
    left = [attempt["artifact_paths"] for attempt in attempts if attempt["artifact_paths"]]
    return UnifiedErrorEnvelope(
        code=code,
        error_type=type(error).__name__,
        subsystem=subsystem,
        message=str(error) or type(error).__name__,
        remediation=remediation,
        stage=getattr(error, "stage", None) or stage,
        job_id=job_id,
        timestamp=timezone.now(),
        context=context,
        cause_chain=_causes(error),
        artifact_paths=tuple(artifact_paths or (left[-1] if left else ())),
        retry_info={
            "attempts": [
                {
                    "stage": attempt["stage"],
                    "attempt_index": attempt["attempt_index"],
                    "max_attempts": attempt["max_attempts"],
                    "reason": attempt["reason"],
                    "wait_s": attempt["wait_s"],
                    "timestamp": attempt["started_at"],
                }
                for attempt in attempts
            ]
        },
        execution_metadata=dict(execution or {}),
    )


def _judge(error: BaseException) -> tuple[str, str, str, dict[str, Any]]:
    """(code, subsystem, remediation, context) of an exception."""
    if isinstance(error, WebUIError):
        return error.code, "webui", error.remediation, error.facts()
    if isinstance(error, RunError):
        return error.code, "jobs", error.remediation, dict(error.context)
    if isinstance(error, UnusablePictureError):
        return "WEBUI_BAD_PICTURE", "webui", "Look at the WebUI's log, then run the job again.", {}
    if isinstance(error, OSError):
        words = "See that the data folder is writable and the disk has room, then run the job again."
        return "OUTPUT_NOT_WRITTEN", "storage", words, {"path": str(error.filename or "")}
    words = "This is a fault of StableNew: report it with this page and the log of run_node."
    return "INTERNAL_ERROR", "jobs", words, {}


def _causes(error: BaseException) -> tuple[str, ...]:
    """The exceptions behind this one, outermost first, bounded."""
    chain: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen and len(chain) < 8:
        seen.add(id(current))
        chain.append(f"{type(current).__name__}: {str(current)[:300]}")
        current = current.__cause__ or current.__context__
    return tuple(chain)

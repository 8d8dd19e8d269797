"""`UnifiedErrorEnvelope`: one failure, told the same way on pages, in admin, in events and as JSON.

It holds facts about the request, never the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone
from pydantic import BaseModel, ConfigDict

from jobs.errors import InternalError, OutputNotWrittenError, RunError
from webui.errors import WebUIError


class UnifiedErrorEnvelope(BaseModel):
    """Why a job failed and what to do about it: `message` and `remediation`, and neither repeats the other."""

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
    told = _as_ours(error)
    attempts = list((execution or {}).get("attempts", ()))
    left = [attempt["artifact_paths"] for attempt in attempts if attempt["artifact_paths"]]
    return UnifiedErrorEnvelope(
        code=told.code,
        error_type=type(error).__name__,
        subsystem=told.subsystem,
        message=told.message,
        remediation=told.remedy if isinstance(told, WebUIError) else told.remediation,
        stage=getattr(error, "stage", None) or stage,
        job_id=job_id,
        timestamp=timezone.now(),
        context=told.facts(),
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


def read_envelope(stored: Mapping[str, Any] | None) -> dict[str, Any]:
    """A stored envelope as today's are written; {} for none. In older ones the message ends with the remedy."""
    envelope = dict(stored or {})
    remedy = str(envelope.get("remediation") or "")
    if remedy:
        envelope["message"] = str(envelope.get("message") or "").removesuffix(remedy).rstrip()
    return envelope


def _as_ours(error: BaseException) -> WebUIError | RunError:
    """The error as one that has a code and a remedy: what nobody foresaw is a fault of ours."""
    if isinstance(error, WebUIError | RunError):
        return error
    if isinstance(error, OSError):
        return OutputNotWrittenError(str(error), path=str(error.filename or ""))
    return InternalError(str(error) or type(error).__name__)


def _causes(error: BaseException) -> tuple[str, ...]:
    """The exceptions behind this one, outermost first, bounded."""
    chain: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen and len(chain) < 8:
        seen.add(id(current))
        words = current.message if isinstance(current, WebUIError | RunError) else str(current)
        chain.append(f"{type(current).__name__}: {words[:300]}")
        current = current.__cause__ or current.__context__
    return tuple(chain)

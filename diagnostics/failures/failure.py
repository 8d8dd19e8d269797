"""One failure, told for people: the envelope of a job taken apart. Finding failures belongs to `admin`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime

from jobs.models import Job
from jobs.running.envelope import read_envelope


@dataclass(frozen=True, slots=True)
class RetryLine:
    """One entry of the envelope's `retry_info`."""

    stage: str
    attempt: str
    reason: str
    wait_s: float
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Failure:
    """What a page shows of an envelope; every field may be empty, because old envelopes stay as they are.

    `causes` are the exceptions behind the one that the message tells, outermost first.
    """

    code: str
    error_type: str
    subsystem: str
    severity: str
    message: str
    remediation: str
    stage: str
    at: datetime | None
    causes: tuple[str, ...]
    context: tuple[tuple[str, str], ...]
    retries: tuple[RetryLine, ...]
    envelope_json: str


def failure_of(job: Job) -> Failure | None:
    """None for a job without an envelope."""
    if not job.error:
        return None
    envelope = read_envelope(job.error)
    return Failure(
        code=_text(envelope, "code"),
        error_type=_text(envelope, "error_type"),
        subsystem=_text(envelope, "subsystem"),
        severity=_text(envelope, "severity"),
        message=_text(envelope, "message"),
        remediation=_text(envelope, "remediation"),
        stage=_text(envelope, "stage"),
        at=parse_datetime(_text(envelope, "timestamp")),
        causes=tuple(envelope.get("cause_chain", ())[1:]),
        context=tuple((name.replace("_", " "), _shown(value)) for name, value in _facts(envelope)),
        retries=tuple(_retry(entry) for entry in envelope.get("retry_info", {}).get("attempts", ())),
        envelope_json=json.dumps(job.error, indent=2, ensure_ascii=False),
    )


def _facts(envelope: Mapping[str, Any]) -> list[tuple[str, Any]]:
    facts = dict(envelope.get("context", {}))
    facts |= {
        name: value for name, value in envelope.get("retry_info", {}).items() if not isinstance(value, list)
    }
    message = _text(envelope, "message")
    said: tuple[Any, ...] = (None, "", [], {}, envelope.get("stage"))
    return [
        (name, value)
        for name, value in facts.items()
        if value not in said and not (name == "words" and str(value) in message)
    ]


def _retry(entry: Mapping[str, Any]) -> RetryLine:
    return RetryLine(
        stage=_text(entry, "stage"),
        attempt=f"{entry.get('attempt_index', '?')} of {entry.get('max_attempts', '?')}",
        reason=_text(entry, "reason"),
        wait_s=float(entry.get("wait_s") or 0),
        at=parse_datetime(_text(entry, "timestamp")),
    )


def _text(values: Mapping[str, Any], name: str) -> str:
    return str(values.get(name) or "")


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return str(round(value, 3))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

"""What happened to one job, in order and in sentences: its events and every POST of its stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from jobs.lifecycle import JobStatus
from jobs.models import AttemptOutcome, LifecycleEvent, StageAttempt
from jobs.reading.event_sentences import event_text, event_title, event_tone
from webui.kinds import kind_of_stage, server_noun
from webui.words import ServerNoun, duration

#: Outcomes whose label names the server or could be read so, where that is a worker.
OF_WORKER: dict[str, str] = {
    AttemptOutcome.REJECTED: "Rejected by the worker",
    AttemptOutcome.SERVER_ERROR: "Worker error",
    AttemptOutcome.UNAVAILABLE: "Worker unavailable",
    AttemptOutcome.LOST: "Runner lost",
}


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """An event, or an attempt of a stage, at its place in time. `status` gives the colour."""

    at: datetime
    title: str
    text: str
    status: str
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class AttemptLine:
    """One POST of one stage as a table shows it; `status` gives the colour of its outcome."""

    run_number: int
    stage: str
    picture: str
    attempt: str
    wait_s: float
    node: str
    generation: int
    outcome: str
    status: str
    http_status: int | None
    reason: str
    duration_s: float | None
    at: datetime


def timeline(events: Sequence[LifecycleEvent], attempts: Sequence[StageAttempt]) -> tuple[TimelineEntry, ...]:
    entries = [_event_entry(event) for event in events]
    entries += [_attempt_entry(attempt) for attempt in attempts]
    return tuple(sorted(entries, key=lambda entry: entry.at))


def attempt_lines(attempts: Sequence[StageAttempt]) -> tuple[AttemptLine, ...]:
    return tuple(
        AttemptLine(
            run_number=attempt.run_number,
            stage=attempt.stage,
            picture="" if attempt.image_index is None else f"picture {attempt.image_index + 1}",
            attempt=f"{attempt.attempt_index} of {attempt.max_attempts}",
            wait_s=attempt.wait_s,
            node=attempt.node.name,
            generation=attempt.node_generation,
            outcome=_outcome(attempt),
            status=_colour(attempt),
            http_status=attempt.http_status,
            reason=attempt.reason,
            duration_s=attempt.duration_s,
            at=attempt.started_at,
        )
        for attempt in attempts
    )


def _attempt_entry(attempt: StageAttempt) -> TimelineEntry:
    picture = "" if attempt.image_index is None else f", picture {attempt.image_index + 1}"
    facts = [f"{attempt.node.name}, generation {attempt.node_generation}", f"run {attempt.run_number}"]
    if attempt.max_attempts > 1 and (
        attempt.attempt_index > 1 or attempt.outcome == AttemptOutcome.TRANSIENT
    ):
        facts.append(f"attempt {attempt.attempt_index} of {attempt.max_attempts}")
    if attempt.wait_s:
        facts.append(f"after {duration(attempt.wait_s)} of waiting")
    facts.append(_outcome(attempt))
    if attempt.http_status:
        facts.append(f"HTTP {attempt.http_status}")
    if attempt.reason:
        facts.append(attempt.reason)
    return TimelineEntry(
        at=attempt.started_at,
        title=f"Sent {attempt.stage}{picture}",
        text=", ".join(facts),
        status=_colour(attempt),
        duration_s=attempt.duration_s,
    )


def _outcome(attempt: StageAttempt) -> str:
    if server_noun(kind_of_stage(attempt.stage)) is ServerNoun.WORKER and attempt.outcome in OF_WORKER:
        return OF_WORKER[attempt.outcome]
    return attempt.get_outcome_display() if attempt.outcome else "under way"


def _colour(attempt: StageAttempt) -> str:
    colours = {
        "": JobStatus.RUNNING,
        AttemptOutcome.COMPLETED: JobStatus.COMPLETED,
        AttemptOutcome.CANCELLED: JobStatus.CANCELLED,
        AttemptOutcome.DRAINED: JobStatus.CANCELLED,
        AttemptOutcome.TRANSIENT: "WARNING",
    }
    return colours.get(attempt.outcome, JobStatus.FAILED)


def _event_entry(event: LifecycleEvent) -> TimelineEntry:
    return TimelineEntry(
        at=event.at,
        title=event_title(event.event_type, event.data),
        text=event_text(event.event_type, event.data),
        status=event_tone(event.event_type),
    )

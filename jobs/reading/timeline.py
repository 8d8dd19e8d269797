"""What happened to one job, in order and in sentences: its events and every POST of its stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobs.lifecycle import EventType, JobStatus
from jobs.models import AttemptOutcome, LifecycleEvent, StageAttempt

#: Facts of an event that its line repeats, where no sentence of its own says more.
TOLD_FACTS = ("by", "reason", "rerun_of", "node", "generation", "stage", "run_number")
#: Events that nobody wants to see, whatever they moved.
BAD_EVENTS = (EventType.ILLEGAL_TRANSITION, EventType.CRASH_SUSPECTED, EventType.RETRY_EXHAUSTED)
#: Steps of recovery take the colour of work under way.
BUSY_EVENTS = (EventType.WEBUI_RESTARTED, EventType.RETRY_STARTED)


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


def event_text(event: LifecycleEvent) -> str:
    """What an event says beyond its type: a sentence where it has one of its own, else its facts; may be empty."""
    return SENTENCES.get(EventType(event.event_type), _facts)(event.data)


def _attempt_entry(attempt: StageAttempt) -> TimelineEntry:
    picture = "" if attempt.image_index is None else f", picture {attempt.image_index + 1}"
    facts = [f"{attempt.node.name}, generation {attempt.node_generation}", f"run {attempt.run_number}"]
    if attempt.max_attempts > 1 and (
        attempt.attempt_index > 1 or attempt.outcome == AttemptOutcome.TRANSIENT
    ):
        facts.append(f"attempt {attempt.attempt_index} of {attempt.max_attempts}")
    if attempt.wait_s:
        facts.append(f"after {attempt.wait_s:.1f} s of waiting")
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


def event_tone(event: LifecycleEvent) -> str:
    """The status whose colour an event takes; empty for a quiet one."""
    if event.event_type in BAD_EVENTS:
        return JobStatus.FAILED
    if event.event_type in BUSY_EVENTS:
        return JobStatus.RUNNING
    return event.to_status


def _event_entry(event: LifecycleEvent) -> TimelineEntry:
    title = EventType(event.event_type).label
    return TimelineEntry(at=event.at, title=title, text=event_text(event), status=event_tone(event))


def _facts(data: Mapping[str, Any]) -> str:
    told = [f"{name.replace('_', ' ')} {data[name]}" for name in TOLD_FACTS if data.get(name)]
    error = data.get("error")
    if isinstance(error, Mapping):
        told.append(str(error.get("code", "")))
    return ", ".join(filter(None, told))


def _crash_suspected(data: Mapping[str, Any]) -> str:
    """Without the reason: the attempt that failed stands right before it and has it."""
    told = [data.get("error_code"), f"HTTP {data['http_status']}" if data.get("http_status") else ""]
    ended = ", ".join(filter(None, told)) or "no usable answer"
    found = f"{data.get('stage') or 'A stage'} ended with {ended}."
    if data.get("restart"):
        generation = f" (generation {data['generation']})" if data.get("generation") else ""
        then = f"The WebUI{generation} is restarted, then the job gets its one retry."
    else:
        then = "The WebUI goes on without a restart; the job gets its one retry."
    kept = len(data.get("artifacts") or ())
    return " ".join([found, then, f"{kept} files of evidence were kept." if kept else ""]).strip()


def _webui_restarted(data: Mapping[str, Any]) -> str:
    generation = f" as generation {data['generation']}" if data.get("generation") else ""
    waited = f" after {data['waited_s']:.1f} s" if data.get("waited_s") is not None else ""
    return f"It was ready again{generation}{waited}."


def _retry_started(data: Mapping[str, Any]) -> str:
    run = f" (run {data['run_number']})" if data.get("run_number") else ""
    if data.get("from_stage_1"):
        return (
            f"The one retry begins again at the first stage{run}: a kept picture was missing or had changed."
        )
    return (
        f"The one retry goes on with {data.get('stage') or 'the stage that failed'}{run}; kept pictures stay."
    )


def _retry_exhausted(data: Mapping[str, Any]) -> str:
    code = f" with {data['error_code']}" if data.get("error_code") else ""
    return f"{data.get('stage') or 'The stage'} failed again{code}, and a job has one retry only."


def _requeued(data: Mapping[str, Any]) -> str:
    reason = str(data.get("reason") or "")
    told = f"{reason[:1].upper()}{_unstopped(reason[1:])}. " if reason else ""
    by = f"Asked by {data['by']}. " if data.get("by") else ""
    charge = "This used its one retry." if data.get("charged") else "This was not charged to the job."
    return f"{told}{by}It waits at the head of the queue. {charge}"


def _moved(data: Mapping[str, Any]) -> str:
    by = data.get("by") or "Somebody"
    if data.get("priority"):
        return (
            f"{by} gave it the priority {data['priority'].lower()}; it waits behind the others that have it."
        )
    order = "before" if data.get("where") == "front" else "behind"
    return f"{by} moved it to the {data.get('where')}, {order} the others of its priority."


def _dismissed(data: Mapping[str, Any]) -> str:
    return f"{data.get('by') or 'Somebody'} dismissed the failure: it needs no attention any more."


def _unstopped(sentence: str) -> str:
    return sentence.strip().rstrip(".")


SENTENCES: dict[EventType, Callable[[Mapping[str, Any]], str]] = {
    EventType.CRASH_SUSPECTED: _crash_suspected,
    EventType.WEBUI_RESTARTED: _webui_restarted,
    EventType.RETRY_STARTED: _retry_started,
    EventType.RETRY_EXHAUSTED: _retry_exhausted,
    EventType.REQUEUED: _requeued,
    EventType.MOVED: _moved,
    EventType.DISMISSED: _dismissed,
}

"""What each event says to people: one table, for the time line, the Debug Hub, the commands and the admin.

`data` is that of `LifecycleEvent`; `docs/lifecycle.md` has an example of each type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jobs.lifecycle import EventType, JobStatus
from webui.errors import WebUIGatewayError
from webui.words import count, duration

Data = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EventTelling:
    """How an event is told: its sentence, and the status whose colour it takes; empty for a quiet one."""

    tell: Callable[[Data], str]
    tone: str = ""


def event_text(event_type: str, data: Data) -> str:
    return TELLINGS[EventType(event_type)].tell(data)


def event_tone(event_type: str) -> str:
    return TELLINGS[EventType(event_type)].tone


def _submitted(data: Data) -> str:
    if data.get("rerun_of"):
        return f"{_who(data)} ran job {data['rerun_of']} again, with the same record."
    return f"It came with submission {data['submission']}." if data.get("submission") else "It was submitted."


def _running(data: Data) -> str:
    return f"It started on {data.get('node') or 'a node'}{_generation(data)}."


def _stage_started(data: Data) -> str:
    return f"{_stage(data)} began{_run(data)}."


def _stage_completed(data: Data) -> str:
    return f"{_stage(data)} is complete{_run(data)} with {count(len(data.get('outputs') or ()), 'picture')}."


def _crash_suspected(data: Data) -> str:
    """Without the reason: the attempt that failed stands right before it and has it."""
    told = [data.get("error_code"), f"HTTP {data['http_status']}" if data.get("http_status") else ""]
    found = f"{_stage(data)} ended with {', '.join(filter(None, told)) or 'no usable answer'}."
    if data.get("restart"):
        then = f"The WebUI{_generation(data)} is restarted, then the job gets its one retry."
    elif data.get("error_code") == WebUIGatewayError.code:
        then = "The job gets its one retry, as soon as the WebUI has ended what it may still be working on."
    else:
        then = "The WebUI goes on without a restart; the job gets its one retry."
    kept = len(data.get("artifacts") or ())
    return " ".join([found, then, f"{kept} files of evidence were kept." if kept else ""]).strip()


def _webui_restarted(data: Data) -> str:
    generation = f" as generation {data['generation']}" if data.get("generation") else ""
    waited = f" after {duration(data['waited_s'])}" if data.get("waited_s") is not None else ""
    return f"It was ready again{generation}{waited}."


def _retry_started(data: Data) -> str:
    if data.get("from_stage_1"):
        again = f"The one retry begins again at the first stage{_run(data)}"
        return f"{again}: a kept picture was missing or had changed."
    stage = data.get("stage") or "the stage that failed"
    return f"The one retry goes on with {stage}{_run(data)}; kept pictures stay."


def _retry_exhausted(data: Data) -> str:
    code = f" with {data['error_code']}" if data.get("error_code") else ""
    return f"{_stage(data)} failed again{code}, and a job has one retry only."


def _requeued(data: Data) -> str:
    reason = str(data.get("reason") or "").strip().rstrip(".")
    told = f"{reason[:1].upper()}{reason[1:]}. " if reason else ""
    charge = "This used its one retry." if data.get("charged") else "This was not charged to the job."
    return f"{told}It waits at the head of the queue. {charge}"


def _completed(data: Mapping[str, Any]) -> str:
    drifts = list(dict.fromkeys(str(one["field"]) for one in data.get("drifts", ())))
    told = f" Not as asked: {', '.join(drifts)}." if drifts else ""
    return f"Every stage is complete.{told}"


def _failed(data: Data) -> str:
    error = data.get("error") or {}
    return str(error.get("message") or error.get("code") or "It left no message.")


def _cancelled(data: Data) -> str:
    return f"{_who(data)} cancelled it {data.get('reason') or 'while it ran'}."


def _moved(data: Data) -> str:
    if data.get("priority"):
        given = f"gave it the priority {data['priority'].lower()}"
        return f"{_who(data)} {given}; it waits behind the others that have it."
    order = "before" if data.get("where") == "front" else "behind"
    return f"{_who(data)} moved it to the {data.get('where')}, {order} the others of its priority."


def _dismissed(data: Data) -> str:
    return f"{_who(data)} dismissed the failure: it needs no attention any more."


def _refused(data: Data) -> str:
    return str(data.get("reason") or "A move that the life of a job does not have was refused.")


def _who(data: Data) -> str:
    return str(data.get("by") or "Somebody")


def _stage(data: Data) -> str:
    return str(data.get("stage") or "A stage")


def _run(data: Data) -> str:
    return f" (run {data['run_number']})" if data.get("run_number") else ""


def _generation(data: Data) -> str:
    return f" (generation {data['generation']})" if data.get("generation") else ""


TELLINGS: dict[EventType, EventTelling] = {
    EventType.SUBMITTED: EventTelling(_submitted),
    EventType.QUEUED: EventTelling(lambda data: "It waits for a node.", JobStatus.QUEUED),
    EventType.RUNNING: EventTelling(_running, JobStatus.RUNNING),
    EventType.STAGE_STARTED: EventTelling(_stage_started),
    EventType.STAGE_COMPLETED: EventTelling(_stage_completed),
    EventType.CRASH_SUSPECTED: EventTelling(_crash_suspected, JobStatus.FAILED),
    EventType.WEBUI_RESTARTED: EventTelling(_webui_restarted, JobStatus.RUNNING),
    EventType.RETRY_STARTED: EventTelling(_retry_started, JobStatus.RUNNING),
    EventType.RETRY_EXHAUSTED: EventTelling(_retry_exhausted, JobStatus.FAILED),
    EventType.REQUEUED: EventTelling(_requeued, JobStatus.QUEUED),
    EventType.COMPLETED: EventTelling(_completed, JobStatus.COMPLETED),
    EventType.FAILED: EventTelling(_failed, JobStatus.FAILED),
    EventType.CANCELLED: EventTelling(_cancelled, JobStatus.CANCELLED),
    EventType.MOVED: EventTelling(_moved),
    EventType.DISMISSED: EventTelling(_dismissed),
    EventType.ILLEGAL_TRANSITION: EventTelling(_refused, JobStatus.FAILED),
}

"""What each event says to people: one table, for the time line, the Debug Hub, the commands and the admin.

`data` is that of `LifecycleEvent`; `docs/lifecycle.md` has an example of each type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.text import capfirst

from jobs.lifecycle import EventType, JobStatus
from webui.errors import WebUIGatewayError
from webui.kinds import count_results, kind_of_stage, server_noun
from webui.nodes.asking import opening
from webui.words import ServerNoun, duration

Data = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EventTelling:
    """How an event is told: its sentence, and the status whose colour it takes; empty for a quiet one."""

    tell: Callable[[Data], str]
    tone: str = ""


def event_text(event_type: str, data: Data) -> str:
    return TELLINGS[EventType(event_type)].tell(data)


def event_title(event_type: str, data: Data) -> str:
    """Its label; of a restart that was due and did not come about, that it did not."""
    noun, label = _server(data), EventType(event_type).label
    if event_type == EventType.WEBUI_RESTARTED and not was_restarted(data):
        return f"{capfirst(noun)} not restarted"
    return LABELS_OF_WORKER.get(event_type, label) if noun is ServerNoun.WORKER else label


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
    stage = data.get("stage")
    made = count_results({kind_of_stage(stage or ""): len(data.get("outputs") or ())})
    return f"{_stage(data)} is complete{_run(data)} with {made}."


def _crash_suspected(data: Data) -> str:
    """Without the reason: the attempt that failed stands right before it and has it."""
    noun = _server(data)
    told = [data.get("error_code"), f"HTTP {data['http_status']}" if data.get("http_status") else ""]
    found = f"{_stage(data)} ended with {', '.join(filter(None, told)) or 'no usable answer'}."
    if data.get("restart"):
        then = f"A restart of the {noun}{_generation(data)} is due, then the job gets its one retry."
    elif data.get("error_code") == WebUIGatewayError.code:
        then = f"The job gets its one retry, as soon as the {noun} has ended what it may still be working on."
    else:
        then = f"The {noun} goes on without a restart; the job gets its one retry."
    kept = len(data.get("artifacts") or ())
    return " ".join([found, then, f"{kept} files of evidence were kept." if kept else ""]).strip()


def _webui_restarted(data: Data) -> str:
    generation = f" as generation {data['generation']}" if data.get("generation") else ""
    waited = f" after {duration(data['waited_s'])}" if data.get("waited_s") is not None else ""
    if not was_restarted(data):
        return f"It was not restarted; it answered again{waited}."
    return f"It was ready again{generation}{waited}."


def was_restarted(data: Data) -> bool:
    """Whether the WebUI of a WEBUI_RESTARTED event was seen to start anew; older events do not say that it was not."""
    return bool(data.get("restarted", True))


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
    told = f" Differs from the request: {', '.join(drifts)}." if drifts else ""
    return f"Every stage is complete.{told}"


def _failed(data: Data) -> str:
    error = data.get("error") or {}
    return str(error.get("message") or error.get("code") or "It left no message.")


def _cancelled(data: Data) -> str:
    reason = data.get("reason") or "while it ran"
    # When, or why.
    joint = " " if reason in ("while it ran", "before it ran") else ": "
    return f"{_who(data)} cancelled it{joint}{reason}."


def _moved(data: Data) -> str:
    if data.get("priority"):
        given = f"gave it the priority {data['priority'].lower()}"
        return f"{_who(data)} {given}; it waits behind the others that have it."
    order = "before" if data.get("where") == "front" else "behind"
    return f"{_who(data)} moved it to the {data.get('where')}, {order} the others of its priority."


def _runs_anyway(data: Data) -> str:
    return f"{_who(data)} lets it run anyway: nothing that a node lacks holds it any more."


def _dismissed(data: Data) -> str:
    return f"{_who(data)} dismissed the failure: it needs no attention any more."


def _bundled(data: Data) -> str:
    return f"{_who(data)} took out a bundle with its prompts and requests."


def _refused(data: Data) -> str:
    return str(data.get("reason") or "A move that the life of a job does not have was refused.")


def _who(data: Data) -> str:
    return opening(str(data.get("by") or ""))


def _server(data: Data) -> ServerNoun:
    """What served the stage that the event tells of; older restarts tell of none."""
    return server_noun(kind_of_stage(data.get("stage") or ""))


def _stage(data: Data) -> str:
    return str(data.get("stage") or "A stage")


def _run(data: Data) -> str:
    return f" (run {data['run_number']})" if data.get("run_number") else ""


def _generation(data: Data) -> str:
    return f" (generation {data['generation']})" if data.get("generation") else ""


LABELS_OF_WORKER: dict[str, str] = {
    EventType.CRASH_SUSPECTED: "Worker crash suspected",
    EventType.WEBUI_RESTARTED: "Worker restarted",
}

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
    EventType.RUNS_ANYWAY: EventTelling(_runs_anyway),
    EventType.DISMISSED: EventTelling(_dismissed),
    EventType.BUNDLED_WITH_PROMPTS: EventTelling(_bundled),
    EventType.ILLEGAL_TRANSITION: EventTelling(_refused, JobStatus.FAILED),
}

"""What holds jobs up, in words: a sentence and what to do about it. Found out in `jobs.queue.holds`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from django.utils import timezone

from jobs.queue import lack_words
from jobs.queue.held_jobs import TOLD_SETS, held_counts, why_held
from jobs.queue.holds import ENDING, HoldCode, NodeFacts, Pause, held_by
from jobs.queue.wakeup import kinds_that_wait
from webui.kinds import WorkKind
from webui.models import NodeState, Wish
from webui.typed_command import typed

#: They end with the job that runs, and nobody need be told of them who does not ask.
PASSING = frozenset({HoldCode.BUSY, HoldCode.CARD_BUSY})
ABOUT_WORKER = frozenset({HoldCode.NO_WORKER, HoldCode.DRAINING, HoldCode.MUST_QUIET, HoldCode.STORAGE})
ABOUT_BREAKER = frozenset({HoldCode.BREAKER_OPEN, HoldCode.BREAKER_TRIES, HoldCode.BREAKER_DUE})
ABOUT_STATE = frozenset({HoldCode.WISH, HoldCode.NOT_READY, HoldCode.MUST_QUIET})


@dataclass(frozen=True, slots=True)
class Hold:
    """One thing that keeps jobs waiting, and what to do about it; `node` is empty where it holds the whole queue."""

    code: HoldCode
    text: str
    remedy: str
    node: str = ""
    node_id: int = 0
    jobs: int = 0
    """How many jobs it holds, where it does not hold all."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def holds_of(node: NodeFacts, now: datetime) -> tuple[Hold, ...]:
    """Everything that `held_by` finds, in words."""
    return tuple(
        Hold(code, *WORDS[code](node, now), node.name, node.node_id) for code in held_by(node, lambda: now)
    )


def hold_of_pause(pause: Pause, now: datetime) -> Hold:
    at = f" at {clock_time(pause.since, now)}" if pause.since else ""
    text = f"The queue was paused by {pause.by or 'somebody'}{at}{because(pause.reason)}."
    return Hold(HoldCode.PAUSED, text, f"Resume it with {typed('queue resume')}.")


def hold_of_kind(kind: str, nodes: Sequence[NodeFacts]) -> Hold | None:
    """That no node has a worker for this kind of jobs; None where one has."""
    fit = [node for node in nodes if node.kind == kind]
    if any(node.alive for node in fit):
        return None
    why, remedy = "", f"Start one with {typed('up')}, or {typed(f'run_node {fit[0].name}')}." if fit else ""
    if not nodes:
        why, remedy = ": there is no node yet", f"Start everything with {typed('up')}, or attach a WebUI."
    elif not fit:
        why, remedy = ": no node takes them", f"Add one with {typed(f'node add NAME URL --kind {kind}')}."
    work = WORK[WorkKind(kind)]
    return Hold(HoldCode.NO_WORKERS, f"There are no running workers available for {work}{why}.", remedy)


def hold_of_lacks() -> Hold | None:
    """Jobs that wait for what no node has; None where none does."""
    counts = held_counts()
    if not counts:
        return None
    found = list(why_held(islice(counts, TOLD_SETS), counts).values())
    text, remedy = lack_words.queue_text(found, sum(counts.values())), lack_words.queue_remedy(found)
    return Hold(HoldCode.LACKING, text, remedy, jobs=sum(counts.values()))


def holds_of_queue(
    pause: Pause | None, nodes: Sequence[NodeFacts], now: datetime, *, queued: int
) -> tuple[Hold, ...]:
    """What holds the queue as a whole or one of its kinds, then what holds each node; nothing that just passes.

    Two queries while jobs wait, a few more while some wait for what no node has.
    """
    kinds = {node.kind for node in nodes}
    if queued:
        kinds |= kinds_that_wait(set(WorkKind) - kinds)
    found = [hold_of_pause(pause, now)] if pause else []
    lonely = {kind: hold for kind in sorted(kinds or {WorkKind.IMAGE}) if (hold := hold_of_kind(kind, nodes))}
    found += lonely.values()
    if queued and (lacking := hold_of_lacks()):
        found.append(lacking)
    for node in nodes:
        told = lasting(holds_of(node, now))
        found += [hold for hold in told if not (hold.code == HoldCode.NO_WORKER and node.kind in lonely)]
    return tuple(found)


def lasting(holds: Iterable[Hold]) -> tuple[Hold, ...]:
    """Without those that end with the job that runs."""
    return tuple(hold for hold in holds if hold.code not in PASSING)


WORK = {WorkKind.IMAGE: "images", WorkKind.I2V: "image-to-video jobs", WorkKind.EDIT: "edits"}
STATES = {NodeState.FAILED: "has failed", NodeState.UNREACHABLE: "cannot be reached"}
READY_SOON = "It takes jobs again as soon as it is ready."
#: What to do about a state.
REMEDIES = {
    NodeState.STARTING: READY_SOON,
    NodeState.RESTARTING: READY_SOON,
    NodeState.STOPPED: "Start it with {start}.",
    NodeState.FAILED: "We keep trying to start it. Read its log with {logs}.",
    NodeState.UNREACHABLE: "Start that server, or correct its address. We look for it every 10 s.",
}

Words = tuple[str, str]


def _no_worker(node: NodeFacts, now: datetime) -> Words:
    start = f"Start it with {typed('up')}, or {typed(f'run_node {node.name}')}."
    if node.heartbeat_at is None:
        return f"No worker is running for {node.name}.", start
    text = f"The worker of {node.name} has not responded since {clock_time(node.heartbeat_at, now)}."
    return text, f"It has ended or hangs. {start}"


def _draining(node: NodeFacts, now: datetime) -> Words:
    text = f"The worker of {node.name} is draining: it starts no more jobs and then ends."
    return text, f"Start it again with {typed(f'run_node {node.name}')}."


def _wish(node: NodeFacts, now: datetime) -> Words:
    asked = f"{node.wish_by or 'Somebody'} asked to {ENDING[Wish(node.wish)]} {node.name}"
    again = f"Start it again with {typed(f'node start {node.name}')}."
    return f"{asked}{because(node.wish_reason)}.", again if node.wish == Wish.STOP else READY_SOON


def _not_ready(node: NodeFacts, now: datetime) -> Words:
    state = NodeState(node.state)
    remedy = REMEDIES[state].format(
        start=typed(f"node start {node.name}"), logs=typed(f"node logs {node.name}")
    )
    if node.stopped_as_asked:
        return f"{node.wish_by or 'Somebody'} stopped {node.name}{because(node.wish_reason)}.", remedy
    text = f"{node.name} {STATES.get(state, f'is {state.label.lower()}')}{because(node.state_reason)}."
    if node.wish == Wish.RUN and state == NodeState.STOPPED:
        return text, f"{node.wish_by or 'Somebody'} asked to start it. {READY_SOON}"
    return text, remedy


def _must_quiet(node: NodeFacts, now: datetime) -> Words:
    text = f"{node.name} takes no job until its WebUI has finished a request whose answer was lost."
    return text, "No action needed; it resumes by itself."


def _storage(node: NodeFacts, now: datetime) -> Words:
    since = clock_time(node.storage_since or now, now)
    text = f"{node.name} has taken no jobs since {since}: {unstopped(node.storage_reason)}."
    return (
        text,
        "Free some space, or make the folder writable again or bring it back; then it resumes by itself.",
    )


def _breaker_open(node: NodeFacts, now: datetime) -> Words:
    until = f" until {clock_time(node.breaker.until, now)}" if node.breaker.until else ""
    remedy = f"Then one job runs as a test. Repaired already? Try one now with {typed(f'node resume {node.name}')}."
    return f"The breaker of {node.name} is open{until}{because(node.breaker.reason)}.", remedy


def _breaker_tries(node: NodeFacts, now: datetime) -> Words:
    text = f"The breaker of {node.name} is open, and job {node.running_job_id} runs there as a test"
    return f"{text}{because(node.breaker.reason)}.", "If that job completes, the others follow."


def _breaker_due(node: NodeFacts, now: datetime) -> Words:
    text = f"The breaker of {node.name} is open, and the next job runs there as a test"
    return f"{text}{because(node.breaker.reason)}.", "If that job completes, the others follow."


def _busy(node: NodeFacts, now: datetime) -> Words:
    return f"Job {node.running_job_id} runs on {node.name}.", ""


def _card_busy(node: NodeFacts, now: datetime) -> Words:
    assert node.neighbour is not None
    other = node.neighbour
    return f"Job {other.job_id} runs on {other.node}, which shares card {node.card} with {node.name}.", ""


WORDS: dict[HoldCode, Callable[[NodeFacts, datetime], Words]] = {
    HoldCode.NO_WORKER: _no_worker,
    HoldCode.DRAINING: _draining,
    HoldCode.WISH: _wish,
    HoldCode.NOT_READY: _not_ready,
    HoldCode.MUST_QUIET: _must_quiet,
    HoldCode.STORAGE: _storage,
    HoldCode.BREAKER_OPEN: _breaker_open,
    HoldCode.BREAKER_TRIES: _breaker_tries,
    HoldCode.BREAKER_DUE: _breaker_due,
    HoldCode.BUSY: _busy,
    HoldCode.CARD_BUSY: _card_busy,
}


def clock_time(at: datetime, now: datetime) -> str:
    """`14:03:05`, with its day when that is not today."""
    local, today = timezone.localtime(at), timezone.localtime(now).date()
    return f"{local:%H:%M:%S}" if local.date() == today else f"{local:%Y-%m-%d %H:%M:%S}"


def unstopped(sentence: str) -> str:
    """For a sentence that goes on."""
    return sentence.strip().rstrip(".")


def because(reason: str) -> str:
    """`: reason` where somebody gave one."""
    return f": {unstopped(reason)}" if reason.strip() else ""

"""What holds jobs up, in words: a sentence and what to do about it. Found out in `jobs.queue.holds`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from django.utils import timezone

from jobs.queue import lack_words
from jobs.queue.held_jobs import TOLD_SETS, held_counts, why_held
from jobs.queue.holds import ENDING, HoldCode, NodeFacts, Pause, held_by
from jobs.queue.wakeup import kinds_that_wait
from webui.kinds import WorkKind, server_noun
from webui.models import NodeState, Wish
from webui.nodes.asking import OURS, named, opening
from webui.typed_command import typed
from webui.words import listed

#: They end with the job that runs, and nobody need be told of them who does not ask.
PASSING = frozenset({HoldCode.BUSY, HoldCode.CARD_BUSY})
ABOUT_RUNNER = frozenset({HoldCode.NO_WORKER, HoldCode.DRAINING, HoldCode.MUST_QUIET, HoldCode.STORAGE})
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
    kind: str = ""
    """The one kind of jobs that it holds, where that is why."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def holds_of(node: NodeFacts, now: datetime) -> tuple[Hold, ...]:
    """Everything that `held_by` finds, in words."""
    return tuple(
        Hold(code, *WORDS[code](node, now), node.name, node.node_id) for code in held_by(node, lambda: now)
    )


def hold_of_pause(pause: Pause, now: datetime) -> Hold:
    at = f" at {clock_time(pause.since, now)}" if pause.since else ""
    text = f"The queue was paused by {named(pause.by)}{at}{because(pause.reason)}."
    return Hold(HoldCode.PAUSED, text, f"Resume it with {typed('queue resume')}.")


def hold_of_kind(kind: str, nodes: Sequence[NodeFacts]) -> Hold | None:
    """That no node of this kind is running; None where one is, or comes by itself."""
    lack = _lack_of_nodes(kind, nodes)
    return lack and _hold_of_lack([kind], lack.why, lack.remedy)


def told_together(holds: Iterable[Hold], nodes: Sequence[NodeFacts]) -> tuple[Hold, ...]:
    """The same for people: kinds that nobody takes for the same reason are told in one sentence."""
    holds = list(holds)
    found = {hold.kind: _lack_of_nodes(hold.kind, nodes) for hold in holds if hold.kind}
    lacks = {kind: lack for kind, lack in found.items() if lack and lack.of_several}
    told = []
    for hold in holds:
        lack = lacks.get(hold.kind)
        alike = [kind for kind, other in lacks.items() if lack and other.of_several == lack.of_several]
        if lack is None or alike == [hold.kind]:
            told.append(hold)
        elif hold.kind == alike[0]:
            told.append(_hold_of_lack(alike, lack.why, lack.of_several))
    return tuple(told)


def _hold_of_lack(kinds: Sequence[str], why: str, remedy: str) -> Hold:
    work = listed(WORK[kind] for kind in WorkKind if kind in kinds)
    text = f"There are no running workers available for {work}{why}."
    return Hold(HoldCode.NO_WORKERS, text, remedy, kind=kinds[0] if len(kinds) == 1 else "")


class _LackOfNodes(NamedTuple):
    """Why no node of a kind is running, and what to do; `of_several` where other kinds may lack them likewise."""

    why: str
    remedy: str
    of_several: str = ""


def _lack_of_nodes(kind: str, nodes: Sequence[NodeFacts]) -> _LackOfNodes | None:
    fit = [node for node in nodes if node.kind == kind]
    if any(_is_available(node) for node in fit):
        return None
    add = typed(f"node add NAME URL --kind {kind}")
    if not nodes:
        start = f"Start everything with {typed('up')}, or attach"
        return _LackOfNodes(
            ": there is no node yet", f"{start} a {server_noun(kind)}.", f"{start} servers of your own."
        )
    if not fit:
        several = f"Add them with {typed('node add NAME URL --kind KIND')}."
        return _LackOfNodes(": no node takes them", f"Add one with {add}.", several)
    if not any(node.alive for node in fit):
        one = f"Start one with {typed('up')}, or {typed(f'run_node {fit[0].name}')}."
        return _LackOfNodes("", one, f"Start them with {typed('up')}, or each with {typed('run_node NAME')}.")
    if len(fit) == 1:
        text, start = _not_ready(fit[0], timezone.now())
        return _LackOfNodes(f", because {unstopped(text)}", f"{start} Or add another one with {add}.")
    states = [f"{node.name} {_state_words(node) if node.alive else 'has no runner'}" for node in fit]
    stopped = [node.name for node in fit if node.state == NodeState.STOPPED] or [fit[0].name]
    return _LackOfNodes(
        f", because {listed(states)}",
        f"Start one, for example with {typed(f'node start {stopped[0]}')}, or add another one with {add}.",
    )


def _is_available(node: NodeFacts) -> bool:
    """It has a runner, and its server runs or comes by itself. Who works now was available a moment ago."""
    down = node.state in DOWN and node.wish != Wish.RUN
    return node.alive and (not down or node.running_job_id is not None)


def kinds_without_workers(kinds: Iterable[str], nodes: Sequence[NodeFacts]) -> dict[str, Hold]:
    """Those of these kinds that no node runs, while nodes of another kind do."""
    held = {kind: hold for kind in sorted(set(kinds)) if (hold := hold_of_kind(kind, nodes))}
    return held if any(_is_available(node) for node in nodes) else {}


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
    said = [hold.text for hold in lonely.values()]
    for node in nodes:
        told = lasting(holds_of(node, now))
        told = tuple(hold for hold in told if not (hold.code == HoldCode.NO_WORKER and node.kind in lonely))
        found += [hold for hold in told if not any(text.endswith(f", because {hold.text}") for text in said)]
    return tuple(found)


def lasting(holds: Iterable[Hold]) -> tuple[Hold, ...]:
    """Without those that end with the job that runs."""
    return tuple(hold for hold in holds if hold.code not in PASSING)


WORK = {WorkKind.IMAGE: "images", WorkKind.I2V: "image-to-video jobs", WorkKind.EDIT: "edits"}
STATES = {NodeState.FAILED: "has failed", NodeState.UNREACHABLE: "cannot be reached"}
READY_SOON = "It takes jobs again as soon as it is ready."
#: Its server does not run, and perhaps nothing starts it.
DOWN = frozenset({NodeState.STOPPED, NodeState.FAILED, NodeState.UNREACHABLE})
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
        return f"The runner of {node.name} is not running.", start
    text = f"The runner of {node.name} has not responded since {clock_time(node.heartbeat_at, now)}."
    return text, f"It has ended or hangs. {start}"


def _draining(node: NodeFacts, now: datetime) -> Words:
    text = f"The runner of {node.name} is draining: it starts no more jobs and then ends."
    return text, f"Start it again with {typed(f'run_node {node.name}')}."


def _wish(node: NodeFacts, now: datetime) -> Words:
    act = ENDING[Wish(node.wish)]
    asked = f"{opening(node.wish_by)} asked to {act} {node.name}"
    if node.wish_by in OURS:
        asked = f"{node.name} is about to {act}"
    again = f"Start it again with {typed(f'node start {node.name}')}."
    return f"{asked}{because(node.wish_reason)}.", again if node.wish == Wish.STOP else READY_SOON


def _not_ready(node: NodeFacts, now: datetime) -> Words:
    state = NodeState(node.state)
    remedy = REMEDIES[state].format(
        start=typed(f"node start {node.name}"), logs=typed(f"node logs {node.name}")
    )
    if node.stopped_as_asked:
        stopped = f"{opening(node.wish_by)} stopped {node.name}"
        if node.wish_by in OURS:
            stopped = f"{node.name} was stopped"
        return f"{stopped}{because(node.wish_reason)}.", remedy
    # The state is said already.
    reason = node.state_reason.removeprefix(f"{state.label}: ")
    text = f"{node.name} {_state_words(node)}{because(reason)}."
    if node.wish == Wish.RUN and state == NodeState.STOPPED:
        return text, f"{opening(node.wish_by)} asked to start it. {READY_SOON}"
    return text, remedy


def _state_words(node: NodeFacts) -> str:
    state = NodeState(node.state)
    return STATES.get(state, f"is {state.label.lower()}")


def _must_quiet(node: NodeFacts, now: datetime) -> Words:
    text = f"{node.name} takes no job until its {server_noun(node.kind)} has finished a request whose answer was lost."
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
    if other.job_id is None:
        shared = f"shares card {node.card} with {node.name}"
        text = f"{other.node}, which {shared}, may still work at a request whose answer was lost."
        return text, "No action needed; it goes on as soon as that is over."
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

"""Why a queued job does not run yet: what holds each node back, and what holds the whole queue. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from diagnostics.explaining.account import Action, Reason, Verb, because, clock_time, count, unstopped
from diagnostics.explaining.job_facts import NodeFacts, Situation
from jobs.lifecycle import EventType
from jobs.reading.live import Pause
from webui.models import NodeState, Wish
from webui.typed_command import typed

#: What somebody asked of a node, as something that is about to happen.
ABOUT_TO = {Wish.STOP: "stopped", Wish.RESTART: "restarted"}
#: What to do about a state, where waiting is not enough.
REMEDIES = {
    NodeState.STOPPED: "Start it: {start}.",
    NodeState.FAILED: "Its keeper goes on trying. Look at its log: {logs}.",
    NodeState.UNREACHABLE: "Start that server; it is looked for every 10 s.",
}
#: These come back by themselves.
COMING = (NodeState.STARTING, NodeState.RESTARTING)


def tell_waiting(facts: Situation) -> tuple[str, tuple[Reason, ...], tuple[Action, ...]]:
    """Headline, reasons (the one that counts most first) and remedies for a queued job."""
    held = {node.name: hold for node in facts.nodes if (hold := _hold(node, facts.now)) is not None}
    reasons = [*_queue_reasons(facts), *held.values()]
    granted = _granted(facts)
    if granted is not None:
        reasons.append(granted)
    return _headline(facts, held, granted), tuple(reasons), tuple(_remedies(facts, held))


def _headline(facts: Situation, held: dict[str, Reason], granted: Reason | None) -> str:
    place = "It is next in the queue" if not facts.ahead else f"It waits behind {count(facts.ahead, 'job')}"
    tail = f" {granted.text}" if granted else ""
    if facts.pause is not None:
        return f"{place}; {_spoken(_paused(facts.pause, facts.now))}.{tail}"
    if not facts.nodes:
        return f"{place}, but there is no node to run it.{tail}"
    if len(held) == len(facts.nodes):
        coming = [node for node in facts.nodes if node.alive and node.state in COMING and not node.wish]
        if granted and not facts.ahead and coming and held[coming[0].name].code == "node_not_ready":
            return f"It waits for the restart of {coming[0].name}'s WebUI.{tail}"
        return f"{place}, but {_all_held(list(held.values()))}.{tail}"
    return f"{place}{_how_it_goes_on(facts, held)}.{tail}"


def _all_held(holds: Sequence[Reason]) -> str:
    if len(holds) == 1:
        return _spoken(holds[0])
    if len({hold.code for hold in holds}) == 1 and holds[0].code == "no_worker":
        return f"no worker is running for any of {len(holds)} nodes"
    return f"no node takes jobs: {'; '.join(_spoken(hold) for hold in holds)}"


def _spoken(hold: Reason) -> str:
    """Its sentence within another one: names of nodes keep their letters."""
    text = unstopped(hold.text)
    return text if hold.node and text.startswith(hold.node) else text[:1].lower() + text[1:]


def _how_it_goes_on(facts: Situation, held: dict[str, Reason]) -> str:
    able = [node for node in facts.nodes if node.name not in held]
    trying = [node for node in able if node.breaker.is_open]
    if len(trying) == len(able) and not facts.ahead:
        return f" and is the one job that {trying[0].name} tries, because its breaker is open"
    if facts.ahead:
        return ""
    busy = [node for node in able if node.running_job_id is not None]
    if len(busy) < len(able):
        return " and starts as soon as a node is free"
    runs = ", ".join(f"job {node.running_job_id} runs on {node.name}" for node in busy)
    return f" and starts when a node is free: {runs}"


def _queue_reasons(facts: Situation) -> list[Reason]:
    reasons = []
    if facts.pause is not None:
        reasons.append(_paused(facts.pause, facts.now))
    if not facts.nodes:
        text = "There is no node to run it."
        reasons.append(Reason("no_node", text, f"Start everything with {typed('up')}."))
    if facts.ahead:
        reasons.append(Reason("behind", f"It waits behind {count(facts.ahead, 'job')}."))
    return reasons


def _paused(pause: Pause, now: datetime) -> Reason:
    at = f" at {clock_time(pause.since, now)}" if pause.since else ""
    text = f"The queue was paused by {pause.by or 'somebody'}{at}{because(pause.reason)}."
    return Reason("paused", text, "Resume it to go on.")


def _hold(node: NodeFacts, now: datetime) -> Reason | None:
    """What keeps this node from claiming, the first that has to go; None when it takes jobs.

    In the words of `jobs.queue.claims.takes_jobs`, after the worker that would ask it.
    """
    name = node.name
    if not node.alive:
        start = f"Start it with {typed('up')} or {typed(f'run_node {name}')}."
        if node.heartbeat_at is None:
            return Reason("no_worker", f"No worker is running for {name}.", start, name)
        text = f"The worker of {name} was last heard of at {clock_time(node.heartbeat_at, now)}."
        return Reason("no_worker", text, f"It is gone or stuck. {start}", name)
    if node.draining:
        text = f"The worker of {name} is draining and starts no more jobs."
        return Reason("draining", text, f"Start it again: {typed(f'run_node {name}')}.", name)
    if node.wish in ABOUT_TO:
        by = f", as {node.wish_by} asked" if node.wish_by else ""
        text = f"{name} is about to be {ABOUT_TO[Wish(node.wish)]}{by}{because(node.wish_reason)}."
        return Reason("wish", text, "", name)
    if node.state != NodeState.READY:
        state = NodeState(node.state)
        remedy = REMEDIES.get(state, "It runs as soon as the node is ready.").format(
            start=typed(f"node start {name}"), logs=typed(f"node logs {name}")
        )
        text = f"{name} is {state.label.lower()}{because(node.state_reason)}."
        return Reason("node_not_ready", text, remedy, name)
    if node.must_quiet:
        text = f"{name} takes no job until its WebUI has finished what a lost worker had sent."
        return Reason("must_quiet", text, "Nothing: it is watched, and goes on by itself.", name)
    return _resting(node, now)


def _resting(node: NodeFacts, now: datetime) -> Reason | None:
    breaker = node.breaker
    if breaker.may_claim(now) and not (breaker.is_open and node.running_job_id):
        return None
    why = because(breaker.reason)
    if node.running_job_id:
        text = f"{node.name} tries job {node.running_job_id} alone, because its breaker is open{why}."
        return Reason("breaker_open", text, "If that job completes, the others follow.", node.name)
    until = f" until {clock_time(breaker.until, now)}" if breaker.until else ""
    text = f"The breaker of {node.name} is open{until}, because jobs kept crashing there{why}."
    return Reason("breaker_open", text, "Then one job is tried. Repaired already? Try one now.", node.name)


def _granted(facts: Situation) -> Reason | None:
    """Its first run is behind it; the next is the one retry."""
    if not facts.retry_count:
        last = facts.last_event(EventType.REQUEUED)
        if last is None:
            return None
        why = because(str(last.data.get("reason") or ""))
        return Reason(
            "given_back", f"It was given back at {clock_time(last.at, facts.now)}{why}; not charged."
        )
    crash = facts.last_event(EventType.CRASH_SUSPECTED)
    code = f" with {crash.data['error_code']}" if crash and crash.data.get("error_code") else ""
    stage = f" in {crash.data['stage']}" if crash and crash.data.get("stage") else ""
    return Reason("retry_granted", f"Its first run broke off{stage}{code}; this will be its one retry.")


def _remedies(facts: Situation, held: dict[str, Reason]) -> list[Action]:
    actions = []
    if facts.pause is not None:
        actions.append(Action(Verb.RESUME_QUEUE, "Resume the queue", 0, typed("queue resume")))
    for node in facts.nodes:
        code = held[node.name].code if node.name in held else ""
        if code == "breaker_open" and not node.running_job_id:
            label, command = f"Try one job on {node.name} now", typed(f"node resume {node.name}")
            actions.append(Action(Verb.TRY_NODE, label, node.node_id, command))
        if code == "node_not_ready" and node.state == NodeState.STOPPED:
            label, command = f"Start {node.name}", typed(f"node start {node.name}")
            actions.append(Action(Verb.START_NODE, label, node.node_id, command))
    return actions

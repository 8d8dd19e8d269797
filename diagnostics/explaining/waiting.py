"""Why a queued job does not run yet: what holds the queue, its kind and each node that takes it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from diagnostics.explaining.account import Action, Reason, Verb
from diagnostics.explaining.job_facts import Situation
from jobs.lifecycle import EventType
from jobs.queue import lack_words
from jobs.queue.held_jobs import Lacking
from jobs.queue.hold_words import (
    PASSING,
    Hold,
    because,
    clock_time,
    hold_of_kind,
    hold_of_pause,
    holds_of,
    unstopped,
)
from jobs.queue.holds import HoldCode
from webui.kinds import server_noun
from webui.models import NodeState
from webui.typed_command import typed
from webui.words import count

#: These come back by themselves.
COMING = (NodeState.STARTING, NodeState.RESTARTING)


def tell_waiting(facts: Situation) -> tuple[str, tuple[Reason, ...], tuple[Action, ...]]:
    """Headline, reasons (the one that counts most first) and remedies for a queued job."""
    lacks = dict(facts.lacking.lacks) if facts.lacking and not facts.held else {}
    on_nodes = {
        node.name: next(iter(holds_of(node, facts.now)), None)
        for node in facts.nodes
        if node.kind == facts.kind and node.name not in lacks
    }
    held = {
        name: hold
        for name, hold in on_nodes.items()
        if hold and hold.code not in PASSING and hold.code != HoldCode.BREAKER_DUE
    }
    of_queue = [hold_of_pause(facts.pause, facts.now)] if facts.pause else []
    of_kind = hold_of_kind(facts.kind, facts.nodes)
    of_job = [_hold_of_lacks(facts.lacking)] if facts.lacking and facts.held else []
    told = [*of_queue, *([of_kind] if of_kind else []), *of_job]
    reasons = [_reason(hold) for hold in told]
    if facts.ahead:
        reasons.append(Reason("behind", f"It waits behind {count(facts.ahead, 'job')}."))
    reasons += [_reason(hold) for hold in held.values()]
    reasons += [Reason(HoldCode.LACKING, lack_words.of_node(*lack), node=lack[0]) for lack in lacks.items()]
    granted = _granted(facts)
    if granted is not None:
        reasons.append(granted)
    headline = _headline(facts, told, on_nodes, held)
    if granted is not None:
        headline = f"{headline} {granted.text}"
    return headline, tuple(reasons), tuple(_remedies(facts, held))


def _hold_of_lacks(why: Lacking) -> Hold:
    return Hold(HoldCode.LACKING, lack_words.reason(why), lack_words.remedy(why))


def _reason(hold: Hold) -> Reason:
    return Reason(hold.code, hold.text, hold.remedy, hold.node)


def _headline(
    facts: Situation, told: Sequence[Hold], on_nodes: Mapping[str, Hold | None], held: Mapping[str, Hold]
) -> str:
    place = "It is next in the queue" if not facts.ahead else f"It waits behind {count(facts.ahead, 'job')}"
    if told:
        if told[0].code == HoldCode.LACKING:
            return f"It is held: {_spoken(told[0])}."
        joint = ";" if facts.pause else ", but"
        return f"{place}{joint} {_spoken(told[0])}."
    if len(held) == len(on_nodes):
        coming = [node.name for node in facts.nodes if node.state in COMING and node.name in held]
        if not facts.ahead and facts.retry_count and coming and held[coming[0]].code == HoldCode.NOT_READY:
            return f"It waits for the restart of {coming[0]}'s {server_noun(facts.kind)}."
        several = "no node takes jobs: " if len(held) > 1 else ""
        return f"{place}, but {several}{'; '.join(_spoken(hold) for hold in held.values())}."
    if facts.ahead:
        return f"{place}."
    able = [hold for name, hold in on_nodes.items() if name not in held]
    if None in able:
        return f"{place} and starts as soon as a node is free."
    tests = [hold for hold in able if hold and hold.code == HoldCode.BREAKER_DUE]
    if tests:
        return f"{place} and runs on {tests[0].node} as a test, because its breaker is open."
    runs = ", ".join(_spoken(hold) for hold in able if hold)
    return f"{place} and starts when a node is free: {runs}."


def _spoken(hold: Hold) -> str:
    """Its sentence within another one: names of nodes keep their letters."""
    text = unstopped(hold.text)
    return text if hold.node and text.startswith(hold.node) else text[:1].lower() + text[1:]


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


def _remedies(facts: Situation, held: Mapping[str, Hold]) -> list[Action]:
    actions = []
    if facts.pause is not None:
        actions.append(Action(Verb.RESUME_QUEUE, "Resume the queue", 0, typed("queue resume")))
    if facts.held:
        command = typed(f"queue anyway {facts.job_id}")
        actions.append(Action(Verb.RUN_ANYWAY, "Run it anyway", facts.job_id, command))
    for node in facts.nodes:
        code = held[node.name].code if node.name in held else None
        if code == HoldCode.BREAKER_OPEN:
            label, command = f"Try one job on {node.name} now", typed(f"node resume {node.name}")
            actions.append(Action(Verb.TRY_NODE, label, node.node_id, command))
        if code == HoldCode.NOT_READY and node.state == NodeState.STOPPED:
            label, command = f"Start {node.name}", typed(f"node start {node.name}")
            actions.append(Action(Verb.START_NODE, label, node.node_id, command))
    return actions

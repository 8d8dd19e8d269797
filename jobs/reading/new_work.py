"""What somebody wants to know before films or edits are submitted: who makes them, and roughly how long it takes."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.clock import database_now
from jobs.queue.hold_words import hold_of_kind
from jobs.queue.holds import NodeFacts, all_facts
from jobs.reading.outlook import recent_duration
from webui.kinds import WorkKind, count_results
from webui.models import NodeState
from webui.words import count, duration


@dataclass(frozen=True, slots=True)
class NewOutlook:
    """`hold` says that nobody makes them now, and `remedy` what to do; both are empty where somebody does."""

    workers: str
    takes: str
    hold: str = ""
    remedy: str = ""


def new_outlook(kind: WorkKind, results: int) -> NewOutlook:
    """For so many results of this kind; 0 where nothing is chosen yet. Three queries."""
    nodes = all_facts(database_now())
    ready = [node for node in nodes if node.kind == kind and node.alive and node.state == NodeState.READY]
    hold = None if ready else hold_of_kind(kind, nodes)
    return NewOutlook(
        workers=_workers(kind, len(ready), starting=not ready and hold is None),
        takes=_takes(kind, results, _at_once(ready)),
        hold=hold.text if hold else "",
        remedy=hold.remedy if hold else "",
    )


def _workers(kind: WorkKind, ready: int, *, starting: bool) -> str:
    noun = "films" if kind == WorkKind.I2V else "edits"
    if starting:
        return f"A worker for {noun} is starting."
    return f"{count(ready, 'worker')} for {noun} {'is' if ready == 1 else 'are'} ready." if ready else ""


def _at_once(ready: list[NodeFacts]) -> int:
    """Nodes of one card work one after the other."""
    return len({node.card or f"node {node.node_id}" for node in ready})


def _takes(kind: WorkKind, results: int, at_once: int) -> str:
    """`About 4 min: the last 20 films took 80 s each.`"""
    seen = recent_duration(kind)
    if seen is None:
        return f"Nobody knows yet how long it takes: no {'film' if kind == WorkKind.I2V else 'edit'} was made here."
    last = (
        f"the last {count_results({kind: seen.jobs})} took {duration(seen.each_s)}{' each' * (seen.jobs > 1)}"
    )
    if not results:
        return f"{last[:1].upper()}{last[1:]}."
    return f"About {duration(seen.each_s * results / max(at_once, 1))}: {last}."

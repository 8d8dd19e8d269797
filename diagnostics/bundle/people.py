"""The facts of a job without the names of people: who did something is "somebody"."""

from __future__ import annotations

from dataclasses import replace

from diagnostics.bundle.door import somebody
from diagnostics.explaining.job_facts import EventFacts, Situation


def without_people(facts: Situation) -> Situation:
    """The same situation, to be told to a stranger."""
    return replace(
        facts,
        cancel_requested_by=somebody(facts.cancel_requested_by),
        reruns=tuple(replace(one, by=somebody(one.by)) for one in facts.reruns),
        pause=facts.pause and replace(facts.pause, by=somebody(facts.pause.by)),
        nodes=tuple(replace(node, wish_by=somebody(node.wish_by)) for node in facts.nodes),
        events=tuple(_event(event) for event in facts.events),
    )


def _event(event: EventFacts) -> EventFacts:
    by = event.data.get("by")
    return replace(event, data={**event.data, "by": somebody(str(by))}) if by else event

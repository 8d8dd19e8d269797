"""All nodes as pages show them: each with its WebUI and what holds it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from jobs.clock import database_now
from jobs.queue.hold_words import ABOUT_STATE, Hold, holds_of, lasting
from jobs.queue.holds import lasting_facts
from webui.models import Node
from webui.pages.node_card import NodeCard, node_card


@dataclass(frozen=True, slots=True)
class NodeLine:
    """Equal lines mean equal pages."""

    card: NodeCard
    holds: tuple[Hold, ...]

    @property
    def of_state(self) -> tuple[Hold, ...]:
        """Those that the queue page leaves to the strip of nodes on it."""
        return tuple(hold for hold in self.holds if hold.code in ABOUT_STATE)


def node_lines() -> tuple[NodeLine, ...]:
    """One query; another one only while a breaker is open."""
    nodes = list(Node.objects.select_related("runner"))
    now = database_now()
    return tuple(
        NodeLine(node_card(node), lasting(holds_of(facts, now)))
        for node, facts in zip(nodes, lasting_facts(nodes, now), strict=True)
    )


def version_of(lines: Sequence[NodeLine]) -> str:
    return hashlib.sha256(repr(lines).encode()).hexdigest()[:16]

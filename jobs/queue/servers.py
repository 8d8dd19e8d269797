"""What each node has of what records need: its kept catalog, read as its driver does, and trouble with checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from jobs.models import CheckpointTrouble
from webui.driver import Driver, UnknownDriverError, driver_of
from webui.models import Node, NodeCatalog
from webui.nodes.adding import takes_any_name
from webui.nodes.catalogs import NEVER_READ, KnownCatalog, catalogs_of
from webui.work.catalog import Catalog, Found, Has, Need, Thing

#: Why we ask for lists before a job is held. Until they are read, those that we have count; a refresh that somebody
#: else wants means that they are known to be old.
BEFORE_A_HOLD = "jobs need what it does not list"

UNKNOWN = Found(Has.UNKNOWN)
CHECKPOINTS = frozenset({Thing.CHECKPOINT, Thing.REFINER})


@dataclass(frozen=True, slots=True)
class Lack:
    """One thing that a node lacks. `why` says what is wrong with what is there; empty where nothing is there."""

    thing: Thing
    name: str
    nearest: str = ""
    why: str = ""

    def as_json(self) -> dict[str, str]:
        return {"thing": str(self.thing), "name": self.name, "nearest": self.nearest, "why": self.why}

    @classmethod
    def from_json(cls, stored: Mapping[str, str]) -> Lack:
        return cls(Thing(stored["thing"]), stored["name"], stored["nearest"], stored["why"])

    def __str__(self) -> str:
        return f"{self.thing} {self.name}"


@dataclass(slots=True)
class KnownServer:
    """One node and what is known of it. Every distinct need is looked up once.

    `catalog` is None where it was never read, is known to be old (`is_old`), or says nothing (`stands_in`): then
    nothing is known to be missing.
    """

    node: Node
    driver: Driver | None
    catalog: Catalog | None
    read_at: datetime | None
    is_old: bool = False
    stands_in: bool = False
    """It pretends to have whatever is named."""
    problem: str = ""
    troubles: Mapping[str, str] = field(default_factory=dict)
    """What went wrong with a checkpoint, by its name as it was asked for, in words."""
    _found: dict[Need, Found] = field(default_factory=dict)

    @property
    def is_known(self) -> bool:
        return self.catalog is not None

    def find(self, need: Need) -> Found:
        """Whether the node has it. What is listed and cannot be used is as good as not there."""
        if need not in self._found:
            self._found[need] = self._look(need)
        return self._found[need]

    def missing(self, needs: Iterable[Need]) -> list[Lack]:
        """What of this the node is known to lack."""
        found = ((need, self.find(need)) for need in needs)
        return [Lack(need.thing, need.name, f.nearest, f.why) for need, f in found if f.has is Has.NO]

    def _look(self, need: Need) -> Found:
        found = UNKNOWN
        if self.driver is not None and self.catalog is not None:
            found = self.driver.find(self.catalog, need)
        if need.thing in CHECKPOINTS and (words := self._trouble(need, found)):
            return Found(Has.NO, found.entry, why=words)
        if found.entry is None or found.entry.usable:
            # What is wrong with it, if anything, is a doubt, and no reason to hold a job.
            return found
        if need.thing is Thing.EMBEDDING:
            # It does not fit the checkpoint that is loaded now, which says nothing of the one that is asked for.
            return Found(Has.YES, found.entry)
        # Servers draw without it and say nothing, as they do without what they do not list.
        return Found(Has.NO, found.entry, why=found.why or found.entry.note or "it cannot be used there")

    def _trouble(self, need: Need, found: Found) -> str:
        for name, words in self.troubles.items():
            if name == need.name:
                return words
            if found.entry is not None and self.driver is not None and self.catalog is not None:
                same = self.driver.find(self.catalog, Need(Thing.CHECKPOINT, name)).entry
                if same is not None and same.name == found.entry.name:
                    return words
        return ""


def known_servers(nodes: Sequence[Node] | None = None) -> list[KnownServer]:
    """What is known of these nodes, or of all; four queries, and one more for lists that are new to this process."""
    asked = list(Node.objects.order_by("name")) if nodes is None else nodes
    ids = [node.pk for node in asked]
    kept = {row.node_id: row for row in NodeCatalog.objects.filter(node_id__in=ids).defer("document")}
    troubles: dict[int, dict[str, str]] = {}
    held = CheckpointTrouble.objects.filter(node_id__in=ids, held_at__isnull=False).select_related("node")
    for one in held:
        troubles.setdefault(one.node_id, {})[one.checkpoint] = str(one)
    known = catalogs_of(ids)
    return [
        _known(node, kept.get(node.pk), known.get(node.pk, NEVER_READ), troubles.get(node.pk, {}))
        for node in asked
    ]


def _known(
    node: Node, kept: NodeCatalog | None, read: KnownCatalog, troubles: Mapping[str, str]
) -> KnownServer:
    try:
        driver: Driver | None = driver_of(node.driver)
    except UnknownDriverError:
        driver = None
    problem = kept.problem if kept is not None else ""
    is_old, stands_in = bool(problem) or is_known_to_be_old(kept), takes_any_name(node)
    known = None if is_old or stands_in else read.catalog
    return KnownServer(node, driver, known, read.read_at, is_old, stands_in, problem, troubles)


def is_known_to_be_old(kept: NodeCatalog | None) -> bool:
    """Somebody wants the lists read again, and not only because a job would be held by them."""
    return kept is not None and kept.wanted_at is not None and kept.wanted_because != BEFORE_A_HOLD


def lacks_from_json(stored: Iterable[Mapping[str, Any]]) -> list[Lack]:
    return [Lack.from_json(one) for one in stored]

"""Before anything is queued: what the records need, held against what each node has; and what was rendered already.

`check` is pure. What it found in words is `jobs.submitting.preflight_words`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from jobs.lifecycle import JobStatus
from jobs.models import JobRecord
from jobs.queue.enqueue import kind_of
from jobs.queue.servers import KnownServer, Lack, known_servers
from jobs.records.needs import Needs, needs_of_all
from jobs.records.reading import AnyRecord
from webui.models import Node
from webui.work.catalog import Has, Need

#: Hashes of one query: SQLite takes 32,766 values.
MANY = 10_000


class OnMissing(StrEnum):
    """What becomes of records that no node can run."""

    STOP = "stop"
    LEAVE_OUT = "leave-out"
    ANYWAY = "anyway"
    """Queue everything, and hold nothing of it."""


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node of the check. `problem` says why its lists could not be read last time."""

    name: str
    is_known: bool
    read_at: datetime | None
    problem: str = ""
    is_wanted: bool = False
    """Its lists are being read again, because they are known to be old."""
    stands_in: bool = False
    """It pretends to have whatever is named."""


@dataclass(frozen=True, slots=True)
class RowsOfPack:
    pack: str
    rows: tuple[int, ...]
    """As people count, in order."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that at least one node lacks, and the records that need it.

    `useless` are the nodes that list it and cannot use it; `whys` says of nodes what is wrong there. `free` of the
    records can run, on the nodes of `runs_on`, which have all else that one of them needs, too, or are not known to
    lack it.
    """

    need: Need
    records: int
    where: tuple[RowsOfPack, ...]
    having: tuple[str, ...]
    lacking: tuple[str, ...]
    unknown: tuple[str, ...]
    nearest: str = ""
    useless: tuple[str, ...] = ()
    whys: tuple[tuple[str, str], ...] = ()
    free: int = 0
    runs_on: tuple[str, ...] = ()

    @property
    def is_nowhere(self) -> bool:
        """Every node is known not to have it: these records cannot run."""
        return not self.having and not self.unknown


@dataclass(frozen=True, slots=True)
class Apart:
    """Records that need several things, each of which is on some node, and all of them on none."""

    records: int
    where: tuple[RowsOfPack, ...]
    lacks: tuple[tuple[str, tuple[Lack, ...]], ...]
    """Per node what it lacks."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """One thing that these nodes list, and of which they do not tell whether it works: told, and nothing is held."""

    need: Need
    records: int
    nodes: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Preflight:
    """What was found. `held` are the places, from 0, of the records that no node can run; `rendered` counts those of
    which a completed job exists. `only` names the node where one alone was looked at. `homeless` are the kinds of work
    for which there is no node at all, each with its records: they wait.
    """

    records: int = 0
    findings: tuple[Finding, ...] = ()
    apart: tuple[Apart, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    nodes: tuple[NodeView, ...] = ()
    held: frozenset[int] = frozenset()
    rendered: int = 0
    only: str = ""
    homeless: tuple[tuple[str, int], ...] = ()
    needs: tuple[Needs, ...] = field(default=(), repr=False)
    servers: tuple[KnownServer, ...] = field(default=(), repr=False)

    @property
    def held_all(self) -> bool:
        return len(self.held) == self.records

    def as_json(self) -> dict[str, Any]:
        return {
            "records": self.records,
            "cannot_run": len(self.held),
            "rendered_before": self.rendered,
            "missing": [
                {
                    "thing": str(one.need.thing),
                    "name": one.need.name,
                    "records": one.records,
                    "where": [{"pack": part.pack, "rows": list(part.rows)} for part in one.where],
                    "nodes": {
                        **dict.fromkeys(one.having, Has.YES.value),
                        **dict.fromkeys(one.lacking, Has.NO.value),
                        **dict.fromkeys(one.unknown, Has.UNKNOWN.value),
                    },
                    "nearest": one.nearest,
                    "why": dict(one.whys),
                }
                for one in self.findings
            ],
            "apart": [
                {
                    "records": one.records,
                    "lacks": {node: [item.as_json() for item in missing] for node, missing in one.lacks},
                }
                for one in self.apart
            ],
            "doubts": [
                {
                    "thing": str(one.need.thing),
                    "name": one.need.name,
                    "records": one.records,
                    "nodes": list(one.nodes),
                    "why": one.why,
                }
                for one in self.doubts
            ],
            "nodes": [
                {"node": node.name, "known": node.is_known, "read_at": node.read_at, "problem": node.problem}
                for node in self.nodes
            ],
            "kinds_without_node": dict(self.homeless),
        }


def preflight(
    records: Sequence[AnyRecord], hashes: Sequence[str] = (), *, node: Node | None = None
) -> Preflight:
    """Check these records against every node of their kind, or against one node alone.

    With their hashes it also counts those that were rendered already.
    """
    servers = known_servers(None if node is None else [node])
    found = check(records, servers, rendered=rendered_before(hashes))
    return found if node is None else replace(found, only=node.name)


def rendered_before(hashes: Sequence[str]) -> int:
    """How many of these records have been rendered: a completed job has the very same record."""
    done: set[str] = set()
    for start in range(0, len(hashes), MANY):
        same = JobRecord.objects.filter(
            sha256__in=hashes[start : start + MANY], jobs__status=JobStatus.COMPLETED
        )
        done.update(same.values_list("sha256", flat=True))
    return sum(digest in done for digest in hashes)


# --- the check ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Group:
    """The records that need the same things, by their places."""

    needs: Needs
    kind: str
    places: list[int] = field(default_factory=list)
    runs_on: tuple[str, ...] = ()
    """The nodes that are not known to lack something of it."""


def check(records: Sequence[AnyRecord], servers: Sequence[KnownServer], *, rendered: int = 0) -> Preflight:
    """Pure but for what the servers remember of earlier looks."""
    needs = needs_of_all(records)
    groups: dict[tuple[str, str], _Group] = {}
    for place, (record, needed) in enumerate(zip(records, needs, strict=True)):
        kind = str(kind_of([stage.stage for stage in record.enabled_stages]))
        groups.setdefault((kind, needed.sha256), _Group(needed, kind)).places.append(place)
    of_kind = {kind: [server for server in servers if server.node.kind == kind] for kind, _ in groups}
    findings: list[Finding] = []
    apart: list[Apart] = []
    doubts: list[Doubt] = []
    held: set[int] = set()
    for kind, able in of_kind.items():
        mine = [group for group in groups.values() if group.kind == kind]
        for group in mine:
            group.runs_on = tuple(s.node.name for s in able if not s.missing(group.needs.all))
        made = list(_findings(records, mine, able))
        findings += made
        doubts += _doubts(mine, able)
        nowhere = {finding.need for finding in made if finding.is_nowhere}
        for group in mine if able else ():
            if group.runs_on:
                continue
            held.update(group.places)
            if nowhere.isdisjoint(group.needs.all):
                lacks = tuple((s.node.name, tuple(s.missing(group.needs.all))) for s in able)
                apart.append(Apart(len(group.places), _where(records, group.places), lacks))
    # Of nodes whose kind of work needs nothing by name, nobody asks what they have.
    asking = {group.kind for group in groups.values() if group.needs.all}
    used = {s.node.pk: s for kind, able in of_kind.items() if kind in asking for s in able}
    homeless = {kind: 0 for kind, able in of_kind.items() if not able}
    for group in groups.values():
        if group.kind in homeless:
            homeless[group.kind] += len(group.places)
    return Preflight(
        records=len(records),
        findings=tuple(sorted(findings, key=lambda one: (not one.is_nowhere, -one.records, one.need))),
        apart=tuple(apart),
        doubts=tuple(sorted(doubts, key=lambda one: (-one.records, one.need))),
        nodes=tuple(map(_view, used.values())),
        held=frozenset(held),
        rendered=rendered,
        homeless=tuple(homeless.items()),
        needs=tuple(needs),
        servers=tuple(servers),
    )


def _findings(
    records: Sequence[AnyRecord], groups: Sequence[_Group], servers: Sequence[KnownServer]
) -> Iterable[Finding]:
    """What at least one of these servers lacks. Each distinct need is looked up once per server."""
    for need, mine in _needing(groups).items():
        found = {server.node.name: server.find(need) for server in servers}
        by = {has: tuple(name for name, one in found.items() if one.has is has) for has in Has}
        if not by[Has.NO]:
            continue
        places = [place for group in mine for place in group.places]
        yield Finding(
            need,
            len(places),
            _where(records, places),
            having=by[Has.YES],
            lacking=by[Has.NO],
            unknown=by[Has.UNKNOWN],
            nearest=next((found[name].nearest for name in by[Has.NO] if found[name].nearest), ""),
            useless=tuple(name for name in by[Has.NO] if found[name].entry is not None),
            whys=tuple((name, found[name].why) for name in by[Has.NO] if found[name].why),
            free=sum(len(group.places) for group in mine if group.runs_on),
            runs_on=tuple(name for name in found if any(name in group.runs_on for group in mine)),
        )


def _doubts(groups: Sequence[_Group], servers: Sequence[KnownServer]) -> Iterable[Doubt]:
    for need, mine in _needing(groups).items():
        found = {server.node.name: server.find(need) for server in servers}
        doubted = {name: one.why for name, one in found.items() if one.has is Has.YES and one.why}
        if doubted:
            records = sum(len(group.places) for group in mine)
            yield Doubt(need, records, tuple(doubted), next(iter(doubted.values())))


def _needing(groups: Sequence[_Group]) -> dict[Need, list[_Group]]:
    needing: dict[Need, list[_Group]] = {}
    for group in groups:
        for need in group.needs.all:
            needing.setdefault(need, []).append(group)
    return needing


def _where(records: Sequence[AnyRecord], places: Iterable[int]) -> tuple[RowsOfPack, ...]:
    rows: dict[str, set[int]] = {}
    for place in places:
        record = records[place]
        rows.setdefault(record.prompt_pack_id, set()).add(record.prompt_pack_row_index + 1)
    return tuple(RowsOfPack(pack, tuple(sorted(found))) for pack, found in rows.items())


def _view(server: KnownServer) -> NodeView:
    is_wanted = server.is_old and not server.problem
    return NodeView(
        server.node.name, server.is_known, server.read_at, server.problem, is_wanted, server.stands_in
    )

"""Before anything is queued: what the records need, held against what each node has; and what was rendered already.

`check` is pure. What it found in words is `jobs.submitting.preflight_words`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from jobs.lifecycle import JobStatus
from jobs.models import JobRecord
from jobs.queue.enqueue import kind_of
from jobs.queue.servers import KnownServer, Lack, known_servers
from jobs.records.needs import Needs, needs_of_all
from jobs.records.record import NormalizedJobRecord
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


@dataclass(frozen=True, slots=True)
class RowsOfPack:
    pack: str
    rows: tuple[int, ...]
    """As people count, in order."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that at least one node lacks, and the records that need it.

    `whys` says of nodes that list it what is wrong with it there.
    """

    need: Need
    records: int
    where: tuple[RowsOfPack, ...]
    having: tuple[str, ...]
    lacking: tuple[str, ...]
    unknown: tuple[str, ...]
    nearest: str = ""
    whys: tuple[tuple[str, str], ...] = ()

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
class Preflight:
    """What was found. `held` are the places, from 0, of the records that no node can run; `rendered` counts those of
    which a completed job exists."""

    records: int = 0
    findings: tuple[Finding, ...] = ()
    apart: tuple[Apart, ...] = ()
    nodes: tuple[NodeView, ...] = ()
    held: frozenset[int] = frozenset()
    rendered: int = 0
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
            "nodes": [
                {"node": node.name, "known": node.is_known, "read_at": node.read_at, "problem": node.problem}
                for node in self.nodes
            ],
        }


def preflight(
    records: Sequence[NormalizedJobRecord], hashes: Sequence[str] = (), *, node: Node | None = None
) -> Preflight:
    """Check these records against every node of their kind, or against one node alone.

    With their hashes it also counts those that were rendered already.
    """
    servers = known_servers(None if node is None else [node])
    return check(records, servers, rendered=rendered_before(hashes))


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


def check(
    records: Sequence[NormalizedJobRecord], servers: Sequence[KnownServer], *, rendered: int = 0
) -> Preflight:
    """Pure but for what the servers remember of earlier looks."""
    needs = needs_of_all(records)
    groups: dict[tuple[str, str], _Group] = {}
    for place, (record, needed) in enumerate(zip(records, needs, strict=True)):
        kind = str(kind_of([stage.stage for stage in record.enabled_stages]))
        groups.setdefault((kind, needed.sha256), _Group(needed, kind)).places.append(place)
    of_kind = {kind: [server for server in servers if server.node.kind == kind] for kind, _ in groups}
    findings: list[Finding] = []
    apart: list[Apart] = []
    held: set[int] = set()
    for kind, able in of_kind.items():
        mine = [group for group in groups.values() if group.kind == kind]
        nowhere = set()
        for finding in _findings(records, mine, able):
            findings.append(finding)
            if finding.is_nowhere:
                nowhere.add(finding.need)
        for group in mine:
            missing = [(server.node.name, tuple(server.missing(group.needs.all))) for server in able]
            if not missing or not all(lacks for _, lacks in missing):
                continue
            held.update(group.places)
            if nowhere.isdisjoint(group.needs.all):
                apart.append(Apart(len(group.places), _where(records, group.places), tuple(missing)))
    used = {server.node.pk: server for able in of_kind.values() for server in able}
    return Preflight(
        records=len(records),
        findings=tuple(sorted(findings, key=lambda one: (not one.is_nowhere, -one.records, one.need))),
        apart=tuple(apart),
        nodes=tuple(map(_view, used.values())),
        held=frozenset(held),
        rendered=rendered,
        needs=tuple(needs),
        servers=tuple(servers),
    )


def _findings(
    records: Sequence[NormalizedJobRecord], groups: Sequence[_Group], servers: Sequence[KnownServer]
) -> Iterable[Finding]:
    """What at least one of these servers lacks. Each distinct need is looked up once per server."""
    places: dict[Need, list[int]] = {}
    for group in groups:
        for need in group.needs.all:
            places.setdefault(need, []).extend(group.places)
    for need, mine in places.items():
        found = {server.node.name: server.find(need) for server in servers}
        by = {has: tuple(name for name, one in found.items() if one.has is has) for has in Has}
        if not by[Has.NO]:
            continue
        yield Finding(
            need,
            len(mine),
            _where(records, mine),
            having=by[Has.YES],
            lacking=by[Has.NO],
            unknown=by[Has.UNKNOWN],
            nearest=next((found[name].nearest for name in by[Has.NO] if found[name].nearest), ""),
            whys=tuple((name, found[name].why) for name in by[Has.NO] if found[name].why),
        )


def _where(records: Sequence[NormalizedJobRecord], places: Iterable[int]) -> tuple[RowsOfPack, ...]:
    rows: dict[str, set[int]] = {}
    for place in places:
        record = records[place]
        rows.setdefault(record.prompt_pack_id, set()).add(record.prompt_pack_row_index + 1)
    return tuple(RowsOfPack(pack, tuple(sorted(found))) for pack, found in rows.items())


def _view(server: KnownServer) -> NodeView:
    is_wanted = server.is_old and not server.problem
    return NodeView(server.node.name, server.is_known, server.read_at, server.problem, is_wanted)

"""Jobs that wait for what no node of their kind has: which they are, why, and how a person lets them run anyway."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, Q

from jobs.lifecycle import EventType, JobStatus
from jobs.models import Job, NodeLack
from jobs.queue.moves import append_events
from jobs.queue.servers import BEFORE_A_HOLD, Lack
from webui.models import Node, NodeCatalog

#: Sets of needs whose reasons are read to tell why jobs are held; those that hold most jobs come first.
TOLD_SETS = 50


@dataclass(frozen=True, slots=True)
class Lacking:
    """Why a set of needs holds its jobs: what each node of the kind lacks of it. `jobs` wait for it.

    `asked` are those of these nodes whose lists are just being read again because of it.
    """

    lacks: tuple[tuple[str, tuple[Lack, ...]], ...]
    jobs: int = 0
    asked: tuple[str, ...] = ()


def held_sets() -> dict[str, list[int]]:
    """By kind the sets of needs (ids) of which every node lacks something; one query where no node lacks anything."""
    lacked = list(
        NodeLack.objects.order_by().values_list("node__kind", "needs_id").annotate(nodes=Count("node_id"))
    )
    if not lacked:
        return {}
    nodes = dict(Node.objects.order_by().values_list("kind").annotate(nodes=Count("id")))
    found: dict[str, list[int]] = {}
    for kind, needs_id, number in lacked:
        if number == nodes.get(kind):
            found.setdefault(kind, []).append(needs_id)
    return found


def held(sets: Mapping[str, Sequence[int]] | None = None) -> Q:
    """The condition of held jobs. They are queued."""
    sets = held_sets() if sets is None else sets
    condition = Q(pk__in=())
    for kind, ids in sets.items():
        condition |= Q(kind=kind, needs_id__in=ids)
    return condition & Q(status=JobStatus.QUEUED, finished_at__isnull=True)


def held_counts() -> dict[int, int]:
    """How many jobs each set holds, the most first; sets that hold none are left out."""
    sets = held_sets()
    if not sets:
        return {}
    rows = Job.objects.filter(held(sets)).order_by().values_list("needs_id").annotate(jobs=Count("id"))
    return dict(sorted(((needs, jobs) for needs, jobs in rows if needs), key=lambda row: -row[1]))


def why_held(needs_ids: Iterable[int], counts: Mapping[int, int] | None = None) -> dict[int, Lacking]:
    """What nodes lack of these sets, whether or not that holds jobs; two queries."""
    lacks: dict[int, list[tuple[str, tuple[Lack, ...]]]] = {}
    rows = NodeLack.objects.filter(needs_id__in=list(needs_ids)).order_by("node__name")
    for needs_id, name, missing in rows.values_list("needs_id", "node__name", "missing"):
        lacks.setdefault(needs_id, []).append((name, tuple(map(Lack.from_json, missing))))
    if not lacks:
        return {}
    wanted = NodeCatalog.objects.filter(wanted_at__isnull=False, wanted_because=BEFORE_A_HOLD)
    asked = set(wanted.values_list("node__name", flat=True))
    return {
        needs_id: Lacking(
            tuple(found),
            (counts or {}).get(needs_id, 0),
            tuple(name for name, _ in found if name in asked),
        )
        for needs_id, found in lacks.items()
    }


def why_jobs_are_held(jobs: Iterable[Job]) -> dict[int, Lacking]:
    """By the id of their needs, for those of these jobs that are held."""
    sets = held_sets()
    if not sets:
        return {}
    waiting = {
        job.needs_id
        for job in jobs
        if job.status == JobStatus.QUEUED and job.needs_id in sets.get(job.kind, ())
    }
    return why_held(needs_id for needs_id in waiting if needs_id is not None) if waiting else {}


def run_anyway(jobs: Sequence[Job], *, data: Mapping[str, Any]) -> None:
    """Nobody looks any more at what these jobs need. They are locked; `data` are facts of their event."""
    Job.objects.filter(pk__in=[job.pk for job in jobs]).update(
        needs=None, last_sequence=F("last_sequence") + 1
    )
    append_events(jobs, EventType.RUNS_ANYWAY, data=data)

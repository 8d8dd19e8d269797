"""Which nodes lack what jobs need: the only writer of need sets and of what nodes lack of them.

A claim leaves out the sets that its node lacks. A set that every node of a kind lacks holds its jobs
(`jobs.queue.held_jobs`).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from jobs.models import NeedSet, NodeLack, Runner
from jobs.queue import trouble
from jobs.queue.control import touch
from jobs.queue.lanes import waiting_sets
from jobs.queue.servers import BEFORE_A_HOLD, KnownServer, Lack, known_servers
from jobs.queue.wakeup import kick, work_is_waiting
from jobs.records.needs import Needs
from webui.models import Node
from webui.nodes.catalogs import want_catalog

logger = logging.getLogger(__name__)

#: Lists that are younger are not read again before a hold.
YOUNG_S = 60.0
#: Ids of one statement: SQLite takes 32,766 values.
MANY = 10_000


def store_needs(needs: Iterable[Needs]) -> dict[str, int]:
    """The rows of these sets by their hash, made where they are new. In the caller's transaction."""
    wanted = {one.sha256: one.document for one in needs}
    found = _ids_of(wanted)
    new = [NeedSet(sha256=sha256, document=wanted[sha256]) for sha256 in wanted.keys() - found.keys()]
    if new:
        NeedSet.objects.bulk_create(new, batch_size=MANY, ignore_conflicts=True)
        found |= _ids_of([one.sha256 for one in new])
    return found


def _ids_of(hashes: Iterable[str]) -> dict[str, int]:
    asked = list(hashes)
    found: dict[str, int] = {}
    for start in range(0, len(asked), MANY):
        part = asked[start : start + MANY]
        found |= dict(NeedSet.objects.filter(sha256__in=part).values_list("sha256", "pk"))
    return found


def write_lacks(servers: Sequence[KnownServer], needs: Mapping[int, Needs]) -> None:
    """What these nodes lack of these sets (by id), in the place of what was written of them before.

    In the caller's transaction. Where no node of a kind has everything of a set, their lists are asked for again.
    """
    written: dict[int, set[int]] = {}
    for server in servers:
        lacking = {
            needs_id: missing for needs_id, one in needs.items() if (missing := server.missing(one.all))
        }
        _replace(server.node.pk, needs, lacking)
        written[server.node.pk] = set(lacking)
    young = timezone.now() - timedelta(seconds=YOUNG_S)
    for kind in {server.node.kind for server in servers}:
        of_kind = [server for server in servers if server.node.kind == kind]
        if set.intersection(*(written[server.node.pk] for server in of_kind)):
            for server in of_kind:
                if server.read_at is not None and server.read_at < young:
                    want_catalog(server.node.pk, BEFORE_A_HOLD)


def renew_lacks(needs_ids: Collection[int]) -> None:
    """Look again at these sets, which may not have waited for long. In the caller's transaction."""
    if needs_ids:
        write_lacks(known_servers(), documents_of(list(needs_ids)))


def documents_of(needs_ids: Sequence[int]) -> dict[int, Needs]:
    return {
        needs_id: Needs.from_document(document)
        for part in _parts(needs_ids)
        for needs_id, document in NeedSet.objects.filter(pk__in=part).values_list("pk", "document")
    }


def recompute_lacks(node_id: int) -> bool:
    """Look again at what a node lacks of what waits: its catalog was stored, or the node was added or changed.

    Wakes the node where something became free for it. True when anything changed.
    """
    node = Node.objects.filter(pk=node_id).first()
    if node is None:
        return False
    needs = documents_of(waiting_sets())
    [server] = known_servers([node])
    lacking = {needs_id: missing for needs_id, one in needs.items() if (missing := server.missing(one.all))}
    before = dict(NodeLack.objects.filter(node=node).values_list("needs_id", "missing"))
    now = {needs_id: [one.as_json() for one in missing] for needs_id, missing in lacking.items()}
    if before == now:
        return False
    with transaction.atomic():
        _replace(node_id, [*before, *needs], lacking)
        touch()
    logger.info(
        "Node %s lacks something of %s sets of needs that wait; before it was %s.",
        node.name,
        len(now),
        len(before),
        extra={"event": "node.lacks", "node": node.name, "lacks": len(now), "before": len(before)},
    )
    if before.keys() - now.keys():
        wake(node)
    return True


def recompute_changed(servers: Sequence[KnownServer]) -> None:
    """Look again at those whose catalog was stored since these were read: what was written of them is older."""
    for now in known_servers([server.node for server in servers]):
        before = next(server for server in servers if server.node.pk == now.node.pk)
        if (now.read_at, now.is_known) != (before.read_at, before.is_known):
            recompute_lacks(now.node.pk)


def want_lists(by: str) -> list[str]:
    """A person wants the lists of every node read again that lacks something; the names of these nodes."""
    nodes = Node.objects.filter(lacks__isnull=False).distinct().order_by("name")
    for node in nodes:
        want_catalog(node.pk, f"{by} asked")
    touch()
    return [node.name for node in nodes]


def wake(node: Node) -> None:
    """Send a wake-up if something waits that this node can do."""
    runner_id = Runner.objects.filter(node=node).values_list("pk", flat=True).first()
    if runner_id is not None and work_is_waiting(node.pk, node.kind):
        kick(runner_id)


def release_checkpoint(node: Node, checkpoint: str = "", *, by: str) -> list[str]:
    """Let checkpoints that failed on this node again and again be tried there once more; their names."""
    runner_id = Runner.objects.filter(node=node).values_list("pk", flat=True).first()
    with transaction.atomic():
        names = trouble.release(node.pk, checkpoint)
        if names:
            recompute_lacks(node.pk)
            touch()
        if names and runner_id is not None:
            kick(runner_id)
    if names:
        logger.info(
            "%s lets node %s try %s again.",
            by,
            node.name,
            ", ".join(names),
            extra={"event": "checkpoint.released", "node": node.name, "by": by, "checkpoints": names},
        )
    return names


def _replace(node_id: int, judged: Iterable[int], lacking: Mapping[int, Sequence[Lack]]) -> None:
    """Of the sets that were judged, the node lacks these and no others."""
    for part in _parts([needs_id for needs_id in judged if needs_id not in lacking]):
        NodeLack.objects.filter(node_id=node_id, needs_id__in=part).delete()
    NodeLack.objects.bulk_create(
        (
            NodeLack(node_id=node_id, needs_id=needs_id, missing=[one.as_json() for one in missing])
            for needs_id, missing in lacking.items()
        ),
        batch_size=2_000,
        update_conflicts=True,
        unique_fields=("node", "needs"),
        update_fields=("missing", "known_at"),
    )


def _parts(ids: Sequence[int]) -> Iterable[list[int]]:
    return (list(ids[start : start + MANY]) for start in range(0, len(ids), MANY))

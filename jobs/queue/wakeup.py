"""Wake-up tokens: a django-q2 task carries no job, it only says "look at the queue".

Tokens may be lost or arrive twice; the claim decides what runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from django.db import transaction
from django.db.models import Case, QuerySet, Subquery, When
from django.db.models.functions import Now
from django_q.tasks import async_task

from jobs.composed import Composed
from jobs.lifecycle import JobStatus
from jobs.models import Job, NodeLack, QueueControl, Runner
from jobs.queue.deadlines import task_timeout_s
from jobs.queue.lanes import free_lanes
from jobs.queue.turns import HAS_PEERS, LACKS_SOMETHING, turns_of
from webui.work.limits import LIMITS

#: Nodes to which no wake-up is on its way: all others hear of new work anyway.
_ASLEEP = Composed(
    Runner.objects.filter(token_pending=False)
    .annotate(lacks=LACKS_SOMETHING, has_peers=HAS_PEERS)
    .order_by("pk")
    .values_list("pk", "node_id", "node__kind", "node__card", "lacks", "has_peers")
)


def cluster_name(node_name: str) -> str:
    """The django-q2 queue of a node's wake-ups, which its `run_node` reads."""
    return f"node-{node_name}"


def kick(runner_id: int) -> bool:
    """Send a wake-up unless one is pending; True when one was sent.

    Runs inside the caller's transaction, so that a wake-up is there exactly when its cause is.
    """
    with transaction.atomic():
        fresh = Runner.objects.filter(pk=runner_id, token_pending=False)
        if not fresh.update(token_pending=True, woken_at=Now()):
            return False
        send_token(Runner.objects.select_related("node").get(pk=runner_id))
        return True


def kick_all() -> None:
    """Work is new or the queue goes on: wake as many idle nodes of each kind as jobs wait, those whose turn it is.

    Where these are too few, everybody else as well: who is busy looks when its job ends, and who seems unable knows
    better itself. A node that is alone, in its kind and on its card, gives way to nobody: no turn is worked out.
    """
    take_turns = set()
    for runner_id, node_id, kind, card, lacks, has_peers in list(_ASLEEP):
        if has_peers or card:
            take_turns.add(kind)
        elif work_is_waiting(node_id, kind, lacks=lacks):
            kick(runner_id)
    for kind in sorted(take_turns):
        turns = turns_of(kind)
        _kick(turns.due)
        if turns.more_waits:
            _kick_if_fit((*turns.busy, *turns.unable))


def kick_others(kind: str, but: int | None = None) -> list[int]:
    """A woken node took nothing: wake those whose turn it is now, and have the busy ones look when they are done.

    None that seems unable: they would wake each other without an end. The runners that were woken.
    """
    turns = turns_of(kind)
    if turns.paused:
        return []
    woken = _kick(runner for runner in turns.due if runner.pk != but)
    if turns.more_waits:
        _kick_if_fit(runner for runner in turns.busy if runner.pk != but)
    return woken


def kick_card(job: Job) -> None:
    """A job has left its graphics card: wake the nodes of that card, its own last, so that each has its turn."""
    own_last = Case(When(node=job.node_id, then=1), default=0)
    of_card = Runner.objects.filter(node__card=job.card).order_by(own_last, "pk")
    _kick_if_fit(of_card.select_related("node").annotate(lacks=LACKS_SOMETHING))


def _kick(runners: Iterable[Runner]) -> list[int]:
    return [runner.pk for runner in runners if not runner.token_pending and kick(runner.pk)]


def _kick_if_fit(runners: Iterable[Runner]) -> None:
    """Wake those who can do something of what waits."""
    for runner in runners:
        lacks = getattr(runner, "lacks", None)
        if not runner.token_pending and work_is_waiting(runner.node_id, runner.node.kind, lacks=lacks):
            kick(runner.pk)


def kick_again(runner_id: int) -> None:
    """Replace a token that nobody answered."""
    with transaction.atomic():
        Runner.objects.filter(pk=runner_id).update(token_pending=True)
        send_token(Runner.objects.select_related("node").get(pk=runner_id))


def send_token(runner: Runner) -> None:
    how = {"timeout": task_timeout_s(runner.node.kind)} if runner.node.kind in LIMITS else {}
    async_task("jobs.tasks.run_next", runner.pk, cluster=cluster_name(runner.node.name), **how)


def work_is_waiting(node_id: int, kind: str, *, lacks: bool | None = None) -> bool:
    """Whether a job waits that this node can do. `lacks`: whether it lacks something, where that is known.

    One query where nothing waits or the node has everything and that is known; else one or two more.
    """
    if not kinds_that_wait([kind]):
        return False
    if lacks is None:
        lacks = NodeLack.objects.filter(node_id=node_id).exists()
    return not lacks or bool(free_lanes(node_id, kind, 1))


def kinds_that_wait(kinds: Iterable[str]) -> set[str]:
    """Those of which a job is queued; one query, none for no kinds."""
    asked = tuple(sorted(kinds))
    found: Mapping[str, int | None] = _heads_of(asked).get() if asked else {}
    return {kind for kind, head in found.items() if head is not None}


@cache
def _heads_of(kinds: tuple[str, ...]) -> QuerySet[QueueControl, Any]:
    """Composed once, because every look at the queue asks this."""
    queued = Job.objects.filter(status=JobStatus.QUEUED).order_by("priority", "position", "id")
    # In their order, which has an index: only to know whether there is one, PostgreSQL may read the whole table.
    heads = {kind: Subquery(queued.filter(kind=kind).values("pk")[:1]) for kind in kinds}
    return QueueControl.objects.filter(pk=QueueControl.SINGLETON_ID).values(**heads)

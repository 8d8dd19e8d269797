"""Wake-up tokens: a django-q2 task carries no job, it only says "look at the queue".

Tokens may be lost or arrive twice; the claim decides what runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from django.db import transaction
from django.db.models import Case, Exists, OuterRef, QuerySet, Subquery, When
from django_q.tasks import async_task

from jobs.lifecycle import JobStatus
from jobs.models import Job, NodeLack, QueueControl, Runner
from jobs.queue.lanes import free_lanes


def cluster_name(node_name: str) -> str:
    """The django-q2 queue of a node's wake-ups (`Q_CLUSTER_NAME` of its `run_node`)."""
    return f"node-{node_name}"


def kick(runner_id: int) -> bool:
    """Send a wake-up unless one is pending; True when one was sent.

    Runs inside the caller's transaction, so that a wake-up is there exactly when its cause is.
    """
    with transaction.atomic():
        fresh = Runner.objects.filter(pk=runner_id, token_pending=False)
        if not fresh.update(token_pending=True):
            return False
        send_token(Runner.objects.select_related("node").get(pk=runner_id))
        return True


def kick_all() -> None:
    """Wake every node for which work waits: it is new, or the queue goes on."""
    _kick(Runner.objects.order_by("pk"))


def kick_card(job: Job) -> None:
    """A job has left its graphics card: wake the nodes of that card, its own last, so that each has its turn."""
    own_last = Case(When(node=job.node_id, then=1), default=0)
    _kick(Runner.objects.filter(node__card=job.card).order_by(own_last, "pk"))


def _kick(runners: QuerySet[Runner]) -> None:
    idle = runners.filter(token_pending=False).annotate(lacks=LACKS_SOMETHING)
    for runner_id, node_id, kind, lacks in idle.values_list("pk", "node_id", "node__kind", "lacks"):
        if work_is_waiting(node_id, kind, lacks=lacks):
            kick(runner_id)


def kick_again(runner_id: int) -> None:
    """Replace a token that nobody answered."""
    with transaction.atomic():
        Runner.objects.filter(pk=runner_id).update(token_pending=True)
        send_token(Runner.objects.select_related("node").get(pk=runner_id))


def send_token(runner: Runner) -> None:
    async_task("jobs.tasks.run_next", runner.pk, cluster=cluster_name(runner.node.name))


#: Of a runner: its node lacks something that jobs need.
LACKS_SOMETHING = Exists(NodeLack.objects.filter(node_id=OuterRef("node_id")))


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

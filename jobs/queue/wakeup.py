"""Wake-up tokens: a django-q2 task carries no job, it only says "look at the queue".

Tokens may be lost or arrive twice; the claim decides what runs.
"""

from __future__ import annotations

from django.db import transaction
from django_q.tasks import async_task

from jobs.lifecycle import JobStatus
from jobs.models import Job, Runner


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
    """Wake every node: new work, or the queue goes on."""
    for runner_id in Runner.objects.filter(token_pending=False).order_by("pk").values_list("pk", flat=True):
        kick(runner_id)


def kick_again(runner_id: int) -> None:
    """Replace a token that nobody answered."""
    with transaction.atomic():
        Runner.objects.filter(pk=runner_id).update(token_pending=True)
        send_token(Runner.objects.select_related("node").get(pk=runner_id))


def send_token(runner: Runner) -> None:
    async_task("jobs.tasks.run_next", runner.pk, cluster=cluster_name(runner.node.name))


def work_is_waiting() -> bool:
    return Job.objects.filter(status=JobStatus.QUEUED).exists()

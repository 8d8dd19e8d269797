"""Remove a node that nothing refers to; what has run jobs stays, because the history tells of it."""

from __future__ import annotations

import logging

from django.db import transaction
from django.db.models import ProtectedError
from django_q.models import OrmQ

from jobs.errors import NodeStaysError
from jobs.models import Job, Runner, StageAttempt
from jobs.queue.control import touch
from jobs.queue.wakeup import cluster_name
from webui.models import Node, NodeState
from webui.nodes.change import described_by_settings
from webui.processes import process

logger = logging.getLogger(__name__)


def why_it_stays(node: Node) -> str:
    """Why this node cannot be removed, and what to do instead; empty when it can."""
    if described_by_settings(node):
        return (
            f"The settings describe node {node.name}: every start of the system would make it again. "
            "Change STABLENEW_WEBUI_URL and its like instead."
        )
    if _has_history(node):
        return (
            f"Jobs have run on {node.name}, and their history refers to it. "
            "Stop it instead: a stopped node takes no jobs."
        )
    if node.managed and (node.state != NodeState.STOPPED or process.family(process.identity_of(node))):
        return f"The {node.noun} of {node.name} is ours and not stopped. Stop it first, then remove the node."
    return ""


def remove_node(node: Node, *, by: str) -> None:
    """Removes it with its history of boots; its runner notices and leaves. Raises NodeStaysError.

    Nothing on its server is touched: somebody else keeps that running.
    """
    with transaction.atomic():
        node = Node.objects.select_for_update().get(pk=node.pk)
        problem = why_it_stays(node)
        if problem:
            raise NodeStaysError(problem)
        OrmQ.objects.filter(key=cluster_name(node.name)).delete()
        Runner.objects.filter(node_id=node.pk).delete()
        try:
            Node.objects.filter(pk=node.pk).delete()
        except ProtectedError as exc:  # a claim was faster
            raise NodeStaysError(f"A job has just been started on {node.name}: it stays.") from exc
        touch()
    logger.info(
        "Node %s removed by %s.", node.name, by, extra={"event": "node.removed", "node": node.name, "by": by}
    )


def _has_history(node: Node) -> bool:
    return any(rows.filter(node_id=node.pk).exists() for rows in (Job.objects, StageAttempt.objects))

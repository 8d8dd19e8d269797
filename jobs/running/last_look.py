"""Before a run's first request: what its node lacks by lists that have come since the claim's own knowledge."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from jobs.models import NodeLack
from jobs.queue.claims import Claim
from jobs.queue.fitness import recompute_lacks
from jobs.running.departures import LackingRun
from webui.books import surely
from webui.driver import Server
from webui.errors import WebUIError
from webui.keeper.catalog_reader import TIMEOUTS, read_lists
from webui.nodes.adding import takes_any_name

logger = logging.getLogger(__name__)

#: Of each node of this process, the reading from which what it lacks was worked out here.
_worked_out: Final[dict[int, datetime | None]] = {}


def look_at_lists(claim: Claim, connect: Callable[..., Server]) -> None:
    """Raises `LackingRun` where the node's lists say that it cannot run this job as it was asked for.

    The claim leaves out what a node lacks, which `run_node` works out up to a second after each reading. A server
    whose lists nobody has read yet is asked for them now, once: what then stays unknown is no lack.
    """
    node, needs_id = claim.node, claim.job.needs_id
    if needs_id is None:
        return
    kept = getattr(node, "catalog", None)
    read_at, problem = (kept.read_at, kept.problem) if kept is not None else (None, "")
    if read_at is None:
        if problem or takes_any_name(node):
            return
        try:
            read_lists(node, connect(node, timeouts=TIMEOUTS))
        except WebUIError as exc:
            logger.info("The lists of node %s could not be read before its first job: %s", node.name, exc)
            return
    elif _worked_out.get(node.pk) == read_at:
        return
    surely(recompute_lacks, node.pk)
    _worked_out[node.pk] = read_at
    if surely(NodeLack.objects.filter(node_id=node.pk, needs_id=needs_id).exists):
        raise LackingRun(node.name)

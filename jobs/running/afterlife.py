"""A request that outlives the process of ours which had sent it: some servers go on with it, and keep its result.

Such a job goes on where it is: the next process of its node takes it up (`jobs.queue.claims.hand_over`), sends the
request again under its id, and so gets its result without a second execution.
"""

from __future__ import annotations

import logging
from typing import Final

from jobs.models import Job, StageAttempt
from jobs.queue.claims import Claim
from jobs.running.requests import Unit
from webui.driver import UnknownDriverError, driver_of
from webui.models import Node, NodeState
from webui.nodes.connecting import ASK_TIMEOUTS, connect
from webui.work.told import Fate

logger = logging.getLogger(__name__)

STILL_THERE: Final = frozenset({Fate.RUNNING, Fate.DONE})


def request_that_goes_on(node: Node, job: Job) -> StageAttempt | None:
    """The open request of the job's lost run, where its server still works on it or has its result.

    Asks the server, so never within a transaction; raises nothing.
    """
    try:
        repeatable = node.state == NodeState.READY and driver_of(node.driver).repeatable
        if not repeatable or job.run_token is None:
            return None
        sent = StageAttempt.objects.filter(job=job, run_token=job.run_token, ended_at=None)
        last = sent.filter(node=node, node_generation=node.generation).order_by("-id").first()
        if last is None or connect(node, timeouts=ASK_TIMEOUTS).fate_of(last.task_id) not in STILL_THERE:
            return None
    except (UnknownDriverError, ValueError) as exc:
        logger.warning("Node %s was not asked for its request: %s", node.name, exc)
        return None
    return last


def lost_request(claim: Claim, unit: Unit) -> StageAttempt | None:
    """The request that the claim has to take up, where this unit is what it was sent for."""
    lost = claim.lost
    if lost is None or (lost.stage_index, lost.image_index) != (unit.stage_index, unit.image_index):
        return None
    return lost

"""A request whose answer was lost may still be generating: nothing else runs on its node until it is over."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from jobs.models import Runner
from jobs.queue.identity import SUPERVISOR
from jobs.queue.wakeup import kick
from webui.driver import UnknownDriverError
from webui.errors import WebUIError
from webui.models import NodeState, Wish
from webui.nodes.connecting import connect
from webui.nodes.wishes import wish

logger = logging.getLogger(__name__)


def settle(runner: Runner) -> None:
    """One look at a node that must be quiet: interrupt our own leftover, and let claims go on when it is over.

    After `STABLENEW_QUIET_S` a managed WebUI is restarted, charged to nobody; an attached one is waited for until it
    reads idle: a request that failed there stays "active" until the next one begins, and none would begin.
    """
    node = runner.node
    if node.state != NodeState.READY:
        return
    if runner.quiet_since is None:
        Runner.objects.filter(pk=runner.pk).update(quiet_since=timezone.now())
        runner.quiet_since = timezone.now()
    own = node.managed and not node.adopted_foreign
    if own and node.last_ready_at is not None and node.last_ready_at > runner.quiet_since:
        _is_quiet(runner, "it was restarted")
        return
    late = timezone.now() - runner.quiet_since > timedelta(seconds=settings.STABLENEW_QUIET_S)
    try:
        server = connect(node)
        over = server.end_leftover(runner.suspect_task_id, alone=node.managed)
        over = over or (late and not node.managed and server.progress().idle)
    except (WebUIError, UnknownDriverError) as exc:
        logger.info("Node %s does not say whether it is quiet: %s", node.name, exc)
        over = False
    if over:
        _is_quiet(runner, "the leftover request ended")
    elif late and node.managed:
        reason = "A request whose answer was lost did not end."
        wish(node.pk, Wish.RESTART, by=SUPERVISOR, reason=reason, generation=node.generation)


def _is_quiet(runner: Runner, why: str) -> None:
    Runner.objects.filter(pk=runner.pk).update(must_quiet=False, quiet_since=None, suspect_task_id="")
    logger.info(
        "Node %s is quiet again: %s.",
        runner.node.name,
        why,
        extra={"event": "node.quiet", "node": runner.node.name},
    )
    kick(runner.pk)

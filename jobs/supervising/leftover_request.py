"""A request whose answer was lost may still be generating: nothing else runs on its node until it is over."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from jobs.models import Runner
from jobs.queue.wakeup import kick
from webui.driver import UnknownDriverError
from webui.errors import WebUIError
from webui.models import NodeState, Wish
from webui.nodes.asking import SUPERVISOR
from webui.nodes.connecting import connect
from webui.nodes.wishes import wish
from webui.processes.process import end, family, identity_of

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5


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
        reason = "a request whose answer was lost did not end"
        wish(node.pk, Wish.RESTART, by=SUPERVISOR, reason=reason, generation=node.generation)


def end_now(
    runner: Runner,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """End the leftover request of a node of this machine that nobody runs; False where it may still go on.

    A server of our own that has not let go of it after `STABLENEW_QUIET_S` is ended: its keeper starts it again.
    """
    node, until_s = runner.node, clock() + settings.STABLENEW_QUIET_S
    try:
        server = connect(node)
        while (
            not (over := server.end_leftover(runner.suspect_task_id, alone=node.managed))
            and clock() < until_s
        ):
            sleep(LOOK_EVERY_S)
    except (WebUIError, UnknownDriverError) as exc:
        logger.info("Node %s does not say whether it is quiet: %s", node.name, exc)
        over = False
    if not over and node.managed and not node.adopted_foreign:
        identity = identity_of(node)
        over = not family(identity) or not end(identity, grace_s=settings.STABLENEW_STOP_GRACE_S).remaining
    if over:
        _is_quiet(runner, "the leftover request ended")
    return over


def _is_quiet(runner: Runner, why: str) -> None:
    Runner.objects.filter(pk=runner.pk).update(must_quiet=False, quiet_since=None, suspect_task_id="")
    logger.info(
        "Node %s is quiet again: %s.",
        runner.node.name,
        why,
        extra={"event": "node.quiet", "node": runner.node.name},
    )
    kick(runner.pk)

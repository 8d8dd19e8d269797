"""Verbs on the table of WebUI servers: add one, wish something of its keeper, wait until it is ready.

Here only configuration and wish columns are written; what a node does is written by its keeper.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from functools import partial

from django.conf import settings
from django.db.models import F, Q
from django.utils import timezone

from webui.books import insist, surely
from webui.models import Node, NodeState, Wish
from webui.nodes import start_backoff
from webui.nodes.asking import KEEPER, named, opening
from webui.nodes.spec import NodeRefusedError as NodeRefusedError
from webui.nodes.spec import NodeSpec as NodeSpec
from webui.words import ended

logger = logging.getLogger(__name__)

WAIT_POLL_S = 0.1
NO_WISH: dict[str, object] = {
    "wish": "",
    "wish_generation": None,
    "wish_by": "",
    "wish_reason": "",
    "wish_after_job": False,
    "wish_at": None,
}
HEEDED_WISH = {
    field: value for field, value in NO_WISH.items() if field in ("wish", "wish_after_job", "wish_at")
}


def wish(
    node_id: int,
    wanted: Wish,
    *,
    by: str,
    reason: str,
    generation: int | None = None,
    after_job: bool = False,
) -> bool:
    """Asks the node's keeper for something. False when the ask comes too late or has no point:

    the generation that the wisher saw is over (so a restart asked for twice happens once), or a restart is
    asked of a node that a person wants stopped (ask for RUN instead). Without `generation`, RUN and STOP hold
    for whatever runs, and RESTART for the generation of this moment; RUN always does, as the generation of a
    node that cannot start rises with every try. A restart `after_job` waits until the
    running job has ended; one without does not, and takes the place of one that waits.
    """
    rows = Node.objects.filter(pk=node_id)
    if wanted == Wish.RUN:
        generation = None
    if generation is not None:
        rows = rows.filter(generation=generation)
    if wanted == Wish.RESTART:
        rows = rows.exclude(wish=Wish.STOP)
    granted = _granted_already(wanted, after_job=after_job)
    seen = F("generation") if wanted == Wish.RESTART and generation is None else generation
    written = rows.exclude(granted).update(
        wish=wanted,
        wish_generation=seen,
        wish_by=by[:150],
        wish_reason=reason[:300],
        wish_after_job=after_job,
        wish_at=timezone.now(),
    )
    if written:
        logger.info(
            "%s asks node %d to %s%s: %s",
            opening(by),
            node_id,
            wanted.value,
            " after its job" if after_job else "",
            ended(reason),
            extra={"event": "node.wish", "node_id": node_id, "wish": wanted.value, "by": by},
        )
    return bool(written) or rows.filter(granted).exists()


def _granted_already(wanted: Wish, *, after_job: bool) -> Q:
    """Rows whose pending restart brings what is wanted: a restart at once is made neither softer nor undone."""
    pending = Q(wish=Wish.RESTART, wish_generation=F("generation"))
    if wanted == Wish.RUN:
        return pending
    if wanted == Wish.RESTART and after_job:
        return pending & Q(wish_after_job=False)
    return Q(pk__in=())


def clear_wish(node: Node, *, heeded: bool = False) -> bool:
    """Removes the wish that this row had when it was read; False if a newer one has taken its place.

    Of one that was `heeded`, who wished it and for which generation stays: `wished_away` asks that.
    """
    same = {field: getattr(node, field) for field in ("wish", "wish_generation", "wish_after_job", "wish_at")}
    emptied = HEEDED_WISH if heeded else NO_WISH
    cleared = Node.objects.filter(pk=node.pk, **same).update(**emptied)
    if cleared:
        for field, value in emptied.items():
            setattr(node, field, value)
    return bool(cleared)


def in_vain(node: Node) -> None:
    """A restart was heeded and did not come about: whoever waits for it goes on with the same generation."""
    Node.objects.filter(pk=node.pk, wish="", wish_generation=node.generation).update(wish_by=KEEPER)


def was_in_vain(node: Node) -> bool:
    """Whether the last restart of this generation that somebody wished came to nothing."""
    return not node.wish and node.wish_by == KEEPER and node.wish_generation == node.generation


def wished_away(node: Node, *, except_by: Collection[str]) -> bool:
    """Whether somebody else than these wished the end of the boot that `node` shows, heeded or not."""
    pending = Q(wish__in=(Wish.STOP, Wish.RESTART))
    heeded = Q(wish="", wish_generation=node.generation)
    wished = Node.objects.filter(pk=node.pk).filter(pending | heeded)
    return wished.exclude(wish_by__in=(*except_by, KEEPER)).exists()


def restart_and_wait_ready(
    node_id: int,
    timeout_s: float | None = None,
    *,
    by: str = "a person",
    reason: str = "a restart was asked for",
    generation: int | None = None,
    waiting: Callable[[], bool] | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Wishes a restart, waits, and returns the generation that is READY; 0 if none came to be. It is a later one, or
    the same where nobody could restart the server and it answers all the same.

    `generation` is the one that misbehaved (default: the present one): if it is over already, nothing is
    wished and only its successor awaited. 0, with the reason in the log, when `timeout_s` is over (default:
    as long as the keeper's tries may take), the node is stopped, the tries have failed, or `waiting`, asked
    every 0.1 s, says no. Needs a keeper that looks after the node.
    """
    rows = Node.objects.all()
    node = surely(rows.get, pk=node_id)
    seen = node.generation if generation is None else generation
    timeout_s = _patience_s(node) if timeout_s is None else timeout_s
    wish_again = partial(wish, node_id, Wish.RESTART, by=by, reason=reason, generation=seen)
    insist(wish_again)
    deadline = clock() + timeout_s
    while True:
        node = surely(rows.get, pk=node_id)
        if node.state == NodeState.READY and node.generation > seen:
            return node.generation
        if node.state == NodeState.READY and node.generation == seen and was_in_vain(node):
            return node.generation
        if node.state == NodeState.READY and node.generation == seen and not node.wish:
            # Somebody took the wish back, and could not know that a job waits for it.
            insist(wish_again)
        over = _why_not(node)
        if not over and clock() >= deadline:
            over = f"the {timeout_s:g} s for it are over"
        if not over and waiting is not None and not waiting():
            over = "nobody waits for it any more"
        if over:
            logger.warning(
                "Node %s is not ready after the restart, %s: %s",
                node.name,
                over,
                node.state_reason,
                extra={"event": "node.restart_failed", "node": node.name, "generation": node.generation},
            )
            return 0
        sleep(WAIT_POLL_S)


def _why_not(node: Node) -> str:
    """Why waiting for READY has no point any more; empty while it has."""
    if node.wish == Wish.STOP:
        return f"{named(node.wish_by)} stops it"
    if node.failed_starts >= start_backoff.START_TRIES and node.wish != Wish.RESTART:
        return f"{node.failed_starts} tries have failed"
    return ""


def _patience_s(node: Node) -> float:
    ready_s: float = settings.STABLENEW_READY_TIMEOUT_S
    if not node.managed:
        return ready_s
    return start_backoff.all_tries_s(ready_s, settings.STABLENEW_STOP_GRACE_S)


def restart_webui(node_id: int) -> int:
    """`restart_and_wait_ready` with its defaults."""
    return restart_and_wait_ready(node_id)

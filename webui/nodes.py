"""Verbs on the table of WebUI servers: add one, wish something of its keeper, wait until it is ready.

Here only configuration and wish columns are written; what a node does is written by its keeper.
"""

from __future__ import annotations

import logging
import shlex
import sys
import time
from collections.abc import Callable, Collection

from django.conf import settings
from django.db.models import F, Q
from django.utils import timezone

from webui import ports, tries
from webui.models import Node, NodeState, Wish
from webui.node_spec import NodeRefusedError as NodeRefusedError
from webui.node_spec import NodeSpec as NodeSpec
from webui.node_spec import check_spec, command_problem
from webui.restart_means import restart_means as restart_means

logger = logging.getLogger(__name__)

DEFAULT_URL = "http://127.0.0.1:7860"
DEFAULT_NAME = "webui"
SIMULATOR_NAME = "simulator"
PORT_PLACEHOLDER = "{port}"
"""A word of a simulated node's command: the port of its address, which may change from boot to boot."""
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


def add_node(
    name: str,
    base_url: str,
    *,
    start_command: str = "",
    working_directory: str = "",
    api_auth: str = "",
    simulated: bool = False,
    restart_command: str = "",
) -> Node:
    """Adds a server; raises NodeRefusedError if something of it is wrong or the name is taken."""
    spec = NodeSpec(
        name, base_url, start_command, working_directory, api_auth, simulated, restart_command=restart_command
    )
    return _add(spec)


def _add(given: NodeSpec) -> Node:
    spec = check_spec(given)
    node, created = Node.objects.get_or_create(name=spec.name, defaults=spec.configuration())
    if not created:
        raise NodeRefusedError(
            f"There is a node {node.name} already, at {node.base_url}. Give another name.", "name"
        )
    logger.info("Node %s added.", node.name, extra={"event": "node.added", "node": node.name})
    return node


def ensure_default_node() -> Node:
    """The node that the settings describe: an address, a start command, or else the embedded simulator.

    Adds it or brings its configuration up to date; where a running one changed, it is asked to restart.
    Raises NodeRefusedError if a setting is wrong.
    """
    spec = check_spec(_default_spec())
    node = Node.objects.filter(name=spec.name).first()
    if node is None:
        return _add(spec)
    changed = {field: value for field, value in spec.configuration().items() if getattr(node, field) != value}
    if changed:
        Node.objects.filter(pk=node.pk).update(**changed)
        if node.state != NodeState.STOPPED and set(changed) != {"restart_command"}:
            wish(
                node.pk,
                Wish.RESTART,
                by="settings",
                reason="the settings changed",
                generation=node.generation,
            )
        node.refresh_from_db()
    return node


def _default_spec() -> NodeSpec:
    url, command = settings.STABLENEW_WEBUI_URL, settings.STABLENEW_WEBUI_COMMAND
    if url or command:
        return NodeSpec(
            DEFAULT_NAME,
            url or DEFAULT_URL,
            command,
            api_auth=settings.STABLENEW_WEBUI_AUTH,
            restart_command="" if command else settings.STABLENEW_WEBUI_RESTART_COMMAND,
        )
    known = Node.objects.filter(name=SIMULATOR_NAME, simulated=True).first()
    address = known.base_url if known else f"http://127.0.0.1:{ports.free_port()}"
    return simulator_spec(SIMULATOR_NAME, address)


def simulator_spec(name: str, address: str) -> NodeSpec:
    """A node served by the embedded simulator, with the options of the settings."""
    options = settings.STABLENEW_SIMULATOR_OPTIONS
    problem = command_problem(options)
    if problem:
        raise NodeRefusedError(f"STABLENEW_SIMULATOR_OPTIONS: {problem}")
    command = [sys.executable, "-m", "webui.simulator", "--port", PORT_PLACEHOLDER, *shlex.split(options)]
    return NodeSpec(
        name,
        address,
        start_command=shlex.join(command),
        working_directory=str(settings.BASE_DIR),
        api_auth=settings.STABLENEW_WEBUI_AUTH,
        simulated=True,
    )


def command_words(node: Node) -> list[str]:
    """The command to start, in words."""
    words = shlex.split(node.start_command)
    if node.simulated:
        port = str(ports.endpoint(node.base_url)[1])
        words = [port if word == PORT_PLACEHOLDER else word for word in words]
    return words


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
            "%s asks node %d to %s%s: %s.",
            by,
            node_id,
            wanted.value,
            " after its job" if after_job else "",
            reason,
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


def wished_away(node: Node, *, except_by: Collection[str]) -> bool:
    """Whether somebody else than these wished the end of the boot that `node` shows, heeded or not."""
    pending = Q(wish__in=(Wish.STOP, Wish.RESTART))
    heeded = Q(wish="", wish_generation=node.generation)
    wished = Node.objects.filter(pk=node.pk).filter(pending | heeded)
    return wished.exclude(wish_by__in=except_by).exists()


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
    """Wishes a restart, waits, and returns the later generation that is READY; 0 if none came to be.

    `generation` is the one that misbehaved (default: the present one): if it is over already, nothing is
    wished and only its successor awaited. 0, with the reason in the log, when `timeout_s` is over (default:
    as long as the keeper's tries may take), the node is stopped, the tries have failed, or `waiting`, asked
    every 0.1 s, says no. Needs a keeper that looks after the node.
    """
    node = Node.objects.get(pk=node_id)
    seen = node.generation if generation is None else generation
    timeout_s = _patience_s(node) if timeout_s is None else timeout_s
    wish(node_id, Wish.RESTART, by=by, reason=reason, generation=seen)
    deadline = clock() + timeout_s
    while True:
        node = Node.objects.get(pk=node_id)
        if node.state == NodeState.READY and node.generation > seen:
            return node.generation
        if node.state == NodeState.READY and node.generation == seen and not node.wish:
            # Somebody took the wish back, and could not know that a job waits for it.
            wish(node_id, Wish.RESTART, by=by, reason=reason, generation=seen)
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
        return f"{node.wish_by} stops it"
    if node.failed_starts >= tries.START_TRIES and node.wish != Wish.RESTART:
        return f"{node.failed_starts} tries have failed"
    return ""


def _patience_s(node: Node) -> float:
    ready_s: float = settings.STABLENEW_READY_TIMEOUT_S
    if not node.managed:
        return ready_s
    return tries.all_tries_s(ready_s, settings.STABLENEW_STOP_GRACE_S)


def restart_webui(node_id: int) -> int:
    """`restart_and_wait_ready` with its defaults."""
    return restart_and_wait_ready(node_id)

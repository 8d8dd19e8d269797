"""Simulated workers that stand in for films and edits where nobody has a real one, and step back when one comes.

Nothing is started here: `adding` writes their rows, and their keepers start them.
"""

from __future__ import annotations

import logging
import shlex
import sys
from typing import Final

from django.conf import settings

from webui.driver import PORT_PLACEHOLDER
from webui.http import ports
from webui.kinds import WorkKind
from webui.models import Node, Wish
from webui.nodes.asking import SETTINGS
from webui.nodes.spec import NodeRefusedError, NodeSpec, command_problem, usual_driver
from webui.nodes.wishes import wish

logger = logging.getLogger(__name__)

STAND_INS: Final = {WorkKind.I2V.value: "simulator-films", WorkKind.EDIT.value: "simulator-edits"}
"""Kind of work -> name of the node."""


def step_back(kind: str, because: str) -> list[Node]:
    """Stops the stand-ins of this kind, so that they take no work that a real worker is there for."""
    stopped = []
    for node in Node.objects.filter(simulated=True, kind=kind, name__in=STAND_INS.values()):
        if wish(node.pk, Wish.STOP, by=SETTINGS, reason=because):
            stopped.append(node)
            logger.info(
                "Node %s stops: %s", node.name, because, extra={"event": "node.stand_in", "node": node.name}
            )
    return stopped


def step_in(node: Node) -> None:
    """A stand-in that had stepped back is wanted again."""
    if node.wish == Wish.STOP and node.wish_by == SETTINGS:
        wish(node.pk, Wish.RUN, by=SETTINGS, reason="there is no real worker any more")


def wanted_kinds() -> tuple[str, ...]:
    """Those for which a stand-in is to be added: none where any real server is known, as that one has an owner who
    would take what a simulator makes for real work.
    """
    if (
        not settings.STABLENEW_SIMULATE_WORKERS
        or settings.STABLENEW_WEBUI_URL
        or settings.STABLENEW_WEBUI_COMMAND
    ):
        return ()
    return () if Node.objects.filter(simulated=False).exists() else tuple(STAND_INS)


def stand_in_spec(kind: str, address: str = "") -> NodeSpec:
    """Raises NodeRefusedError if the setting of its options is wrong."""
    options = settings.STABLENEW_SIMULATOR_WORKER_OPTIONS
    problem = command_problem(options)
    if problem:
        raise NodeRefusedError(f"STABLENEW_SIMULATOR_WORKER_OPTIONS: {problem}")
    command = [sys.executable, "-m", "webui.simulator", "--kind", kind, "--port", PORT_PLACEHOLDER]
    return NodeSpec(
        STAND_INS[kind],
        address or f"http://127.0.0.1:{ports.free_port()}",
        start_command=shlex.join([*command, *shlex.split(options)]),
        working_directory=str(settings.BASE_DIR),
        simulated=True,
        kind=kind,
        driver=usual_driver(kind),
    )

"""Add WebUI servers: by hand, or the one that the settings describe. Nothing is started here."""

from __future__ import annotations

import logging
import shlex
import sys
from dataclasses import replace

from django.conf import settings

from webui.driver import PORT_PLACEHOLDER, driver_of
from webui.http import ports
from webui.kinds import WorkKind
from webui.models import Node, NodeState, Wish
from webui.nodes.spec import NodeRefusedError, NodeSpec, check_spec, command_problem
from webui.nodes.wishes import wish
from webui.work.unit import DEFAULT_DRIVER

logger = logging.getLogger(__name__)

DEFAULT_URL = "http://127.0.0.1:7860"


DEFAULT_NAME = "webui"


SIMULATOR_NAME = "simulator"
#: The simulator's option to pretend that all is installed that a request names.
ANY_NAME = "--any-name"


def add_node(
    name: str,
    base_url: str,
    *,
    start_command: str = "",
    working_directory: str = "",
    api_auth: str = "",
    simulated: bool = False,
    restart_command: str = "",
    kind: str = WorkKind.IMAGE,
    card: str = "",
    driver: str = DEFAULT_DRIVER,
) -> Node:
    """Adds a server; raises NodeRefusedError if something of it is wrong or the name is taken."""
    spec = NodeSpec(
        name,
        base_url,
        start_command,
        working_directory,
        api_auth,
        simulated,
        restart_command,
        kind,
        card,
        driver,
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

    Adds it or brings its configuration up to date; where a running one changed, it is asked to restart. The settings
    do not say what it takes and which card it uses, so that stays.
    Raises NodeRefusedError if a setting is wrong.
    """
    spec = check_spec(_default_spec())
    node = Node.objects.filter(name=spec.name).first()
    if node is None:
        return _add(spec)
    spec = replace(spec, kind=node.kind, card=node.card)
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
    """The command to start, in words, as its driver says them. Raises UnknownDriverError."""
    port = ports.endpoint(node.base_url)[1] if node.simulated else None
    return driver_of(node.driver).start_words(shlex.split(node.start_command), port)


def takes_any_name(node: Node) -> bool:
    """The embedded simulator stands in for a server that has whatever a newcomer's packs name."""
    return node.simulated and ANY_NAME in shlex.split(node.start_command)

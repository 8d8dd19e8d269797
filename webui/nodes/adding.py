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
from webui.nodes.asking import SETTINGS
from webui.nodes.spec import NodeRefusedError, NodeSpec, check_spec, command_problem, usual_driver
from webui.nodes.stand_ins import STAND_INS, stand_in_spec, step_back, step_in, wanted_kinds
from webui.nodes.wishes import wish

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
    driver: str = "",
) -> Node:
    """Adds a server; raises NodeRefusedError if something of it is wrong or the name is taken.

    Without a `driver` it is the usual one of the kind.
    """
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
        driver or usual_driver(kind),
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
    if not node.simulated:
        step_back(node.kind, f"node {node.name} takes this work")
    return node


def ensure_stand_ins() -> list[Node]:
    """The simulated workers for films and edits that this installation is to have, and only while nobody has real ones.

    Adds them to an installation without any real server, brings their command up to date, and lets those step back
    whose kind a real node takes. Raises NodeRefusedError if a setting is wrong.
    """
    wanted, serving = wanted_kinds(), []
    for kind, name in STAND_INS.items():
        node = Node.objects.filter(name=name, simulated=True).first()
        if node is None and kind in wanted:
            if not Node.objects.filter(name=name).exists():
                serving.append(_add(stand_in_spec(kind)))
            continue
        if node is None:
            continue
        real = Node.objects.filter(kind=kind, simulated=False).first()
        if real is not None or not settings.STABLENEW_SIMULATE_WORKERS:
            step_back(
                kind, f"node {real.name} takes this work" if real else "STABLENEW_SIMULATE_WORKERS is off"
            )
            continue
        spec = check_spec(replace(stand_in_spec(kind, node.base_url), card=node.card))
        _bring_up_to_date(node, spec)
        step_in(node)
        serving.append(node)
    return serving


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
    _bring_up_to_date(node, replace(spec, kind=node.kind, card=node.card))
    node.refresh_from_db()
    return node


def _bring_up_to_date(node: Node, spec: NodeSpec) -> None:
    """Where a running one changed, it is asked to restart."""
    changed = {field: value for field, value in spec.configuration().items() if getattr(node, field) != value}
    if changed:
        Node.objects.filter(pk=node.pk).update(**changed)
        if node.state != NodeState.STOPPED and set(changed) != {"restart_command"}:
            wish(
                node.pk,
                Wish.RESTART,
                by=SETTINGS,
                reason="the settings changed",
                generation=node.generation,
            )


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

"""Change a node: what it takes and its card; and how it is reached, unless the settings or a start command say that."""

from __future__ import annotations

import logging
from dataclasses import fields

from django.conf import settings
from django.db import transaction

from webui.http import ports
from webui.kinds import WorkKind
from webui.models import Node, NodeState, Wish
from webui.nodes.adding import DEFAULT_NAME, SIMULATOR_NAME
from webui.nodes.asking import SETTINGS
from webui.nodes.spec import NodeRefusedError, NodeSpec, check_spec
from webui.nodes.stand_ins import step_back
from webui.nodes.wishes import wish
from webui.typed_command import typed

logger = logging.getLogger(__name__)

DESCRIBED = (
    "The settings describe node {name}: every start of the system brings it back to them. "
    "Change STABLENEW_WEBUI_URL and its like instead, and start it again."
)


def change_node(
    node: Node,
    *,
    base_url: str | None = None,
    api_auth: str | None = None,
    restart_command: str | None = None,
    kind: str | None = None,
    card: str | None = None,
    driver: str | None = None,
    start_command: str | None = None,
    working_directory: str | None = None,
) -> Node:
    """Changes what is given: None leaves a part as it is, "" empties it.

    Address, credentials, restart command and driver change of an attached server only (`why_not_changed`), start
    command and folder of one that we start (`why_command_stays`). Its keeper goes to a new address by itself; a new
    command counts from the next start on. Credentials belong to the address that they were given for: with a new one
    they must be given, or emptied. A running job keeps the card that it was claimed with. With another kind one that
    we start takes no more jobs and is restarted after its running one. Raises NodeRefusedError.
    """
    reached = {
        "base_url": base_url,
        "api_auth": api_auth,
        "restart_command": restart_command,
        "driver": driver,
    }
    started = {"start_command": start_command, "working_directory": working_directory}
    parts = {**reached, **started, "kind": kind, "card": card}
    given = {field: value for field, value in parts.items() if value is not None}
    for fields_of, problem in ((reached, why_not_changed(node)), (started, why_command_stays(node))):
        if problem and given.keys() & fields_of.keys():
            raise NodeRefusedError(problem)
    now = {field.name: getattr(node, field.name) for field in fields(NodeSpec)}
    spec = check_spec(NodeSpec(**{**now, **given}))
    if api_auth is None and node.api_auth and not same_server(spec.base_url, node.base_url):
        raise NodeRefusedError(
            f"The user and password of node {node.name} were given for {node.base_url}. "
            "Give those of the new address, or none.",
            "api_auth",
        )
    columns = spec.configuration()
    changed = {field: value for field, value in columns.items() if getattr(node, field) != value}
    if changed:
        with transaction.atomic():
            Node.objects.filter(pk=node.pk).update(**changed)
            if "kind" in changed and node.managed and node.state != NodeState.STOPPED:
                # In the same moment: no job of the new kind may meet a server of the old one.
                _restart_after_job(node, spec.kind)
        node.refresh_from_db()
        logger.info(
            "Node %s changed: %s.",
            node.name,
            ", ".join(sorted(changed)),
            extra={"event": "node.changed", "node": node.name, "fields": sorted(changed)},
        )
        if "kind" in changed and not node.simulated:
            step_back(node.kind, f"node {node.name} takes this work")
    return node


def _restart_after_job(node: Node, kind: str) -> None:
    reason = f"it takes {WorkKind(kind).label.lower()} now"
    generation = node.generation
    wish(node.pk, Wish.RESTART, by=SETTINGS, reason=reason, generation=generation, after_job=True)


def why_not_changed(node: Node) -> str:
    """Why its address and credentials are not changed by people; empty when they may be."""
    if described_by_settings(node):
        return DESCRIBED.format(name=node.name)
    if node.managed:
        return (
            f"We start the {node.noun} of node {node.name} by its command, which its address belongs to. "
            f"To change it, add it under another name with: {typed('node add')}"
        )
    return ""


def why_command_stays(node: Node) -> str:
    """Why people give it no other start command; empty when they may."""
    if described_by_settings(node):
        return DESCRIBED.format(name=node.name)
    add = f"To have a worker of ours, add it under another name with: {typed('node add')}"
    if node.simulated:
        return f"Node {node.name} is simulated and has no configuration of its own. {add}"
    if not node.managed:
        return (
            f"Somebody else keeps the server of node {node.name} running. Change its configuration where it is "
            f"started. {add}"
        )
    return ""


def described_by_settings(node: Node) -> bool:
    """`ensure_default_node` makes it, and would make it again."""
    configured = settings.STABLENEW_WEBUI_URL or settings.STABLENEW_WEBUI_COMMAND
    return node.name == (DEFAULT_NAME if configured else SIMULATOR_NAME)


def same_server(one: str, other: str) -> bool:
    """Whether two addresses lead to one program: scheme, host and port are the same."""
    schemes = {url.strip().partition(":")[0].lower() for url in (one, other)}
    return len(schemes) == 1 and ports.endpoint(one) == ports.endpoint(other)

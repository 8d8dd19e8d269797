"""Change a node: what it takes and its card; and how it is reached, unless the settings or a start command say that."""

from __future__ import annotations

import logging
from dataclasses import fields

from django.conf import settings

from webui.http import ports
from webui.models import Node
from webui.nodes.adding import DEFAULT_NAME, SIMULATOR_NAME
from webui.nodes.spec import NodeRefusedError, NodeSpec, check_spec
from webui.typed_command import typed

logger = logging.getLogger(__name__)


def change_node(
    node: Node,
    *,
    base_url: str | None = None,
    api_auth: str | None = None,
    restart_command: str | None = None,
    kind: str | None = None,
    card: str | None = None,
    driver: str | None = None,
) -> Node:
    """Changes what is given: None leaves a part as it is, "" empties it.

    Address, credentials, restart command and driver change of an attached server only (`why_not_changed`). Its keeper
    goes to a new address by itself. Credentials belong to the address that they were given for: with a new one they
    must be given, or emptied. A running job keeps the card that it was claimed with. Raises NodeRefusedError.
    """
    reached = {
        "base_url": base_url,
        "api_auth": api_auth,
        "restart_command": restart_command,
        "driver": driver,
    }
    given = {
        field: value for field, value in {**reached, "kind": kind, "card": card}.items() if value is not None
    }
    problem = why_not_changed(node)
    if problem and given.keys() & reached.keys():
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
        Node.objects.filter(pk=node.pk).update(**changed)
        node.refresh_from_db()
        logger.info(
            "Node %s changed: %s.",
            node.name,
            ", ".join(sorted(changed)),
            extra={"event": "node.changed", "node": node.name, "fields": sorted(changed)},
        )
    return node


def why_not_changed(node: Node) -> str:
    """Why its address and credentials are not changed by people; empty when they may be."""
    if described_by_settings(node):
        return (
            f"The settings describe node {node.name}: every start of the system brings it back to them. "
            "Change STABLENEW_WEBUI_URL and its like instead, and start it again."
        )
    if node.managed:
        return (
            f"We start the WebUI of node {node.name} by its command, which its address belongs to. "
            f"To change it, add it under another name with: {typed('node add')}"
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

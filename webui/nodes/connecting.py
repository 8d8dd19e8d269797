"""The one way from a node's row to its server: by its driver, at its address, with its password or token."""

from __future__ import annotations

import hashlib

from webui.driver import TOKEN_USER, Server, UnknownDriverError, driver_of
from webui.models import Node
from webui.work.timeouts import DEFAULT_TIMEOUTS, Timeouts

ASK_TIMEOUTS = Timeouts(connect_s=2.0, progress_s=5.0, small_s=5.0)
"""For small questions that nobody should wait for."""


def connect(node: Node, *, timeouts: Timeouts = DEFAULT_TIMEOUTS) -> Server:
    """Nothing is sent yet. Raises UnknownDriverError where the node names a driver that is not here."""
    return driver_of(node.driver).connect(node.base_url, auth=credentials_of(node), timeouts=timeouts)


def follow(server: Server, node: Node) -> None:
    """From now on it means the boot that the row shows, at its address and with its token."""
    server.base_url, server.auth = node.base_url, credentials_of(node)


def credentials_of(node: Node) -> tuple[str, str] | None:
    """What its server asks for: the token of its boot where we start it, else what was given for it."""
    token = token_of(node)
    return (TOKEN_USER, token) if token else node.auth


def token_of(node: Node) -> str:
    """The token of this boot of a server that we start; "" where it wants none, or somebody else has started it."""
    return _token(node) if _variable(node) and node.managed and node.nonce else ""


def token_environment(node: Node) -> dict[str, str]:
    """What a server that is about to start finds in its environment."""
    token = token_of(node)
    return {_variable(node): token} if token else {}


def _token(node: Node) -> str:
    """Another one for each start, and nothing that is written down: the nonce alone leads to it."""
    return hashlib.sha256(f"token of a worker: {node.nonce}".encode()).hexdigest()


def _variable(node: Node) -> str:
    try:
        return driver_of(node.driver).token_variable
    except UnknownDriverError:
        return ""

"""The one way from a node's row to its server: by its driver, at its address, with its password."""

from __future__ import annotations

from webui.driver import Server, driver_of
from webui.models import Node
from webui.work.timeouts import DEFAULT_TIMEOUTS, Timeouts

ASK_TIMEOUTS = Timeouts(connect_s=2.0, progress_s=5.0, small_s=5.0)
"""For small questions that nobody should wait for."""


def connect(node: Node, *, timeouts: Timeouts = DEFAULT_TIMEOUTS) -> Server:
    """Nothing is sent yet. Raises UnknownDriverError where the node names a driver that is not here."""
    return driver_of(node.driver).connect(node.base_url, auth=node.auth, timeouts=timeouts)

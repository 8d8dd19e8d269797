"""The boot of a node that a request meets: wait until it may be spoken to, and judge what a refusal means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings

from webui.books import surely
from webui.errors import WebUIError, WebUINotSentError, WebUITransientError
from webui.models import Node, NodeState, Wish
from webui.processes import process

LOOK_EVERY_S = 0.1
GETTING_READY = (NodeState.STARTING, NodeState.RESTARTING)


@dataclass(slots=True)
class BootNow:
    """`generation` is the newest that we know of; it follows the row when somebody else restarts the WebUI."""

    node_id: int
    generation: int

    def await_ready(self, wait: Callable[[float], None]) -> None:
        """Until the row says READY: an early request kills a real server.

        Returns as well where nobody is making it ready just now: then the request itself tells what is wrong.
        """
        left_s = settings.STABLENEW_READY_TIMEOUT_S
        while (node := self._row()) is not None:
            self.generation = max(self.generation, node.generation)
            if node.state not in GETTING_READY or left_s <= 0:
                return
            wait(LOOK_EVERY_S)
            left_s -= LOOK_EVERY_S

    def is_transient(self, error: WebUIError) -> bool:
        """Whether the same request may succeed in a moment.

        Beside the server's own word for it: it was never sent, while our process is alive and starting.
        """
        if not isinstance(error, WebUINotSentError):
            return isinstance(error, WebUITransientError)
        node = self._row()
        if node is None or not node.managed or node.adopted_foreign or node.wish == Wish.STOP:
            return False
        if node.state in GETTING_READY:
            return not node.failed_starts
        return node.state == NodeState.READY and process.is_process_alive(node)

    def _row(self) -> Node | None:
        return surely(Node.objects.filter(pk=self.node_id).first)

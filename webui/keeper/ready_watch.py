"""Watching a READY server: does it still accept connections, which checkpoint and how much memory does it use?

What follows from a loss is the keeper's; that a process of ours lives is asked there, at every look.
"""

from __future__ import annotations

from collections.abc import Callable

from webui.http import ports
from webui.keeper import boots, readiness
from webui.keeper.memory import MemoryGauge
from webui.models import Node
from webui.nodes.connecting import ASK_TIMEOUTS, connect

CONNECT_CHECK_S = 2.0
CHECKPOINT_EVERY_S = 30.0
PATIENT_CONNECTS = 2
"""So many connects in a row must come to nothing; a refusal is believed at once."""


class Vigil:
    """Begun whenever a server has become ready; a look costs nothing until the next check is due."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failed_connects = 0
        self._connect_at = 0.0
        self._checkpoint_at = 0.0
        self._memory = MemoryGauge(clock=clock)

    def begin(self) -> None:
        self._failed_connects = 0
        self._connect_at = self._clock() + CONNECT_CHECK_S
        self._checkpoint_at = self._clock()
        self._memory.begin()

    def look(self, node: Node) -> OSError | None:
        """Why the server is lost; None while it is not."""
        now = self._clock()
        if now >= self._connect_at:
            self._connect_at = now + CONNECT_CHECK_S
            problem = ports.connect_problem(*ports.endpoint(node.base_url), readiness.CONNECT_TIMEOUT_S)
            self._failed_connects = self._failed_connects + 1 if problem else 0
            if isinstance(problem, ConnectionRefusedError) or self._failed_connects >= PATIENT_CONNECTS:
                return problem
        if now >= self._checkpoint_at:
            self._checkpoint_at = now + CHECKPOINT_EVERY_S
            name = connect(node, timeouts=ASK_TIMEOUTS).loaded_checkpoint(even_if_busy=not node.checkpoint)
            if name and name != node.checkpoint:
                boots.write(node, checkpoint=name[:300])
        use = self._memory.look(node)
        if use is not None:
            boots.write(
                node,
                ram_bytes=use.ram_bytes,
                vram_used_bytes=use.vram_used_bytes,
                vram_total_bytes=use.vram_total_bytes,
            )
        return None

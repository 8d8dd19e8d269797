"""Watching a READY server: does it still accept connections and answer, which checkpoint and memory does it use?

What follows from a loss is the keeper's; that a process of ours lives is asked there, at every look.
"""

from __future__ import annotations

from collections.abc import Callable

from django.utils import timezone

from webui.http import ports
from webui.keeper import boots, readiness
from webui.keeper.kind_match import suits
from webui.keeper.memory import MemoryGauge
from webui.models import Node, NodeState
from webui.nodes.connecting import ASK_TIMEOUTS, connect
from webui.work.told import ApiAnswer

CONNECT_CHECK_S = 2.0
ASK_EVERY_S = 10.0
CHECKPOINT_EVERY_S = 30.0
SILENT = "accepts connections, and has not answered since"
"""In the reason of a READY server; pages show it beside its state."""
PATIENT_CONNECTS = 2
"""So many connects in a row must come to nothing; a refusal is believed at once."""


def is_silent(node: Node) -> bool:
    """Whether a READY node's server was last seen to accept connections and to answer nothing."""
    return node.state == NodeState.READY and SILENT in node.state_reason


class Vigil:
    """Begun whenever a server has become ready; a look costs nothing until the next check is due."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failed_connects = 0
        self._connect_at = 0.0
        self._ask_at = 0.0
        self._checkpoint_at = 0.0
        self._silent_since: float | None = None
        self.failure = ""
        """Why the server says that it cannot work, or cannot do what the node is for; empty while it can."""
        self.is_of_another_kind = False
        """The failure is that what the node is for has changed: the job that runs there may be of the old kind."""
        self._memory = MemoryGauge(clock=clock)

    def begin(self) -> None:
        self._failed_connects = 0
        self._connect_at = self._clock() + CONNECT_CHECK_S
        self._ask_at = self._clock() + ASK_EVERY_S
        self._checkpoint_at = self._clock()
        self._silent_since = None
        self.failure = ""
        self.is_of_another_kind = False
        self._memory.begin()

    @property
    def silent_s(self) -> float | None:
        """How long it has accepted connections and answered nothing; None while it answers."""
        return None if self._silent_since is None else self._clock() - self._silent_since

    def look(self, node: Node) -> OSError | None:
        """Why the server is lost; None while it is not. One that is silent is not asked for anything else."""
        now = self._clock()
        if now >= self._connect_at:
            self._connect_at = now + CONNECT_CHECK_S
            problem = ports.connect_problem(*ports.endpoint(node.base_url), readiness.CONNECT_TIMEOUT_S)
            self._failed_connects = self._failed_connects + 1 if problem else 0
            if isinstance(problem, ConnectionRefusedError) or self._failed_connects >= PATIENT_CONNECTS:
                return problem
        if now >= self._ask_at:
            self._ask(node, now)
        if self._silent_since is not None or self.failure:
            return None
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

    def _ask(self, node: Node, now: float) -> None:
        """A stopped process still accepts connections, because its machine does that for it."""
        told = connect(node, timeouts=ASK_TIMEOUTS).ask()
        asked = suits(node, told)
        self.failure = asked.reason if asked.answer is ApiAnswer.FAILED else ""
        self.is_of_another_kind = asked is not told
        self._ask_at = self._clock() + ASK_EVERY_S
        silent = asked.answer is ApiAnswer.SILENT
        if silent and self._silent_since is None:
            self._silent_since = now
            at = timezone.localtime()
            boots.write(node, state_reason=f"The {node.noun} at {node.base_url} {SILENT} {at:%H:%M:%S}.")
        elif not silent and asked.answer is ApiAnswer.API:
            self._silent_since = None
            if is_silent(node):
                boots.write(node, state_reason=f"The {node.noun} at {node.base_url} answers.")

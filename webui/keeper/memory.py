"""How much memory a READY server uses: asked now and then, beside the keeper's looks, which never wait for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import psutil

from webui.circumstances import CIRCUMSTANCES, start_thread
from webui.driver import Server
from webui.models import Node
from webui.nodes.connecting import connect
from webui.processes import process
from webui.work.timeouts import Timeouts
from webui.work.told import MemoryUse

logger = logging.getLogger(__name__)

EVERY_S = 20.0
AFTER_NOTHING_S = 120.0
"""A server that tells nothing is asked so much less often."""
TIMEOUTS = Timeouts(connect_s=2.0, small_s=5.0)


def use_of(node: Node) -> MemoryUse:
    """What the row holds."""
    return MemoryUse(node.ram_bytes, node.vram_used_bytes, node.vram_total_bytes)


def measure(server: Server, own: process.Identity | None) -> MemoryUse:
    """What the server tells; of a boot of `own` the RAM is that of its whole family. No database here."""
    use = server.memory()
    return replace(use, ram_bytes=_resident(own) or use.ram_bytes) if own is not None else use


def _resident(own: process.Identity) -> int:
    """Bytes of the family; what is shared among its processes counts for each of them."""
    total = 0
    for member in process.family(own):
        try:
            total += member.memory_info().rss
        except psutil.Error:  # it has just ended
            continue
    return total


@dataclass
class _Reading:
    """One measurement under way, in a thread of its own."""

    generation: int
    take: Callable[[], MemoryUse]
    use: MemoryUse | None = None
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = start_thread(self._run, "memory")

    def _run(self) -> None:
        try:
            self.use = self.take()
        except CIRCUMSTANCES as exc:
            _tell(exc)


def _tell(exc: BaseException) -> None:
    """Of our own machine, such as no free descriptor: the server is asked again as if it had told nothing."""
    logger.warning("How much memory a server uses is not known: %s", str(exc) or type(exc).__name__)


class MemoryGauge:
    """Begun whenever a server has become ready; a look starts a measurement or takes its result, and returns."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due_at = 0.0
        self._reading: _Reading | None = None

    def begin(self) -> None:
        self._due_at = self._clock()

    def look(self, node: Node) -> MemoryUse | None:
        """What is to be written; None while nothing has changed, or nothing that a person would see."""
        if self._reading is None:
            if self._clock() >= self._due_at:
                self._begin_reading(node)
            return None
        if self._reading.thread.is_alive():
            return None
        reading, self._reading = self._reading, None
        known = reading.use is not None and bool(reading.use.words())
        self._due_at = self._clock() + (EVERY_S if known else AFTER_NOTHING_S)
        if reading.use is None or reading.generation != node.generation:
            return None
        return reading.use if reading.use.words() != use_of(node).words() else None

    def _begin_reading(self, node: Node) -> None:
        own = process.identity_of(node) if node.managed and not node.adopted_foreign else None
        server = connect(node, timeouts=TIMEOUTS)
        try:
            self._reading = _Reading(node.generation, lambda: measure(server, own))
        except OSError as exc:
            _tell(exc)
            self._due_at = self._clock() + AFTER_NOTHING_S

"""How much memory a READY server uses: asked now and then, beside the keeper's looks, which never wait for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

import psutil

from webui.drivers.a1111.client import Timeouts, WebUIClient
from webui.drivers.a1111.listings import Memory
from webui.errors import WebUIError
from webui.models import Node
from webui.processes import process

EVERY_S = 20.0
AFTER_NOTHING_S = 120.0
"""A server that tells nothing is asked so much less often."""
TIMEOUTS = Timeouts(connect_s=2.0, small_s=5.0)
GIB = 1024**3
MIB = 1024**2


@dataclass(frozen=True)
class MemoryUse:
    """Bytes, by the names of the row's columns; None = not known."""

    ram_bytes: int | None = None
    vram_used_bytes: int | None = None
    vram_total_bytes: int | None = None

    def words(self) -> str:
        """As a person reads it; empty where nothing is known."""
        parts = []
        if self.ram_bytes is not None:
            parts.append(f"RAM {size_words(self.ram_bytes)}")
        if self.vram_used_bytes is not None and self.vram_total_bytes:
            parts.append(f"VRAM {_gib(self.vram_used_bytes)} of {_gib(self.vram_total_bytes)} GB")
        return ", ".join(parts)


UNKNOWN: dict[str, object] = asdict(MemoryUse())
"""Columns of a server whose memory nobody has measured yet."""


def use_of(node: Node) -> MemoryUse:
    """What the row holds."""
    return MemoryUse(node.ram_bytes, node.vram_used_bytes, node.vram_total_bytes)


def size_words(size_bytes: int) -> str:
    """In GB of 1024 MB; less than one in tens of MB."""
    if size_bytes < GIB:
        return f"{round(size_bytes / MIB / 10) * 10} MB"
    return f"{_gib(size_bytes)} GB"


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / GIB:.1f}".removesuffix(".0")


def measure(base_url: str, auth: tuple[str, str] | None, own: process.Identity | None) -> MemoryUse:
    """What the server tells; of a boot of `own` the RAM is that of its whole family. No database here."""
    try:
        use = use_told(WebUIClient(base_url, auth=auth, timeouts=TIMEOUTS).memory())
    except WebUIError:
        use = MemoryUse()
    return replace(use, ram_bytes=_resident(own) or use.ram_bytes) if own is not None else use


def use_told(told: Memory) -> MemoryUse:
    """What of a server's own account we keep; it may tell a part only, and anything."""
    card = told.cuda.system if told.cuda is not None else None
    return MemoryUse(
        ram_bytes=_bytes(told.ram.used) if told.ram is not None else None,
        vram_used_bytes=_bytes(card.used) if card is not None else None,
        vram_total_bytes=_bytes(card.total) if card is not None else None,
    )


def _bytes(told: float | None) -> int | None:
    """What no machine has is no number."""
    return int(told) if told is not None and 0 <= told < 2**53 else None


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
        self.thread = threading.Thread(target=self._run, name="memory", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        self.use = self.take()


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
                self._reading = self._begin_reading(node)
            return None
        if self._reading.thread.is_alive():
            return None
        reading, self._reading = self._reading, None
        known = reading.use is not None and bool(reading.use.words())
        self._due_at = self._clock() + (EVERY_S if known else AFTER_NOTHING_S)
        if reading.use is None or reading.generation != node.generation:
            return None
        return reading.use if reading.use.words() != use_of(node).words() else None

    def _begin_reading(self, node: Node) -> _Reading:
        own = process.identity_of(node) if node.managed and not node.adopted_foreign else None
        base_url, auth = node.base_url, node.auth
        return _Reading(node.generation, lambda: measure(base_url, auth, own))

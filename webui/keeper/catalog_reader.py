"""Reads the lists of a node's server when they may have changed, in a thread of its own: the keeper never waits for it.

What is read is stored by `webui.nodes.catalogs`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import connections

from webui.circumstances import CIRCUMSTANCES, start_thread
from webui.driver import Server, UnknownDriverError
from webui.errors import WebUIError
from webui.evidence.redaction import redact_text, secrets_of
from webui.models import Node, NodeCatalog, NodeState
from webui.nodes import catalogs
from webui.nodes.connecting import connect
from webui.words import count, ended
from webui.work.catalog import Catalog
from webui.work.timeouts import Timeouts

logger = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0
AFTER_ERROR_S: Final = 2.0
FIRST_PAUSE_S: Final = 5.0
LONGEST_PAUSE_S: Final = 300.0
"""Pause after a reading that failed; it doubles from the first to the longest."""
BUSY_PAUSE_S: Final = 10.0
"""Until a server that works for somebody else is asked again whether it is idle."""
TIMEOUTS: Final = Timeouts(connect_s=3.0, progress_s=5.0, small_s=60.0)
"""Thousands of LoRAs with their metadata take a server a while to write down."""

Reached = tuple[int, str, str]
"""Generation, address and driver: with another one of these, another server may answer."""


@dataclass(frozen=True, slots=True)
class _Reason:
    """Why the lists are read now; `refresh` has the server look at its disk first."""

    words: str
    refresh: bool = False
    wanted_at: datetime | None = None
    is_known: bool = False
    """The lists were read since they were wanted: only what a refresh would bring is still missing."""


class CatalogReader:
    """Begins with `start`, which may be called again at any time: a thread that is gone is started anew.

    `is_idle` says whether no job of ours runs on the node: only then is its server asked to look at its disk, which
    waits for a running request. While `may_read` says no, the node is somebody else's.
    """

    def __init__(
        self,
        node_id: int,
        *,
        is_idle: Callable[[], bool] = lambda: True,
        may_read: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self.node_id = node_id
        self._is_idle = is_idle
        self._may_read = may_read
        self._clock = clock
        self._first_pause_s = first_pause_s
        self._pause_s = first_pause_s
        self._not_before = 0.0
        self._read: Reached | None = None
        self._ending = threading.Event()
        self._due = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Does nothing while its thread runs. Where the machine has no thread left, a later call tries again."""
        if self._ending.is_set() or (self._thread is not None and self._thread.is_alive()):
            return
        try:
            self._thread = start_thread(self._run, f"catalog-{self.node_id}")
        except OSError as exc:
            logger.warning("Nobody reads the lists of node %d for now: %s", self.node_id, exc)

    def stop(self, *, deadline_s: float) -> bool:
        """False where it still waited for the server when `deadline_s` was over; it ends with the process then."""
        self._ending.set()
        self._due.set()
        if self._thread is not None:
            self._thread.join(deadline_s)
            return not self._thread.is_alive()
        return True

    def hurry(self) -> None:
        """Look at once: the server has just become ready, or somebody wants its lists."""
        self._due.set()

    def _run(self) -> None:
        try:
            while not self._ending.is_set():
                pause_s = self._guarded_look()
                self._due.wait(pause_s)
                self._due.clear()
        finally:
            connections.close_all()

    def _guarded_look(self) -> float:
        try:
            return self.look()
        except CIRCUMSTANCES as exc:
            logger.warning(
                "The reader of the lists of node %d goes on after: %s",
                self.node_id,
                str(exc) or type(exc).__name__,
                extra={"event": "catalog.error", "node_id": self.node_id, "error": type(exc).__name__},
            )
            connections.close_all()
            return AFTER_ERROR_S

    def look(self) -> float:
        """One look, for a caller without the thread; returns the seconds until the next one is due.

        1. Nothing is sent while the server is not READY, nor within the pause after a reading that failed.
        2. Read it when its boot, address or driver is new, or somebody asks; who asks gets what its disk holds now,
           as soon as it is idle, and until then what it knows already.
        3. Store what came, unless it was another boot's meanwhile.
        """
        if not self._may_read():
            return LOOK_EVERY_S
        node = Node.objects.filter(pk=self.node_id, state=NodeState.READY).first()
        if node is None or self._clock() < self._not_before:
            return LOOK_EVERY_S
        reason = self._reason(node)
        if reason is not None:
            self._read_lists(node, reason)
        return LOOK_EVERY_S

    def _reason(self, node: Node) -> _Reason | None:
        kept = NodeCatalog.objects.filter(node_id=node.pk).defer("document").first()
        wanted_at = kept.wanted_at if kept is not None else None
        if kept is not None and wanted_at is not None:
            is_known = kept.read_at is not None and kept.read_at >= wanted_at
            if self._is_idle():
                return _Reason(kept.wanted_because, refresh=True, wanted_at=wanted_at, is_known=is_known)
            if not is_known:
                return _Reason(kept.wanted_because)
        if _reached(node) != self._read:
            return _Reason("its server has become ready")
        return None

    def _read_lists(self, node: Node, reason: _Reason) -> None:
        try:
            server = connect(node, timeouts=TIMEOUTS)
            refreshed = reason.refresh and _refresh(server)
            if reason.is_known and not refreshed:
                self._not_before = self._clock() + BUSY_PAUSE_S
                return
            catalog = read_lists(node, server)
        except (WebUIError, UnknownDriverError) as exc:
            self._failed(node, exc)
            return
        if catalog is None:
            return
        self._read, self._pause_s = _reached(node), self._first_pause_s
        if refreshed and reason.wanted_at is not None:
            catalogs.fulfil(node.pk, reason.wanted_at)
        names = sum(len(entries) for entries in catalog.lists.values())
        logger.info(
            "Read %s of node %s: %s.",
            count(names, "name"),
            node.name,
            reason.words,
            extra={"event": "catalog.read", "node": node.name, "names": names, "dialect": catalog.dialect},
        )

    def _failed(self, node: Node, error: Exception) -> None:
        words = redact_text(ended(str(error) or type(error).__name__), secrets_of(node_id=node.pk))
        self._not_before = self._clock() + self._pause_s
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        logger.warning(
            "The lists of node %s could not be read: %s",
            node.name,
            words,
            extra={"event": "catalog.failed", "node": node.name, "error": type(error).__name__},
        )
        catalogs.note_problem(node, words)


def read_lists(node: Node, server: Server) -> Catalog | None:
    """Read and store what the server of a READY node lists; also for who cannot wait for the reader's thread.

    None where it was another boot's meanwhile: then nothing is stored. Raises `WebUIError`.
    """
    catalog = server.catalog()
    same = Node.objects.filter(
        pk=node.pk, state=NodeState.READY, generation=node.generation, base_url=node.base_url
    )
    if not same.exists():
        return None
    catalogs.store(node, catalog)
    return catalog


def _reached(node: Node) -> Reached:
    return node.generation, node.base_url, node.driver


def _refresh(server: Server) -> bool:
    """False while it works for somebody else: it would be asked to wait."""
    if not server.progress().idle:
        return False
    server.refresh_lists()
    return True

"""The one actor on a node's WebUI: a thread that looks, the lock that makes it the only one, and its end.

What a look does stands in `upkeep`. Everybody else writes a wish (`nodes.wish`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from django.conf import settings
from django.db import connections

from webui.circumstances import CIRCUMSTANCES
from webui.keeper import step
from webui.keeper.lock import KeeperLock

logger = logging.getLogger(__name__)

AFTER_ERROR_S = 1.0


class Keeper:
    """Looks at one node again and again: in a thread of its own (`start`) or by the caller's `look`s.

    `on_ready` is called whenever the row has become READY, and `is_busy` before a restart that may wait for the
    running job: both in the thread that looks. While `may_look` says no, the node is somebody else's to look after.
    """

    def __init__(
        self,
        node_id: int,
        *,
        on_ready: Callable[[], None] = lambda: None,
        is_busy: Callable[[], bool] = lambda: False,
        may_look: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
        look_every_s: float = step.LOOK_EVERY_S,
        relook_s: float = step.RELOOK_S,
    ) -> None:
        self.node_id = node_id
        self._clock = clock
        self._may_look = may_look
        self._look_every_s = look_every_s
        self._upkeep = step.Upkeep(
            node_id,
            on_ready=on_ready,
            is_busy=is_busy,
            clock=clock,
            look_every_s=look_every_s,
            relook_s=relook_s,
        )
        self._lock = KeeperLock(node_id)
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def alive(self) -> bool:
        """The thread runs; when it does not, nobody looks after the node."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begins to look, as soon as no other keeper (a `node` command) holds the node's lock."""
        self._thread = threading.Thread(target=self._run, name=f"keeper-{self.node_id}", daemon=True)
        self._thread.start()

    def stop(self, *, stop_webui: bool, deadline_s: float) -> bool:
        """Ends the thread; a WebUI of ours goes on for the next keeper, or ends too with `stop_webui`.

        False if the thread or a process was still there after about `deadline_s`.
        """
        ends_at = self._clock() + deadline_s
        self._ending.set()
        if self._thread is not None:
            self._thread.join(deadline_s)
            if self._thread.is_alive():
                return False
        stopped = True
        if stop_webui and self._lock.acquire():
            left_s = max(0.0, ends_at - self._clock())
            grace_s = min(settings.STABLENEW_STOP_GRACE_S, left_s)
            stopped = self._upkeep.shut_down("Stopped together with its runner.", grace_s=grace_s)
        self._lock.release()
        return stopped

    def take_lock(self) -> bool:
        """For a caller who looks himself: False while another keeper looks after this node."""
        return self._lock.acquire()

    def _run(self) -> None:
        try:
            while not self._ending.is_set():
                self._ending.wait(self._guarded_look())
        finally:
            connections.close_all()

    def _guarded_look(self) -> float:
        """A look that outlives what the database and the system may do; the next one begins afresh."""
        try:
            return self.look() if self._may_look() and self._lock.acquire() else self._look_every_s
        except CIRCUMSTANCES as exc:
            logger.warning(
                "The keeper of node %d goes on after: %s",
                self.node_id,
                str(exc) or type(exc).__name__,
                extra={"event": "node.keeper_error", "node_id": self.node_id, "error": type(exc).__name__},
            )
            connections.close_all()
            self._upkeep.begin_afresh()
            return AFTER_ERROR_S

    def look(self) -> float:
        """One look, for a caller without the thread; returns the seconds until the next one is due."""
        return self._upkeep.look()

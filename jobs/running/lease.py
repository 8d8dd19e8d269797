"""The lease of a run: renewed in a thread of its own while the run works, so that nobody judges it lost."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field

from django.conf import settings
from django.db import Error, connections

from jobs.queue.claims import Claim, renew
from jobs.queue.deadlines import job_deadline_s
from webui.books import is_away
from webui.circumstances import start_thread

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Lease:
    """Renews the lease of a run from `start` until `stop`, unless the job's deadline passes or it is lost."""

    claim: Claim
    lost: threading.Event = field(default_factory=threading.Event)
    _stop: threading.Event = field(default_factory=threading.Event)
    _began_s: float = field(default_factory=time.monotonic)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Called at the first look at a request: the claim's own lease covers the time until then. Raises OSError."""
        if self._thread is None:
            self._thread = start_thread(self._run, f"lease-{self.claim.job_id}")

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop.wait(settings.STABLENEW_LEASE_RENEW_S):
                if time.monotonic() - self._began_s > job_deadline_s(self.claim.job.kind):
                    return
                try:
                    owned = renew(self.claim).owned
                except Error as exc:
                    if not is_away(exc):
                        raise
                    logger.warning("The lease of job %s could not be renewed yet.", self.claim.job_id)
                    connections.close_all()
                    continue
                if not owned:
                    self.lost.set()
                    return
        finally:
            connections.close_all()

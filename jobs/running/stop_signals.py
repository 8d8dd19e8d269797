"""What people and the clock want of a run: go on, stop, or give up; read from the job's row before every POST."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from jobs.errors import FencedError, JobDeadlineError
from jobs.queue.claims import Claim, read_requests
from jobs.queue.deadlines import job_deadline_s
from jobs.running.departures import CancelledRun, DrainedRun
from jobs.running.lease import Lease
from webui.books import surely
from webui.models import Wish
from webui.nodes.asking import RUNNER
from webui.nodes.wishes import wish


@dataclass(slots=True)
class StopSignals:
    """What people and the clock want of a run: go on, stop, or give up. `stop` is what was asked, if anything."""

    claim: Claim
    lease: Lease
    stop: CancelledRun | DrainedRun | None = None
    began_s: float = field(default_factory=time.monotonic)

    def read(self) -> None:
        """Look at the job's row. Raises `FencedError`, and `JobDeadlineError` at the job's deadline."""
        self.lease.start()
        state = surely(read_requests, self.claim)
        if not state.owned or self.lease.lost.is_set():
            raise FencedError(self.claim.job_id)
        if state.cancel_requested_by:
            self.stop = CancelledRun(state.cancel_requested_by)
        elif state.interrupt_by_operator and self.stop is None:
            self.stop = DrainedRun()
        deadline_s = job_deadline_s(self.claim.job.kind)
        if time.monotonic() - self.began_s > deadline_s:
            self.ask_restart(f"job {self.claim.job_id} passed its deadline")
            raise JobDeadlineError(f"Job {self.claim.job_id} ran longer than {deadline_s:g} s.")

    def check(self) -> None:
        """Before every POST: nothing is sent for a job that somebody wants stopped."""
        self.read()
        if self.stop is not None:
            raise self.stop

    def ask_restart(self, reason: str) -> None:
        """Ask the keeper for a restart of the very boot that this run uses."""
        claim = self.claim
        surely(
            wish,
            claim.node_id,
            Wish.RESTART,
            by=RUNNER,
            reason=reason,
            generation=claim.node.generation,
        )

"""While a node is held because files cannot be written: try the folder now and then, and let the jobs go on."""

from __future__ import annotations

import time
from collections.abc import Callable

from jobs.models import QueueControl, Runner
from jobs.queue.claims import next_job
from jobs.queue.storage import release, still_held, trouble

PROBE_EVERY_S = 2.0
LONGEST_PAUSE_S = 120.0


class StorageWatch:
    """Asked at every look of the supervisor; remembers only when the next probe is due.

    A hold that comes back before anything was completed doubles the pause: what a probe cannot see, as a limit of the
    worker's own, then costs a picture now and then and not one every few seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due_s = 0.0
        self._pause_s = PROBE_EVERY_S
        self._was_held = False
        self._completed = -1

    def look(self, runner: Runner) -> None:
        if not runner.storage_reason:
            self._was_held = False
            return
        now = self._clock()
        if not self._was_held:
            self._was_held = True
            self._pause_s = self._next_pause_s(runner)
            self._due_s = now + self._pause_s
            return
        if now < self._due_s:
            return
        self._due_s = now + self._pause_s
        if words := trouble(next_job(runner.node)):
            still_held(runner, words)
        else:
            release(runner)

    def _next_pause_s(self, runner: Runner) -> float:
        before = self._completed
        control = QueueControl.objects.only("completed").get(pk=QueueControl.SINGLETON_ID)
        self._completed = control.completed
        if before != self._completed:
            return PROBE_EVERY_S
        return min(self._pause_s * 2, LONGEST_PAUSE_S)

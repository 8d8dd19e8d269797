"""When a WebUI that answers stands still: a judgement from what its progress showed, and when. No clock, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field

from webui.work.told import Progress

#: A node whose steps are slow gets this many of its longest step before it counts as standing still.
STEPS_OF_PATIENCE = 5.0


@dataclass(slots=True)
class Stillness:
    """Looks at one request's progress, one look after the other. Times are seconds of a monotonic clock.

    `idle_s` is the patience while progress reads idle (a checkpoint loads, extras, tail work), `busy_s` while
    sampling; a slower node (`longest_step_s`) gets more. Progress that cannot be read proves nothing.
    """

    idle_s: float
    busy_s: float
    longest_step_s: float = 0.0
    _shown: tuple[object, ...] | None = field(default=None, init=False)
    _since: float = field(default=0.0, init=False)
    _step: tuple[int, int, float] | None = field(default=None, init=False)

    def look(self, progress: Progress | None, now: float) -> float | None:
        """Seconds of standing still if that is too long, else None."""
        if progress is None:
            self._shown = self._step = None
            return None
        self._learn(progress, now)
        if progress.fingerprint != self._shown:
            self._shown, self._since = progress.fingerprint, now
            return None
        still_s = now - self._since
        return still_s if still_s > self._patience_s(progress) else None

    def _patience_s(self, progress: Progress) -> float:
        if progress.idle:
            return self.idle_s
        return max(self.busy_s, STEPS_OF_PATIENCE * self.longest_step_s)

    def _learn(self, progress: Progress, now: float) -> None:
        """How long a step took: from one change of step to the next within the same picture."""
        before = self._step
        if progress.idle:
            self._step = None
        elif before is None or (before[0], before[1]) != (progress.picture, progress.step):
            if before is not None and before[0] == progress.picture and progress.step > before[1]:
                took_s = (now - before[2]) / (progress.step - before[1])
                self.longest_step_s = max(self.longest_step_s, took_s)
            self._step = (progress.picture, progress.step, now)

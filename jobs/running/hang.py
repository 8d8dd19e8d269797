"""When a WebUI stands still: a judgement from what its progress showed, or did not show, and when. No clock, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from webui.work.told import Patience, Progress

#: A node whose steps are slow gets this many of its longest step before it counts as standing still.
STEPS_OF_PATIENCE = 5.0


@dataclass(slots=True)
class Stillness:
    """Looks at one request's progress, one look after the other. Times are seconds of a monotonic clock.

    `idle_s` is the patience while progress reads idle (a checkpoint loads, extras, tail work), `busy_s` while
    sampling; a slower node (`longest_step_s`) gets more. Where the server says for what it needs time, `by_patience`
    holds instead of these. Progress that cannot be read proves nothing. One that accepts
    the question and never answers gets the patience of the phase in which it was last seen: a load may hold it up for a
    minute or two, and so may forty requests that wait.
    """

    idle_s: float
    busy_s: float
    longest_step_s: float = 0.0
    by_patience: Mapping[Patience, float] = field(default_factory=dict)
    _shown: tuple[object, ...] | None = field(default=None, init=False)
    _since: float = field(default=0.0, init=False)
    _step: tuple[int, int, float] | None = field(default=None, init=False)
    _last: Progress = field(default=Progress(), init=False)
    silent_since: float | None = field(default=None, init=False)
    """When the first of the questions in a row was put that were not answered; None while it answers."""

    def look(self, progress: Progress | None, now: float, *, silent: bool = False) -> float | None:
        """Seconds of standing still if that is too long, else None. `silent`: nothing came, and nothing was refused."""
        if progress is None and silent:
            self._step = None
            self.silent_since = now if self.silent_since is None else self.silent_since
            silent_s = now - self.silent_since
            return silent_s if silent_s > self._patience_s(self._last) else None
        self.silent_since = None
        if progress is None:
            self._shown = self._step = None
            return None
        self._last = progress
        self._learn(progress, now)
        if progress.fingerprint != self._shown:
            self._shown, self._since = progress.fingerprint, now
            return None
        still_s = now - self._since
        return still_s if still_s > self._patience_s(progress) else None

    def _patience_s(self, progress: Progress) -> float:
        if progress.idle:
            return self.idle_s
        if progress.patience is Patience.PHASE:
            return self.by_patience[Patience.PHASE]
        step_s = self.busy_s if progress.patience is None else self.by_patience[progress.patience]
        return max(step_s, STEPS_OF_PATIENCE * self.longest_step_s)

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

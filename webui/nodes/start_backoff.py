"""How often a WebUI that does not come up is tried, and after which pauses."""

from __future__ import annotations

from collections.abc import Callable

START_TRIES = 3
"""After so many failed tries nobody is made to wait any longer; the keeper itself goes on."""
START_PAUSES_S = (1.0, 2.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Before the next start after a failed one; the last value holds from then on."""


def pause_after_s(failed_starts: int) -> float:
    """The pause after the `failed_starts`-th (from 1) start in a row that failed."""
    return START_PAUSES_S[min(max(failed_starts, 1), len(START_PAUSES_S)) - 1]


def all_tries_s(ready_timeout_s: float, stop_grace_s: float) -> float:
    """How long the tries that somebody waits for may take in all, each at its longest."""
    pauses_s = sum(pause_after_s(failed) for failed in range(1, START_TRIES))
    return START_TRIES * (ready_timeout_s + stop_grace_s) + pauses_s


class Tries:
    """When the next start is due: at once for a new keeper, and whenever a person asks for one."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        self._failed = 0
        self._again_at = self._clock()

    def start_failed(self) -> float:
        """Notes it, and returns the pause before the next start."""
        self._failed += 1
        pause_s = pause_after_s(self._failed)
        self.pause(pause_s)
        return pause_s

    def pause(self, pause_s: float) -> None:
        self._again_at = self._clock() + pause_s

    @property
    def due(self) -> bool:
        return self._clock() >= self._again_at

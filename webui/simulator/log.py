"""What a person sees in the simulator's standard output and error: few, recognisable lines per job."""

from __future__ import annotations

import sys
import time
from contextlib import suppress

PROGRESS_EVERY_S = 0.5


def say(line: str) -> None:
    """One line on standard output. A reader who has gone is no reason to stop serving."""
    with suppress(OSError, ValueError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def complain(line: str) -> None:
    """One line on standard error."""
    with suppress(OSError, ValueError):
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


class ProgressLine:
    """The bar of one sampling pass: at most two lines a second, and one at its end."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.started_at = self.shown_at = time.monotonic()

    def show(self, done: int, *, last: bool = False) -> None:
        now = time.monotonic()
        if not last and now - self.shown_at < PROGRESS_EVERY_S:
            return
        self.shown_at = now
        elapsed = max(now - self.started_at, 1e-6)
        share = done / self.total if self.total else 1.0
        bar = ("█" * int(10 * share)).ljust(10)
        left = elapsed / done * (self.total - done) if done else 0.0
        times = f"{_clock(elapsed)}<{_clock(left)}, {min(done / elapsed, 9999):5.2f}it/s"
        complain(f"{share:4.0%}|{bar}| {done}/{self.total} [{times}]")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02}:{int(seconds) % 60:02}"

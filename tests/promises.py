"""Promises in seconds, told of an idle machine, and kept on a busy one as far as that one is slower."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: How long the command below takes on an idle machine with two cores.
IDLE_START_S = 0.6
#: For whatever a process must do before anything can be asserted: no test waits less.
PATIENCE_S = 120.0


def slowness() -> float:
    """How many times longer than on an idle machine a process of ours takes to start just now; at least 1."""
    began_s = time.monotonic()
    command = [sys.executable, str(ROOT / "manage.py"), "version"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE_S)
    return max(1.0, (time.monotonic() - began_s) / IDLE_START_S)


def assert_within(promised_s: float, since_s: float, what: str) -> None:
    """Since `since_s` (monotonic) no more than the promised time has passed, or what that is on this busy machine."""
    took_s = time.monotonic() - since_s
    if took_s >= promised_s:
        allowed_s = promised_s * slowness()
        assert took_s < allowed_s, (
            f"{what}: {took_s:.1f} s, promised {promised_s:g} s ({allowed_s:.1f} s here)"
        )

"""When a process started, on a clock that nobody sets: what tells it from a later one with the same pid.

A create time in seconds since the epoch is worked out from the boot time of the kernel, which moves whenever the wall
clock is set. The ticks since boot never change; with the boot id they name one process for good.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import psutil

_STARTTIME = 22 - 3
"""Field 22 of /proc/PID/stat (proc_pid_stat(5)), counted behind the name, which may hold blanks and brackets."""


def start_ticks(pid: int) -> int | None:
    """Clock ticks from the machine's boot to the start of this process, also of a zombie; None when it is gone.

    Elsewhere than on Linux hundredths of a second since the epoch. Raises OSError or `psutil.Error` where the process
    cannot be looked at just now: that is not gone.
    """
    if sys.platform != "linux":
        try:
            return round(psutil.Process(pid).create_time() * 100)
        except psutil.NoSuchProcess:
            return None
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(stat.rpartition(b")")[2].split()[_STARTTIME])


def started_at(ticks: int) -> datetime:
    """When that was by today's clock: to be shown, never compared to know a process."""
    if sys.platform != "linux":
        return datetime.fromtimestamp(ticks / 100, UTC)
    return datetime.fromtimestamp(psutil.boot_time() + ticks / os.sysconf("SC_CLK_TCK"), UTC)

"""Who a process is, beyond its pid: pids are reused, hosts reboot, containers share a hostname."""

from __future__ import annotations

import functools
import os
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

from webui.processes.start_ticks import start_ticks

_NOT_THERE = (FileNotFoundError, PermissionError)
"""Of a part that this machine does not have. What cannot be read just now would make another host of it."""


@functools.cache
def host_identity() -> str:
    """machine id + boot id + pid namespace: equal only where a pid means the same process. Raises OSError."""
    machine = _first_line("/etc/machine-id") or socket.gethostname()
    boot = _first_line("/proc/sys/kernel/random/boot_id")
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except _NOT_THERE:
        namespace = ""
    return "/".join(part for part in (machine, boot, namespace) if part)


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process, told from a later one with the same pid by when it started (`start_ticks`); `host` has the boot."""

    host: str
    pid: int
    ticks: int

    @classmethod
    def of_self(cls) -> ProcessIdentity:
        """Raises OSError where even that cannot be looked at: nobody could know this process again."""
        return cls(host_identity(), os.getpid(), start_ticks(os.getpid()) or 0)

    @classmethod
    def parse(cls, text: str) -> ProcessIdentity | None:
        """What `str()` wrote, or None for anything else."""
        host, _, rest = text.partition("|")
        pid, _, ticks = rest.partition("|")
        try:
            return cls(host, int(pid), int(ticks))
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.host}|{self.pid}|{self.ticks}"

    def process(self) -> psutil.Process | None:
        """The live process, or None if it ended (a zombie has ended) or is on another host.

        Raises OSError or `psutil.Error` where it cannot be looked at just now.
        """
        if self.host != host_identity():
            return None
        try:
            process = psutil.Process(self.pid)
            alive = start_ticks(self.pid) == self.ticks and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if alive else None


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except _NOT_THERE:
        return ""

"""Who a process is, beyond its pid: pids are reused, hosts reboot, containers share a hostname."""

from __future__ import annotations

import functools
import os
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

#: Who asks when no person does. No user of the site can have such a name.
RUNNER = "(runner)"
SUPERVISOR = "(run_node)"


@functools.cache
def host_identity() -> str:
    """machine id + boot id + pid namespace: equal only where a pid means the same process."""
    machine = _first_line("/etc/machine-id") or socket.gethostname()
    boot = _first_line("/proc/sys/kernel/random/boot_id")
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return "/".join(part for part in (machine, boot, namespace) if part)


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process, told from a later one with the same pid by its create time (seconds since epoch)."""

    host: str
    pid: int
    created: float

    @classmethod
    def of_self(cls) -> ProcessIdentity:
        return cls(host_identity(), os.getpid(), psutil.Process().create_time())

    @classmethod
    def parse(cls, text: str) -> ProcessIdentity | None:
        """What `str()` wrote, or None for anything else."""
        host, _, rest = text.partition("|")
        pid, _, created = rest.partition("|")
        try:
            return cls(host, int(pid), float(created))
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.host}|{self.pid}|{self.created:.2f}"

    def process(self) -> psutil.Process | None:
        """The live process, or None if it ended (a zombie has ended) or is on another host."""
        if self.host != host_identity():
            return None
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.created) > 0.05 or process.status() == psutil.STATUS_ZOMBIE:
                return None
        except psutil.Error:
            return None
        return process


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return ""

"""What keeps the processes of one `run_node` together: one lock, and children that die with their parent.

Linux is the promised platform; elsewhere the parts that need it say so when they are used.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

import psutil
from django.conf import settings

from jobs.errors import NodeBusyError
from webui.file_lock import FileLock
from webui.processes.start_ticks import start_ticks

_PR_SET_PDEATHSIG = 1


def node_lock(node_id: int) -> Path:
    """The file that says whether a node is run from this data folder."""
    return Path(settings.STABLENEW_PROCESS_DIR) / f"run-node-{node_id}.lock"


def lock_node(path: Path) -> FileLock:
    """Held as long as any process of the first `run_node` lives; `NodeBusyError` for a second one."""
    lock = FileLock(path)
    if not lock.acquire():
        raise NodeBusyError(
            "Another run_node, or a process that it left behind, holds this node "
            f"(started as pid {lock.holder()})."
        )
    return lock


def bind_children_to_parent() -> None:
    """From now on every fork of this process tree is killed when the process that forked it ends.

    The first generation also leaves the terminal's process group, so that a TERM or Ctrl-C to the group
    reaches only the main process, which knows how to drain. The death signal fires when the forking *thread*
    ends, so RuntimeError is raised unless this is the main thread and the only one.
    """
    if threading.active_count() != 1 or threading.current_thread() is not threading.main_thread():
        raise RuntimeError("bind_children_to_parent() must come before any thread is started")
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    main_pid = os.getpid()
    parent = {"pid": main_pid}

    def remember() -> None:
        parent["pid"] = os.getpid()

    def bind() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent["pid"]:
            # The parent died between the fork and the call above: no signal will come.
            os._exit(1)
        if parent["pid"] == main_pid:
            os.setsid()

    os.register_at_fork(before=remember, after_in_child=bind)


def tree_of(pid: int) -> frozenset[tuple[int, int]]:
    """(pid, start ticks) of a process and everything below it; empty when it is gone.

    Raises OSError or `psutil.Error` where they cannot be looked at just now.
    """
    try:
        root = psutil.Process(pid)
        members = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return frozenset()
    found = set()
    for member in members:
        try:
            alive = member.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            continue
        if alive and (ticks := start_ticks(member.pid)) is not None:
            found.add((member.pid, ticks))
    return frozenset(found)


def kill_tree(members: frozenset[tuple[int, int]], wait_s: float = 5.0) -> None:
    """KILL exactly these processes (pid and start ticks must both fit) and wait until they are gone.

    Raises OSError where one of them cannot be looked at just now.
    """
    victims = []
    for pid, ticks in members:
        try:
            process = psutil.Process(pid)
            if start_ticks(pid) == ticks:
                process.kill()
                victims.append(process)
        except psutil.Error:
            continue
    psutil.wait_procs(victims, timeout=wait_s)


def kill_child(pid: int) -> None:
    """KILL a process that we have forked, without looking at it: as long as nobody has reaped it the pid is its own."""
    with suppress(ChildProcessError):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        os.kill(pid, signal.SIGKILL)

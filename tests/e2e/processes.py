"""The processes of a stack's node by their parts, and what a test does to them: real signals, no stand-ins."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from tests.e2e.stack import NODE, Stack


def failing_node(
    stack: Stack, *faults: str, seconds_per_step: float = 0.01, options: str = ""
) -> psutil.Process:
    """A READY node whose WebUI fails by these rules; its main process, which holds the keeper."""
    rules = [word for fault in faults for word in ("--fault", fault)]
    stack.add_simulator(*options.split(), *rules, seconds_per_step=seconds_per_step)
    process = stack.start_node(NODE)
    stack.wait_until(lambda: stack.sql("SELECT state FROM webui_node") == [("READY",)], "the node is READY")
    return psutil.Process(process.pid)


def worker(stack: Stack) -> psutil.Process:
    """The process that runs the RUNNING job."""
    [(owner,)] = stack.sql("SELECT owner FROM jobs_job WHERE status = 'RUNNING'")
    return psutil.Process(int(owner.split("|")[1]))


def kill_webui(stack: Stack, pid: int) -> None:
    """As the machine would for memory: nobody is told. When this returns nobody listens any more."""
    os.kill(pid, signal.SIGKILL)

    def is_dead() -> bool:
        # Until its last thread has left, a request may still be taken, which would then be lost and not refused.
        try:
            process = psutil.Process(pid)
            return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() == 1
        except psutil.NoSuchProcess:
            return True

    stack.wait_until(is_dead, f"process {pid} is dead", every_s=0.005)


def stop_still(stack: Stack, process: psutil.Process) -> None:
    """Stop the process by a signal, but not in the middle of a write: nobody else could write then."""

    def stopped() -> bool:
        process.send_signal(signal.SIGSTOP)
        if not stack.database.is_locked():
            return True
        process.send_signal(signal.SIGCONT)
        return False

    stack.wait_until(stopped, "the process stands still between two writes")


@contextmanager
def standing_still(stack: Stack, process: psutil.Process) -> Iterator[None]:
    """The process is stopped by a signal and goes on afterwards."""
    stop_still(stack, process)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)

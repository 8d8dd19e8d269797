"""Who runs in an installation, and what must hold of it after any death: found by rows, parents and the journal."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import pairwise

import psutil

from tests.e2e.stack import NODE, Stack, listens
from tests.free_ports import free_port
from tests.promises import PATIENCE_S

#: The node that `up` makes where the settings name a WebUI.
WEBUI = "webui"


def start_up(
    stack: Stack, key: str = "up", *faults: str, seconds_per_step: float | None = None
) -> psutil.Process:
    """`up` with the embedded simulator as its node, complete; its process."""
    words = [word for fault in faults for word in ("--fault", fault)]
    if seconds_per_step is not None:
        words += ["--seconds-per-step", str(seconds_per_step)]
    if words:
        stack.env["STABLENEW_SIMULATOR_OPTIONS"] += f" {shlex.join(words)}"
    process = stack.spawn(key, ["up", "--port", str(stack.web_port)])
    stack.wait_until(
        lambda: process.poll() is not None or (" is READY" in stack.log(key) and listens(stack.web_port)),
        "`up` is complete",
    )
    assert process.poll() is None, stack.log(key)
    return psutil.Process(process.pid)


def start_node(stack: Stack, seconds_per_step: float) -> None:
    """A node with its simulator and a `run_node` that nobody starts again."""
    stack.add_simulator(seconds_per_step=seconds_per_step)
    stack.start_node(NODE)
    stack.wait_ready()


def configure_webui(stack: Stack, script: Callable[[str], str], *options: str) -> None:
    """Let `up` keep a WebUI by a start command of the settings: a shell script around the simulator's command."""
    port = free_port()
    journal = ["--journal", str(stack.journal_path)]
    simulator = [sys.executable, "-m", "webui.simulator", "--port", str(port), *journal, *options]
    stack.env["STABLENEW_WEBUI_URL"] = f"http://127.0.0.1:{port}"
    path = stack.folder.parent / "webui.sh"
    path.write_text(script(shlex.join(simulator)), encoding="utf-8")
    stack.env["STABLENEW_WEBUI_COMMAND"] = shlex.join(["sh", str(path)])


# --- who is who ------------------------------------------------------------------------------------------


def main_of(stack: Stack, node: str = "") -> psutil.Process:
    """The main process of `run_node` of this node, or of the only one: its supervisor."""
    runners = "SELECT runner.pid FROM jobs_runner runner JOIN webui_node node ON node.id = runner.node_id"
    wanted = f"{runners} WHERE runner.pid IS NOT NULL" + (f" AND node.name = '{node}'" if node else "")

    def pid() -> int | None:
        pids = [pid for (pid,) in stack.sql(wanted)]
        return pids[0] if pids and psutil.pid_exists(pids[0]) else None

    return psutil.Process(stack.wait_until(pid, "run_node runs"))


def engine_of(main: psutil.Process) -> dict[str, psutil.Process]:
    """The sentinel and its three children by name, in the order in which they are forked."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            [sentinel] = [child for child in living(main.children()) if not is_webui(child)]
            children = sorted(living(sentinel.children()), key=lambda child: child.create_time())
            return {"sentinel": sentinel} | dict(zip(("worker", "monitor", "pusher"), children, strict=True))
        except (psutil.NoSuchProcess, ValueError):
            # One of them is just being replaced.
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.1)


def worker_of(stack: Stack) -> int:
    """The pid of the process that runs the node's job now."""
    [(owner,)] = stack.sql("SELECT owner FROM jobs_job WHERE status = 'RUNNING'")
    return int(owner.split("|")[1])


def webui_pid(stack: Stack) -> int | None:
    """Of the one node's row; None while it has no process."""
    pids = stack.sql("SELECT pid FROM webui_node WHERE pid IS NOT NULL")
    return int(pids[0][0]) if pids else None


def is_webui(process: psutil.Process) -> bool:
    """A server that draws: simulated, or a real worker of films or edits."""
    return any("webui.simulator" in word or word.endswith("start_worker.py") for word in process.cmdline())


def living(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def kill(*pids: int) -> None:
    """SIGKILL to all of them at once."""
    for pid in pids:
        # The death of the first one may have taken the others along.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


# --- what must hold --------------------------------------------------------------------------------------


def assert_one_at_a_time(stack: Stack) -> None:
    """Neither two attempts nor two requests of one node went on at the same moment."""
    attempts = stack.sql(
        "SELECT node_id, id, started_at, ended_at FROM jobs_stageattempt ORDER BY node_id, id"
    )
    for (node, one, _, ended), (other_node, other, started, _) in pairwise(attempts):
        if node == other_node:
            assert ended is not None, f"attempt {one} is open while {other} goes on"
            assert moment(ended) <= moment(started), f"attempts {one} and {other} of node {node} overlap"
    worked: dict[int, int] = {}
    for line in stack.journal():
        if line["event"] == "post":
            assert line["pid"] not in worked, f"post {line['n']} came while {worked[line['pid']]} was at work"
            worked[line["pid"]] = line["n"]
        elif line["event"] == "answer":
            worked.pop(line["pid"], None)


def moment(value: str | datetime) -> datetime:
    """SQLite gives text."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def assert_every_process_is_known(stack: Stack) -> None:
    """What runs is named by a row (supervisor, WebUI), belongs to such a one, or was started by the test itself.

    A process that has just been replaced may need a moment to go.
    """
    stack.wait_until(lambda: not unknown(stack), f"nothing runs that no row names: {unknown(stack)}")


def unknown(stack: Stack) -> list[str]:
    runners = {pid for (pid,) in stack.sql("SELECT pid FROM jobs_runner WHERE pid IS NOT NULL")}
    webuis = {pid for (pid,) in stack.sql("SELECT pid FROM webui_node WHERE pid IS NOT NULL")}
    known = runners | {process.pid for process in stack.processes.values()}
    found = []
    for process in stack.living():
        try:
            if is_webui(process):
                fine = process.pid in webuis
            else:
                above = {parent.pid for parent in process.parents()}
                # The web server and a run_node that has not written its row yet are children of `up`.
                fine = process.pid in known or bool(above & known)
            if not fine:
                found.append(f"{process.pid} {' '.join(process.cmdline())}")
        except psutil.NoSuchProcess:
            continue
    return found


def assert_all_well(stack: Stack, *, boots: int) -> None:
    """One at a time, nothing unknown, and so many starts of the WebUI that each was adopted and none doubled."""
    assert_one_at_a_time(stack)
    assert_every_process_is_known(stack)
    starts = stack.journal("start")
    assert len(starts) == boots, starts
    assert webui_pid(stack) == starts[-1]["pid"]

"""The lock and the death signal, each sentence on processes of its own: no Django, no engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the death signal is Linux's")

PRELUDE = """
import os, sys, time, threading, subprocess
from pathlib import Path
from jobs.errors import NodeBusyError
from jobs.supervising.process_guard import lock_node, bind_children_to_parent
def say(*words): print(*words, flush=True)
def sleep_on(): time.sleep(60); os._exit(0)
"""


class Program:
    """A Python program in a session of its own whose lines are read as they come."""

    def __init__(self, code: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + code],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def pids(self) -> list[psutil.Process]:
        assert self.process.stdout is not None
        return [psutil.Process(int(pid)) for pid in self.process.stdout.readline().split()]


@pytest.fixture
def program() -> Iterator[Callable[[str], Program]]:
    started: list[Program] = []
    seen: list[psutil.Process] = []

    def start(code: str) -> Program:
        made = Program(code)
        started.append(made)
        seen.append(psutil.Process(made.process.pid))
        return made

    yield start
    for made in started:
        for child in (
            psutil.Process(made.process.pid).children(recursive=True) if made.process.poll() is None else ()
        ):
            child.kill()
        made.process.kill()
        made.process.wait()
        assert made.process.stdout is not None
        made.process.stdout.close()


def ends(process: psutil.Process, within_s: float = 60) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


FAMILY = """
bind_children_to_parent()
child = os.fork()
if child == 0:
    grandchild = os.fork()
    if grandchild == 0:
        sleep_on()
    say(os.getpid(), grandchild)
    sleep_on()
sleep_on()
"""


def test_forks_die_with_the_main_process(program: Callable[[str], Program]) -> None:
    made = program(FAMILY)
    child, grandchild = made.pids()
    made.process.kill()
    assert ends(child)
    assert ends(grandchild)


def test_a_fork_of_a_fork_dies_with_its_own_parent(program: Callable[[str], Program]) -> None:
    made = program(FAMILY)
    child, grandchild = made.pids()
    child.kill()
    assert ends(grandchild)
    assert made.process.poll() is None


def test_the_forks_leave_the_process_group_so_that_a_group_signal_meets_only_the_main_process(
    program: Callable[[str], Program],
) -> None:
    made = program("import signal\nsignal.signal(signal.SIGTERM, lambda *a: None)\n" + FAMILY)
    child, grandchild = made.pids()
    assert os.getpgid(child.pid) == os.getpgid(grandchild.pid) == child.pid
    os.killpg(made.process.pid, signal.SIGTERM)
    time.sleep(0.2)
    assert child.is_running()
    assert grandchild.is_running()


def test_a_fork_whose_parent_died_before_the_signal_was_set_ends_itself(
    program: Callable[[str], Program],
) -> None:
    made = program(
        """
def wait_for_the_parent_to_die():
    while os.getppid() == parent:
        time.sleep(0.01)
parent = os.getpid()
os.register_at_fork(after_in_child=wait_for_the_parent_to_die)
bind_children_to_parent()
child = os.fork()
if child == 0:
    sleep_on()
say(child)
os._exit(0)
"""
    )
    [orphan] = made.pids()
    assert ends(orphan)


def test_a_program_started_by_exec_does_not_get_the_signal(program: Callable[[str], Program]) -> None:
    """The WebUI is started so: it survives us and is adopted by the next run_node."""
    made = program(
        """
bind_children_to_parent()
started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"], start_new_session=True,
                           stdout=subprocess.DEVNULL)
say(started.pid)
sleep_on()
"""
    )
    [survivor] = made.pids()
    made.process.kill()
    assert not ends(survivor, within_s=0.5)
    survivor.kill()


def test_binding_is_refused_once_there_is_another_thread(program: Callable[[str], Program]) -> None:
    made = program(
        """
threading.Thread(target=sleep_on, daemon=True).start()
try:
    bind_children_to_parent()
except RuntimeError:
    say(os.getpid())
sleep_on()
"""
    )
    assert made.pids()[0].pid == made.process.pid


def holder(path: Path, then: str) -> str:
    return f"lock = lock_node(Path({str(path)!r}))\n{then}"


def try_lock(path: Path) -> subprocess.CompletedProcess[str]:
    code = PRELUDE + holder(path, "say('held')")
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_lock_is_held_while_any_fork_of_the_holder_lives(
    program: Callable[[str], Program], tmp_path: Path
) -> None:
    path = tmp_path / "node.lock"
    made = program(holder(path, "child = os.fork()\nif child == 0:\n    sleep_on()\nsay(child)\nos._exit(0)"))
    [orphan] = made.pids()
    made.process.wait(60)
    refused = try_lock(path)
    assert "NodeBusyError" in refused.stderr
    assert str(made.process.pid) in refused.stderr
    orphan.kill()
    assert ends(orphan)
    assert try_lock(path).stdout == "held\n"


def test_a_fork_that_ends_does_not_release_the_lock(
    program: Callable[[str], Program], tmp_path: Path
) -> None:
    path = tmp_path / "node.lock"
    made = program(
        holder(
            path,
            "child = os.fork()\nif child == 0:\n    os._exit(0)\nos.waitpid(child, 0)\nsay(os.getpid())\nsleep_on()",
        )
    )
    made.pids()
    assert "NodeBusyError" in try_lock(path).stderr


def test_a_program_started_by_exec_does_not_hold_the_lock(
    program: Callable[[str], Program], tmp_path: Path
) -> None:
    path = tmp_path / "node.lock"
    made = program(
        holder(
            path,
            "started = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(30)'], "
            "stdout=subprocess.DEVNULL)\nsay(started.pid)\nos._exit(0)",
        )
    )
    [survivor] = made.pids()
    made.process.wait(60)
    assert try_lock(path).stdout == "held\n"
    survivor.kill()

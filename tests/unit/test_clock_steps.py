"""Somebody sets the clock, and with it the kernel's boot time: nobody is taken for somebody else by that."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import psutil
import pytest

from jobs.queue.identity import ProcessIdentity
from jobs.supervising.process_guard import kill_tree, tree_of
from webui.processes import process
from webui.processes.process import Identity
from webui.processes.start_ticks import start_ticks

STEPS = ((3.0,), (1.0, 1.0), (-3.0,), (-86_400.0 * 365,))
StepClock = Callable[[float], None]


@pytest.fixture
def step_clock(monkeypatch: pytest.MonkeyPatch) -> StepClock:
    """Moves `btime` by so many seconds, as setting the wall clock does."""
    real = psutil.boot_time()
    moved = [0.0]
    monkeypatch.setattr("psutil._psplatform.boot_time", lambda: real + moved[0])

    def step(seconds: float) -> None:
        before = psutil.Process().create_time()
        moved[0] += seconds
        assert psutil.Process().create_time() == pytest.approx(before + seconds)

    return step


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as started:
        yield started
        started.kill()


@pytest.mark.parametrize("steps", STEPS)
def test_worker_that_lives_is_not_judged_lost(steps: tuple[float, ...], step_clock: StepClock) -> None:
    written = str(ProcessIdentity.of_self())
    for seconds in steps:
        step_clock(seconds)
        owner = ProcessIdentity.parse(written)
        assert owner is not None
        assert owner.process() is not None


@pytest.mark.parametrize("steps", STEPS)
def test_keeper_knows_its_own_webui(
    steps: tuple[float, ...], step_clock: StepClock, child: subprocess.Popen[bytes]
) -> None:
    boot = Identity(1, 1, "", child.pid, start_ticks(child.pid), process.machine_boot_id())
    for seconds in steps:
        step_clock(seconds)
        assert process.main_process(boot) is not None
    ended = process.end(boot, grace_s=60)
    assert ended.ended == (child.pid,)


@pytest.mark.parametrize("steps", STEPS)
def test_engine_s_processes_have_not_changed(
    steps: tuple[float, ...], step_clock: StepClock, child: subprocess.Popen[bytes]
) -> None:
    tree = tree_of(os.getpid())
    for seconds in steps:
        step_clock(seconds)
        assert tree_of(os.getpid()) == tree
    kill_tree(frozenset((pid, ticks) for pid, ticks in tree if pid == child.pid))
    assert start_ticks(child.pid) is None


def test_another_process_with_the_pid_is_another(child: subprocess.Popen[bytes]) -> None:
    mine = ProcessIdentity.of_self()
    assert mine.process() is not None
    assert replace(mine, ticks=mine.ticks - 1).process() is None
    assert replace(mine, pid=child.pid).process() is None
    ticks = start_ticks(child.pid)
    child.kill()
    child.wait()
    assert ticks is not None
    assert start_ticks(child.pid) is None

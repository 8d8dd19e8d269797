"""kill -9 of our own processes under `up`, one and all: the queue moves again, and nothing runs twice or is left."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

import psutil
import pytest

from tests.e2e.household import (
    assert_all_well,
    engine_of,
    kill,
    living,
    main_of,
    start_up,
)
from tests.e2e.queueing import PRELUDE, TEXT, posted_jobs, submit
from tests.e2e.stack import Stack, listens

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

SMALL = {"txt2img.width": 64, "txt2img.height": 64}
#: Long enough to be hit by a kill, short enough to be waited for.
BUSY = {"overrides": {"txt2img.steps": 100, **SMALL}}


def submit_behind(stack: Stack, before: Sequence[int] = (), *, waiting: int = 1) -> tuple[int, list[int]]:
    """A job that is under way, and others that wait behind it; `before` were sent before it."""
    [running], behind = stack.python(
        f"{PRELUDE}\nresult = submit('running', {TEXT!r}, **{BUSY}), submit('behind', {TEXT!r}, repeat={waiting})"
    )
    stack.wait_until(lambda: len(stack.posts()) > len(before), "the job is sent")
    assert posted_jobs(stack) == [*before, running], "it is still under way"
    return running, behind


def victims_of(stack: Stack, who: str, up: psutil.Process) -> list[int]:
    main = main_of(stack)
    engine = engine_of(main)
    if who == "web server":
        return [child.pid for child in living(up.children()) if "serve" in child.cmdline()]
    if who == "supervisor":
        return [main.pid]
    if who == "all of run_node":
        return [main.pid, *(process.pid for process in engine.values())]
    return [engine[who].pid]


def test_each_death_that_takes_the_running_job_costs_it_one_retry(stack: Stack) -> None:
    # Each round sends three requests; its first one is surely still under way at the kill.
    up = start_up(stack, "up", "slow=0.3@1,4,7,10", seconds_per_step=0.01)
    order: list[int] = []
    for who in ("worker", "sentinel", "supervisor", "all of run_node"):
        running, [behind] = submit_behind(stack, order)
        kill(*victims_of(stack, who, up))
        job = stack.wait_job(running, "COMPLETED")
        assert job["retry_count"] == 1, who
        assert [attempt["outcome"] for attempt in job["stage_attempts"]] == ["lost", "completed"], who
        assert stack.wait_job(behind, "COMPLETED")["retry_count"] == 0, who
        order += [running, running, behind]
        assert posted_jobs(stack) == order, who
        assert_all_well(stack, boots=1)


def test_a_death_beside_the_running_job_does_not_touch_it(stack: Stack) -> None:
    up = start_up(stack, seconds_per_step=0.04)
    order: list[int] = []
    # The last forked first: who is forked again is the last one from then on.
    for who in ("pusher", "monitor", "web server"):
        running, [behind] = submit_behind(stack, order)
        kill(*victims_of(stack, who, up))
        assert stack.wait_job(running, "COMPLETED")["retry_count"] == 0, who
        stack.wait_job(behind, "COMPLETED")
        order += [running, behind]
        assert posted_jobs(stack) == order, who
        stack.wait_until(lambda: listens(stack.web_port), "the pages answer")
        assert_all_well(stack, boots=1)


def test_idle_all_of_run_node_dies_and_the_next_job_runs(stack: Stack) -> None:
    up = start_up(stack, seconds_per_step=0.01)
    kill(*victims_of(stack, "all of run_node", up))
    [job_id] = submit(stack)
    assert stack.wait_job(job_id, "COMPLETED")["retry_count"] == 0
    assert posted_jobs(stack) == [job_id]
    assert_all_well(stack, boots=1)


def test_everything_but_the_webui_dies_and_a_new_up_adopts_it_with_its_job(stack: Stack) -> None:
    up = start_up(stack, "up", "slow=0.3@1", seconds_per_step=0.01)
    running, [behind] = submit_behind(stack)
    main = main_of(stack)
    children = [child.pid for child in living(up.children())]
    kill(up.pid, *children, main.pid, *(process.pid for process in engine_of(main).values()))
    stack.processes["up"].wait()
    start_up(stack, "again")
    assert stack.wait_job(running, "COMPLETED")["retry_count"] == 1
    stack.wait_job(behind, "COMPLETED")
    assert posted_jobs(stack) == [running, running, behind]
    assert_all_well(stack, boots=1)


def test_term_to_the_group_with_three_jobs_waiting_loses_none_and_starts_none(stack: Stack) -> None:
    start_up(stack, seconds_per_step=0.04)
    running, behind = submit_behind(stack, waiting=3)
    main = main_of(stack)
    os.killpg(main.pid, signal.SIGTERM)
    stack.wait_until(lambda: not main.is_running() or main.status() == psutil.STATUS_ZOMBIE, "it left")
    assert posted_jobs(stack) == [running]
    assert stack.job(running)["status"] == "COMPLETED"
    stack.wait_ledger(completed=4)
    assert posted_jobs(stack) == [running, *behind]
    assert stack.sql("SELECT sum(retry_count), sum(operator_requeues) FROM jobs_job") == [(0, 0)]
    # Whoever leaves in order takes the WebUI with him.
    assert_all_well(stack, boots=2)


def test_up_dies_and_another_one_takes_over_when_its_run_node_has_drained(stack: Stack) -> None:
    # Longer than a new `up` needs to start, shorter than the drain by some seconds.
    start_up(stack, seconds_per_step=0.07)
    running, [behind] = submit_behind(stack)
    stack.kill("up")
    stack.processes["up"].wait()
    stack.wait_until(lambda: not listens(stack.web_port), "the web server left with it")
    start_up(stack, "again")
    # The first run_node lets its job finish, and no second one may run the node beside it.
    stack.wait_until(lambda: len(stack.posts()) == 2, "the next job is sent")
    assert stack.wait_job(running, "COMPLETED")["retry_count"] == 0
    stack.wait_job(behind, "COMPLETED")
    assert posted_jobs(stack) == [running, behind]
    assert_all_well(stack, boots=2)

"""Two nodes of one kind, each with its own `run_node` and simulator: work goes round."""

from __future__ import annotations

from collections import Counter

import psutil
import pytest

from tests.e2e.household import engine_of
from tests.e2e.queueing import submit
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

NODES = ("alpha", "beta")


def ready(stack: Stack, seconds_per_step: float) -> None:
    for name in NODES:
        stack.add_simulator(name=name, seconds_per_step=seconds_per_step)
    for name in NODES:
        stack.start_node(name)
    for name in NODES:
        stack.wait_ready(name)


def ran_on(stack: Stack) -> list[str]:
    """The node of each job, in the order of the queue."""
    rows = stack.sql(
        "SELECT node.name FROM jobs_job job JOIN webui_node node ON node.id = job.node_id ORDER BY job.id"
    )
    return [name for (name,) in rows]


def test_six_jobs_each_submitted_when_both_nodes_are_idle_go_round(stack: Stack) -> None:
    ready(stack, seconds_per_step=0.01)
    for number in range(1, 7):
        submit(stack)
        stack.wait_ledger(completed=number, queued=0, running=0)
    first, second = ran_on(stack)[:2]
    assert {first, second} == set(NODES)
    assert ran_on(stack) == [first, second] * 3


def test_of_twelve_jobs_submitted_at_once_neither_node_does_less_than_four(stack: Stack) -> None:
    ready(stack, seconds_per_step=0.4)
    submit(stack, repeat=12)
    stack.wait_ledger(completed=12, queued=0, running=0, timeout_s=200)
    ran = Counter(ran_on(stack))
    assert ran.keys() == set(NODES)
    assert min(ran.values()) >= 4, ran


def test_the_turn_of_a_node_whose_worker_was_killed_passes_to_the_other_one(stack: Stack) -> None:
    """It was woken and cannot answer. When it is back, it is its turn again."""
    ready(stack, seconds_per_step=0.01)
    submit(stack)
    stack.wait_ledger(completed=1, queued=0, running=0)
    [first] = ran_on(stack)
    [second] = {*NODES} - {first}
    stack.kill(f"node-{second}")
    submit(stack)
    stack.wait_ledger(completed=2, queued=0, running=0)
    back = stack.start_node(second)
    stack.wait_until(
        lambda: stack.sql(f"SELECT 1 FROM jobs_runner WHERE pid = {back.pid}"),  # noqa: S608
        "it is back",
    )
    # Whoever hears nothing for a while loses his turn.
    engine_of(psutil.Process(back.pid))
    stack.wait_ready(second)
    submit(stack)
    stack.wait_ledger(completed=3, queued=0, running=0)
    assert ran_on(stack) == [first, first, second]

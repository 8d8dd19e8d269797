"""Cancel in every state, on real processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.queueing import posted_jobs, submit
from tests.e2e.stack import Stack

pytestmark = pytest.mark.stack


def test_cancel_works_in_every_state(stack: Stack) -> None:
    # Five minutes: however slowly the commands start, it still draws when it is cancelled.
    stack.add_simulator(seconds_per_step=2.0)
    stack.start_node()
    stack.wait_ready()
    steps: dict[str, Any] = {"overrides": {"txt2img.steps": 150, "txt2img.width": 64, "txt2img.height": 64}}
    [running] = submit(stack, "long", **steps)
    queued, last = submit(stack, "short", repeat=2)
    stack.wait_until(lambda: len(stack.posts()) == 1, "the long job is sent")

    assert stack.manage("jobs", "cancel", queued)["jobs"][0]["result"] == "cancelled"
    assert stack.manage("jobs", "cancel", running)["jobs"][0]["result"] == "requested"
    cancelled = stack.wait_job(running, "CANCELLED")
    assert cancelled["outputs"] == []
    assert [attempt["outcome"] for attempt in cancelled["stage_attempts"]] == ["cancelled"]
    assert stack.journal("answer")[0]["outcome"] == "interrupted"
    partial = list((stack.folder / "outputs").rglob("partial-*.png"))
    assert [Path(path).parent.name for path in partial] == [str(running)]

    completed = stack.wait_job(last, "COMPLETED")
    assert posted_jobs(stack) == [running, last]
    late = stack.manage("jobs", "cancel", last, expect=1)
    assert "already COMPLETED" in str(late)
    assert completed["status"] == stack.job(last)["status"]
    assert stack.status()["ledger"] == {
        "submitted": 3,
        "queued": 0,
        "running": 0,
        "completed": 1,
        "failed": 0,
        "cancelled": 2,
    }


def test_a_request_that_ignores_the_interrupt_is_ended_by_a_restart_charged_to_nobody(stack: Stack) -> None:
    stack.env["STABLENEW_CANCEL_GRACE_S"] = "2"
    stack.add_simulator("--fault", "hang@1", seconds_per_step=0.01)
    stack.start_node()
    stack.wait_ready()
    stuck, following = submit(stack, repeat=2)
    stack.wait_until(lambda: len(stack.posts()) == 1, "the hanging job is sent")
    stack.manage("jobs", "cancel", stuck)
    job = stack.wait_job(stuck, "CANCELLED")
    assert job["retry_count"] == 0
    assert stack.wait_job(following, "COMPLETED")["retry_count"] == 0
    assert len(stack.journal("start")) == 2

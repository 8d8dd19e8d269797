"""Failures of a server that lives: each costs what it must, and says what it was."""

from __future__ import annotations

import sys

import pytest

from tests.e2e.queueing import posted_jobs, submit
from tests.e2e.recovering import (
    add_faulty,
    crashes,
    node_row,
    simulator_command,
    small,
    starts,
    submit_prompts,
    wait_ended,
    wait_node,
)
from tests.e2e.stack import Stack, listens
from tests.free_ports import free_port
from tests.keepers import PAGE_WITHOUT_API

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


def named(checkpoint: str) -> dict[str, object]:
    overrides = small()["overrides"] | {"txt2img.model": checkpoint}
    return {"overrides": overrides}


def test_nan_three_times_holds_the_checkpoint_and_nothing_else(stack: Stack) -> None:
    add_faulty(stack, "nan~mill", checkpoint="tinyNaN")
    stack.start_node()
    stack.wait_ready()
    jobs = submit(stack, "mills", "a mill\n\na mill by night\n\na mill in snow", **named("tinyNaN"))
    jobs += submit(stack, "castles", "a castle")
    assert wait_ended(stack, jobs) == [*[("FAILED", 0)] * 3, ("COMPLETED", 0)]
    assert posted_jobs(stack) == jobs
    assert starts(stack) == 1, "the server lives"
    for job_id in jobs[:3]:
        job = stack.job(job_id)
        assert (job["error"]["code"], crashes(job)) == ("WEBUI_NAN", [])
    [(breaker,)] = stack.sql("SELECT breaker_opened_at FROM jobs_runner")
    assert breaker is None
    counted = stack.sql(
        "SELECT checkpoint, what, failures FROM jobs_checkpointtrouble WHERE held_at IS NOT NULL"
    )
    assert counted == [("tinyNaN", "gave NaN", 3)]


def test_a_server_of_others_that_cannot_be_restarted_is_not_said_to_be(stack: Stack) -> None:
    port = free_port()
    faults = stack.folder / "faults"
    faults.write_text("once 500~lighthouse\n")
    stack.spawn_command("theirs", simulator_command(stack, port, "--fault-file", str(faults)))
    stack.wait_until(lambda: listens(port), "the server of others listens")
    name = stack.add_attached(f"http://127.0.0.1:{port}")
    stack.start_node(name)
    stack.wait_ready(name)
    [job_id] = submit_prompts(stack, ["a lighthouse"])
    assert wait_ended(stack, [job_id]) == [("COMPLETED", 1)]
    job = stack.job(job_id)
    assert crashes(job) == ["WEBUI_SERVER_ERROR"]
    [again] = [event["data"] for event in job["events"] if event["event_type"] == "WEBUI_RESTARTED"]
    assert (again["restarted"], again["generation"]) == (False, 1)
    row = node_row(stack, name)
    assert (row["generation"], row["restarts"]) == (1, 0)
    assert "It was not restarted" in row["state_reason"]
    reasons = stack.look("jobs", "explain", job_id)["reasons"]
    assert any("was not restarted" in reason["text"] for reason in reasons)


def test_a_webui_without_its_api_is_told_long_before_its_start_has_taken_too_long(stack: Stack) -> None:
    port = free_port()
    stack.spawn_command("page", [sys.executable, "-c", PAGE_WITHOUT_API, str(port)])
    stack.wait_until(lambda: listens(port), "the page listens")
    name = stack.add_attached(f"http://127.0.0.1:{port}")
    stack.start_node(name)
    row = wait_node(stack, name, state="FAILED")
    assert "started without --api" in row["state_reason"]
    assert "started without --api" in str(stack.manage("doctor", expect=1))

"""A WebUI that cannot start again: its job keeps its place and its retry, the jobs behind wait, nothing burns."""

from __future__ import annotations

import pytest

from tests.e2e.queueing import posted_jobs, submit
from tests.e2e.recovering import (
    RECOVERY_S,
    add_fixed,
    costs,
    crashes,
    node_row,
    set_faults,
    small,
    start_by_hand,
    start_up,
    starts,
    wait_ended,
    wait_node,
    webuis,
)
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

NODE = "webui"
#: The first request kills the WebUI, and from then on no start succeeds.
DEAD_FOR_GOOD = ("die@1", "no-boot@2-")
WAITING = [("QUEUED", 1), ("QUEUED", 0), ("QUEUED", 0)]


def lose_the_webui(stack: Stack) -> list[int]:
    """Three jobs; the WebUI dies of the first and fails to start three times. Returns when the job has given up."""
    jobs = submit(stack, repeat=3, **small())
    stack.wait_until(lambda: costs(stack, jobs) == WAITING, "the job is back in the queue", RECOVERY_S)
    row = node_row(stack, NODE)
    assert row["state"] in ("FAILED", "STARTING")  # FAILED, or at its next try already
    assert row["failed_starts"] >= 3
    assert starts(stack) >= 4
    order = stack.sql("SELECT id FROM jobs_job WHERE status = 'QUEUED' ORDER BY priority, position, id")
    assert [job for (job,) in order] == jobs
    assert posted_jobs(stack) == jobs[:1]
    return jobs


def assert_all_complete(stack: Stack, jobs: list[int]) -> None:
    assert wait_ended(stack, jobs) == [("COMPLETED", 1), ("COMPLETED", 0), ("COMPLETED", 0)]
    assert posted_jobs(stack) == [jobs[0], *jobs]
    job = stack.job(jobs[0])
    assert crashes(job) == ["WEBUI_CONNECTION_LOST"]
    told = [event["event_type"] for event in job["events"]]
    granted = told.index("QUEUE_JOB_WEBUI_CRASH_SUSPECTED")
    assert told[granted : granted + 4] == [
        "QUEUE_JOB_WEBUI_CRASH_SUSPECTED",
        "REQUEUED",
        "RUNNING",
        "RETRY_STARTED",
    ]
    assert [attempt["run_number"] for attempt in job["stage_attempts"]] == [1, 2]
    assert len(webuis(stack)) == 1


def test_jobs_wait_for_a_webui_that_cannot_start_and_complete_when_it_can_again(stack: Stack) -> None:
    add_fixed(stack, *DEAD_FOR_GOOD)
    start_up(stack)
    stack.wait_ready(NODE)
    jobs = lose_the_webui(stack)

    def told() -> bool:
        [node] = stack.nodes()
        words = ("ended with exit code 1", "Trying again in")
        return node["state"] == "FAILED" and all(word in node["reason"] for word in words)

    stack.wait_until(told, "whoever looks reads why, and that it goes on", RECOVERY_S)
    # Nothing is stuck: who comes now is queued, who goes is cancelled.
    [late] = submit(stack, "late", **small())
    assert stack.manage("jobs", "cancel", late)["jobs"][0]["result"] == "cancelled"
    assert costs(stack, [*jobs, late]) == [*WAITING, ("CANCELLED", 0)]

    set_faults(stack)
    assert_all_complete(stack, jobs)
    assert node_row(stack, NODE)["failed_starts"] == 0


def test_node_start_ends_the_wait_for_the_next_try(stack: Stack) -> None:
    add_fixed(stack, *DEAD_FOR_GOOD)
    stack.start_node(NODE)
    stack.wait_ready(NODE)
    jobs = lose_the_webui(stack)
    refused = stack.manage("node", "start", NODE, expect=1)
    assert "Trying again in" in str(refused)

    set_faults(stack)
    assert stack.manage("node", "start", NODE)["state"] == "READY"
    assert_all_complete(stack, jobs)


def test_who_starts_it_by_hand_need_not_tell_us(stack: Stack) -> None:
    port = add_fixed(stack, *DEAD_FOR_GOOD)
    stack.start_node(NODE)
    stack.wait_ready(NODE)
    jobs = lose_the_webui(stack)

    start_by_hand(stack, port)
    wait_node(stack, NODE, state="READY", adopted_foreign=True)
    assert_all_complete(stack, jobs)


def test_a_webui_that_starts_at_the_third_try_costs_no_more_than_one_that_starts_at_once(
    stack: Stack,
) -> None:
    add_fixed(stack, "no-boot@1-2", "die@1", "no-boot@4-5")
    stack.start_node(NODE)
    jobs = submit(stack, repeat=3, **small())
    # The first two starts come before any job; the fourth and fifth are tries to mend what the first job met.
    assert wait_ended(stack, jobs) == [("COMPLETED", 1), ("COMPLETED", 0), ("COMPLETED", 0)]
    assert posted_jobs(stack) == [jobs[0], *jobs]
    assert starts(stack) == 6
    # The run itself waited: the job never went back to the queue.
    assert "REQUEUED" not in [event["event_type"] for event in stack.job(jobs[0])["events"]]


def test_a_job_that_crashes_in_its_late_retry_is_failed_and_runs_no_third_time(stack: Stack) -> None:
    add_fixed(stack, *DEAD_FOR_GOOD)
    stack.start_node(NODE)
    stack.wait_ready(NODE)
    jobs = lose_the_webui(stack)

    set_faults(stack, "die@2")
    stack.run("node", "start", NODE)
    assert wait_ended(stack, jobs) == [("FAILED", 1), ("COMPLETED", 0), ("COMPLETED", 0)]
    assert posted_jobs(stack) == [jobs[0], *jobs]
    failed = stack.job(jobs[0])
    assert crashes(failed) == ["WEBUI_CONNECTION_LOST"]
    assert "QUEUE_JOB_WEBUI_RETRY_EXHAUSTED" in [event["event_type"] for event in failed["events"]]
    assert failed["error"]["artifact_paths"]

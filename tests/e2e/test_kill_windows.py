"""kill -9 in the narrow places: between two writes of a run, during a restart, during a spawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.gates import closed
from tests.e2e.household import (
    WEBUI,
    assert_all_well,
    configure_webui,
    engine_of,
    kill,
    main_of,
    start_node,
    start_up,
    webui_pid,
    worker_of,
)
from tests.e2e.queueing import posted_jobs, submit
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]


def is_running(stack: Stack) -> bool:
    return stack.sql("SELECT count(*) FROM jobs_job WHERE status = 'RUNNING'") == [(1,)]


def pictures(stack: Stack) -> list[Path]:
    return sorted((stack.folder / "outputs").rglob("*.png"))


def requeued(job: dict[str, Any]) -> list[bool]:
    """For each time that the job went back to the queue: was it charged?"""
    return [event["data"]["charged"] for event in job["events"] if event["event_type"] == "REQUEUED"]


def test_killed_between_claim_and_first_request_is_charged_to_nobody(stack: Stack) -> None:
    start_node(stack, 0.01)
    with closed(stack.database, "INSERT ON jobs_stageattempt"):
        [job_id] = submit(stack)
        stack.wait_until(lambda: is_running(stack), "the job is claimed")
        kill(worker_of(stack))
        assert stack.posts() == []
    job = stack.wait_job(job_id, "COMPLETED")
    assert (job["retry_count"], requeued(job)) == (0, [False])
    assert [attempt["outcome"] for attempt in job["stage_attempts"]] == ["completed"]
    assert posted_jobs(stack) == [job_id]
    assert_all_well(stack, boots=1)


def test_killed_between_pictures_written_and_committed_keeps_only_those_of_the_retry(stack: Stack) -> None:
    start_node(stack, 0.01)
    with closed(stack.database, "INSERT ON jobs_outputimage"):
        [job_id] = submit(stack)
        stack.wait_until(lambda: pictures(stack), "the picture is on disk")
        kill(worker_of(stack))
        assert stack.sql("SELECT count(*) FROM jobs_outputimage") == [(0,)]
    job = stack.wait_job(job_id, "COMPLETED")
    assert posted_jobs(stack) == [job_id, job_id]
    assert (job["retry_count"], requeued(job)) == (1, [True])
    assert [attempt["outcome"] for attempt in job["stage_attempts"]] == ["lost", "completed"]
    accepted, aside = sorted(pictures(stack), key=lambda path: path.name.startswith("partial-"))
    assert [output["path"] for output in job["outputs"]] == [str(accepted)]
    assert "run2" in accepted.name
    # What nobody accepted looks like no result.
    assert aside.name.startswith("partial-")
    assert "run1" in aside.name
    assert_all_well(stack, boots=1)


@pytest.mark.parametrize("who", ["worker", "supervisor", "all of run_node"])
def test_killed_during_the_restart_of_the_webui_goes_on_with_that_restart(stack: Stack, who: str) -> None:
    start_up(stack, "up", "500@1", "slow-boot=4@2", seconds_per_step=0.01)
    [job_id] = submit(stack)
    starting = [(2, "STARTING")]
    stack.wait_until(
        lambda: stack.sql("SELECT generation, state FROM webui_node") == starting and webui_pid(stack),
        "the WebUI starts again",
    )
    main = main_of(stack)
    engine = [process.pid for process in engine_of(main).values()]
    victims = {"worker": [worker_of(stack)], "supervisor": [main.pid], "all of run_node": [main.pid, *engine]}
    kill(*victims[who])
    job = stack.wait_job(job_id, "COMPLETED")
    assert posted_jobs(stack) == [job_id, job_id]
    # The one retry was granted for the crash; that it had not begun is charged to nobody.
    assert (job["retry_count"], requeued(job)) == (1, [False])
    assert [attempt["outcome"] for attempt in job["stage_attempts"]] == ["server_error", "completed"]
    assert [attempt["generation"] for attempt in job["stage_attempts"]] == [1, 2]
    assert_all_well(stack, boots=2)


def test_killed_between_the_spawn_and_its_row_finds_the_webui_again(stack: Stack) -> None:
    with closed(stack.database, "UPDATE OF pid ON webui_node", when="NEW.pid IS NOT NULL"):
        stack.spawn("up", ["up", "--port", str(stack.web_port)])
        stack.wait_until(lambda: stack.journal("start"), "the WebUI was spawned")
        assert webui_pid(stack) is None
        kill(main_of(stack).pid)
    stack.wait_ready()
    [job_id] = submit(stack)
    stack.wait_job(job_id, "COMPLETED")
    assert posted_jobs(stack) == [job_id]
    assert_all_well(stack, boots=1)


def test_killed_while_the_start_command_prepares_waits_for_that_very_start(stack: Stack) -> None:
    configure_webui(stack, lambda simulator: f"sleep 4; exec {simulator}")
    stack.spawn("up", ["up", "--port", str(stack.web_port)])
    stack.wait_until(lambda: webui_pid(stack), "the start command was spawned")
    kill(main_of(stack).pid)
    assert stack.journal("start") == []
    stack.wait_ready(WEBUI)
    [job_id] = submit(stack)
    stack.wait_job(job_id, "COMPLETED")
    assert posted_jobs(stack) == [job_id]
    assert_all_well(stack, boots=1)

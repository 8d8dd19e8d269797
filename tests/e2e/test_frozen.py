"""A WebUI process that is stopped (SIGSTOP) still accepts connections; only its silence tells."""

from __future__ import annotations

import os
import signal
from typing import Any

import psutil
import pytest

from tests.e2e.queueing import posted_jobs, submit
from tests.e2e.recovering import (
    add_faulty,
    crashes,
    node_row,
    simulator_command,
    small,
    start_up,
    starts,
    wait_ended,
    wait_node,
    webui_pid,
)
from tests.e2e.stack import Stack, listens
from tests.e2e.visitor import Visitor
from tests.free_ports import free_port

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

LONG = small(steps=60)
PACE = 0.1


@pytest.fixture
def impatient(stack: Stack) -> Stack:
    """With limits far below the defaults, yet above the first question that is not answered."""
    stack.env |= {"STABLENEW_HANG_BUSY_S": "8", "STABLENEW_HANG_IDLE_S": "12"}
    return stack


def send_long_job(stack: Stack) -> int:
    """A job of some seconds; returns when progress tells that it is being drawn."""
    [job_id] = submit(stack, "long", **LONG)

    def is_drawn() -> bool:
        return '"step": ' in str(progress_of(stack)) and '"step": null' not in str(progress_of(stack))

    stack.wait_until(is_drawn, "the job is being drawn")
    return job_id


def progress_of(stack: Stack) -> str:
    """What the run has written for the pages, as text."""
    [(told,)] = stack.sql("SELECT progress FROM jobs_runner WHERE progress IS NOT NULL LIMIT 1") or [("",)]
    return str(told).replace("'", '"').replace("None", "null")


def headline(stack: Stack, job_id: int) -> str:
    return str(stack.look("jobs", "explain", job_id)["headline"])


def wait_silent(stack: Stack, job_id: int) -> None:
    stack.wait_until(
        lambda: "has not answered for" in headline(stack, job_id), "the account tells of the silence"
    )


def told(job: dict[str, Any], event_type: str) -> dict[str, Any]:
    [event] = [event for event in job["events"] if event["event_type"] == event_type]
    data: dict[str, Any] = event["data"]
    return data


def test_stopped_in_the_middle_of_a_picture_it_is_a_hang_and_pages_say_so_before(impatient: Stack) -> None:
    stack = impatient
    add_faulty(stack, seconds_per_step=PACE)
    start_up(stack)
    stack.wait_ready()
    visitor = Visitor.of(stack)
    job_id = send_long_job(stack)
    pid = webui_pid(stack)
    os.kill(pid, signal.SIGSTOP)

    def told_on_the_page() -> str:
        page = visitor.read("/")
        return page if "the WebUI has not answered for" in page else ""

    page = stack.wait_until(told_on_the_page, "the queue page tells of the silence")
    assert "to the end of the queue" not in page
    assert wait_ended(stack, [job_id]) == [("COMPLETED", 1)]
    job = stack.job(job_id)
    assert crashes(job) == ["WEBUI_HANG"]
    assert "accepts connections and has answered nothing for" in job["stage_attempts"][0]["reason"]
    assert told(job, "WEBUI_RESTARTED")["restarted"]
    assert starts(stack) == 2
    assert not psutil.pid_exists(pid), "a stopped process takes no TERM; it was killed"
    assert node_row(stack)["generation"] == 2


def test_a_stop_that_ends_in_time_costs_nothing(stack: Stack) -> None:
    add_faulty(stack, seconds_per_step=PACE)
    stack.start_node()
    stack.wait_ready()
    job_id = send_long_job(stack)
    pid = webui_pid(stack)
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_silent(stack, job_id)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert wait_ended(stack, [job_id]) == [("COMPLETED", 0)]
    assert posted_jobs(stack) == [job_id]
    assert starts(stack) == 1


def test_a_stopped_server_of_others_is_not_said_to_be_restarted(impatient: Stack) -> None:
    stack = impatient
    port = free_port()
    process = stack.spawn_command("theirs", simulator_command(stack, port, seconds_per_step=PACE))
    stack.wait_until(lambda: listens(port), "the server of others listens")
    name = stack.add_attached(f"http://127.0.0.1:{port}")
    stack.start_node(name)
    stack.wait_ready(name)
    job_id = send_long_job(stack)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        stack.wait_until(lambda: crashes(stack.job(job_id)), "the run calls it a hang")
        stack.wait_until(
            lambda: "not restarted" in node_row(stack, name)["state_reason"], "it could not be restarted"
        )
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert wait_ended(stack, [job_id]) == [("COMPLETED", 1)]
    job = stack.job(job_id)
    assert crashes(job) == ["WEBUI_HANG"]
    again = told(job, "WEBUI_RESTARTED")
    assert (again["restarted"], again["generation"]) == (False, 1)
    row = wait_node(stack, name, state="READY")
    assert (row["generation"], row["restarts"]) == (1, 0)
    texts = [reason["text"] for reason in stack.look("jobs", "explain", job_id)["reasons"]]
    assert any("was not restarted" in text for text in texts)
    assert not any("ready again" in text for text in texts)


def test_an_idle_one_that_is_stopped_is_started_anew_and_the_next_job_runs(impatient: Stack) -> None:
    stack = impatient
    add_faulty(stack)
    stack.start_node()
    stack.wait_ready()
    os.kill(webui_pid(stack), signal.SIGSTOP)
    wait_node(stack, state="READY", generation=2)
    [job_id] = submit(stack, "next", **small())
    assert wait_ended(stack, [job_id]) == [("COMPLETED", 0)]

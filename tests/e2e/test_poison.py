"""Prompts that kill the WebUI: one costs its own job and two restarts; three in a row open the breaker."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest

from tests.e2e.queueing import posted_jobs
from tests.e2e.recovering import (
    add_faulty,
    costs,
    crashes,
    start_up,
    starts,
    submit_prompts,
    wait_ended,
    wait_node,
)
from tests.e2e.stack import NODE, Stack
from tests.e2e.visitor import Visitor

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

POISON = "a bottle of arsenic"
DEADLY = "die~arsenic"
RUNNER = "SELECT breaker_opened_at, breaker_until, crash_failures FROM jobs_runner"
FINE, LOST = ("COMPLETED", 0), ("FAILED", 1)
#: Three of a kind in the middle of eight.
THREE_IN_A_ROW = ["a lighthouse", "a castle", *[POISON] * 3, "a bridge", "a mill", "a well"]


def test_one_poison_prompt_among_a_hundred_jobs_costs_its_own_job_and_two_restarts(stack: Stack) -> None:
    prompts = [f"a lighthouse with {number} windows" for number in range(100)]
    prompts[37] = POISON
    add_faulty(stack, DEADLY, seconds_per_step=0.001)
    start_up(stack)
    jobs = submit_prompts(stack, prompts)
    expected = [FINE] * 100
    expected[37] = LOST
    assert wait_ended(stack, jobs, timeout_s=200) == expected
    assert posted_jobs(stack) == [*jobs[:37], jobs[37], *jobs[37:]]
    # The second death is mended before the next job is sent, or by it: no job pays for its neighbour.
    assert starts(stack) == 3
    failed = stack.job(jobs[37])
    assert crashes(failed) == ["WEBUI_CONNECTION_LOST"]
    assert [attempt["outcome"] for attempt in failed["stage_attempts"]] == ["unavailable", "unavailable"]
    assert failed["error"]["code"] == "WEBUI_CONNECTION_LOST"
    assert POISON not in str(failed["error"])
    assert stack.sql("SELECT crash_failures, breaker_opened_at FROM jobs_runner") == [(0, None)]


def open_the_breaker(stack: Stack) -> list[int]:
    """Eight jobs, three of them deadly; returns when the third has opened the breaker."""
    jobs = submit_prompts(stack, THREE_IN_A_ROW)

    def opened() -> bool:
        # Until run_node has taken the node over there is no row.
        return any(opened_at for opened_at, *_ in stack.sql(RUNNER))

    stack.wait_until(opened, "the breaker opens", timeout_s=120)
    return jobs


def test_three_poison_prompts_in_a_row_open_the_breaker_and_whoever_looks_sees_why(stack: Stack) -> None:
    add_faulty(stack, DEADLY)
    start_up(stack)
    jobs = open_the_breaker(stack)
    waiting = [FINE] * 2 + [LOST] * 3 + [("QUEUED", 0)] * 3
    assert costs(stack, jobs) == waiting
    wait_node(stack, state="READY", generation=7)  # the WebUI itself is well again

    [node] = stack.nodes()
    assert node["breaker"]["crash_failures"] == 3
    assert node["breaker"]["reason"].startswith("3 crashes in a row")
    visitor = Visitor.of(stack)
    [(node_id,)] = stack.sql("SELECT id FROM webui_node")
    page = visitor.read(f"/runners/{node_id}/", fragment=True)
    assert "3 crashes in a row" in page
    assert "arsenic" not in page
    assert costs(stack, jobs) == waiting  # a READY node alone does not close it

    assert "Try one job now" in page
    visitor.press(f"/runners/{node_id}/try/")
    assert wait_ended(stack, jobs) == [FINE] * 2 + [LOST] * 3 + [FINE] * 3
    assert stack.nodes()[0]["breaker"] is None
    assert starts(stack) == 7
    assert posted_jobs(stack) == [*jobs[:2], *(job for job in jobs[2:5] for _ in "12"), *jobs[5:]]


def test_after_the_pause_one_job_is_tried_and_the_rest_follows_once_it_completes(stack: Stack) -> None:
    stack.env["STABLENEW_BREAKER_PAUSE_S"] = "4"
    add_faulty(stack, DEADLY)
    stack.start_node()
    stack.wait_ready()
    jobs = submit_prompts(stack, [*THREE_IN_A_ROW[2:5], POISON, "a bridge", "a mill"])
    assert wait_ended(stack, jobs, timeout_s=150) == [LOST] * 4 + [FINE] * 2
    posts = stack.posts()
    assert posted_jobs(stack) == [*(job for job in jobs[:4] for _ in "12"), *jobs[4:]]
    # Three crashes open it; the fourth poison is the canary and doubles the pause; the first sound job closes it.
    failed_at = [moment(stack.job(job)["finished_at"]) for job in jobs[2:4]]
    sent_at = [moment(posts[number]["time"]) for number in (6, 8)]
    assert sent_at[0] - failed_at[0] >= timedelta(seconds=4)
    assert sent_at[1] - failed_at[1] >= timedelta(seconds=8)
    assert starts(stack) == 9
    assert stack.sql(RUNNER) == [(None, None, 0)]
    said = stack.log(f"node-{NODE}")
    assert len(re.findall(r"takes no more jobs until", said)) == 2
    assert "takes jobs again" in said


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)

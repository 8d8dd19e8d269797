"""What stands still and what is only slow: a hang costs one restart and one retry, patience costs nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.queueing import posted_jobs, submit
from tests.e2e.recovering import (
    add_faulty,
    crashes,
    small,
    start_up,
    starts,
    submit_prompts,
    wait_ended,
)
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

BUSY_S, IDLE_S = 3, 6
UPSCALED: dict[str, Any] = {
    "preset_data": {
        "txt2img": {"steps": 1, "width": 64, "height": 64},
        "upscale": {"upscaler": "Lanczos", "upscaling_resize": 2},
        "pipeline": {"txt2img_enabled": True, "upscale_enabled": True},
    }
}


@pytest.fixture
def impatient(stack: Stack) -> Stack:
    """With limits far below the defaults, which no wait of these tests would live to see."""
    stack.env |= {"STABLENEW_HANG_BUSY_S": str(BUSY_S), "STABLENEW_HANG_IDLE_S": str(IDLE_S)}
    return stack


def hung_attempt(job: dict[str, Any]) -> dict[str, Any]:
    """The first of a job's two attempts, which hung; the second completed."""
    hung: dict[str, Any]
    hung, mended = job["stage_attempts"][-2:]
    assert (hung["outcome"], mended["outcome"]) == ("unavailable", "completed")
    assert mended["generation"] == hung["generation"] + 1
    assert "has not changed for" in hung["reason"]
    return hung


def test_a_hang_at_any_moment_costs_one_restart_and_one_retry(impatient: Stack) -> None:
    stack = impatient
    moments = {"hang-before": IDLE_S, "hang": BUSY_S, "hang-after": IDLE_S}
    add_faulty(stack, *(f"once {kind}~{kind} lighthouse" for kind in moments), "hang~stubborn")
    start_up(stack)
    prompts = [f"a {kind} lighthouse" for kind in moments]
    jobs = submit_prompts(stack, [*prompts, "a stubborn mill", "a calm mill"], steps=3)
    assert wait_ended(stack, jobs) == [*[("COMPLETED", 1)] * 3, ("FAILED", 1), ("COMPLETED", 0)]
    assert posted_jobs(stack) == [job for job in jobs[:4] for _ in "12"] + jobs[4:]
    assert starts(stack) == 6
    for job_id, limit_s in zip(jobs, moments.values(), strict=False):
        job = stack.job(job_id)
        assert crashes(job) == ["WEBUI_HANG"]
        assert hung_attempt(job)["duration_s"] > limit_s
    hung = [line["fault"] for line in stack.journal("answer") if line["outcome"] == "hung"]
    assert hung == [*moments, "hang", "hang"]
    # Who hangs again in his retry has had his chance; the next one runs.
    stubborn = stack.job(jobs[3])
    assert stubborn["error"]["code"] == "WEBUI_HANG"
    assert "stood still" in stubborn["error"]["message"]


def test_a_slow_load_and_slow_steps_are_no_hang(impatient: Stack) -> None:
    stack = impatient
    # Loading takes longer than a busy WebUI may stand still; each step of the last is longer than that limit, too,
    # but by then the node is known for slow ones.
    add_faulty(stack, "slow-load=4~mill", "slow=1.2~bridge", "slow=3.6~castle")
    stack.start_node()
    stack.wait_ready()
    jobs = submit_prompts(stack, ["a mill", "a bridge", "a castle"], steps=3)
    assert wait_ended(stack, jobs) == [("COMPLETED", 0)] * 3
    assert posted_jobs(stack) == jobs
    assert starts(stack) == 1
    slow = stack.job(jobs[2])["stage_attempts"][0]
    assert slow["duration_s"] > 3 * 3.6


def test_a_hang_while_upscaling_resumes_at_the_picture_that_hung(impatient: Stack) -> None:
    stack = impatient
    add_faulty(stack, "once hang@2")
    stack.start_node()
    stack.wait_ready()
    path = stack.pack_file("upscaled", "a lighthouse at dusk", UPSCALED)
    [first] = stack.manage("submit_pack", path)["job_ids"]
    [second] = submit(stack, "next", **small())
    assert wait_ended(stack, [first, second]) == [("COMPLETED", 1), ("COMPLETED", 0)]
    paths = [line["path"].rpartition("/")[2] for line in stack.posts()]
    assert paths == ["txt2img", "extra-single-image", "extra-single-image", "txt2img"]
    assert starts(stack) == 2
    job = stack.job(first)
    assert crashes(job) == ["WEBUI_HANG"]
    assert hung_attempt(job)["duration_s"] > IDLE_S
    assert [output["stage"] for output in job["outputs"]] == ["txt2img", "upscale"]

"""The order in which requests reach the WebUI, by the simulator's journal."""

from __future__ import annotations

import time
from collections import Counter
from itertools import pairwise

import pytest

from tests.e2e.household import moment
from tests.e2e.queueing import posted_jobs, submit
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]


def ready(stack: Stack, seconds_per_step: float = 0.001) -> None:
    stack.add_simulator(seconds_per_step=seconds_per_step)
    stack.start_node()
    stack.wait_ready()


def test_500_jobs_of_three_submissions_run_in_the_order_of_submission(stack: Stack) -> None:
    ready(stack)
    ids = [
        *submit(stack, "a", repeat=250),
        *submit(stack, "b", repeat=150),
        *submit(stack, "c", repeat=100),
    ]
    ledger = stack.wait_ledger(completed=500, timeout_s=300)
    assert ledger["queued"] == ledger["running"] == ledger["failed"] == 0
    posted = posted_jobs(stack)
    assert list(dict.fromkeys(posted)) == ids
    # A machine that stands still may cost a retry. It follows at once, and the attempt before it says why.
    again = [job for before, job in pairwise(posted) if job == before]
    lost = stack.sql("SELECT job_id, outcome, reason FROM jobs_stageattempt WHERE outcome <> 'completed'")
    assert len(posted) == 500 + len(again), lost
    assert Counter(again) <= Counter(job for job, *_ in lost), lost
    assert len({line["body_sha256"] for line in stack.posts()}) == 500


def test_order_holds_on_postgresql_after_a_vacuum(stack: Stack) -> None:
    """django-q2 reads its table in heap order, which VACUUM changes; our order must not depend on it."""
    if stack.database.vendor != "postgresql":
        pytest.skip("needs PostgreSQL: set DATABASE_URL")
    ready(stack)
    first = submit(stack, "a", repeat=60)
    stack.wait_ledger(completed=60, timeout_s=120)
    stack.manage("queue", "pause")
    second = [*submit(stack, "b", repeat=40), *submit(stack, "c", repeat=40)]
    for table in ("jobs_job", "django_q_ormq", "jobs_jobrecord"):
        stack.database.execute(f"VACUUM FULL {table}")
    stack.manage("queue", "resume")
    stack.wait_ledger(completed=140, timeout_s=120)
    assert posted_jobs(stack) == [*first, *second]


def test_a_higher_priority_overtakes_what_waits(stack: Stack) -> None:
    ready(stack, seconds_per_step=0.1)
    one_second = {"txt2img.steps": 10, "txt2img.width": 64, "txt2img.height": 64}
    normal = submit(stack, "normal", repeat=8, overrides=one_second)
    stack.wait_until(lambda: len(stack.posts()) == 1, "the first job is sent")
    low = submit(stack, "low", repeat=2, priority="LOW")
    high = submit(stack, "high", repeat=2, priority="HIGH")
    stack.wait_ledger(completed=12)
    order = posted_jobs(stack)
    begun = [job for job in order if job in normal][: order.index(high[0])]
    assert order == [*begun, *high, *(job for job in normal if job not in begun), *low]
    assert len(begun) < len(normal)


def test_pause_stops_claims_but_for_one_under_way_and_resume_goes_on(stack: Stack) -> None:
    ready(stack, seconds_per_step=0.05)
    ids = submit(stack, repeat=25)
    stack.wait_until(lambda: len(stack.posts()) >= 3, "some jobs are sent")
    stack.look("queue", "pause", "--reason", "lunch")
    status = stack.status()
    assert (status["paused"], status["reason"]) == (True, "lunch")
    stack.wait_ledger(running=0)
    sent = len(stack.posts())
    [(paused_at,)] = stack.sql("SELECT paused_at FROM jobs_queuecontrol")
    claims = stack.sql("SELECT at FROM jobs_lifecycleevent WHERE event_type = 'RUNNING'")
    assert sum(moment(at) > moment(paused_at) for (at,) in claims) <= 1, "only a claim that was under way"
    time.sleep(1.5)
    assert len(stack.posts()) == sent < 25
    assert stack.status()["ledger"]["running"] == 0
    stack.look("queue", "resume")
    stack.wait_ledger(completed=25)
    assert posted_jobs(stack) == ids

"""The breaker and the claim: crashes in a row stop one node, a canary or a person brings it back."""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ

from jobs.clock import database_now
from jobs.lifecycle import EventType, JobStatus
from jobs.models import Job, QueueControl, Runner
from jobs.queue import control
from jobs.queue.breaker import Breaker, is_open, note_completed, note_crash_failure
from jobs.queue.claims import Claim, claim_next
from jobs.queue.holds import takes_jobs
from jobs.queue.identity import ProcessIdentity
from jobs.queue.moves import lock_job, move_in_transaction, move_locked
from jobs.queue.positions import front_of
from jobs.queue.wakeup import kick
from tests.factories import make_node, make_runner, submit
from tests.integration.console import Console
from webui.models import NodeState

pytestmark = pytest.mark.django_db(transaction=True)
ME = ProcessIdentity.of_self()


def claim(runner: Runner) -> Claim:
    claimed = claim_next(runner.pk, ME)
    assert claimed is not None, "nothing could be claimed"
    return claimed


def crash(runner: Runner) -> Job:
    """Run the head of the queue to FAILED by a crash."""
    claimed = claim(runner)
    with transaction.atomic():
        job = lock_job(claimed.job_id, claimed.run_token)
        note_crash_failure(claimed.runner_id, "The WebUI died.", database_now())
        return move_locked(job, JobStatus.FAILED, event=EventType.FAILED)


def complete(claimed: Claim) -> Job:
    with transaction.atomic():
        job = lock_job(claimed.job_id, claimed.run_token)
        note_completed(claimed.runner)
        return move_locked(job, JobStatus.COMPLETED, event=EventType.COMPLETED)


def opened(name: str = "") -> Runner:
    """A runner whose breaker three crashes have opened, and jobs that wait."""
    runner = make_runner(make_node(name))
    submit(repeat=9)
    for _ in range(3):
        crash(runner)
    runner.refresh_from_db()
    return runner


def let_the_pause_pass(runner: Runner) -> None:
    Runner.objects.filter(pk=runner.pk).update(breaker_until=timezone.now() - timedelta(seconds=1))


def test_three_crashes_in_a_row_stop_claims_for_ten_minutes(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        before = database_now()
        runner = opened()
        after = database_now()
    assert is_open(runner)
    assert claim_next(runner.pk, ME) is None
    assert runner.breaker_until is not None
    assert before <= runner.breaker_until - timedelta(minutes=10) <= after
    assert runner.breaker_reason == "3 crashes in a row, the last: The WebUI died."
    (record,) = [entry for entry in caplog.records if getattr(entry, "event", "") == "breaker.opened"]
    assert "takes no more jobs until" in record.getMessage()


def test_a_completed_job_resets_the_count_and_others_leave_it() -> None:
    runner = make_runner()
    submit(repeat=8)
    crash(runner)
    crash(runner)
    rejected = claim(runner)
    with transaction.atomic():
        move_in_transaction(rejected.job_id, JobStatus.FAILED, event=EventType.FAILED)
    runner.refresh_from_db()
    assert runner.crash_failures == 2
    complete(claim(runner))
    runner.refresh_from_db()
    assert runner.crash_failures == 0
    crash(runner)
    crash(runner)
    assert claim_next(runner.pk, ME) is not None


def test_another_node_goes_on() -> None:
    runner, other = opened(), make_runner()
    assert claim_next(runner.pk, ME) is None
    done = [complete(claim(other)).pk for _ in range(6)]
    assert len(done) == 6
    assert Job.objects.filter(status=JobStatus.QUEUED).count() == 0


def test_after_the_pause_exactly_one_job_is_tried() -> None:
    runner = opened()
    let_the_pause_pass(runner)
    claims: list[Claim | None] = []

    def work() -> None:
        try:
            claims.append(claim_next(runner.pk, ME))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([claimed for claimed in claims if claimed is not None]) == 1
    assert claim_next(runner.pk, ME) is None


def test_completed_canary_closes_the_breaker_and_the_rest_runs() -> None:
    runner = opened()
    let_the_pause_pass(runner)
    while (claimed := claim_next(runner.pk, ME)) is not None:
        complete(claimed)
    runner.refresh_from_db()
    assert (runner.crash_failures, runner.breaker_opens, runner.breaker_reason) == (0, 0, "")
    assert (runner.breaker_opened_at, runner.breaker_until) == (None, None)
    assert Job.objects.filter(status=JobStatus.COMPLETED).count() == 6


def test_crashed_canary_opens_it_again_for_longer() -> None:
    runner = opened()
    first_opened_at = runner.breaker_opened_at
    let_the_pause_pass(runner)
    before = database_now()
    crash(runner)
    after = database_now()
    runner.refresh_from_db()
    assert claim_next(runner.pk, ME) is None
    assert runner.breaker_until is not None
    assert before <= runner.breaker_until - timedelta(minutes=20) <= after
    assert (runner.breaker_opens, runner.breaker_opened_at) == (2, first_opened_at)


@pytest.mark.parametrize("ending", [JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.QUEUED])
def test_canary_that_tells_nothing_leaves_it_open_and_the_next_comes_at_once(ending: JobStatus) -> None:
    """Rejected, cancelled, or given back to the queue by an operator."""
    runner = opened()
    let_the_pause_pass(runner)
    canary = claim(runner)
    event = EventType.REQUEUED if ending is JobStatus.QUEUED else EventType(ending)
    with transaction.atomic():
        head = {"position": front_of(canary.job.priority)} if ending is JobStatus.QUEUED else {}
        move_in_transaction(canary.job_id, ending, event=event, changes=head)
    runner.refresh_from_db()
    assert is_open(runner)
    assert claim_next(runner.pk, ME) is not None
    assert claim_next(runner.pk, ME) is None


def test_a_wake_up_is_answered_while_claims_are_forbidden() -> None:
    """Else the supervisor would take its engine for deaf and replace it."""
    runner = opened()
    kick(runner.pk)
    assert claim_next(runner.pk, ME) is None
    runner.refresh_from_db()
    assert not runner.token_pending


def test_a_closed_breaker_does_not_ask_the_clock() -> None:
    def clock() -> datetime:
        raise AssertionError("a query more for every claim")

    assert takes_jobs(make_runner(), paused=False, clock=clock)


def test_a_due_canary_does_not_overrule_what_else_forbids_claims() -> None:
    runner = Runner.objects.select_related("node").get(pk=opened().pk)
    assert not takes_jobs(runner, paused=False)
    assert runner.breaker_until is not None
    due = runner.breaker_until
    assert takes_jobs(runner, paused=False, clock=lambda: due)
    assert not takes_jobs(runner, paused=True, clock=lambda: due)
    runner.node.state = NodeState.RESTARTING
    assert not takes_jobs(runner, paused=False, clock=lambda: due)


def test_completing_costs_no_query_while_no_crash_is_counted() -> None:
    runner = make_runner()
    submit(repeat=2)
    claimed = claim(runner)
    with CaptureQueriesContext(connection) as caught:
        note_completed(claimed.runner)
    assert not caught.captured_queries


def test_a_person_lets_one_job_be_tried_at_once(caplog: pytest.LogCaptureFixture) -> None:
    runner = opened()
    OrmQ.objects.all().delete()
    Runner.objects.update(token_pending=False)
    version = QueueControl.objects.get().version
    with caplog.at_level(logging.INFO):
        assert control.resume_node(runner.node, by="ann")
    assert OrmQ.objects.count() == 1
    assert QueueControl.objects.get().version > version
    assert [entry.by for entry in caplog.records if getattr(entry, "event", "") == "breaker.resumed"] == [  # type: ignore[attr-defined]
        "ann"
    ]
    runner.refresh_from_db()
    assert is_open(runner)
    assert Breaker.of(runner).may_claim(database_now())
    assert claim_next(runner.pk, ME) is not None
    assert claim_next(runner.pk, ME) is None


def test_resuming_a_node_with_a_closed_breaker_changes_nothing() -> None:
    runner = make_runner()
    assert not control.resume_node(runner.node, by="ann")
    assert not control.resume_node(make_node(), by="ann")
    runner.refresh_from_db()
    assert (runner.breaker_until, runner.token_pending) == (None, False)


def test_commands_show_the_breaker_and_resume_the_node(console: Console) -> None:
    runner = opened("gpu1")
    make_node("gpu2")
    for command in (("node", "list"), ("queue", "status")):
        listed = {node["name"]: node["breaker"] for node in console.json(*command)["nodes"]}
        assert listed["gpu2"] is None
        assert listed["gpu1"]["reason"] == runner.breaker_reason
        assert (listed["gpu1"]["opens"], listed["gpu1"]["crash_failures"]) == (1, 3)
        assert listed["gpu1"]["next_try_at"]
    assert console.run("queue", "status") == 0
    assert "The breaker of gpu1 is open until" in console.out
    assert "Try one now with python manage.py node resume gpu1." in console.out
    assert console.json("node", "resume", "gpu1")["changed"] is True
    assert claim_next(runner.pk, ME) is not None
    assert console.json("node", "resume", "gpu2")["changed"] is False
    assert console.json("node", "resume", "gpu3", expect=1)["errors"][0]["code"] == "unknown_node"

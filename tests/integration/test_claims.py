"""What is claimed, when, and in which order."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.utils import timezone
from django_q.models import OrmQ

from jobs.claims import Claim, claim_next, head_of_queue, read_requests, renew
from jobs.clock import database_now
from jobs.identity import ProcessIdentity
from jobs.lifecycle import EventType, JobStatus, Priority
from jobs.models import Job, Runner
from jobs.moves import move_job
from jobs.records import sha256_text
from jobs.services import cancel, pause, resume
from jobs.wakeup import kick
from tests.factories import make_job, make_node, make_pack, make_runner, make_running_job, submit
from webui.models import NodeState, Wish

pytestmark = pytest.mark.django_db(transaction=True)
ME = ProcessIdentity.of_self()


def finish(claim: Claim) -> None:
    move_job(claim.job_id, JobStatus.COMPLETED, event=EventType.COMPLETED, run_token=claim.run_token)


def drain(runner: Runner) -> list[int]:
    """Claim and finish until nothing is left; the order of the jobs."""
    order = []
    while (claim := claim_next(runner.pk, ME)) is not None:
        order.append(claim.job_id)
        finish(claim)
    return order


def test_jobs_are_claimed_in_the_order_of_submission() -> None:
    ids = [job_id for _ in range(3) for job_id in submit(repeat=3).job_ids]
    assert drain(make_runner()) == ids


def test_priority_overtakes_and_run_now_goes_to_the_front_of_its_priority() -> None:
    low = submit(priority=Priority.LOW).job_ids
    normal = submit(repeat=2).job_ids
    front = submit(repeat=2, run_now=True).job_ids
    high = submit(priority=Priority.HIGH).job_ids
    assert drain(make_runner()) == [*high, *front, *normal, *low]


def test_claim_owns_the_job_and_its_record_is_the_one_submitted() -> None:
    submitted = submit(make_pack(text="ein Wald, 森\nneg: x\n"))
    job_id = submitted.job_ids[0]
    runner, before = make_runner(), database_now()
    claim = claim_next(runner.pk, ME)
    after = database_now()
    assert claim is not None
    job = Job.objects.select_related("record").get(pk=job_id)
    assert (job.status, job.owner, job.run_token) == (JobStatus.RUNNING, str(ME), claim.run_token)
    assert sha256_text(job.record.canonical_json) == submitted.record_hashes[0]
    assert job.started_at is not None
    assert job.lease_until is not None
    assert before <= job.lease_until - timedelta(seconds=30) <= after


@pytest.mark.parametrize("state", [state for state in NodeState if state != NodeState.READY])
def test_nothing_is_claimed_for_a_node_that_is_not_ready(state: NodeState) -> None:
    make_job()
    assert claim_next(make_runner(make_node(state=state)).pk, ME) is None


@pytest.mark.parametrize("wanted", [Wish.STOP, Wish.RESTART])
def test_nothing_is_claimed_for_a_node_that_shall_stop_or_restart(wanted: Wish) -> None:
    make_job()
    assert claim_next(make_runner(make_node(wish=wanted)).pk, ME) is None


@pytest.mark.parametrize("column", ["draining", "must_quiet"])
def test_nothing_is_claimed_while_the_runner_drains_or_must_be_quiet(column: str) -> None:
    make_job()
    assert claim_next(make_runner(None, **{column: True}).pk, ME) is None


def test_paused_queue_is_not_claimed_and_resume_wakes_every_runner() -> None:
    runner = make_runner()
    make_job()
    pause(by="ann", reason="maintenance")
    assert claim_next(runner.pk, ME) is None
    OrmQ.objects.all().delete()
    resume(by="ann")
    assert OrmQ.objects.count() == 1
    assert claim_next(runner.pk, ME) is not None


def test_one_node_runs_one_job_and_two_nodes_run_two() -> None:
    first, second = make_runner(), make_runner()
    submit(repeat=3)
    assert claim_next(first.pk, ME) is not None
    assert claim_next(first.pk, ME) is None
    assert claim_next(second.pk, ME) is not None
    assert Job.objects.filter(status=JobStatus.RUNNING).count() == 2


def test_next_wake_up_is_sent_before_the_work_begins_if_more_is_queued() -> None:
    submit(repeat=2)
    runner = make_runner()
    first = claim_next(runner.pk, ME)
    assert first is not None
    runner.refresh_from_db()
    assert runner.token_pending
    finish(first)
    assert claim_next(runner.pk, ME) is not None
    runner.refresh_from_db()
    assert not runner.token_pending


def test_a_token_is_sent_only_once_until_it_is_answered() -> None:
    runner = make_runner()
    assert kick(runner.pk)
    assert not kick(runner.pk)
    assert OrmQ.objects.count() == 1
    claim_next(runner.pk, ME)
    assert kick(runner.pk)


def test_wake_ups_are_routed_to_the_nodes_own_queue() -> None:
    runner = make_runner(make_node("gpu-a"))
    kick(runner.pk)
    assert OrmQ.objects.get().key == "node-gpu-a"


def test_two_claims_at_once_never_take_one_job_twice() -> None:
    runners = [make_runner(), make_runner()]
    ids = submit(repeat=20).job_ids
    taken: list[int] = []

    def work(runner: Runner) -> None:
        try:
            taken.extend(drain(runner))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(runner,)) for runner in runners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(ids)


def test_two_tokens_of_one_node_claim_one_job() -> None:
    runner = make_runner()
    submit(repeat=4)
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
    assert len([claim for claim in claims if claim is not None]) == 1


def test_renewing_extends_the_lease_and_tells_what_people_asked() -> None:
    job, claim = make_running_job()
    before = database_now()
    Job.objects.filter(pk=job.pk).update(lease_until=before)
    assert renew(claim).owned
    after = database_now()
    job.refresh_from_db()
    assert job.lease_until is not None
    assert before <= job.lease_until - timedelta(seconds=30) <= after
    cancel(job.pk, by="ann")
    assert renew(claim).cancel_requested_by == "ann"


def test_a_run_that_was_taken_over_does_not_renew() -> None:
    _, claim = make_running_job()
    finish(claim)
    assert not renew(claim).owned
    assert not read_requests(claim).owned


def test_an_operators_interrupt_is_due_only_at_its_time() -> None:
    _, claim = make_running_job()
    runner = Runner.objects.filter(pk=claim.runner_id)
    runner.update(draining=True, interrupt_at=timezone.now() + timedelta(seconds=60))
    assert not read_requests(claim).interrupt_by_operator
    runner.update(interrupt_at=timezone.now())
    assert read_requests(claim).interrupt_by_operator


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the plan of SQLite")
def test_the_claim_walks_its_index() -> None:
    plan = head_of_queue().explain()
    assert plan.splitlines()[0].count("job_claim_order") == 1
    assert "TEMP B-TREE" not in plan

"""Acts on many jobs: in chunks, once each, only on jobs of the moment when they were asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from django.db import connections

from jobs.bulk import acts
from jobs.bulk.acts import advance, count, fitting_ids, run, start, stop, unfinished
from jobs.errors import NotFoundError, RefusedError
from jobs.lifecycle import EventType, JobStatus, Priority
from jobs.models import (
    BulkAction,
    BulkVerb,
    HistoryEntry,
    Job,
    LifecycleEvent,
    NeedSet,
    NodeLack,
    QueueControl,
    Runner,
)
from jobs.queue.claims import claim_next
from jobs.queue.filters import JobFilter
from jobs.queue.identity import ProcessIdentity
from jobs.queue.moves import move_job
from jobs.queue.positions import front_of
from jobs.queue.search import FoundJobs
from tests.factories import make_job, make_node, make_pack, make_runner, make_running_job, submit
from tests.integration.finished_jobs import claim, complete, fail
from tests.integration.test_moves import assert_ledger_is_true

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acts, "CHUNK", 4)


def finish(action: BulkAction) -> BulkAction:
    for state in run(action):
        action = state
    return action


def counts(action: BulkAction) -> tuple[int, int, int]:
    action.refresh_from_db()
    return action.total, action.done, action.skipped


def failed_jobs(number: int) -> list[int]:
    runner = make_runner()
    submit(repeat=number)
    return [fail(runner).pk for _ in range(number)]


def test_cancel_of_all_that_match_leaves_the_others() -> None:
    mine = submit(make_pack("mine"), repeat=10).job_ids
    other = submit(make_pack("other"), repeat=2).job_ids
    chosen = JobFilter(pack="mine")
    assert count(BulkVerb.CANCEL, chosen) == 10
    action = start(BulkVerb.CANCEL, chosen, by="ann")
    assert [act.pk for act in unfinished()] == [action.pk]
    assert [state.done for state in run(action)] == [4, 8, 10]
    assert counts(action) == (10, 10, 0)
    assert unfinished() == []
    assert set(Job.objects.filter(status=JobStatus.CANCELLED).values_list("pk", flat=True)) == set(mine)
    assert Job.objects.filter(status=JobStatus.QUEUED).count() == len(other)
    assert HistoryEntry.objects.filter(status=JobStatus.CANCELLED).count() == 10
    event = LifecycleEvent.objects.get(job=mine[0], event_type=EventType.CANCELLED)
    assert (event.sequence, event.from_status, event.to_status) == (3, "QUEUED", "CANCELLED")
    assert {key: event.data[key] for key in ("by", "reason", "bulk", "job_id")} == {
        "by": "ann", "reason": "before it ran", "bulk": action.pk, "job_id": mine[0],
    }  # fmt: skip
    assert_ledger_is_true()


def test_jobs_that_come_after_the_act_was_asked_for_are_not_touched() -> None:
    running, run_claim = make_running_job(priority=Priority.LOW)
    submit(repeat=3)
    submit(repeat=3, priority=Priority.LOW)
    action = start(BulkVerb.CANCEL, JobFilter(), by="ann")
    late = [*submit(repeat=2).job_ids, *submit(run_now=True).job_ids]
    place = {"position": front_of(Priority.LOW)}
    move_job(
        running.pk,
        JobStatus.QUEUED,
        event=EventType.REQUEUED,
        run_token=run_claim.run_token,
        changes=place,
    )
    assert counts(finish(action)) == (6, 6, 0)
    left = Job.objects.filter(status=JobStatus.QUEUED).values_list("pk", flat=True)
    assert set(left) == {running.pk, *late}
    assert_ledger_is_true()


def test_failures_that_come_after_the_act_was_asked_for_are_not_touched() -> None:
    old = failed_jobs(5)
    action = start(BulkVerb.DISMISS, JobFilter(), by="ann")
    advance(action.pk)
    late = failed_jobs(1)
    assert counts(finish(action)) == (5, 5, 0)
    waiting = Job.objects.filter(needs_attention=True).values_list("pk", flat=True)
    assert list(waiting) == late
    assert LifecycleEvent.objects.filter(event_type=EventType.DISMISSED).count() == len(old)


def test_a_job_that_changed_before_its_turn_is_counted_as_skipped() -> None:
    ids = submit(repeat=6).job_ids
    runner = make_runner()
    by_filter = start(BulkVerb.CANCEL, JobFilter(), by="ann")
    by_id = start(BulkVerb.CANCEL, ids, by="ann")
    assert complete(runner).pk == ids[0]
    assert counts(finish(by_id)) == (6, 5, 1)
    assert counts(finish(by_filter)) == (6, 0, 6)
    assert_ledger_is_true()


def test_a_claim_amid_an_act_keeps_its_job() -> None:
    ids = submit(repeat=8).job_ids
    action = start(BulkVerb.CANCEL, [*ids[4:], *ids[:4]], by="ann")
    advance(action.pk)
    claimed = claim(make_runner())
    assert claimed.job_id == ids[4], "the first chunk took the head of the queue"
    assert counts(finish(action)) == (8, 7, 1)
    assert Job.objects.get(pk=claimed.job_id).status == JobStatus.RUNNING
    assert_ledger_is_true()


def test_a_running_job_is_not_touched_by_an_act_on_queued_ones() -> None:
    running, _ = make_running_job()
    action = start(BulkVerb.CANCEL, [running.pk], by="ann")
    assert counts(finish(action)) == (1, 0, 1)
    running.refresh_from_db()
    assert (running.status, running.cancel_requested_at) == (JobStatus.RUNNING, None)


def test_an_act_that_nobody_ended_is_gone_on_with() -> None:
    submit(repeat=6)
    begun = start(BulkVerb.CANCEL, JobFilter(), by="ann")
    advance(begun.pk)
    [left] = unfinished()
    assert (left.done, left.total) == (4, 6)
    assert counts(finish(left)) == (6, 6, 0)


def test_an_act_keeps_to_its_filter_as_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acts, "LOOK_ROWS", 2)
    submit(make_pack(text="a fog bank\nneg: x\n"), repeat=5)
    [mine] = submit(make_pack("mine", "a bank of fog  \nneg: x, fog  and more\n")).job_ids
    chosen = JobFilter(text="fog  ")
    assert finish(start(BulkVerb.CANCEL, replace(chosen, user="x" * 151), by="ann")).done == 0
    action = start(BulkVerb.CANCEL, chosen, by="ann")
    assert [state.done for state in run(action)] == [0, 0, 1]
    assert Job.objects.get(status=JobStatus.CANCELLED).pk == mine


def test_a_stopped_act_keeps_what_it_did_and_goes_no_further() -> None:
    submit(repeat=6)
    action = start(BulkVerb.CANCEL, JobFilter(), by="ann")
    advance(action.pk)
    stopped = stop(action.pk, by="bob")
    assert stopped.ended_at is not None
    assert (stopped.stopped_by, stopped.done) == ("bob", 4)
    assert advance(action.pk).done == 4
    assert stop(action.pk, by="eve").stopped_by == "bob"
    assert QueueControl.objects.get().queued == 2


def test_an_act_on_nothing_has_ended_at_once() -> None:
    action = start(BulkVerb.RETRY, JobFilter(pack="nowhere"), by="ann")
    assert (action.total, advance(action.pk).done) == (0, 0)
    assert action.ended_at is not None


def test_a_selection_of_too_many_and_an_unknown_act_are_refused() -> None:
    with pytest.raises(RefusedError, match="Choose them by a filter"):
        start(BulkVerb.CANCEL, range(1, acts.MAX_SELECTED + 2), by="ann")
    with pytest.raises(NotFoundError, match="no act 77"):
        advance(77)


def test_retry_queues_every_record_again_the_earliest_end_first_and_clears_attention() -> None:
    failed = failed_jobs(6)
    with pytest.MonkeyPatch.context() as patch:
        # A limit of one submission is none of an act that goes on in chunks.
        patch.setattr("django.conf.settings.STABLENEW_MAX_RECORDS", 3)
        chosen = JobFilter(cause=Job.objects.get(pk=failed[0]).error_code, attention=True)
        assert count(BulkVerb.RETRY, chosen) == 6
        action = finish(start(BulkVerb.RETRY, chosen, by="ann"))
    assert counts(action) == (6, 6, 0)
    queued = Job.objects.filter(status=JobStatus.QUEUED).order_by("priority", "position", "id")
    assert [job.rerun_of_id for job in queued] == failed
    assert {job.queued_by for job in queued} == {"ann"}
    assert not Job.objects.filter(needs_attention=True).exists()
    submitted = LifecycleEvent.objects.get(job=queued[0], event_type=EventType.SUBMITTED)
    assert (submitted.data["bulk"], submitted.data["rerun_of"]) == (action.pk, failed[0])
    assert_ledger_is_true()


def test_retry_of_a_selection_takes_every_end_and_leaves_what_has_not_ended() -> None:
    runner = make_runner()
    submit(repeat=2)
    done, failed = complete(runner).pk, fail(runner).pk
    waiting = make_job().pk
    action = finish(start(BulkVerb.RETRY, [waiting, failed, done], by="ann"))
    assert counts(action) == (3, 2, 1)
    again = Job.objects.filter(rerun_of__isnull=False).order_by("position")
    assert [job.rerun_of_id for job in again] == [done, failed]


def test_dismiss_leaves_the_job_as_it_was_but_for_the_wish_for_attention() -> None:
    [failed, other] = failed_jobs(2)
    before = Job.objects.get(pk=failed)
    action = finish(start(BulkVerb.DISMISS, [failed], by="ann"))
    after = Job.objects.get(pk=failed)
    assert (after.status, after.error_code, after.needs_attention) == ("FAILED", before.error_code, False)
    event = after.events.get(event_type=EventType.DISMISSED)
    assert (event.sequence, event.data["by"], event.data["bulk"]) == (
        before.last_sequence + 1, "ann", action.pk,
    )  # fmt: skip
    assert after.last_sequence == event.sequence
    assert count(BulkVerb.DISMISS, JobFilter()) == 1
    assert fitting_ids(BulkVerb.DISMISS, [failed, other]) == (other,)


@pytest.mark.parametrize("verb", list(BulkVerb))
def test_pages_see_every_chunk(verb: BulkVerb) -> None:
    runner = make_runner()
    submit(repeat=12)
    for _ in range(6):
        fail(runner)
    if verb == BulkVerb.ANYWAY:
        missing = [{"thing": "LoRA", "name": "foo", "nearest": "", "why": ""}]
        NodeLack.objects.create(node=runner.node, needs=NeedSet.objects.get(), missing=missing)
    priority = Priority.HIGH if verb == BulkVerb.PRIORITY else None
    action = start(verb, JobFilter(), by="ann", priority=priority)
    versions = [QueueControl.objects.get().version]
    versions += [QueueControl.objects.get().version for _ in run(action)]
    assert len(versions) == 3
    assert versions == sorted(set(versions))
    assert_ledger_is_true()


def at_once(calls: Sequence[Callable[[], object]]) -> None:
    def work(call: Callable[[], object]) -> None:
        try:
            call()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_two_who_advance_at_once_never_do_a_chunk_twice() -> None:
    failed = failed_jobs(20)
    action = start(BulkVerb.RETRY, JobFilter(), by="ann")
    at_once([lambda: finish(action)] * 3)
    assert counts(action) == (20, 20, 0)
    assert Job.objects.filter(rerun_of__in=failed).count() == 20
    assert_ledger_is_true()


def test_a_chunk_that_another_did_after_the_look_is_not_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = failed_jobs(6)
    action = start(BulkVerb.RETRY, JobFilter(), by="ann")
    look = acts._next_chunk

    def overtaken(seen: BulkAction) -> FoundJobs:
        found = look(seen)
        monkeypatch.setattr(acts, "_next_chunk", look)
        advance(action.pk)
        return found

    monkeypatch.setattr(acts, "_next_chunk", overtaken)
    assert advance(action.pk).done == 4
    assert Job.objects.filter(rerun_of__in=failed).count() == 4
    assert counts(finish(action)) == (6, 6, 0)


def complete_patiently(runner: Runner) -> Job:
    """On PostgreSQL a claim passes by what an act holds just then, which may be all that waits; it is asked again."""
    while (claimed := claim_next(runner.pk, ProcessIdentity.of_self())) is None:
        time.sleep(0.01)
    return move_job(
        claimed.job_id, JobStatus.COMPLETED, event=EventType.COMPLETED, run_token=claimed.run_token
    )


def test_acts_on_the_same_jobs_and_claims_at_once_all_come_to_their_end() -> None:
    submit(repeat=24)
    runners = [make_runner(make_node()) for _ in range(2)]
    acts = [
        start(BulkVerb.FRONT, JobFilter(), by="ann"),
        start(BulkVerb.PRIORITY, JobFilter(), by="bob", priority=Priority.LOW),
        start(BulkVerb.CANCEL, list(Job.objects.order_by("-id").values_list("pk", flat=True)[:12]), by="eve"),
    ]
    at_once(
        [
            *(lambda act=act: finish(act) for act in acts),
            *(lambda runner=runner: [complete_patiently(runner) for _ in range(3)] for runner in runners),
        ]
    )
    assert [act.ended_at is not None for act in BulkAction.objects.all()] == [True] * 3
    assert Job.objects.filter(status=JobStatus.COMPLETED).count() == 6
    assert_ledger_is_true()

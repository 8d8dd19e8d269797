"""Jobs that wait get other places: their order among themselves is kept, and nobody comes between them."""

from __future__ import annotations

import pytest

from jobs.bulk import acts
from jobs.bulk.acts import advance, run, start
from jobs.lifecycle import EventType, JobStatus, Priority
from jobs.models import BulkAction, BulkVerb, Job, LifecycleEvent, QueueControl
from jobs.queue.filters import JobFilter
from jobs.queue.moves import move_job
from jobs.reading.event_sentences import event_text
from tests.factories import make_pack, make_runner, submit
from tests.integration.finished_jobs import complete
from tests.integration.test_claims import drain
from tests.integration.test_moves import assert_ledger_is_true

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acts, "CHUNK", 3)


def finish(action: BulkAction) -> BulkAction:
    for state in run(action):
        action = state
    assert action.skipped == action.total - action.done
    return action


def queue() -> list[int]:
    jobs = Job.objects.filter(status=JobStatus.QUEUED).order_by("priority", "position", "id")
    return list(jobs.values_list("pk", flat=True))


def mixed_queue() -> tuple[list[int], list[int]]:
    """Jobs of the packs "mine" and "other" in turns."""
    mine, other = make_pack("mine"), make_pack("other")
    pairs = [(submit(mine).job_ids[0], submit(other).job_ids[0]) for _ in range(7)]
    return [first for first, _ in pairs], [second for _, second in pairs]


def test_to_the_front_in_chunks_keeps_the_order_of_both_parts() -> None:
    mine, other = mixed_queue()
    finish(start(BulkVerb.FRONT, JobFilter(pack="mine"), by="ann"))
    assert queue() == [*mine, *other]
    finish(start(BulkVerb.FRONT, JobFilter(pack="other"), by="ann"))
    assert queue() == [*other, *mine]
    assert drain(make_runner()) == [*other, *mine]
    assert_ledger_is_true()


def test_to_the_back_in_chunks_keeps_the_order_of_both_parts() -> None:
    mine, other = mixed_queue()
    finish(start(BulkVerb.BACK, JobFilter(pack="mine"), by="ann"))
    assert queue() == [*other, *mine]


def test_front_and_back_stay_within_the_priority() -> None:
    high = list(submit(repeat=2, priority=Priority.HIGH).job_ids)
    normal = list(submit(repeat=2).job_ids)
    low = list(submit(repeat=2, priority=Priority.LOW).job_ids)
    finish(start(BulkVerb.FRONT, [low[1], normal[1], high[1]], by="ann"))
    assert queue() == [*high[::-1], *normal[::-1], *low[::-1]]
    finish(start(BulkVerb.BACK, [high[1], low[1], normal[1]], by="ann"))
    assert queue() == [*high, *normal, *low]


def test_a_selection_moves_in_the_order_of_the_queue_whatever_order_it_is_given_in() -> None:
    ids = submit(repeat=8).job_ids
    finish(start(BulkVerb.FRONT, [ids[6], ids[2], ids[7], ids[4]], by="ann"))
    assert queue() == [ids[n] for n in (2, 4, 6, 7, 0, 1, 3, 5)]


def test_another_priority_is_entered_at_its_end_and_who_has_it_keeps_its_place() -> None:
    high = list(submit(repeat=2, priority=Priority.HIGH).job_ids)
    normal = list(submit(repeat=5).job_ids)
    action = start(BulkVerb.PRIORITY, [*normal[1:], high[0]], by="ann", priority=Priority.HIGH)
    assert finish(action).done == 5
    assert queue() == [*high, *normal[1:], normal[0]]
    assert Job.objects.filter(priority=Priority.HIGH).count() == 6
    assert LifecycleEvent.objects.filter(event_type=EventType.MOVED).count() == 4


def test_every_job_goes_to_another_priority_once() -> None:
    ids = list(submit(repeat=7).job_ids)
    low = list(submit(repeat=2, priority=Priority.LOW).job_ids)
    action = finish(start(BulkVerb.PRIORITY, JobFilter(), by="ann", priority=Priority.LOW))
    assert (action.total, action.done) == (9, 9)
    assert queue() == [*low, *ids]


def test_jobs_submitted_between_two_chunks_do_not_get_between_moved_ones() -> None:
    mine, other = mixed_queue()
    front = start(BulkVerb.FRONT, JobFilter(pack="mine"), by="ann")
    back = start(BulkVerb.BACK, JobFilter(pack="other"), by="ann")
    advance(front.pk)
    advance(back.pk)
    first = list(submit(run_now=True).job_ids)
    last = list(submit().job_ids)
    finish(front)
    finish(back)
    assert queue() == [*first, *mine, *other, *last]


def test_a_claim_between_two_chunks_takes_the_head_and_the_others_stay_in_order() -> None:
    mine, other = mixed_queue()
    runner = make_runner()
    action = start(BulkVerb.FRONT, JobFilter(pack="mine"), by="ann")
    advance(action.pk)
    assert complete(runner).pk == mine[0]
    advance(action.pk)
    assert complete(runner).pk == mine[1]
    assert finish(action).done == 7
    assert queue() == [*mine[2:], *other]


def test_a_job_cancelled_meanwhile_leaves_its_place_empty() -> None:
    mine, other = mixed_queue()
    action = start(BulkVerb.FRONT, JobFilter(pack="mine"), by="ann")
    advance(action.pk)
    move_job(mine[5], JobStatus.CANCELLED, event=EventType.CANCELLED)
    done = finish(action)
    assert (done.total, done.done, done.skipped) == (7, 6, 1)
    assert queue() == [*mine[:5], mine[6], *other]


def test_moved_jobs_tell_who_and_where() -> None:
    [first, second] = submit(repeat=2).job_ids
    finish(start(BulkVerb.FRONT, [second], by="ann"))
    finish(start(BulkVerb.PRIORITY, [first], by="bob", priority=Priority.LOW))
    moved = LifecycleEvent.objects.filter(event_type=EventType.MOVED).order_by("id")
    assert [(event.job_id, event.sequence, event.from_status, event.to_status) for event in moved] == [
        (second, 3, "", ""), (first, 3, "", ""),
    ]  # fmt: skip
    assert [event.data.get("where") or event.data["priority"] for event in moved] == ["front", "LOW"]
    assert [event_text(event.event_type, event.data) for event in moved] == [
        "ann moved it to the front, before the others of its priority.",
        "bob gave it the priority low; it waits behind the others that have it.",
    ]
    assert Job.objects.get(pk=first).last_sequence == 3


def test_an_empty_priority_has_a_front_too() -> None:
    [job_id] = submit().job_ids
    before = QueueControl.objects.get().next_position
    finish(start(BulkVerb.PRIORITY, [job_id], by="ann", priority=Priority.HIGH))
    finish(start(BulkVerb.FRONT, [job_id], by="ann"))
    assert queue() == [job_id]
    assert QueueControl.objects.get().next_position == before + 1

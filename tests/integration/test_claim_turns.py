"""Idle nodes of a kind take turns, and no turn leaves a job lying."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.db.models import Count
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ

from jobs.lifecycle import EventType, JobStatus
from jobs.models import Job, NodeLack, Runner
from jobs.queue import claims, wakeup
from jobs.queue.claims import Claim, claim_next
from jobs.queue.control import pause
from jobs.queue.fitness import recompute_lacks
from jobs.queue.identity import ProcessIdentity
from jobs.queue.moves import move_job
from jobs.queue.storage import Room
from jobs.queue.turns import PATIENCE_S, WINDOW, TurnOrder, turns_of
from jobs.queue.wakeup import cluster_name, kick, kick_all, kick_others
from tests.factories import make_job, make_node, make_pack, make_runner, store_catalog, submit
from webui.kinds import WorkKind
from webui.models import Node, NodeCatalog, NodeState
from webui.work.catalog import Thing

pytestmark = pytest.mark.django_db(transaction=True)
ME = ProcessIdentity.of_self()
KINDS = list(WorkKind)


def finish(claim: Claim) -> None:
    move_job(claim.job_id, JobStatus.COMPLETED, event=EventType.COMPLETED, run_token=claim.run_token)


def run_one(runner: Runner) -> Claim:
    claim = claim_next(runner.pk, ME)
    assert claim is not None
    finish(claim)
    return claim


def answer(runner: Runner) -> Claim | None:
    """What the engine of this node does with its wake-up, which must be there."""
    wakeups = OrmQ.objects.filter(key=cluster_name(runner.node.name))
    assert wakeups.delete()[0] == 1
    return claim_next(runner.pk, ME)


def woken() -> list[Runner]:
    """Whose wake-ups stand in the engines' tables, in the order in which they were sent."""
    by_key = {cluster_name(runner.node.name): runner for runner in Runner.objects.select_related("node")}
    return [by_key[key] for key in OrmQ.objects.order_by("pk").values_list("key", flat=True)]


def forget_wakeups() -> None:
    OrmQ.objects.all().delete()
    Runner.objects.update(token_pending=False)


def new_job(kind: str = WorkKind.IMAGE) -> Job:
    """It is queued and its kind is known before anybody is woken."""
    job = make_job()
    if kind != WorkKind.IMAGE:
        Job.objects.filter(pk=job.pk).update(kind=kind)
        forget_wakeups()
        kick_all()
    return job


def test_new_work_costs_one_look_where_everybody_is_woken_already() -> None:
    for _ in range(2):
        make_runner()
    make_runner(make_node(kind=WorkKind.EDIT))
    Runner.objects.update(token_pending=True)
    with CaptureQueriesContext(connection) as asked:
        kick_all()
    assert len(asked) == 1


def test_no_turn_is_worked_out_for_a_node_that_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    alone, card = make_runner(), make_runner(make_node(kind=WorkKind.I2V, card="gpu0"))
    pair = [make_runner(make_node(kind=WorkKind.EDIT)) for _ in range(2)]
    asked: list[str] = []

    def turns_are(kind: str) -> TurnOrder:
        asked.append(kind)
        return turns_of(kind)

    monkeypatch.setattr(wakeup, "turns_of", turns_are)
    for kind in KINDS:
        Job.objects.filter(pk=make_job().pk).update(kind=kind)
    forget_wakeups()
    asked.clear()
    kick_all()
    assert asked == [WorkKind.EDIT, WorkKind.I2V]
    assert woken() == [alone, pair[0], card]


# --- work goes round ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_jobs_submitted_while_all_are_idle_go_round(kind: str) -> None:
    first, second = make_runner(make_node(kind=kind)), make_runner(make_node(kind=kind))
    make_runner(make_node(kind=next(other for other in KINDS if other != kind)))
    order = []
    for _ in range(6):
        job = new_job(kind)
        [runner] = woken()
        claim = answer(runner)
        assert claim is not None
        assert claim.job_id == job.pk
        finish(claim)
        order.append(runner)
    assert order == [first, second] * 3


def test_three_nodes_go_round_and_a_new_one_is_next() -> None:
    runners = [make_runner() for _ in range(3)]
    order = []
    for number in range(8):
        if number == 4:
            runners.append(make_runner())
        new_job()
        [runner] = woken()
        claim = answer(runner)
        assert claim is not None
        finish(claim)
        order.append(runners.index(runner))
    assert order == [0, 1, 2, 0, 3, 1, 2, 0]


def test_an_idle_node_gives_way_to_the_one_that_has_waited_longer() -> None:
    """Whatever wakes it: here its own look at the queue, before the other one has heard."""
    first, second = make_runner(), make_runner()
    new_job()
    run_one(first)
    forget_wakeups()
    new_job()
    assert woken() == [second]
    kick(first.pk)
    assert answer(first) is None
    first.refresh_from_db()
    assert not first.token_pending
    assert answer(second) is not None


def test_whoever_gives_way_wakes_the_other_one() -> None:
    first, second = make_runner(), make_runner()
    new_job()
    run_one(first)
    new_job()
    forget_wakeups()
    assert claim_next(first.pk, ME) is None
    assert woken() == [second]


def test_nobody_gives_way_where_there_is_a_job_for_each() -> None:
    first, second = make_runner(), make_runner()
    new_job()
    run_one(first)
    ids = submit(repeat=2).job_ids
    claimed = [claim_next(runner.pk, ME) for runner in (first, second)]
    assert [claim.job_id for claim in claimed if claim] == list(ids)


def test_a_busy_node_is_nobody_to_give_way_to() -> None:
    first, second = make_runner(), make_runner()
    new_job()
    busy = claim_next(first.pk, ME)
    assert busy is not None
    for _ in range(3):
        new_job()
        run_one(second)


@pytest.mark.parametrize(("waiting", "expected"), [(1, 1), (2, 2), (3, 3), (12, 3)])
def test_as_many_are_woken_as_jobs_wait(waiting: int, expected: int) -> None:
    runners = [make_runner() for _ in range(3)]
    submit(repeat=waiting)
    assert woken() == runners[:expected]


def test_two_nodes_of_one_card_go_round_and_one_of_them_is_woken() -> None:
    runners = [make_runner(make_node(card="gpu0")) for _ in range(2)]
    order = []
    for _ in range(4):
        make_job()
        [runner] = woken()
        claim = answer(runner)
        assert claim is not None
        finish(claim)
        order.append(runners.index(runner))
    assert order == [0, 1, 0, 1]


# --- no job is left lying -----------------------------------------------------------------------------------


def drained(runner: Runner) -> None:
    Runner.objects.filter(pk=runner.pk).update(draining=True)


def not_ready(runner: Runner) -> None:
    Node.objects.filter(pk=runner.node_id).update(state=NodeState.STARTING)


def gone(runner: Runner) -> None:
    Runner.objects.filter(pk=runner.pk).update(heartbeat_at=None)


def breaker_open(runner: Runner) -> None:
    now = timezone.now()
    columns = {"breaker_opened_at": now, "breaker_until": now + timedelta(hours=1)}
    Runner.objects.filter(pk=runner.pk).update(**columns)


def must_be_quiet(runner: Runner) -> None:
    Runner.objects.filter(pk=runner.pk).update(must_quiet=True)


def disk_full(runner: Runner) -> None:
    Runner.objects.filter(pk=runner.pk).update(storage_reason="The disk is full.")


def card_taken(runner: Runner) -> None:
    mate = make_runner(make_node(card="gpu7", kind=WorkKind.EDIT))
    Node.objects.filter(pk=runner.node_id).update(card="gpu7")
    film = make_job()
    Job.objects.filter(pk=film.pk).update(kind=WorkKind.EDIT)
    assert claim_next(mate.pk, ME) is not None
    forget_wakeups()


def deaf(runner: Runner) -> None:
    long_ago = timezone.now() - timedelta(seconds=PATIENCE_S + 1)
    Runner.objects.filter(pk=runner.pk).update(token_pending=True, woken_at=long_ago)


CANNOT: list[Callable[[Runner], None]] = [
    drained,
    not_ready,
    gone,
    breaker_open,
    must_be_quiet,
    disk_full,
    card_taken,
    deaf,
]


@pytest.mark.parametrize("cannot", CANNOT)
def test_the_turn_of_a_node_that_cannot_goes_to_the_next(cannot: Callable[[Runner], None]) -> None:
    first, second = make_runner(), make_runner()
    cannot(first)
    job = make_job()
    assert woken() == [second]
    claim = answer(second)
    assert claim is not None
    assert claim.job_id == job.pk


@pytest.mark.parametrize("cannot", [one for one in CANNOT if one not in (gone, deaf)])
def test_a_woken_node_that_cannot_any_more_wakes_the_next(cannot: Callable[[Runner], None]) -> None:
    first, second = make_runner(), make_runner()
    make_job()
    assert woken() == [first]
    OrmQ.objects.all().delete()
    cannot(first)
    Runner.objects.filter(pk=first.pk).update(token_pending=True)
    if cannot is card_taken:
        # What runs there has taken the first job of the queue's ledger only.
        assert Job.objects.filter(status=JobStatus.QUEUED, kind=WorkKind.IMAGE).count() == 1
    assert claim_next(first.pk, ME) is None
    assert woken() == [second]
    assert answer(second) is not None


def test_a_node_that_finds_no_room_for_the_job_wakes_one_on_another_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = make_runner(), make_runner()
    for number, runner in enumerate((first, second)):
        Runner.objects.filter(pk=runner.pk).update(host_identity=(ME.host, "")[number])
    make_job()
    assert woken() == [first]
    with monkeypatch.context() as patch:
        patch.setattr(Room, "lack_for", lambda room, job: "There is no room.")
        assert answer(first) is None
    assert woken() == [second]


def test_a_claim_that_came_second_wakes_others_but_not_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    mates = [make_runner(make_node(card="gpu0")) for _ in range(2)]
    other = make_runner()
    submit(repeat=3)
    assert claim_next(mates[0].pk, ME) is not None
    forget_wakeups()
    monkeypatch.setattr(claims, "runs_there", lambda node: False)
    monkeypatch.setattr(claims, "is_due", lambda runner: True)
    assert claim_next(mates[1].pk, ME) is None
    assert woken() == [other]


def test_a_wake_up_whose_job_is_taken_does_no_harm() -> None:
    first, second = make_runner(), make_runner()
    make_job()
    kick(second.pk)
    assert answer(first) is not None
    assert answer(second) is None
    assert woken() == []
    assert not Runner.objects.filter(token_pending=True).exists()


def test_the_look_of_the_supervisor_wakes_whose_turn_it_is() -> None:
    first, second = make_runner(), make_runner()
    make_job()
    forget_wakeups()
    assert kick_others(WorkKind.IMAGE) == [first.pk]
    assert kick_others(WorkKind.IMAGE) == [], "it has not had time to answer"
    deaf(first)
    assert kick_others(WorkKind.IMAGE) == [second.pk]


def test_nobody_is_woken_again_while_the_queue_is_paused() -> None:
    make_runner()
    second = make_runner()
    make_job()
    pause(by="ann")
    forget_wakeups()
    assert claim_next(second.pk, ME) is None
    assert woken() == []


def test_new_work_wakes_all_where_nobody_seems_able() -> None:
    first, second = make_runner(), make_runner()
    for runner in (first, second):
        not_ready(runner)
    make_job()
    assert woken() == [first, second], "each knows better itself"
    assert answer(first) is None
    assert woken() == [second], "but they do not wake each other"


def test_work_beyond_the_idle_nodes_is_looked_for_by_the_busy_ones_when_they_are_done() -> None:
    first, second = make_runner(), make_runner()
    make_job()
    assert answer(first) is not None
    assert woken() == []
    submit(repeat=2)
    assert woken() == [second, first]


# --- with nodes that lack something -------------------------------------------------------------------------

WITH_FOO = "<lora:foo:1>\na keep\nneg: low\n"
PLAIN = "a cliff\nneg: low\n"


def node_with(*loras: str) -> Runner:
    runner = make_runner()
    store_catalog(runner.node, {Thing.LORA: loras})
    return runner


def poor_and_rich() -> tuple[Runner, Runner]:
    """The first one lacks what a job needed that is done."""
    poor, rich = node_with("bar"), node_with("foo", "bar")
    submit(make_pack(text=WITH_FOO))
    assert NodeLack.objects.filter(node=poor.node).exists()
    run_one(rich)
    forget_wakeups()
    Runner.objects.update(last_claim_at=None)
    return poor, rich


def test_nodes_that_lack_something_take_turns_at_what_they_can_do() -> None:
    runners = poor_and_rich()
    order = []
    for _ in range(4):
        submit(make_pack(text=PLAIN))
        [runner] = woken()
        claim = answer(runner)
        assert claim is not None
        finish(claim)
        order.append(runners.index(runner))
    assert order == [0, 1, 0, 1]


def test_the_turn_goes_to_the_node_that_has_what_the_job_needs() -> None:
    poor, rich = poor_and_rich()
    for _ in range(2):
        submit(make_pack(text=WITH_FOO))
        assert woken() == [rich]
        claim = answer(rich)
        assert claim is not None
        finish(claim)
    submit(make_pack(text=WITH_FOO))
    submit(make_pack(text=PLAIN))
    assert set(woken()) == {rich, poor}
    assert claim_next(poor.pk, ME) is not None
    assert claim_next(rich.pk, ME) is not None


@pytest.mark.parametrize("held", [3, WINDOW + 5])
def test_held_jobs_in_front_count_for_nobody(held: int) -> None:
    first, second = node_with("bar"), node_with("bar")
    NodeCatalog.objects.update(problem="not now")
    submit(make_pack(text=WITH_FOO), repeat=held)
    NodeCatalog.objects.update(problem="")
    for runner in (first, second):
        recompute_lacks(runner.node_id)
    forget_wakeups()
    order = []
    for _ in range(4):
        submit(make_pack(text=PLAIN))
        runner = woken()[0]
        claim = claim_next(runner.pk, ME)
        assert claim is not None
        finish(claim)
        order.append(runner)
        forget_wakeups()
    assert order == [first, second] * 2
    assert claim_next(first.pk, ME) is None
    assert woken() == [], "what is held wakes nobody"


# --- what it costs ------------------------------------------------------------------------------------------


def test_a_single_node_asks_for_no_turn_and_its_claims_are_not_counted() -> None:
    runner = make_runner()
    submit(repeat=2)
    with CaptureQueriesContext(connection) as caught:
        run_one(runner)
    runner.refresh_from_db()
    assert runner.last_claim_at is None
    assert not [query for query in caught if "LIMIT 50" in query["sql"]]


def test_nodes_that_all_work_ask_for_no_turn() -> None:
    first, second = make_runner(), make_runner()
    submit(repeat=4)
    assert claim_next(first.pk, ME) is not None
    claim = claim_next(second.pk, ME)
    assert claim is not None
    finish(claim)
    with CaptureQueriesContext(connection) as caught:
        assert claim_next(second.pk, ME) is not None
    assert not [query for query in caught if "LIMIT 50" in query["sql"]]


def test_many_claims_at_once_leave_nothing_and_take_nothing_twice() -> None:
    """Each thread is an engine: it answers its wake-ups until the queue is empty, and nobody else wakes it."""
    runners = [make_runner() for _ in range(3)]
    submit(repeat=30)
    done = threading.Event()

    def work(runner: Runner) -> None:
        try:
            while not done.is_set():
                if not Runner.objects.filter(pk=runner.pk, token_pending=True).exists():
                    done.wait(0.005)
                    continue
                claim = claim_next(runner.pk, ME)
                if claim is not None:
                    finish(claim)
                if not Job.objects.exclude(status=JobStatus.COMPLETED).exists():
                    done.set()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(runner,), daemon=True) for runner in runners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ran = Counter(dict(Job.objects.order_by().values_list("node__runner").annotate(Count("id"))))
    assert sum(ran.values()) == 30


def test_turns_name_everybody_once() -> None:
    idle, busy, unable = make_runner(), make_runner(), make_runner()
    not_ready(unable)
    submit(repeat=4)
    assert claim_next(idle.pk, ME) is not None
    idle, busy = busy, idle
    turns = turns_of(WorkKind.IMAGE)
    assert (turns.due, turns.busy, turns.unable) == ((idle,), (busy,), (unable,))
    assert turns.more_waits
    assert turns_of(WorkKind.EDIT).due == ()

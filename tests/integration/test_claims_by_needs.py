"""A job is claimed by a node that has what it needs; what no node has is held, and holds nobody else up."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ

from jobs.bulk import acts
from jobs.lifecycle import EventType, JobStatus, Priority
from jobs.models import (
    BulkVerb,
    CheckpointTrouble,
    Job,
    LifecycleEvent,
    NeedSet,
    NodeLack,
    QueueControl,
    Runner,
)
from jobs.queue.claims import Claim, claim_next, next_job
from jobs.queue.filters import JobFilter
from jobs.queue.fitness import recompute_lacks, want_lists
from jobs.queue.held_jobs import held_counts
from jobs.queue.holds import another_takes
from jobs.queue.identity import ProcessIdentity
from jobs.queue.lanes import free_lanes, free_lanes_sql, head_of_lane, waiting_sets
from jobs.queue.moves import move_job
from jobs.queue.servers import BEFORE_A_HOLD
from jobs.queue.wakeup import kick_all, work_is_waiting
from jobs.submitting.preflight import OnMissing
from jobs.submitting.reruns import rerun
from jobs.supervising.lack_watch import LackWatch
from tests.factories import make_job, make_node, make_pack, make_runner, store_catalog, submit
from tests.integration.test_claims import analyze, analyze_when_idle, forget_analysis
from webui.kinds import WorkKind
from webui.models import Node, NodeCatalog
from webui.nodes.catalogs import note_unusable
from webui.work.catalog import Entry, Thing

pytestmark = pytest.mark.django_db(transaction=True)
ME = ProcessIdentity.of_self()
WITH_FOO = "<lora:foo:1>\na keep\nneg: low\n"
WITH_BAR = "<lora:bar:1>\na moat\nneg: low\n"
HELD = 90_000


def node_with(*loras: str | Entry, **fields: Any) -> Runner:
    """A node of which nothing but its LoRAs is known."""
    runner = make_runner(make_node(**fields))
    store_catalog(runner.node, {Thing.LORA: loras})
    return runner


def queue(text: str, repeat: int = 1, **options: Any) -> list[int]:
    """Jobs that no check stops: what nodes lack came out later."""
    known = list(NodeCatalog.objects.all())
    NodeCatalog.objects.update(problem="not now")
    ids = list(submit(make_pack(text=text), repeat=repeat, **options).job_ids)
    for catalog in known:
        catalog.save()
        recompute_lacks(catalog.node_id)
    return ids


def finish(claim: Claim) -> None:
    move_job(claim.job_id, JobStatus.COMPLETED, event=EventType.COMPLETED, run_token=claim.run_token)


def drain(runner: Runner) -> list[int]:
    order = []
    while (claim := claim_next(runner.pk, ME)) is not None:
        order.append(claim.job_id)
        finish(claim)
    return order


def loras_now(runner: Runner, *loras: str) -> None:
    store_catalog(runner.node, {Thing.LORA: loras})
    recompute_lacks(runner.node_id)


def forget_wakeups() -> None:
    OrmQ.objects.all().delete()
    Runner.objects.update(token_pending=False)


# --- who claims what ----------------------------------------------------------------------------------------


def test_a_job_is_claimed_only_by_the_node_that_has_its_lora() -> None:
    poor, rich = node_with("bar"), node_with("foo", "bar")
    foo, bar = queue(WITH_FOO, 2), queue(WITH_BAR)
    assert held_counts() == {}, "what one node has is not held"
    assert drain(poor) == bar
    assert drain(rich) == foo


def test_order_and_priority_hold_among_the_jobs_that_a_node_can_do() -> None:
    runner = node_with("bar")
    queue(WITH_FOO)
    normal, plain = queue(WITH_BAR, 2), queue("a cliff\nneg: low\n")
    front = queue(WITH_BAR, run_now=True)
    high = queue("a tower\nneg: low\n", priority=Priority.HIGH)
    assert drain(runner) == [*high, *front, *normal, *plain]


def test_jobs_of_which_nobody_knows_what_they_need_run_in_their_turn() -> None:
    runner = node_with("bar")
    queue(WITH_FOO)
    first, old, last = queue(WITH_BAR), queue("a cliff\nneg: low\n"), queue(WITH_BAR)
    Job.objects.filter(pk__in=old).update(needs=None)
    assert drain(runner) == [*first, *old, *last]


def test_what_no_node_has_is_held_and_the_others_run() -> None:
    one, other = node_with("bar"), node_with("baz")
    foo, bar = queue(WITH_FOO, 3), queue(WITH_BAR)
    assert drain(other) == []
    assert drain(one) == bar
    assert sum(held_counts().values()) == len(foo)
    assert {job.status for job in Job.objects.filter(pk__in=foo)} == {JobStatus.QUEUED}


def test_a_held_job_runs_and_its_node_is_woken_when_the_lora_is_there() -> None:
    runner = node_with("bar")
    foo = queue(WITH_FOO)
    assert claim_next(runner.pk, ME) is None
    forget_wakeups()
    version = QueueControl.objects.get().version
    loras_now(runner, "bar", "foo")
    assert OrmQ.objects.count() == 1
    assert QueueControl.objects.get().version > version, "pages that look are told"
    assert drain(runner) == foo


def test_a_node_of_which_nothing_is_known_takes_everything() -> None:
    foo = queue(WITH_FOO)
    recompute_lacks(node_with("bar").node_id)
    assert drain(make_runner()) == foo


@pytest.mark.parametrize(
    "columns",
    [
        {"problem": "It does not answer."},
        {"wanted_at": timezone.now(), "wanted_because": "ann asked"},
        {"read_at": None},
    ],
    ids=["could not be read", "known to be old", "never read"],
)
def test_what_is_not_known_holds_nothing(columns: dict[str, object]) -> None:
    runner = node_with("bar")
    foo = queue(WITH_FOO)
    NodeCatalog.objects.update(**columns)
    recompute_lacks(runner.node_id)
    assert drain(runner) == foo


def test_a_refresh_before_a_hold_makes_nothing_unknown() -> None:
    runner = node_with("bar")
    foo = queue(WITH_FOO)
    NodeCatalog.objects.update(wanted_at=timezone.now(), wanted_because=BEFORE_A_HOLD)
    recompute_lacks(runner.node_id)
    assert claim_next(runner.pk, ME) is None
    assert foo


def test_a_listed_upscaler_that_cannot_be_used_is_missing_and_an_embedding_is_not() -> None:
    lists = {
        Thing.UPSCALER: [Entry("Big", usable=False, note="its weights are not there")],
        Thing.EMBEDDING: [Entry("glow", usable=False)],
    }
    runner = make_runner()
    store_catalog(runner.node, lists)
    glowing = queue("<embedding:glow>\na keep\nneg: low\n")
    upscaled = queue(
        "a keep\nneg: low\n", overrides={"upscale.upscaler": "Big", "pipeline.upscale_enabled": True}
    )
    assert drain(runner) == glowing
    assert NodeLack.objects.get().missing[0]["why"] == "its weights are not there"
    assert list(Job.objects.filter(status=JobStatus.QUEUED).values_list("pk", flat=True)) == upscaled


def test_an_upscaler_that_only_resized_a_result_holds_the_others_until_the_lists_are_read_again() -> None:
    runner = make_runner()
    store_catalog(
        runner.node, {Thing.UPSCALER: [Entry("Big", note="whether its weights are there is not told")]}
    )
    upscaled = queue(
        "a keep\nneg: low\n\na mill\nneg: low\n",
        overrides={"upscale.upscaler": "Big", "pipeline.upscale_enabled": True},
    )
    claimed = claim_next(runner.pk, ME)
    assert claimed
    note_unusable(runner.node, (Thing.UPSCALER,), "Big", "job 1 was only resized there")
    recompute_lacks(runner.node_id)
    move_job(claimed.job_id, JobStatus.COMPLETED, event=EventType.COMPLETED, run_token=claimed.run_token)
    assert claim_next(runner.pk, ME) is None
    assert NodeLack.objects.get().missing[0]["why"] == "job 1 was only resized there"
    store_catalog(runner.node, {Thing.UPSCALER: [Entry("Big")]})
    recompute_lacks(runner.node_id)
    claimed = claim_next(runner.pk, ME)
    assert claimed
    assert claimed.job_id == upscaled[1]


def test_a_checkpoint_that_failed_three_times_on_a_node_is_missing_there() -> None:
    one, other = make_runner(), make_runner()
    jobs = queue("a keep\nneg: low\n", overrides={"txt2img.model": "tiny"})
    CheckpointTrouble.objects.create(
        node=one.node, checkpoint="tiny", failures=3, what="gave NaN", held_at=timezone.now()
    )
    recompute_lacks(one.node_id)
    assert drain(one) == []
    assert NodeLack.objects.get().missing[0]["why"] == f"tiny gave NaN 3 times on {one.node.name}"
    assert drain(other) == jobs


def test_what_a_node_lacks_of_another_kind_of_work_holds_nothing() -> None:
    films = node_with("bar", kind=WorkKind.I2V)
    queue(WITH_FOO)
    assert held_counts() == {}
    assert not work_is_waiting(films.node_id, films.node.kind)


def test_two_claims_at_once_by_lanes_never_take_one_job_twice() -> None:
    runners = [node_with("bar"), node_with("bar")]
    queue(WITH_FOO, 5)
    ids = [*queue(WITH_BAR, 10), *queue("a cliff\nneg: low\n", 10)]
    taken: list[int] = []

    def work(runner: Runner) -> None:
        try:
            while NodeLack.objects.filter(node=runner.node).exists() and (mine := drain(runner)):
                taken.extend(mine)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(runner,)) for runner in runners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(ids)


def test_another_node_takes_a_lost_nodes_job_only_where_it_has_what_that_needs() -> None:
    mine, other = node_with("foo"), node_with("bar")
    job = Job.objects.get(pk=queue(WITH_FOO)[0])
    assert not another_takes(job, mine.node)
    loras_now(other, "foo")
    assert another_takes(job, mine.node)


# --- wake-ups -----------------------------------------------------------------------------------------------


def test_a_node_whose_whole_queue_is_held_gets_no_wake_ups() -> None:
    runner = node_with("bar")
    queue(WITH_FOO, 3)
    forget_wakeups()
    kick_all()
    assert not OrmQ.objects.exists()
    assert not work_is_waiting(runner.node_id, WorkKind.IMAGE)
    bar = queue(WITH_BAR)
    assert work_is_waiting(runner.node_id, WorkKind.IMAGE)
    job = next_job(runner.node)
    assert job is not None
    assert [job.pk] == bar


def test_a_claim_that_finds_only_held_jobs_answers_its_wake_up() -> None:
    runner = node_with("bar")
    queue(WITH_FOO)
    Runner.objects.update(token_pending=True)
    assert claim_next(runner.pk, ME) is None
    runner.refresh_from_db()
    assert not runner.token_pending


def test_a_node_is_looked_at_again_when_its_catalog_or_itself_has_changed() -> None:
    runner, watch = node_with("bar"), LackWatch()
    foo = queue(WITH_FOO)
    watch.look(runner.node_id)
    store_catalog(runner.node, {Thing.LORA: ["foo"]})
    watch.look(runner.node_id)
    assert not NodeLack.objects.exists()
    assert drain(runner) == foo


# --- before a hold ------------------------------------------------------------------------------------------


def old_catalog(runner: Runner, *loras: str) -> None:
    store_catalog(runner.node, {Thing.LORA: loras}, read_at=timezone.now() - timedelta(hours=3))


def test_lists_are_asked_for_again_before_a_job_is_held_and_it_waits_for_them() -> None:
    runner = make_runner()
    [job_id] = queue(WITH_FOO)
    finish_one = claim_next(runner.pk, ME)
    assert finish_one is not None
    finish(finish_one)
    old_catalog(runner, "bar")
    rerun([job_id], by="ann")
    catalog = NodeCatalog.objects.get()
    assert (catalog.wanted_because, catalog.wanted_at is not None) == (BEFORE_A_HOLD, True)
    assert claim_next(runner.pk, ME) is None


def test_lists_are_not_asked_for_while_another_node_can_do_the_job() -> None:
    old_catalog(node_with(), "bar")
    node_with("foo")
    submit(make_pack(text=WITH_FOO))
    assert not NodeCatalog.objects.filter(wanted_at__isnull=False).exists()


def test_a_person_may_have_the_lists_read_again() -> None:
    runner = node_with("bar")
    queue(WITH_FOO)
    make_node("without-lacks")
    assert want_lists("ann") == [runner.node.name]
    assert NodeCatalog.objects.get().wanted_because == "ann asked"


# --- anyway -------------------------------------------------------------------------------------------------


def test_held_jobs_run_anyway_when_a_person_says_so_and_others_keep_their_needs() -> None:
    poor = node_with("bar")
    foo, bar = queue(WITH_FOO, 2), queue(WITH_BAR)
    forget_wakeups()
    [act] = acts.run(acts.start(BulkVerb.ANYWAY, JobFilter(), by="ann"))
    assert act.done == len(foo)
    assert OrmQ.objects.count() == 1
    assert list(Job.objects.filter(needs=None).order_by("pk").values_list("pk", flat=True)) == foo
    events = LifecycleEvent.objects.filter(event_type=EventType.RUNS_ANYWAY).order_by("job_id")
    assert [(event.job_id, event.data["by"]) for event in events] == [(pk, "ann") for pk in foo]
    assert drain(poor) == [*foo, *bar]


def test_a_job_that_is_not_held_cannot_be_said_to_run_anyway() -> None:
    node_with("bar")
    [bar] = queue(WITH_BAR)
    act = acts.start(BulkVerb.ANYWAY, [bar], by="ann")
    assert acts.advance(act.pk).done == 0
    assert Job.objects.get(pk=bar).needs_id is not None


def test_a_rerun_keeps_what_its_job_needs_and_a_job_that_ran_anyway_needs_nothing_again() -> None:
    runner = make_runner()
    first = queue(WITH_FOO)
    anyway = list(submit(make_pack(text=WITH_BAR), on_missing=OnMissing.ANYWAY).job_ids)
    assert drain(runner) == [*first, *anyway]
    again = rerun([*first, *anyway], by="ann")
    needs = [Job.objects.get(pk=pk).needs_id for pk in (*first, *again)]
    assert needs[0] == needs[1] is not None
    assert needs[2] is None


# --- ninety thousand held jobs ------------------------------------------------------------------------------


def queue_held(like: int, sets: Sequence[int], count: int = HELD) -> None:
    """So many queued jobs with these needs in front of all others."""
    columns = ", ".join(f'"{field.column}"' for field in Job._meta.concrete_fields if field.name != "id")
    needs = f"{min(sets)} + (n % {len(sets)})"
    values = columns.replace('"needs_id"', needs).replace('"position"', f"n - {count}")
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO jobs_job ({columns}) "  # noqa: S608 - names of columns
            f"WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count}) "
            f"SELECT {values} FROM jobs_job CROSS JOIN numbers WHERE id = {like}"
        )


def plans(node: Node, needs_id: int | None) -> str:
    """How the database finds the lanes and the head of one."""
    words = "EXPLAIN " if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN "
    with transaction.atomic(), connection.cursor() as cursor:
        free_lanes(node.pk, WorkKind.IMAGE)
        cursor.execute(words + free_lanes_sql(), {"node": node.pk, "kind": WorkKind.IMAGE, "most": 4})
        lanes = "\n".join(str(row[-1]) for row in cursor.fetchall())
        head = head_of_lane(WorkKind.IMAGE, needs_id).all()
        if connection.vendor == "postgresql":
            head = head.select_for_update(skip_locked=True, of=("self",))
        return f"{lanes}\n{head.explain()}"


@pytest.mark.parametrize("analyzed", ["never", "when idle", "before", "after"])
def test_the_claim_walks_from_set_to_set_behind_90_000_held_jobs(analyzed: str) -> None:
    runner = node_with("bar")
    like, free = queue("a cliff\nneg: low\n", 1_000)[0], queue(WITH_BAR, 500)
    sets = [NeedSet.objects.create(sha256=f"{number:064}", document="[]").pk for number in range(250)]
    try:
        if analyzed == "when idle":
            queue_held(like, sets, 20_000)
            analyze_when_idle(keep=[like, *free])
        if analyzed == "before":
            analyze()
        queue_held(like, sets)
        NodeLack.objects.bulk_create(NodeLack(node=runner.node, needs_id=pk, missing=[]) for pk in sets)
        Job.objects.filter(pk=like).update(needs=None)
        if analyzed == "after":
            analyze()
        for needs_id in (None, Job.objects.get(pk=free[0]).needs_id):
            plan = plans(runner.node, needs_id)
            assert "job_claim_by_needs" in plan, plan
            assert "job_queue" not in plan, plan
            assert "job_claim_order" not in plan, plan
            assert not re.search(r"(Seq Scan on|SCAN) (jobs_job|j|head)\b|AUTOMATIC|JIT", plan), plan
        assert set(waiting_sets()) > set(sets)
        claim = claim_next(runner.pk, ME)
        assert claim is not None
        assert claim.job_id == like
    finally:
        forget_analysis()


def test_a_claim_of_a_node_that_lacks_something_is_one_read_more() -> None:
    runner = node_with("bar")
    queue(WITH_FOO)
    queue(WITH_BAR, 2)
    with CaptureQueriesContext(connection) as caught:
        assert claim_next(runner.pk, ME) is not None
    reads = [query["sql"] for query in caught if re.match(r"SELECT|\s*WITH", query["sql"])]
    assert len([sql for sql in reads if "jobs_" in sql]) == 4


def test_lanes_name_the_sets_that_the_node_has_by_the_turn_of_their_heads() -> None:
    runner = node_with("bar")
    queue(WITH_FOO)
    plain, bar = queue("a cliff\nneg: low\n"), queue(WITH_BAR)
    expected = [Job.objects.get(pk=pk).needs_id for pk in (*plain, *bar)]
    assert free_lanes(runner.node_id, WorkKind.IMAGE) == expected
    assert free_lanes(runner.node_id, WorkKind.IMAGE, 1) == expected[:1]
    assert make_job().needs_id == expected[0]

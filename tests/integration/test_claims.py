"""What is claimed, when, and in which order."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from datetime import timedelta

import pytest
from django.db import connection, connections, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ

from jobs.clock import database_now
from jobs.lifecycle import EventType, JobStatus, Priority
from jobs.models import Job, QueueControl, Runner
from jobs.queue import claims
from jobs.queue.claims import Claim, claim_next, head_of_queue, read_requests, renew
from jobs.queue.control import cancel, pause, resume
from jobs.queue.enqueue import kind_of
from jobs.queue.holds import is_busy
from jobs.queue.identity import ProcessIdentity
from jobs.queue.moves import move_job
from jobs.queue.wakeup import cluster_name, kick, kick_all
from jobs.records.record import STAGES, sha256_text
from jobs.submitting.reruns import rerun
from tests.factories import make_job, make_node, make_pack, make_runner, make_running_job, submit
from webui.kinds import WorkKind
from webui.models import Node, NodeState, Wish

pytestmark = pytest.mark.django_db(transaction=True)
ME = ProcessIdentity.of_self()
#: The tables of a claim's statements: it reads three rows, then writes its wake-up (not on a card) and the move.
READS, WRITES = ["runner", "queuecontrol", "job"], ["job", "lifecycleevent", "queuecontrol"]


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
    won: list[Claim | None] = []

    def work() -> None:
        try:
            won.append(claim_next(runner.pk, ME))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([claim for claim in won if claim is not None]) == 1


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


# --- kinds --------------------------------------------------------------------------------------------------


def queue_films(count: int, like: Job) -> None:
    """So many queued jobs of another kind, in front of all others."""
    columns = ", ".join(f'"{field.column}"' for field in Job._meta.concrete_fields if field.name != "id")
    values = columns.replace('"kind"', "'i2v'").replace('"position"', f"n - {count}")
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO jobs_job ({columns}) "  # noqa: S608 - names of columns
            f"WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count}) "
            f"SELECT {values} FROM jobs_job CROSS JOIN numbers WHERE id = {like.pk}"
        )
    QueueControl.objects.update(queued=F("queued") + count, submitted=F("submitted") + count)


@pytest.mark.parametrize("analyzed", ["never", "when idle", "before", "after"])
def test_the_claim_walks_its_index_also_behind_100_000_jobs_of_another_kind(analyzed: str) -> None:
    ids = submit(repeat=2000).job_ids
    try:
        if analyzed == "when idle":
            analyze_when_idle(keep=ids)
        if analyzed == "before":
            analyze()
        queue_films(100_000, like=Job.objects.get(pk=ids[0]))
        if analyzed == "after":
            analyze()
        with transaction.atomic():
            head = head_of_queue(WorkKind.IMAGE)
            if connection.vendor == "postgresql":
                head = head.select_for_update(skip_locked=True, of=("self",))
            plan = head.explain()
        assert "job_queue" not in plan, plan
        assert "job_claim_order" in plan, plan
        assert not re.search(r"Sort|TEMP B-TREE|(Seq Scan on|SCAN) jobs_job\b", plan), plan
        claim = claim_next(make_runner().pk, ME)
        assert claim is not None
        assert (claim.job_id, claim.more) == (ids[0], True)
    finally:
        forget_analysis()


def analyze() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE jobs_job")


def analyze_when_idle(keep: Sequence[int]) -> None:
    """The database's figures are of a time at which nothing waited or needed anything; then these jobs wait again."""
    needs = dict(Job.objects.filter(pk__in=keep).values_list("pk", "needs_id"))
    Job.objects.update(status=JobStatus.COMPLETED, finished_at=timezone.now(), needs=None)
    analyze()
    for needs_id in set(needs.values()):
        of_it = Job.objects.filter(pk__in=[pk for pk in keep if needs[pk] == needs_id])
        of_it.update(status=JobStatus.QUEUED, finished_at=None, needs_id=needs_id)


def forget_analysis() -> None:
    """SQLite would keep it for the tests that follow."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS sqlite_stat1")
            cursor.execute("ANALYZE sqlite_schema")


def test_a_node_takes_jobs_of_its_kind_only() -> None:
    image, film = make_job(), make_job()
    Job.objects.filter(pk=film.pk).update(kind=WorkKind.I2V)
    films = make_runner(make_node(kind=WorkKind.I2V))
    assert drain(films) == [film.pk]
    assert drain(make_runner(make_node(kind=WorkKind.EDIT))) == []
    assert drain(make_runner()) == [image.pk]


def test_every_stage_belongs_to_a_kind_and_a_rerun_keeps_its_jobs_kind() -> None:
    assert {kind_of([stage]) for stage in STAGES} == {WorkKind.IMAGE}
    runner = make_runner()
    first = make_job()
    assert drain(runner) == [first.pk]
    [again] = rerun([first.pk], by="ann")
    assert Job.objects.get(pk=again).kind == first.kind == WorkKind.IMAGE


def test_a_wake_up_for_jobs_of_another_kind_finds_nothing_and_asks_for_no_more() -> None:
    image, film = make_job(), make_job()
    Job.objects.filter(pk=film.pk).update(kind=WorkKind.I2V)
    runner = make_runner()
    claim = claim_next(runner.pk, ME)
    assert claim is not None
    assert (claim.job_id, claim.more) == (image.pk, True)
    finish(claim)
    assert claim_next(runner.pk, ME) is None
    runner.refresh_from_db()
    assert not runner.token_pending


def test_only_nodes_whose_kind_waits_are_woken() -> None:
    images, films = make_runner(), make_runner(make_node(kind=WorkKind.I2V))
    make_job()
    assert woken() == [images]
    OrmQ.objects.all().delete()
    Runner.objects.update(token_pending=False)
    Job.objects.update(kind=WorkKind.I2V)
    kick_all()
    assert woken() == [films]


def woken() -> list[Runner]:
    """Runners whose wake-up stands in the engine's table."""
    keys = set(OrmQ.objects.values_list("key", flat=True))
    return [
        r for r in Runner.objects.select_related("node").order_by("pk") if cluster_name(r.node.name) in keys
    ]


@pytest.mark.parametrize("card", ["", "gpu0"])
def test_a_claim_is_seven_statements(card: str) -> None:
    submit(repeat=2)
    runner = make_runner(make_node(card=card))
    with CaptureQueriesContext(connection) as caught:
        assert claim_next(runner.pk, ME) is not None
    told = [re.sub(r"EXISTS\(.*?\) AS", "", query["sql"]) for query in caught]
    tables = [re.search(r'(?:FROM|INTO|UPDATE) "jobs_(\w+)"', sql) for sql in told]
    assert [table[1] for table in tables if table] == READS + ["runner"] * (not card) + WRITES


# --- cards --------------------------------------------------------------------------------------------------


@pytest.fixture
def card() -> tuple[Runner, Runner]:
    """Two nodes on one graphics card: one for images, one for films."""
    images = make_runner(make_node(card="gpu0"))
    return images, make_runner(make_node(card="gpu0", kind=WorkKind.I2V))


def make_film() -> Job:
    film = make_job()
    Job.objects.filter(pk=film.pk).update(kind=WorkKind.I2V)
    return film


def test_nodes_of_one_card_take_turns(card: tuple[Runner, Runner]) -> None:
    images, films = card
    make_job()
    make_film()
    first = claim_next(images.pk, ME)
    assert first is not None
    assert claim_next(films.pk, ME) is None
    # The constraint would refuse the claim as well, but run_node would wake the node again and again.
    assert is_busy(films.node)
    finish(first)
    assert not is_busy(films.node)
    assert claim_next(films.pk, ME) is not None
    assert claim_next(images.pk, ME) is None


@pytest.mark.parametrize(
    ("state", "is_held"),
    [
        (NodeState.READY, True),
        (NodeState.RESTARTING, True),
        (NodeState.STARTING, False),
        (NodeState.STOPPED, False),
    ],
)
def test_a_request_that_was_given_up_holds_its_card(
    card: tuple[Runner, Runner], state: NodeState, is_held: bool
) -> None:
    """Until its server is quiet, or was ended."""
    images, films = card
    make_film()
    Runner.objects.filter(pk=images.pk).update(must_quiet=True)
    Node.objects.filter(pk=images.node_id).update(state=state)
    assert is_busy(films.node) == is_held
    assert (claim_next(films.pk, ME) is None) == is_held
    stranger = make_runner(make_node(card="gpu1", kind=WorkKind.I2V))
    make_film()
    assert claim_next(stranger.pk, ME) is not None


def test_other_cards_and_nodes_without_a_card_are_not_held(card: tuple[Runner, Runner]) -> None:
    submit(repeat=4)
    others = [make_runner(), make_runner(make_node(card="gpu1")), make_runner()]
    for runner in (card[0], *others):
        assert claim_next(runner.pk, ME) is not None


def test_the_end_of_a_job_wakes_the_nodes_of_its_card_that_have_work(card: tuple[Runner, Runner]) -> None:
    images, films = card
    stranger = make_runner(make_node(kind=WorkKind.I2V))
    submit(repeat=2)
    make_film()
    claim = claim_next(images.pk, ME)
    assert claim is not None
    assert not claim.more, "its own next wake-up is not ahead of the others'"
    for runner in (films, stranger):
        assert (claim_next(runner.pk, ME) is None) == (runner == films)
    make_film()
    Runner.objects.update(token_pending=False)
    OrmQ.objects.all().delete()
    finish(claim)
    assert woken() == [images, films]


def test_a_job_without_a_card_wakes_nobody_at_its_end() -> None:
    _, claim = make_running_job()
    make_job()
    Runner.objects.update(token_pending=False)
    OrmQ.objects.all().delete()
    finish(claim)
    assert woken() == []


def test_two_claims_at_once_never_run_two_jobs_on_one_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each claim has seen the card free before the other one commits: the constraint alone decides."""
    runners = [make_runner(make_node(card="gpu0")) for _ in range(2)]
    submit(repeat=4)
    OrmQ.objects.all().delete()
    monkeypatch.setattr(claims, "runs_there", lambda node: False)
    together = threading.Barrier(len(runners))
    won: list[Claim | None] = []

    def work(runner: Runner) -> None:
        try:
            together.wait()
            won.append(claim_next(runner.pk, ME))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(runner,)) for runner in runners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 2
    [claim] = filter(None, won)
    assert [job.card for job in Job.objects.filter(status=JobStatus.RUNNING)] == ["gpu0"]
    loser = Runner.objects.exclude(pk=claim.runner_id).get()
    # The wake-up is answered, so that the next one is sent; who looks while the other one commits may have sent it.
    assert not loser.token_pending or loser in woken()

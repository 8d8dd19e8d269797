"""What lists find: every filter, its key and its bounds, and the indexes that make it quick at a million jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from jobs.lifecycle import JobStatus, Priority
from jobs.models import Job
from jobs.queue import search
from jobs.queue.claims import head_of_queue
from jobs.queue.control import cancel
from jobs.queue.filters import JobFilter
from jobs.queue.search import IN_QUEUE, LATEST_END, Search, search_finished, search_queue
from jobs.reading.choices import kind_choices, pack_choices, user_choices
from jobs.reading.lists import JobPage, everything, history, queued
from tests.factories import make_job, make_pack, make_runner, make_user, submit
from tests.film_jobs import make_film_pack
from tests.integration.finished_jobs import complete, fail
from webui.kinds import WorkKind

pytestmark = pytest.mark.django_db(transaction=True)

#: What ANALYZE finds beside 100,000 queued and 1,000,000 finished jobs.
STATISTICS = {
    "job_history_order": "1000000 1 1",
    "job_attention_order": "10838 1 1",
    "job_attention": "10838 3613 1 1",
    "job_queue_by_pack": "100001 2501 2501 834 1 1",
    "job_history_by_pack": "1000000 25000 1 1",
    "job_history_by_kind": "1000000 333334 1 1",
    "job_history_by_status": "1000000 333334 1 1",
    "job_failures": "40344 1",
    "job_failures_by_cause": "40344 13448 1",
    "job_claim_order": "1100001 275001 275001 91667 1 1",
    "job_queue_order": "100001 50001 16667 1 1",
}


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, settings: Settings) -> None:
    settings.STABLENEW_INPUT_DIR = tmp_path / "inputs"


def ids(page: JobPage) -> list[int]:
    return [line.id for line in page.lines]


def all_pages(turn: Callable[[str], JobPage]) -> list[int]:
    found: list[int] = []
    after = ""
    while True:
        page = turn(after)
        found += ids(page)
        after = page.after
        if not after:
            return found


def pack_of(words: str, name: str = "") -> int:
    return submit(make_pack(name, f"{words}\nneg: blurry\n")).job_ids[0]


def test_a_filter_and_an_address_are_the_same() -> None:
    chosen = JobFilter(pack="a b", text="100%", status="FAILED", cause="X", attention=True)
    assert chosen.query() == {
        "pack": "a b", "text": "100%", "status": "FAILED", "cause": "X", "attention": "1",
    }  # fmt: skip
    assert JobFilter.from_query(chosen.query()) == chosen
    assert not JobFilter.from_query({})


def test_values_that_can_match_nothing_are_dropped() -> None:
    asked = {
        "pack": "x" * 201,
        "status": "LOST",
        "text": "a\x00b",
        "attention": "yes",
        "user": " ann ",
        "more": "1",
    }
    assert JobFilter.from_query(asked) == JobFilter(user="ann")


def test_a_filter_says_itself_in_words() -> None:
    assert JobFilter().words() == ""
    chosen = JobFilter(pack="castles", text="fog", status="FAILED", attention=True)
    assert chosen.words() == "of pack castles, with “fog” in the prompt, that are failed, that need attention"


def test_the_queue_is_filtered_by_pack_user_checkpoint_and_prompt() -> None:
    castle, ship = pack_of("a Castle in FOG", "castles"), pack_of("a ship", "ships")
    Job.objects.filter(pk=ship).update(checkpoint="sub/DreamXL_v3.safetensors", queued_by="ann")
    for chosen, found in (
        (JobFilter(), [castle, ship]),
        (JobFilter(pack="castles"), [castle]),
        (JobFilter(pack="castle"), []),
        (JobFilter(checkpoint="dreamxl"), [ship]),
        (JobFilter(user="ann"), [ship]),
        (JobFilter(user="an"), []),
        (JobFilter(text="castle in fog"), [castle]),
        (JobFilter(text="BLURRY"), [castle, ship]),
        (JobFilter(text="blurry", pack="ships", user="ann"), [ship]),
        (JobFilter(status="QUEUED"), [castle, ship]),
        (JobFilter(status="FAILED"), []),
        (JobFilter(cause="X"), []),
        (JobFilter(attention=True), []),
    ):
        assert ids(queued(chosen)) == found, chosen


def test_text_is_looked_for_in_the_prompts_and_not_in_settings_or_names() -> None:
    job_id = pack_of('a sign "open", 森', "euler-pack")
    sampler = Job.objects.get(pk=job_id).record.sampler
    assert ids(queued(JobFilter(text='"open", 森'))) == [job_id]
    for nowhere in (sampler, "euler-pack", "positive_prompt", "%", "_", "\\", "' OR 1=1"):
        assert ids(queued(JobFilter(text=nowhere))) == [], nowhere


def test_history_is_filtered_by_end_cause_and_attention() -> None:
    runner = make_runner()
    submit(make_pack("mine"), repeat=4)
    done, bad, worse = complete(runner).pk, fail(runner).pk, fail(runner).pk
    [gone] = Job.objects.filter(status=JobStatus.QUEUED).values_list("pk", flat=True)
    cancel(gone, by="ann")
    make_job()
    cause = Job.objects.get(pk=bad).error_code
    Job.objects.filter(pk=worse).update(needs_attention=False)
    for chosen, found in (
        (JobFilter(), [gone, worse, bad, done]),
        (JobFilter(status="FAILED"), [worse, bad]),
        (JobFilter(status="CANCELLED", pack="mine"), [gone]),
        (JobFilter(status="CANCELLED", pack="other"), []),
        (JobFilter(status="QUEUED"), []),
        (JobFilter(cause=cause), [worse, bad]),
        (JobFilter(cause=cause, attention=True), [bad]),
        (JobFilter(cause="OTHER", attention=True), []),
        (JobFilter(cause="OTHER"), []),
        (JobFilter(attention=True), [bad]),
        (JobFilter(attention=True, pack="mine", status="FAILED"), [bad]),
        (JobFilter(attention=True, status="COMPLETED"), []),
        (JobFilter(attention=True, pack="other"), []),
        (JobFilter(cause=cause, pack="mine", text="lighthouse"), [worse, bad]),
    ):
        assert ids(history(chosen)) == found, chosen


def test_the_number_of_a_page_is_the_place_of_its_first_job_in_the_queue() -> None:
    submit(repeat=3, priority=Priority.LOW)
    submit(repeat=4)
    page, numbers = queued(size=2), []
    while True:
        numbers.append(page.first_number)
        if not page.after:
            break
        page = queued(after=page.after, size=2)
    assert numbers == [1, 3, 5, 7]
    assert queued(size=7).after == ""
    assert queued(JobFilter(text="lighthouse")).first_number is None


def test_a_search_that_is_cut_short_says_so_and_goes_on_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SEARCH_PROMPTS", 3)
    submit(repeat=7)
    last = pack_of("a needle")
    page = queued(JobFilter(text="needle"))
    assert (ids(page), page.searched) == ([], 3)
    page = queued(JobFilter(text="needle"), page.after)
    assert (ids(page), page.searched) == ([], 3)
    page = queued(JobFilter(text="needle"), page.after)
    assert (ids(page), page.searched, page.after) == ([last], None, "")


def test_every_matching_job_is_on_one_page_whatever_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = make_runner()
    for number in range(12):
        submit(make_pack("even" if number % 2 == 0 else "odd"), run_now=number % 3 == 0)
    waiting = list(IN_QUEUE.sort(Job.objects.filter(pack_name="even")).values_list("pk", flat=True))
    Job.objects.update(checkpoint="x")
    for rows in (1, 4, 5, 12, 50):
        monkeypatch.setattr(search, "SEARCH_ROWS", rows)
        monkeypatch.setattr(search, "SEARCH_PROMPTS", rows)
        chosen = JobFilter(checkpoint="X", pack="even")
        assert all_pages(lambda after, c=chosen: queued(c, after, size=2)) == waiting  # type: ignore[misc]
    done = [complete(runner).pk for _ in range(12)]
    even = [pk for pk in done if pk in waiting]
    for rows in (1, 5, 50):
        monkeypatch.setattr(search, "SEARCH_ROWS", rows)
        chosen = JobFilter(status="COMPLETED", pack="even")
        assert all_pages(lambda after, c=chosen: history(c, after, size=2)) == even[::-1]  # type: ignore[misc]


def test_jobs_that_ended_at_one_moment_are_each_on_one_page() -> None:
    runner = make_runner()
    submit(repeat=5)
    done = [complete(runner).pk for _ in range(5)]
    Job.objects.update(finished_at=timezone.now().replace(microsecond=0))
    assert all_pages(lambda after: history(after=after, size=2)) == done[::-1]


def test_both_lists_are_filtered_by_kind_with_everything_else() -> None:
    runner = make_runner()
    submit(repeat=3)
    done, bad = complete(runner).pk, fail(runner).pk
    film = submit(make_film_pack("films")).job_ids[0]
    [picture] = Job.objects.filter(status=JobStatus.QUEUED, kind=WorkKind.IMAGE).values_list("pk", flat=True)
    edit = submit(make_film_pack("edits", kind="edit")).job_ids[0]
    cancel(edit, by="ann")
    for chosen, waiting, ended in (
        (JobFilter(), [picture, film], [edit, bad, done]),
        (JobFilter(kind="image"), [picture], [bad, done]),
        (JobFilter(kind="i2v"), [film], []),
        (JobFilter(kind="edit"), [], [edit]),
        (JobFilter(kind="i2v", pack="films"), [film], []),
        (JobFilter(kind="image", pack="films"), [], []),
        (JobFilter(kind="edit", pack="edits"), [], [edit]),
        (JobFilter(kind="image", status="FAILED"), [], [bad]),
        (JobFilter(kind="edit", status="FAILED"), [], []),
        (JobFilter(kind="image", attention=True), [], [bad]),
        (JobFilter(kind="edit", attention=True), [], []),
        (JobFilter(kind="edit", cause=Job.objects.get(pk=bad).error_code), [], []),
    ):
        assert ids(queued(chosen)) == waiting, chosen
        assert ids(history(chosen)) == ended, chosen
    assert JobFilter.from_query({"kind": "film"}) == JobFilter()
    assert JobFilter(kind="i2v", pack="films").words() == "that make films, of pack films"


def test_kinds_are_a_choice_where_there_are_several() -> None:
    assert kind_choices() == ()
    make_job()
    assert kind_choices() == ()
    assert kind_choices("edit") == (("image", "Pictures"), ("edit", "Edits"))
    cancel(submit(make_film_pack("films")).job_ids[0], by="ann")
    with CaptureQueriesContext(connection) as captured:
        assert kind_choices() == (("image", "Pictures"), ("i2v", "Films"))
    assert len(captured) == 1
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {captured[0]['sql']}")
            plan = "\n".join(row[3] for row in cursor.fetchall())
        assert plan.count("job_claim_order (status=? AND kind=?)") == 3, plan


@pytest.mark.parametrize("after", ["x~y", "1~2", "~~", "9" * 40, "99999999999999999999~1~1", "1~1~1~1"])
def test_a_key_that_nobody_made_gives_the_first_page(after: str) -> None:
    job_id = make_job().pk
    assert ids(queued(after=after)) == [job_id]
    assert ids(everything(after)) == [job_id]
    assert ids(history(after=after)) == []


def test_query_counts_are_constant_for_every_filter() -> None:
    runner = make_runner()
    full = JobFilter(pack="mine", checkpoint="x", text="lighthouse", user="ann")

    def queries(call: Callable[[], object]) -> int:
        with CaptureQueriesContext(connection) as captured:
            call()
        return len(captured)

    for total in (3, 9):
        submit(make_pack("mine"), repeat=total)
        for _ in range(total // 3):
            fail(runner)
        Job.objects.update(checkpoint="X", queued_by="ann")
        assert queries(queued) == 2
        assert queries(lambda: queued(full)) == 3
        assert queries(lambda: queued(after=queued(size=1).after, size=1)) == 5
        assert queries(history) == 2
        assert queries(lambda: history(full)) == 3
        assert queries(lambda: history(JobFilter(attention=True))) == 2


def test_choices_are_the_packs_and_those_who_queue() -> None:
    make_pack("b")
    make_pack("a")
    make_user("ann")
    job_id = make_job(revision=make_pack("c")).pk
    Job.objects.filter(pk=job_id).update(queued_by="root (command line)")
    make_job(revision=make_pack("c"))
    assert pack_choices() == ("a", "b", "c")
    assert user_choices() == ("ann", "root (command line)")


# --- plans --------------------------------------------------------------------------------------------------


@pytest.fixture
def like_a_million(request: pytest.FixtureRequest) -> Iterator[None]:
    """SQLite plans as if ANALYZE had seen a large database, or as it does without (`request.param` False)."""
    if connection.vendor != "sqlite":
        pytest.skip("the plans of SQLite")
    with connection.cursor() as cursor:
        # Between equal indexes SQLite takes the one that was made last; here that is never the right one.
        cursor.execute("SELECT sql FROM sqlite_master WHERE name = 'job_history_order'")
        (made,) = cursor.fetchone()
        cursor.execute("DROP INDEX job_history_order")
        cursor.execute(made)
        cursor.execute("ANALYZE")
        cursor.execute("DELETE FROM sqlite_stat1")
        for index, numbers in STATISTICS.items() if request.param else ():
            cursor.execute("INSERT INTO sqlite_stat1 VALUES ('jobs_job', %s, %s)", [index, numbers])
        cursor.execute("ANALYZE sqlite_schema")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM sqlite_stat1")
        cursor.execute("ANALYZE sqlite_schema")


analyzed = pytest.mark.parametrize("like_a_million", [True, False], indirect=True, ids=["analyzed", "fresh"])


@analyzed
@pytest.mark.usefixtures("like_a_million")
def test_the_claim_walks_its_index_beside_those_of_the_lists() -> None:
    plan = head_of_queue(WorkKind.IMAGE).explain()
    assert "INDEX job_claim_order (status=? AND kind=?)" in plan.splitlines()[0]
    assert "TEMP B-TREE" not in plan


QUEUE_PLANS = [
    (JobFilter(), "job_queue_order"),
    (JobFilter(pack="p"), "job_queue_by_pack"),
    (JobFilter(checkpoint="c"), "job_queue_order"),
    (JobFilter(user="u", text="t"), "job_queue_order"),
    (JobFilter(kind="i2v"), "job_claim_order"),
    (JobFilter(kind="i2v", user="u", text="t"), "job_claim_order"),
    (JobFilter(kind="i2v", pack="p"), "job_queue_by_pack"),
    (JobFilter(pack="p", user="u", checkpoint="c", text="t"), "job_queue_by_pack"),
]
HISTORY_PLANS = [
    (JobFilter(), "job_history_order"),
    (JobFilter(status="FAILED"), "job_history_by_status"),
    (JobFilter(pack="p"), "job_history_by_pack"),
    (JobFilter(pack="p", status="COMPLETED"), "job_history_by_pack"),
    (JobFilter(cause="C"), "job_history_by_status"),
    (JobFilter(cause="C", attention=True), "job_attention"),
    (JobFilter(attention=True), "job_attention_order"),
    (JobFilter(attention=True, pack="p", user="u"), "job_attention_order"),
    (JobFilter(cause="C", pack="p"), "job_history_by_status"),
    (JobFilter(checkpoint="c", user="u"), "job_history_order"),
    (JobFilter(status="CANCELLED", text="t"), "job_history_by_status"),
    (JobFilter(kind="i2v"), "job_history_by_kind"),
    (JobFilter(kind="i2v", status="FAILED", text="t"), "job_history_by_kind"),
    (JobFilter(kind="i2v", pack="p", status="FAILED"), "job_history_by_pack"),
    (JobFilter(kind="i2v", cause="C"), "job_history_by_status"),
    (JobFilter(kind="i2v", attention=True), "job_attention_order"),
]


@analyzed
@pytest.mark.usefixtures("like_a_million")
def test_every_list_walks_an_index_in_its_order() -> None:
    now = timezone.now()
    waiting = [IN_QUEUE.write((20, 5, 5)), IN_QUEUE.write((20, 9, 9))]
    ended = [LATEST_END.write((now, 9)), LATEST_END.write((now - timedelta(days=1), 9))]
    for plans, find, order, (after, end) in (
        (QUEUE_PLANS, search_queue, IN_QUEUE, waiting),
        (HISTORY_PLANS, search_finished, LATEST_END, ended),
    ):
        for chosen, index in plans:
            looked: Search = find(chosen)
            rows = order.sort(looked.matching(looked.base))
            for part in (
                rows,
                rows.filter(order.after(after)),
                rows.filter(order.after(after), order.up_to(end)),
            ):
                plan = part.select_related("record")[:51].explain()
                assert index in plan.splitlines()[0].split(), (chosen, plan)
                assert "TEMP B-TREE" not in plan, (chosen, plan)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="the plan of PostgreSQL")
def test_the_claim_and_the_queue_walk_their_indexes_on_postgresql() -> None:
    job = make_job()
    now = timezone.now()
    for status, finished_at in (
        (JobStatus.QUEUED, None),
        (JobStatus.COMPLETED, now),
        (JobStatus.FAILED, now),
    ):
        Job.objects.bulk_create(
            Job(record_id=job.record_id, status=status, finished_at=finished_at, position=n, pack_name="p")
            for n in range(2000)
        )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE jobs_job")
    with transaction.atomic():
        plan = head_of_queue(WorkKind.IMAGE).select_for_update(skip_locked=True, of=("self",)).explain()
    assert "job_claim_order" in plan
    assert "Sort" not in plan
    assert "job_queue_by_pack" in queued_plan(JobFilter(pack="p"))
    assert "job_queue_order" in queued_plan(JobFilter())
    assert "Sort" not in queued_plan(JobFilter())


def queued_plan(chosen: JobFilter) -> str:
    return IN_QUEUE.sort(search_queue(chosen).base)[:51].explain()

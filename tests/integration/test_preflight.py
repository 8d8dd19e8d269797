"""Before anything is queued: what records need is held against what nodes have, and a person chooses."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import DatabaseError
from django.utils import timezone

from jobs.building.builder import BuildOptions, PackSource, build
from jobs.errors import RefusedError
from jobs.lifecycle import EventType, JobStatus
from jobs.management import preflight_answer
from jobs.models import Job, JobRecord, NodeLack, PackRevision, PromptPack, Submission
from jobs.queue.claims import claim_next
from jobs.queue.fitness import recompute_lacks
from jobs.queue.held_jobs import held_sets
from jobs.queue.identity import ProcessIdentity
from jobs.queue.moves import move_job
from jobs.queue.servers import KnownServer
from jobs.records.reading import AnyRecord
from jobs.submitting import preflight as preflight_module
from jobs.submitting.preflight import OnMissing, Preflight, check, preflight, rendered_before
from jobs.submitting.preflight_words import (
    ages,
    rendered_words,
    sentences,
    summary,
)
from jobs.submitting.submission import submit_jobs
from tests.factories import make_node, make_pack, make_runner, store_catalog, submit
from tests.integration.console import Console
from webui.models import Node, NodeCatalog, NodeState
from webui.work.catalog import Catalog, Entry, Found, Has, Need, Thing

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = "<lora:foo:1>\na keep\nneg: low\n\na moat\nneg: low\n\n<lora:foo:1>\na tower\nneg: low\n"
NOW = timezone.now()


class ByName:
    """A driver that knows things by their name alone, and what is most alike."""

    def find(self, catalog: Catalog, need: Need) -> Found:
        listed = catalog.lists.get(need.thing)
        if listed is None:
            return Found(Has.UNKNOWN)
        entry = next((entry for entry in listed if entry.name == need.name), None)
        nearest = next((one.name for one in listed if one.name.startswith(need.name)), "")
        return Found(Has.YES, entry, why=entry.note) if entry else Found(Has.NO, nearest=nearest)


def server(name: str, *loras: str | Entry, read: bool = True, **fields: object) -> KnownServer:
    entries = tuple(one if isinstance(one, Entry) else Entry(one) for one in loras)
    catalog = Catalog(lists={Thing.LORA: entries}) if read else None
    read_at = NOW - timedelta(hours=3) if read else None
    return KnownServer(Node(name=name, pk=hash(name)), ByName(), catalog, read_at, **fields)  # type: ignore[arg-type]


def records(text: str = ROWS, name: str = "harbour") -> tuple[AnyRecord, ...]:
    return build(PackSource(name, text, ""), BuildOptions(build_seed=1)).records


def told(found: Preflight) -> list[str]:
    return sentences(found, NOW)


# --- the check ----------------------------------------------------------------------------------------------


def test_what_is_on_no_node_is_told_once_with_its_records_and_rows_and_the_nearest() -> None:
    found = check(records(), [server("a", "foo_v2"), server("b")])
    assert told(found) == ["LoRA foo is on no node: 2 records, rows 1, 3 of harbour; nearest: foo_v2."]
    assert summary(found) == "No node can run 2 of 3 records."
    assert found.held == {0, 2}


def test_what_some_nodes_lack_is_told_and_stops_nothing() -> None:
    found = check(records(), [server("a", "foo"), server("b")])
    assert told(found) == [
        "LoRA foo is on a and not on b: 2 records, rows 1, 3 of harbour. They run on a alone."
    ]
    assert not found.held
    assert summary(found) == ""


def test_what_is_listed_and_cannot_be_used_says_why() -> None:
    broken = Entry("foo", usable=False, note="its weights are not there")
    nowhere = check(records(), [server("a", broken)])
    assert told(nowhere) == [
        "LoRA foo is of no use on any node: 2 records, rows 1, 3 of harbour. On a: its weights are not there."
    ]
    somewhere = check(records(), [server("a", broken), server("b", "foo")])
    assert told(somewhere) == [
        "LoRA foo is on b and of no use on a: 2 records, rows 1, 3 of harbour. On a: its weights are not there. "
        "They run on b alone."
    ]


def test_a_doubt_is_told_and_stops_nothing() -> None:
    doubted = Entry("foo", note="whether it works is not told")
    found = check(records(), [server("a", doubted), server("b", "foo")])
    assert told(found) == ["LoRA foo may not work on a (2 records): whether it works is not told."]
    assert not found.held


def test_a_node_of_which_nothing_is_known_is_told_once_and_may_have_everything() -> None:
    found = check(records(), [server("a"), server("b", read=False)])
    assert told(found) == [
        "LoRA foo is not on a and not known of b: 2 records, rows 1, 3 of harbour. They run on b alone.",
        "What b has is not known: its lists have not been read yet.",
    ]
    assert not found.held


def test_old_lists_say_how_old_they_are() -> None:
    old = server("a", "bar", is_old=True)
    old.catalog = None
    failed = server("b", "bar", is_old=True, problem="It does not answer.")
    failed.catalog = None
    assert told(check(records(), [old, failed])) == [
        "What a has is not known: its lists are 3 h old and are being read again.",
        "What b has is not known: its lists are 3 h old and could not be read again: It does not answer.",
    ]
    assert ages(check(records(), [server("c", "foo")]), NOW) == "Lists read: c 3 h ago."


def test_what_is_on_nodes_apart_is_on_no_node_together() -> None:
    text = "<lora:foo:1> <lora:bar:1>\na keep\nneg: low\n"
    found = check(records(text), [server("a", "foo"), server("b", "bar")])
    assert (
        "1 record (row 1 of harbour) needs what no single node has: a lacks LoRA bar; b lacks LoRA foo."
        in told(found)
    )
    assert found.held == {0}


def test_what_the_same_records_need_is_one_sentence() -> None:
    text = "<lora:foo:1> <lora:bar:1>\na keep\nneg: low\n\n<lora:baz:1>\na moat\nneg: low\n"
    assert told(check(records(text), [server("a", "foo_v2")])) == [
        "LoRAs bar and foo (nearest: foo_v2) are on no node: 1 record, row 1 of harbour.",
        "LoRA baz is on no node: 1 record, row 2 of harbour.",
    ]


def test_records_that_run_nowhere_are_not_said_to_run_where_one_of_their_loras_is() -> None:
    text = "<lora:foo:1> <lora:bar:1>\na keep\nneg: low\n\n<lora:foo:1>\na moat\nneg: low\n"
    found = check(records(text), [server("a", "foo"), server("b")])
    assert told(found)[-1] == (
        "LoRA foo is on a and not on b: 2 records, rows 1–2 of harbour. 1 of them runs on a alone."
    )


def test_a_check_of_one_node_speaks_of_that_node() -> None:
    found = replace(check(records(), [server("a")]), only="a")
    assert summary(found) == "a cannot run 2 of 3 records."
    assert told(found) == ["LoRA foo is not on a: 2 records, rows 1, 3 of harbour."]


def test_without_any_node_nothing_is_known_and_nothing_stops() -> None:
    found = check(records(), [])
    assert not found.held
    assert told(found) == [
        "There is no node for these records yet, so it is not known whether one has what they need."
    ]


def test_rows_of_many_packs_are_named_for_a_few() -> None:
    many = [record for number in range(5) for record in records(name=f"p{number}")]
    [words] = told(check(many, [server("a")]))
    assert words.endswith("rows 1, 3 of p0, rows 1, 3 of p1, rows 1, 3 of p2 and 2 other packs.")


def test_each_need_is_looked_up_once_for_each_node() -> None:
    asked: list[Need] = []

    class Counting(ByName):
        def find(self, catalog: Catalog, need: Need) -> Found:
            asked.append(need)
            return super().find(catalog, need)

    one = server("a", "foo")
    one.driver = Counting()  # type: ignore[assignment]
    check(records() * 100, [one])
    assert len(asked) == len(set(asked))


# --- the choice ---------------------------------------------------------------------------------------------


def poor_node() -> Node:
    node = make_node("poor")
    store_catalog(node, {Thing.LORA: ["bar"]})
    return node


def test_records_that_no_node_can_run_stop_the_submission() -> None:
    poor_node()
    with pytest.raises(RefusedError) as caught:
        submit(make_pack("harbour", ROWS))
    [problem] = caught.value.problems
    assert (problem.code, problem.pack, problem.rows) == ("missing_on_nodes", "harbour", (1, 3))
    assert not Submission.objects.exists()
    assert not NodeLack.objects.exists()


def test_the_embedded_simulator_that_takes_any_name_lacks_nothing() -> None:
    node = make_node("simulator", simulated=True, start_command="python -m webui.simulator --any-name")
    store_catalog(node, {Thing.LORA: ["bar"]})
    assert submit(make_pack("harbour", ROWS)).created
    found = preflight(records())
    assert told(found) == [
        "What simulator has is not known: it is the embedded simulator, which takes any name."
    ]
    Node.objects.update(start_command="python -m webui.simulator")
    assert preflight(records()).held == {0, 2}


def test_records_of_another_hand_are_stopped_as_well() -> None:
    poor_node()
    make_pack("harbour", ROWS)
    options = BuildOptions(build_seed=1)
    with pytest.raises(RefusedError, match="LoRA foo is on no node"):
        submit_jobs(records(), options=options)


def test_they_can_be_left_out() -> None:
    poor_node()
    made = submit(make_pack("harbour", ROWS), on_missing=OnMissing.LEAVE_OUT)
    assert made.submission.job_count == 1
    assert JobRecord.objects.get().row_index == 1
    assert not made.submission.runs_anyway


def test_leaving_all_out_is_refused() -> None:
    poor_node()
    with pytest.raises(RefusedError, match="LoRA foo is on no node"):
        submit(make_pack(text="<lora:foo:1>\na keep\nneg: low\n"), on_missing=OnMissing.LEAVE_OUT)


def test_what_is_submitted_anyway_is_held_by_nothing_later() -> None:
    node = poor_node()
    made = submit(make_pack("harbour", ROWS), on_missing=OnMissing.ANYWAY)
    assert made.submission.runs_anyway
    assert set(Job.objects.values_list("needs_id", flat=True)) == {None}
    recompute_lacks(node.pk)
    assert not NodeLack.objects.exists()


def test_the_same_key_again_is_not_checked_again() -> None:
    revision = make_pack("harbour", ROWS)
    first = submit(revision, key="k")
    poor_node()
    again = submit(revision, key="k")
    assert (again.submission.pk, again.created) == (first.submission.pk, False)


def test_lists_that_were_stored_during_the_submission_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check reads the lists before the transaction; what was stored in between is looked at after it."""
    from jobs.submitting import submission

    node = make_node()
    store_catalog(node, {Thing.LORA: ["foo"]})
    insert = submission._insert

    def later(*args: object, **options: object) -> Submission:
        made = insert(*args, **options)  # type: ignore[arg-type]
        store_catalog(node, {Thing.LORA: ["bar"]})
        return made

    monkeypatch.setattr(submission, "_insert", later)
    submit(make_pack("harbour", ROWS))
    assert NodeLack.objects.count() == 1


def test_records_with_equal_needs_share_one_set() -> None:
    submit(make_pack("harbour", ROWS), repeat=5)
    submit(make_pack("shore", ROWS), repeat=5)
    assert Job.objects.order_by().values("needs_id").distinct().count() == 2


# --- what was rendered already ------------------------------------------------------------------------------


def test_records_of_completed_jobs_are_counted() -> None:
    runner, revision = make_runner(), make_pack("harbour", ROWS)
    made = submit(revision)
    for _ in range(2):
        claim = claim_next(runner.pk, ProcessIdentity.of_self())
        assert claim is not None
        move_job(claim.job_id, JobStatus.COMPLETED, event=EventType.COMPLETED, run_token=claim.run_token)
    assert rendered_before(made.record_hashes) == 2
    found = preflight(records(), made.record_hashes)
    assert rendered_words(found) == "2 of 3 records were rendered already."
    assert found.as_json()["rendered_before"] == 2


# --- the command --------------------------------------------------------------------------------------------


def test_dry_run_tells_what_is_missing_and_that_it_would_be_refused(console: Console) -> None:
    poor_node()
    make_pack("harbour", ROWS)
    assert console.run("submit_pack", "harbour", "--dry-run") == 1
    assert "No node can run 2 of 3 records." in console.out
    assert "LoRA foo is on no node: 2 records, rows 1, 3 of harbour." in console.out
    assert "--leave-out-missing" in console.out
    document = console.json("submit_pack", "harbour", "--dry-run", expect=1)
    assert document["preflight"]["cannot_run"] == 2
    assert document["preflight"]["missing"][0] | {"where": 0} == {
        "thing": "LoRA",
        "name": "foo",
        "records": 2,
        "where": 0,
        "nodes": {"poor": "no"},
        "nearest": "",
        "why": {},
    }


def test_dry_run_against_one_node(console: Console) -> None:
    poor_node()
    store_catalog(make_node("rich"), {Thing.LORA: ["foo"]})
    make_pack("harbour", ROWS)
    assert console.run("submit_pack", "harbour", "--dry-run", "--node", "rich") == 0
    assert console.run("submit_pack", "harbour", "--dry-run", "--node", "poor") == 1
    assert console.run("submit_pack", "harbour", "--dry-run", "--node", "nobody") == 1
    assert "There is no node 'nobody'" in console.err
    assert console.run("submit_pack", "harbour", "--node", "rich") == 2


def test_dry_run_of_a_file_needs_no_database(
    console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(nodes: object = None) -> list[KnownServer]:
        raise DatabaseError("no such table: webui_node")

    monkeypatch.setattr(preflight_module, "known_servers", away)
    path = tmp_path / "harbour.txt"
    path.write_text(ROWS)
    assert console.run("submit_pack", path, "--dry-run") == 0
    assert "There is no node for these records yet" in console.out
    assert console.run("submit_pack", path) == 1


def test_command_refuses_without_a_trace_or_does_as_chosen(console: Console, tmp_path: Path) -> None:
    poor_node()
    path = tmp_path / "harbour.txt"
    path.write_text(ROWS)
    assert console.run("submit_pack", path) == 1
    assert "Nothing was queued. No node can run 2 of 3 records." in console.err
    assert not PromptPack.objects.exists()
    document = console.json("submit_pack", path, expect=1)
    assert (document["jobs"], document["preflight"]["cannot_run"]) == (0, 2)
    assert document["errors"][1]["code"] == "missing_on_nodes"
    assert console.run("submit_pack", path, "--leave-out-missing") == 0
    assert "2 records that no node can run were left out." in console.out
    assert console.run("submit_pack", path, "--submit-anyway") == 0
    assert "2 records that no node can run were queued all the same." in console.out
    assert Job.objects.count() == 4
    assert PackRevision.objects.count() == 1
    assert console.run("submit_pack", path, "--submit-anyway", "--leave-out-missing") == 2


def test_waiting_ends_with_3_when_nothing_else_can_run(console: Console) -> None:
    node = make_node("poor")
    runner = make_runner(node)
    make_pack("harbour", ROWS)
    done = threading.Event()

    def work() -> None:
        """Run what can run; the LoRA goes away meanwhile."""
        from django.db import connections

        try:
            while not Submission.objects.exists():
                done.wait(0.02)
            store_catalog(node, {Thing.LORA: ["bar"]})
            recompute_lacks(node.pk)
            claim = claim_next(runner.pk, ProcessIdentity.of_self())
            assert claim is not None
            move_job(claim.job_id, JobStatus.COMPLETED, event=EventType.COMPLETED, run_token=claim.run_token)
        finally:
            connections.close_all()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        document = console.json("submit_pack", "harbour", "--wait", expect=3)
    finally:
        done.set()
        worker.join()
    assert document["holds"] == [{"jobs": 2, "reason": "poor does not have LoRA foo."}]
    assert document["statuses"] == {"COMPLETED": 1, "QUEUED": 2}
    assert json.dumps(document["preflight"])


def test_a_job_that_runs_while_the_wait_looks_does_not_count_as_held(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the jobs and the look at what is held, what can run ran."""
    node = make_node("poor")
    runner = make_runner(node)
    make_pack("harbour", ROWS)
    real = held_sets

    def sets_after_a_run() -> dict[str, list[int]]:
        if not NodeCatalog.objects.exists():
            store_catalog(node, {Thing.LORA: ["bar"]})
            recompute_lacks(node.pk)
        found = real()
        if claim := claim_next(runner.pk, ProcessIdentity.of_self()):
            move_job(claim.job_id, JobStatus.COMPLETED, event=EventType.COMPLETED, run_token=claim.run_token)
        return found

    monkeypatch.setattr(preflight_answer, "held_sets", sets_after_a_run)
    document = console.json("submit_pack", "harbour", "--wait", expect=3)
    assert document["holds"] == [{"jobs": 2, "reason": "poor does not have LoRA foo."}]
    assert document["statuses"] == {"COMPLETED": 1, "QUEUED": 2}


# --- what people are told while jobs are held ---------------------------------------------------------------


def held_jobs() -> list[int]:
    node = make_node("poor")
    make_runner(node)
    ids = list(submit(make_pack("harbour", ROWS)).job_ids)
    store_catalog(node, {Thing.LORA: ["bar"]})
    recompute_lacks(node.pk)
    return ids


def test_an_account_tells_which_nodes_a_job_does_not_wait_for(console: Console) -> None:
    ids = held_jobs()
    rich = make_node("rich", state=NodeState.STARTING)
    make_runner(rich)
    store_catalog(rich, {Thing.LORA: ["foo"]})
    assert console.run("jobs", "explain", ids[0]) == 0
    assert "It is next in the queue, but rich is starting." in console.out
    assert "poor does not have LoRA foo." in console.out
    assert "held" not in console.out


def test_commands_tell_the_hold_and_let_the_jobs_run(console: Console) -> None:
    first, free, _ = held_jobs()
    assert console.run("queue", "status") == 0
    assert "2 jobs are held: no node has LoRA foo." in console.out
    assert console.json("queue", "status")["ledger"]["queued"] == 3
    assert console.run("jobs", "explain", first) == 0
    assert "It is held: poor does not have LoRA foo." in console.out
    assert "queue anyway" in console.out
    assert console.run("jobs", "explain", free) == 0
    assert "held" not in console.out
    assert console.run("queue", "anyway", first) == 0
    assert console.json("queue", "anyway")["released"] == 1
    assert console.run("queue", "status") == 0
    assert "held" not in console.out

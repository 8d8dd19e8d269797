"""What holds a job up is told in the same words by every page, command and check."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from diagnostics import health
from diagnostics.explaining.explain import account_of
from jobs.cli import EXIT_NOT_ALL_COMPLETED
from jobs.lifecycle import JobStatus
from jobs.models import Job, QueueControl, Runner
from jobs.queue.claims import claim_next
from jobs.queue.hold_words import ABOUT_STATE, PASSING, Hold, holds_of, holds_of_queue
from jobs.queue.holds import HoldCode, all_facts, is_busy, pause_of, takes_jobs
from jobs.queue.identity import ProcessIdentity
from tests.factories import make_job, make_node, make_pack, make_runner, make_user
from tests.integration.console import Console
from tests.integration.job_situations import (
    breaker_due,
    breaker_open,
    breaker_trying,
    card_busy,
    card_not_let_go,
    disk_is_full,
    draining,
    failed_node,
    lacking,
    must_quiet,
    next_one,
    no_node,
    no_node_of_its_kind,
    no_worker,
    paused,
    restart_wished,
    restart_wished_by_a_run,
    restarting_for_a_run,
    silent_worker,
    started_again,
    starting,
    stood_back,
    stop_wished,
    stopped,
    two_nodes_down,
    two_nodes_held,
    unreachable,
)
from webui.kinds import WorkKind
from webui.models import Node, NodeState
from webui.typed_command import typed

pytestmark = pytest.mark.django_db(transaction=True)

HTMX = {"HX-Request": "true"}
SITUATIONS: list[tuple[Callable[[], Job], set[HoldCode]]] = [
    (next_one, set()),
    (no_node, {HoldCode.NO_WORKERS}),
    (no_node_of_its_kind, {HoldCode.NO_WORKERS}),
    (lacking, {HoldCode.LACKING}),
    (no_worker, {HoldCode.NO_WORKERS, HoldCode.NO_WORKER}),
    (silent_worker, {HoldCode.NO_WORKERS, HoldCode.NO_WORKER}),
    (draining, {HoldCode.DRAINING}),
    (paused, {HoldCode.PAUSED}),
    (starting, {HoldCode.NOT_READY}),
    (stopped, {HoldCode.NO_WORKERS, HoldCode.NOT_READY}),
    (failed_node, {HoldCode.NO_WORKERS, HoldCode.NOT_READY}),
    (unreachable, {HoldCode.NO_WORKERS, HoldCode.NOT_READY}),
    (started_again, {HoldCode.NOT_READY}),
    (two_nodes_down, {HoldCode.NO_WORKERS, HoldCode.NOT_READY, HoldCode.NO_WORKER}),
    (restart_wished, {HoldCode.WISH}),
    (restart_wished_by_a_run, {HoldCode.WISH}),
    (restarting_for_a_run, {HoldCode.NOT_READY}),
    (stood_back, {HoldCode.NO_WORKERS, HoldCode.NOT_READY}),
    (stop_wished, {HoldCode.WISH}),
    (must_quiet, {HoldCode.MUST_QUIET}),
    (disk_is_full, {HoldCode.STORAGE}),
    (breaker_open, {HoldCode.BREAKER_OPEN}),
    (breaker_trying, {HoldCode.BREAKER_TRIES}),
    (breaker_due, {HoldCode.BREAKER_DUE}),
    (card_busy, {HoldCode.CARD_BUSY, HoldCode.BUSY}),
    (card_not_let_go, {HoldCode.CARD_BUSY, HoldCode.MUST_QUIET}),
    (two_nodes_held, {HoldCode.MUST_QUIET, HoldCode.NOT_READY}),
]
every_situation = pytest.mark.parametrize(
    ("situation", "codes"), SITUATIONS, ids=lambda value: getattr(value, "__name__", "")
)


@pytest.fixture(autouse=True)
def own_folder(settings: Settings, tmp_path: object) -> None:
    settings.STABLENEW_OUTPUT_DIR = f"{tmp_path}/outputs"


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(make_user("vera"))
    return client


def words(client: Client, name: str, *args: object) -> str:
    text = client.get(reverse(name, args=args), headers=HTMX).content.decode()
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def queue_holds() -> tuple[Hold, ...]:
    control, now = QueueControl.objects.get(), timezone.now()
    return holds_of_queue(pause_of(control), all_facts(now), now, queued=control.queued)


def node_holds() -> list[Hold]:
    now = timezone.now()
    return [hold for node in all_facts(now) for hold in holds_of(node, now)]


@every_situation
def test_every_place_tells_a_hold_in_the_same_words(
    situation: Callable[[], Job], codes: set[HoldCode], viewer: Client, console: Console
) -> None:
    situation()
    assert {hold.code for hold in (*queue_holds(), *node_holds())} == codes
    queue = words(viewer, "queue-live") + words(viewer, "node-strip")
    status = console.json("queue", "status")
    console.run("queue", "status")
    for hold in queue_holds():
        assert hold.text in queue
        assert hold.remedy in queue
        assert hold.text in [told["text"] for told in status["holds"]]
        assert hold.text in console.out
    listed = {node["name"]: node for node in console.json("node", "list")["nodes"]}
    shown = {node["name"]: node for node in status["nodes"]}
    nodes = words(viewer, "nodes")
    failing = {check.message: check for check in health.checks() if not check.ok}
    for hold in node_holds():
        for document in (listed, shown):
            assert {"code": hold.code, "text": hold.text, "remedy": hold.remedy}.items() <= next(
                told.items() for told in document[hold.node]["holds"] if told["code"] == hold.code
            )
        if hold.code in PASSING:
            continue
        assert failing[hold.text].remedy == hold.remedy
        for text in (nodes, words(viewer, "runner-state", hold.node_id)):
            assert f"{hold.text} {hold.remedy}" in text
    for hold in queue_holds():
        assert hold.code == HoldCode.PAUSED or hold.text in failing


@every_situation
def test_the_account_of_a_job_tells_what_holds_it_in_the_same_words(
    situation: Callable[[], Job], codes: set[HoldCode]
) -> None:
    job = situation()
    told = account_of(job.pk)
    here = Node.objects.filter(kind=job.kind).values_list("name", flat=True)
    first = {hold.node: hold for hold in reversed(node_holds()) if hold.node in here}
    of_queue = [hold for hold in queue_holds() if not hold.node and hold.code != HoldCode.LACKING]
    # What nodes lack is told of all jobs together by the queue, and of one by its account.
    assert (HoldCode.LACKING in codes) == (HoldCode.LACKING in {reason.code for reason in told.reasons})
    for hold in (*first.values(), *of_queue):
        reasons = {reason.text: reason.remedy for reason in told.reasons}
        if hold.code in PASSING:
            assert hold.text.rstrip(".").lower() in told.headline.lower()
        elif hold.code != HoldCode.BREAKER_DUE:
            assert reasons[hold.text] == hold.remedy


@every_situation
def test_a_node_takes_a_job_exactly_if_nothing_holds_it(
    situation: Callable[[], Job], codes: set[HoldCode]
) -> None:
    """But for its worker, who is there while it claims."""
    situation()
    pausing = QueueControl.objects.get().paused
    for runner in Runner.objects.select_related("node"):
        [facts] = [facts for facts in all_facts(timezone.now()) if facts.node_id == runner.node_id]
        held = {hold.code for hold in holds_of(facts, timezone.now())}
        held -= {HoldCode.NO_WORKER, HoldCode.BREAKER_DUE}
        # What runs is asked of last, and by a query of its own.
        running = {HoldCode.BUSY, HoldCode.CARD_BUSY, HoldCode.BREAKER_TRIES}
        assert takes_jobs(runner, paused=pausing) == (not held - running and not pausing)
        assert is_busy(runner.node) == bool(held & running)
        waits = Job.objects.filter(status=JobStatus.QUEUED, kind=runner.node.kind).exists()
        claimed = claim_next(runner.pk, ProcessIdentity.of_self())
        free = waits and HoldCode.LACKING not in codes
        assert (claimed is not None) == (free and not held and not pausing)


def test_the_queue_page_leaves_to_the_strip_of_nodes_what_that_tells(viewer: Client) -> None:
    starting()
    assert {hold.code for hold in queue_holds()} <= ABOUT_STATE
    assert "alpha is starting" not in words(viewer, "queue-live")


def test_only_the_rows_of_a_kind_without_workers_say_so_and_only_while_others_run(viewer: Client) -> None:
    no_node_of_its_kind()
    make_job()
    why = "Held: There are no running workers available for edits: no node takes them."
    assert words(viewer, "queue").count(why) == 1
    Runner.objects.update(heartbeat_at=None)
    assert why not in words(viewer, "queue")


def test_a_node_that_is_told_with_its_kind_is_not_told_twice() -> None:
    stopped()
    [hold] = queue_holds()
    assert hold.text == "There are no running workers available for images, because alpha is stopped."
    assert hold.remedy.endswith(f"Or add another one with {typed('node add NAME URL --kind image')}.")


def test_kinds_that_nobody_takes_for_one_reason_are_told_in_one_sentence(
    viewer: Client, console: Console
) -> None:
    for kind in WorkKind:
        make_runner(make_node(f"node-{kind}", kind=kind))
    Runner.objects.update(heartbeat_at=None)
    make_job()
    one = "There are no running workers available for images, image-to-video jobs and edits."
    remedy = f"Start them with {typed('up')}, or each with {typed('run_node NAME')}."
    console.run("queue", "status")
    for told in (words(viewer, "queue-live"), console.out):
        assert f"{one} {remedy}" in told
        assert told.count("no running workers available") == 1
    holds = console.json("queue", "status")["holds"]
    assert [hold["kind"] for hold in holds if hold["code"] == HoldCode.NO_WORKERS] == sorted(WorkKind)
    assert holds[0]["remedy"].endswith(f"or {typed('run_node node-edit')}.")


def test_kinds_that_lack_nodes_for_their_own_reasons_are_told_apart(viewer: Client) -> None:
    make_node("films", kind=WorkKind.I2V)
    make_runner(make_node("edits", kind=WorkKind.EDIT, state=NodeState.FAILED))
    told = words(viewer, "queue-live")
    assert "available for edits, because edits has failed." in told
    assert "available for image-to-video jobs. Start one with" in told


def test_whoever_waits_for_his_jobs_is_told_once_that_no_worker_takes_them(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed_node()
    looks = iter(range(3))

    def pause(seconds: float) -> None:
        if next(looks, None) is None:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", pause)
    make_pack("castles")
    assert console.run("submit_pack", "castles", "--wait") == EXIT_NOT_ALL_COMPLETED
    [hold] = (hold for hold in queue_holds() if hold.code == HoldCode.NO_WORKERS)
    assert console.err.count(f"{hold.text} {hold.remedy}") == 1
    assert "Stopped waiting; the jobs go on." in console.out

"""A checkpoint that fails on a node again and again is held there by itself, and the breaker stays closed."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import Settings

from jobs.clock import database_now
from jobs.lifecycle import EventType, JobStatus
from jobs.models import CheckpointTrouble, Job, Runner
from jobs.queue.breaker import is_open
from jobs.queue.claims import Claim, claim_next
from jobs.queue.identity import ProcessIdentity
from jobs.queue.trouble import note_failure, release_changed, troubles_of
from tests.factories import make_node, make_pack, make_runner, make_user, submit
from tests.integration.console import Console
from tests.integration.scripted_runs import events, execute
from tests.integration.scripted_webui import Act, ScriptedKeeper, ScriptedWebUI, drawn, says
from tests.markup import markup
from webui.models import Node, Wish
from webui.work.catalog import Catalog, Entry, Thing

pytestmark = pytest.mark.django_db(transaction=True)

NAN = says(500, "NansException", "A tensor with all NaNs was produced in Unet.")
TORN_FILE = says(500, "SafetensorError", "Error while deserializing header: InvalidHeaderLength")
REFINER = says(500, "Exception", "Could not find checkpoint with name sdxl-refiner")
HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def folders(settings: Settings, tmp_path: Path) -> None:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"


@pytest.fixture
def runner() -> Runner:
    return make_runner(make_node("A"))


def queue(checkpoint: str, jobs: int = 6) -> None:
    document = f'{{"preset_data": {{"txt2img": {{"model": "{checkpoint}"}}}}}}'
    submit(make_pack(document=document), repeat=jobs)


def run(runner: Runner, act: Act) -> Job:
    """The head of the queue meets a WebUI that does this."""
    Node.objects.update(wish="", wish_by="", wish_generation=None)
    claim = claim_next(runner.pk, ProcessIdentity.of_self())
    assert claim is not None
    webui = ScriptedWebUI(act)
    return execute(claim, webui, ScriptedKeeper(webui))


def fail_three_times(runner: Runner) -> None:
    for _ in range(3):
        assert run(runner, NAN).status == JobStatus.FAILED


def test_nan_costs_neither_restart_nor_retry(runner: Runner) -> None:
    queue("tinyNaN")
    job = run(runner, NAN)
    assert (job.status, job.error_code, job.retry_count) == (JobStatus.FAILED, "WEBUI_NAN", 0)
    assert events(job) == [EventType.STAGE_STARTED, EventType.FAILED]
    assert job.error is not None
    assert "--no-half-vae" in job.error["remediation"]
    assert Node.objects.get().wish == ""
    assert Runner.objects.get().crash_failures == 0


def test_a_refiner_that_is_not_there_is_no_failure_of_the_checkpoint(runner: Runner) -> None:
    queue("tinyA")
    assert run(runner, REFINER).error_code == "WEBUI_UNKNOWN_CHECKPOINT"
    assert not CheckpointTrouble.objects.exists()
    assert (Node.objects.get().wish, Runner.objects.get().crash_failures) == ("", 0)


def test_a_file_that_cannot_be_loaded_costs_a_restart_and_no_retry(runner: Runner) -> None:
    queue("torn")
    job = run(runner, TORN_FILE)
    assert (job.error_code, job.retry_count) == ("WEBUI_CHECKPOINT_NOT_LOADED", 0)
    node = Node.objects.get()
    assert (node.wish, node.wish_generation) == (Wish.RESTART, 1)
    assert Runner.objects.get().crash_failures == 0
    [trouble] = troubles_of(node.pk)
    assert trouble.words("A") == "torn could not be loaded 1 time on A"


def test_third_failure_in_a_row_holds_the_checkpoint_and_leaves_the_breaker_closed(runner: Runner) -> None:
    queue("tinyNaN")
    fail_three_times(runner)
    [trouble] = troubles_of(runner.node_id)
    assert trouble.held is not None
    assert trouble.words("A") == "tinyNaN gave NaN 3 times on A"
    runner.refresh_from_db()
    assert not is_open(runner)


def test_two_failures_hold_nothing_and_a_success_forgets_them(runner: Runner) -> None:
    queue("tinyNaN")
    run(runner, NAN)
    run(runner, NAN)
    assert [one.held for one in troubles_of(runner.node_id)] == [None]
    assert run(runner, drawn).status == JobStatus.COMPLETED
    assert troubles_of(runner.node_id) == ()


def test_a_success_of_another_checkpoint_forgets_nothing(runner: Runner) -> None:
    queue("tinyNaN", jobs=1)
    queue("tinyA", jobs=1)
    run(runner, NAN)
    assert run(runner, drawn).status == JobStatus.COMPLETED
    assert [one.failures for one in troubles_of(runner.node_id)] == [1]


def test_a_checkpoint_that_nobody_named_counts_for_the_breaker(runner: Runner) -> None:
    submit(repeat=4)
    fail_three_times(runner)
    runner.refresh_from_db()
    assert is_open(runner)
    assert troubles_of(runner.node_id) == ()


def test_a_job_without_trouble_on_its_node_costs_no_statement_more(runner: Runner) -> None:
    queue("tinyA")
    for _ in range(2):
        # The first ones work out what the node lacks, by its lists.
        run(runner, drawn)
    with CaptureQueriesContext(connection) as context:
        run(runner, drawn)
    asked = [query["sql"] for query in context.captured_queries if "checkpointtrouble" in query["sql"]]
    assert len(asked) == 1, "within the claim's read of its runner"
    assert "EXISTS" in asked[0]


def held(node: Node, checkpoint: str = "tinyNaN") -> None:
    for _ in range(3):
        with transaction.atomic():
            note_failure(node, checkpoint, "gave NaN", database_now())


def test_another_node_is_not_held(runner: Runner) -> None:
    other = make_node("B")
    held(runner.node)
    assert troubles_of(other.pk) == ()


def test_a_changed_file_lets_its_checkpoint_go(runner: Runner) -> None:
    def catalog(*hashes: str) -> Catalog:
        return Catalog(lists={Thing.CHECKPOINT: (Entry("tinyNaN.safetensors", ("tinyNaN",), hashes),)})

    held(runner.node)
    with transaction.atomic():
        assert release_changed(runner.node_id, catalog("aaa"), catalog("aaa")) == []
        assert release_changed(runner.node_id, catalog("aaa"), catalog()) == [], "not told is no change"
        assert release_changed(runner.node_id, catalog("aaa"), catalog("bbb")) == ["tinyNaN"]
    assert troubles_of(runner.node_id) == ()


def test_resume_by_name_lets_a_checkpoint_go(runner: Runner, capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(capsys)
    held(runner.node)
    [listed] = console.json("node", "list")["nodes"]
    assert listed["held_checkpoints"] == ["tinyNaN"]
    assert console.run("node", "resume", "A", "--checkpoint", "other") == 0
    assert "holds no checkpoint other. Counted there: tinyNaN." in console.out
    assert console.json("node", "resume", "A", "--checkpoint", "tinyNaN")["changed"]
    assert troubles_of(runner.node_id) == ()
    assert Runner.objects.get().token_pending, "whoever waited for it is claimed now"


def test_the_node_s_page_tells_what_is_held_and_lets_it_go(runner: Runner, client: Client) -> None:
    held(runner.node)
    page, act = (reverse(name, args=[runner.node_id]) for name in ("runner-state", "runner-release"))
    client.force_login(make_user("vera"))
    seen = markup(client.get(page, headers=HTMX))
    assert "tinyNaN gave NaN 3 times on A." in seen
    assert "Try it again" not in seen
    assert client.post(act, {"checkpoint": "tinyNaN"}).status_code == 403
    client.force_login(make_user("otto", operator=True))
    assert "Try it again" in markup(client.get(page, headers=HTMX))
    assert "tinyNaN" not in markup(client.post(act, {"checkpoint": "tinyNaN"}, headers=HTMX))
    assert troubles_of(runner.node_id) == ()


def claimed(runner: Runner) -> Claim:
    claim = claim_next(runner.pk, ProcessIdentity.of_self())
    assert claim is not None
    return claim


def test_the_claim_knows_whether_anything_is_counted_on_its_node(runner: Runner) -> None:
    queue("tinyA", jobs=1)
    held(make_node("B"))
    assert not claimed(runner).troubled


def test_the_claim_knows_what_is_counted_on_its_own_node(runner: Runner) -> None:
    queue("tinyA", jobs=1)
    held(runner.node)
    assert claimed(runner).troubled

"""Before a run's first request its node's lists count, also those that nobody has read yet."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from jobs.lifecycle import EventType
from jobs.models import Job, NodeLack, Runner
from jobs.queue.claims import Claim, claim_next
from jobs.queue.identity import ProcessIdentity
from jobs.running import last_look
from jobs.submitting.preflight import OnMissing
from tests.factories import make_node, make_pack, make_runner, store_catalog, submit
from tests.integration.scripted_runs import execute
from tests.integration.scripted_webui import ScriptedKeeper, ScriptedWebUI
from webui.errors import WebUINotSentError
from webui.http.answer import HttpAnswer
from webui.models import NodeCatalog
from webui.work.catalog import Thing

pytestmark = pytest.mark.django_db(transaction=True)

ME = ProcessIdentity.of_self()
WITH_LORA = "<lora:foo:1>\na quay\nneg: fog\n"


@pytest.fixture(autouse=True)
def own_folder(settings: Settings, tmp_path: Path) -> None:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"
    last_look._worked_out.clear()


def with_loras(*names: str) -> ScriptedWebUI:
    webui = ScriptedWebUI()
    # By these it is known for A1111.
    webui.lists |= {
        "options": {"CLIP_stop_at_last_layers": 1},
        "sd-vae": [],
        "scripts": {"txt2img": [], "img2img": []},
    }
    webui.lists["loras"] = [{"name": name, "alias": name, "path": f"/m/{name}.safetensors"} for name in names]
    return webui


def claimed(runner: Runner) -> Claim:
    claim = claim_next(runner.pk, ME)
    assert claim is not None
    return claim


def run(claim: Claim, webui: ScriptedWebUI) -> Job:
    return execute(claim, webui, ScriptedKeeper(webui))


def lists_come_late(runner: Runner, *loras: str) -> None:
    """They are stored, and nobody has worked out yet what that means for what waits."""
    store_catalog(runner.node, {Thing.LORA: loras}, generation=runner.node.generation)


def test_lists_that_nobody_has_read_are_read_before_the_first_request_and_what_lacks_is_not_drawn() -> None:
    runner = make_runner(make_node())
    submit(make_pack(text=WITH_LORA))
    webui = with_loras("bar")
    job = run(claimed(runner), webui)
    assert (job.status, job.retry_count, webui.posts) == ("QUEUED", 0, [])
    told = job.events.get(event_type=EventType.REQUEUED).data
    assert told["reason"] == f"by its lists node {runner.node.name} lacks what the job needs"
    assert NodeLack.objects.get().needs_id == job.needs_id
    assert claim_next(runner.pk, ME) is None
    # It is held; another node that has the LoRA takes it.
    rich = make_runner(make_node())
    assert run(claimed(rich), with_loras("foo")).status == "COMPLETED"


def test_lists_are_read_once_and_a_job_whose_things_are_there_runs() -> None:
    runner = make_runner(make_node())
    submit(make_pack(text=WITH_LORA), repeat=2)
    webui = with_loras("foo")
    claim = claimed(runner)
    assert run(claim, webui).status == "COMPLETED"
    # Its pictures were judged by these lists, too.
    assert claim.node.catalog.generation == claim.node.generation
    read = webui.lists_read
    assert read > 0
    assert run(claimed(runner), webui).status == "COMPLETED"
    assert (webui.lists_read, len(webui.posts)) == (read, 2)


def test_lists_that_came_a_moment_ago_count_although_nobody_has_worked_them_out() -> None:
    runner = make_runner(make_node())
    submit(make_pack(text=WITH_LORA))
    lists_come_late(runner, "bar")
    webui = with_loras()
    assert (run(claimed(runner), webui).status, webui.posts, webui.lists_read) == ("QUEUED", [], 0)
    lists_come_late(runner, "foo")
    NodeLack.objects.all().delete()
    assert run(claimed(runner), webui).status == "COMPLETED"


def test_the_next_job_by_the_same_lists_asks_nothing_more() -> None:
    runner = make_runner(make_node())
    submit(make_pack(text=WITH_LORA), repeat=2)
    lists_come_late(runner, "foo")
    webui = with_loras()
    run(claimed(runner), webui)
    claim = claimed(runner)
    with CaptureQueriesContext(connection) as queries:
        last_look.look_at_lists(claim, webui.connect)
    assert len(queries) == 0


def test_who_lets_it_run_anyway_is_not_asked_again_and_no_lists_are_read() -> None:
    runner = make_runner(make_node())
    submit(make_pack(text=WITH_LORA), on_missing=OnMissing.ANYWAY)
    webui = with_loras("bar")
    assert (run(claimed(runner), webui).status, webui.lists_read) == ("COMPLETED", 0)


@pytest.mark.parametrize("problem", ["", "It does not answer."])
def test_lists_that_cannot_be_read_hold_nothing(problem: str) -> None:
    runner = make_runner(make_node())
    submit(make_pack(text=WITH_LORA))
    if problem:
        NodeCatalog.objects.create(node=runner.node, problem=problem)

    class Shy(ScriptedWebUI):
        def _list(self, name: str) -> HttpAnswer:
            self.lists_read += 1
            raise WebUINotSentError("Connection refused")

    webui = Shy()
    assert run(claimed(runner), webui).status == "COMPLETED"
    # What the reader could not read it tries again by itself; no job waits for that.
    assert bool(webui.lists_read) == (not problem)

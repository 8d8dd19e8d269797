"""The kind of a node is changed while a job of the old kind runs there: that job ends first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.db import connections
from pytest_django import Settings

from jobs.lifecycle import JobStatus
from jobs.models import Job, Runner
from jobs.queue.holds import is_busy
from jobs.running.run import run_one
from tests.contract.simulated_worker import TOKEN, SimulatedWorkerProcess
from tests.factories import submit
from tests.film_jobs import make_film_pack
from tests.keepers import KeeperStand, journal_lines
from tests.promises import PATIENCE_S
from webui.keeper import ready_watch
from webui.models import Node, NodeState
from webui.nodes.change import change_node

pytestmark = pytest.mark.django_db(transaction=True)

SLOW = ("--seconds-per-step", "0.3")


@pytest.fixture
def stand(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeeperStand]:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"
    settings.STABLENEW_INPUT_DIR = tmp_path / "inputs"
    # Often enough that it is asked while the film is drawn.
    monkeypatch.setattr(ready_watch, "ASK_EVERY_S", 0.1)
    with KeeperStand(tmp_path, settings) as stand:
        yield stand


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def run_next(runner_id: int) -> bool:
    try:
        return run_one(runner_id)
    finally:
        connections.close_all()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("ours", [True, False], ids=["started by us", "attached"])
def test_a_film_ends_before_its_node_takes_edits(
    stand: KeeperStand, pool: ThreadPoolExecutor, *, ours: bool
) -> None:
    journal = stand.folder / "journal"
    with ExitStack() as opened:
        if ours:
            words = ("--kind", "i2v", "--load-seconds", "0", "--journal", str(journal), *SLOW)
            node = stand.simulator(*words, driver="diffsynth", kind="i2v")
        else:
            process = opened.enter_context(SimulatedWorkerProcess(stand.folder, "i2v", *SLOW))
            port = int(process.worker.base_url.rpartition(":")[2])
            node = stand.node(port=port, kind="i2v", api_auth=TOKEN)
        stand.is_busy = lambda: is_busy(Node.objects.get(pk=node.pk))
        stand.start_until_ready(node)
        submit(make_film_pack("films", "i2v"))
        submit(make_film_pack("edits", "edit"))
        runner = Runner.objects.create(node=node)
        run = pool.submit(run_next, runner.pk)
        until(lambda: any(line["event"] == "begin" for line in journal_lines(journal)))

        change_node(node, kind="edit")
        assert run.result(PATIENCE_S)
        assert not run_one(runner.pk)
        told = dict(Job.objects.values_list("kind", "status"))
        assert told == {"i2v": JobStatus.COMPLETED, "edit": JobStatus.QUEUED}
        assert Job.objects.get(kind="i2v").retry_count == 0
        # Nobody has given it another server: its own says what it takes.
        stand.wait(node, NodeState.FAILED)
        assert "takes image to video, and node node1 is for edits" in node.state_reason

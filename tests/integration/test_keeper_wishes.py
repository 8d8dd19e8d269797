"""Wishes that meet: a restart after the job, one at once, two for the same boot, one during another's restart."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from django.db import connections
from pytest_django import Settings

from tests.keepers import KeeperStand, journal_lines
from tests.promises import PATIENCE_S
from webui.models import Node, NodeState, Wish
from webui.nodes import wishes

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stand(tmp_path: Path, settings: Settings) -> Iterator[KeeperStand]:
    with KeeperStand(tmp_path, settings) as stand:
        yield stand


@pytest.fixture
def busy(stand: KeeperStand) -> threading.Event:
    """A running job, as long as it is set."""
    return stand.busy


def starts(journal: Path) -> int:
    return [line["event"] for line in journal_lines(journal)].count("start")


# --- after the job --------------------------------------------------------------------------------------


def test_restart_after_the_job_waits_for_its_end(stand: KeeperStand, busy: threading.Event) -> None:
    node = stand.simulator()
    stand.start_until_ready(node)
    busy.set()
    assert wishes.wish(node.pk, Wish.RESTART, by="anna", reason="new model", after_job=True)
    stand.stays(node, NodeState.READY)
    assert (node.generation, node.wish) == (1, Wish.RESTART), "no claim meanwhile: the wish stands"
    busy.clear()
    stand.wait(node, NodeState.READY, where=lambda node: node.generation == 2)
    assert (node.wish, node.wish_after_job) == ("", False)
    stand.stays(node, NodeState.READY)
    assert node.generation == 2


def test_restart_after_the_job_comes_at_once_where_nothing_runs(stand: KeeperStand) -> None:
    node = stand.simulator()
    stand.start_until_ready(node)
    wishes.wish(node.pk, Wish.RESTART, by="anna", reason="", after_job=True)
    stand.wait(node, NodeState.READY, where=lambda node: node.generation == 2)


def test_job_whose_claim_was_under_way_is_not_overrun(stand: KeeperStand, busy: threading.Event) -> None:
    node = stand.simulator()
    keeper = stand.keeper(node)
    stand.look_until(keeper, node, NodeState.READY)
    wishes.wish(node.pk, Wish.RESTART, by="anna", reason="", after_job=True)
    keeper.look()
    busy.set()  # the claim that had read the row before the wish is committed only now
    for _ in range(4):
        keeper.look()
    node.refresh_from_db()
    assert (node.state, node.generation) == (NodeState.READY, 1)


def test_restart_at_once_does_not_wait_although_one_after_the_job_was_asked(
    stand: KeeperStand, busy: threading.Event
) -> None:
    node = stand.simulator()
    stand.start_until_ready(node)
    busy.set()
    wishes.wish(node.pk, Wish.RESTART, by="anna", reason="", after_job=True)
    stand.stays(node, NodeState.READY, for_s=0.3)
    assert wishes.restart_and_wait_ready(node.pk, PATIENCE_S, by="(runner)", reason="500", generation=1) == 2
    stand.stays(node, NodeState.READY, for_s=0.3)
    assert (node.generation, node.wish) == (2, ""), "and the other wish is granted with it"


def test_restart_after_the_job_is_granted_by_the_death_of_the_webui(
    stand: KeeperStand, busy: threading.Event
) -> None:
    journal = stand.folder / "journal"
    node = stand.simulator("--journal", str(journal))
    stand.start_until_ready(node)
    busy.set()
    wishes.wish(node.pk, Wish.RESTART, by="anna", reason="", after_job=True)
    stand.kill(node)
    stand.wait(node, NodeState.READY, where=lambda node: node.generation == 2)
    busy.clear()
    stand.wait(node, NodeState.READY, where=lambda node: node.wish == "")
    stand.stays(node, NodeState.READY)
    assert (node.generation, starts(journal)) == (2, 2)


def test_stop_does_not_wait_for_the_job(stand: KeeperStand, busy: threading.Event) -> None:
    node = stand.simulator()
    stand.start_until_ready(node)
    busy.set()
    wishes.wish(node.pk, Wish.RESTART, by="anna", reason="", after_job=True)
    wishes.wish(node.pk, Wish.STOP, by="anna", reason="")
    stand.wait(node, NodeState.STOPPED)


# --- one restart per cause ------------------------------------------------------------------------------


def in_background(pool: ThreadPoolExecutor, node: Node, by: str) -> Future[int]:
    def wait() -> int:
        try:
            return wishes.restart_and_wait_ready(node.pk, PATIENCE_S, by=by, reason="500", generation=1)
        finally:
            connections.close_all()

    return pool.submit(wait)


def test_two_callers_who_ask_for_the_same_restart_get_one(stand: KeeperStand) -> None:
    journal = stand.folder / "journal"
    node = stand.simulator("--journal", str(journal))
    stand.start_until_ready(node)
    with ThreadPoolExecutor(2) as pool:
        callers = [in_background(pool, node, by) for by in ("one", "two")]
        assert [caller.result(PATIENCE_S) for caller in callers] == [2, 2]
    stand.stays(node, NodeState.READY)
    assert (node.generation, node.restarts, starts(journal)) == (2, 1, 2)


@pytest.mark.parametrize("moment", ["asked", NodeState.STARTING])
def test_page_that_asks_at_once_during_a_recovery_gets_the_same_restart(
    stand: KeeperStand, moment: str
) -> None:
    journal = stand.folder / "journal"
    node = stand.simulator("--journal", str(journal), "--boot-seconds", "1")
    stand.start_until_ready(node)
    with ThreadPoolExecutor(1) as pool:
        recovery = in_background(pool, node, "(runner)")
        if moment == NodeState.STARTING:
            stand.wait(node, NodeState.STARTING)
        else:
            stand.wait_wish(node)
        # The page was drawn before the crash.
        wishes.wish(node.pk, Wish.RESTART, by="anna", reason="asked on the page", generation=1)
        assert recovery.result(PATIENCE_S) == 2
    stand.stays(node, NodeState.READY)
    assert (node.generation, node.restarts, starts(journal), node.wish) == (2, 1, 2, "")


def test_death_that_the_keeper_saw_first_is_restarted_once(stand: KeeperStand) -> None:
    journal = stand.folder / "journal"
    node = stand.simulator("--journal", str(journal))
    stand.start_until_ready(node)
    stand.kill(node)
    stand.wait(node, NodeState.STARTING)
    assert (
        wishes.restart_and_wait_ready(node.pk, PATIENCE_S, by="(runner)", reason="refused", generation=1) == 2
    )
    stand.stays(node, NodeState.READY)
    assert (node.generation, starts(journal)) == (2, 2)

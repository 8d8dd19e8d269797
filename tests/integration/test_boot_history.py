"""The history of a node's generations, as keepers at work write it: why each began, when it was ready, how it ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.db import OperationalError
from django.utils import timezone
from pytest_django import Settings

from tests.contract.simulator_process import SimulatorProcess, wait_until
from tests.factories import make_node
from tests.keepers import KeeperStand
from webui.keeper import boot_history, boots
from webui.keeper.boot_history import KEPT_BOOTS, NOT_WRITTEN_DOWN, UNSEEN_END
from webui.models import Boot, Node, NodeState, Wish
from webui.nodes import wishes
from webui.nodes.asking import RUNNER
from webui.nodes.change import change_node

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stand(tmp_path: Path, settings: Settings) -> Iterator[KeeperStand]:
    with KeeperStand(tmp_path, settings) as stand:
        yield stand


def boot(node: Node, generation: int, where: Callable[[Boot], bool] = lambda boot: True) -> Boot:
    """Waits for it: history is written right after the node's own row."""
    deadline = time.monotonic() + 60
    while True:
        row = Boot.objects.filter(node=node, generation=generation).first()
        if row is not None and where(row):
            return row
        assert time.monotonic() < deadline, row and vars(row)
        time.sleep(0.02)


def was_ready(row: Boot) -> bool:
    return row.ready_at is not None


def is_over(row: Boot) -> bool:
    return bool(row.ended_because)


def next_ready(stand: KeeperStand, node: Node, generation: int) -> None:
    stand.wait(node, NodeState.READY, where=lambda node: node.generation == generation, timeout_s=60)


def test_history_tells_start_death_wish_and_stop_of_a_managed_webui(stand: KeeperStand) -> None:
    node = stand.simulator()
    stand.start_until_ready(node)
    first = boot(node, 1, was_ready)
    assert (first.pid, first.ended_at, first.ended_because) == (node.pid, None, "")
    assert first.begun_because == f"Waiting for the WebUI at {node.base_url}."
    assert first.ready_at is not None
    assert first.begun_at < first.ready_at

    stand.kill(node)
    next_ready(stand, node, 2)
    first = boot(node, 1, is_over)
    assert first.ended_at is not None
    assert f"The WebUI process {first.pid} was ended by SIGKILL" in first.ended_because
    assert boot(node, 2).begun_because == f"Starting again: {first.ended_because}"

    wishes.wish(node.pk, Wish.RESTART, by="anna", reason="new checkpoint")
    next_ready(stand, node, 3)
    second, third = boot(node, 2, is_over), boot(node, 3)
    assert second.ended_because == third.begun_because == "Restarting for anna (new checkpoint)."
    assert second.ended_at is not None
    assert second.ended_at <= third.begun_at

    wishes.wish(node.pk, Wish.STOP, by="anna", reason="driver")
    stand.wait(node, NodeState.STOPPED)
    assert boot(node, 3, is_over).ended_because == "Stopped by anna (driver)."
    assert boot(node, 3).ended_at is not None
    assert Boot.objects.count() == 3


def test_start_that_fails_is_a_generation_that_was_never_ready(stand: KeeperStand) -> None:
    node = stand.node("/nowhere/webui.sh")
    stand.start(node)
    stand.wait(node, NodeState.FAILED)
    never = boot(node, 1, is_over)
    assert (never.pid, never.ready_at) == (None, None)
    assert never.ended_at is not None
    assert "No such file or directory: /nowhere/webui.sh" in never.ended_because


def test_process_that_dies_while_it_starts_was_never_ready(stand: KeeperStand) -> None:
    node = stand.node("sh -c 'echo broken driver >&2; exit 3'")
    stand.start(node)
    stand.wait(node, NodeState.FAILED)
    never = boot(node, 1, is_over)
    assert (never.ready_at, never.ended_at is not None) == (None, True)
    assert never.ended_because.endswith("ended with exit code 3; its last line: broken driver")


def test_boot_that_the_next_keeper_adopts_goes_on_in_the_same_row(stand: KeeperStand) -> None:
    node = stand.simulator()
    stand.start_until_ready(node).stop(stop_webui=False, deadline_s=10)
    before = boot(node, 1, was_ready)
    stand.start(node)
    stand.wait(node, NodeState.READY, where=lambda node: len(stand.readies) == 2)
    assert boot(node, 1) == before
    assert (boot(node, 1).ready_at, boot(node, 1).ended_at) == (before.ready_at, None)


def test_who_meets_the_death_before_the_keeper_and_asks_for_a_restart_has_its_end_told(
    stand: KeeperStand,
) -> None:
    node = stand.simulator()
    keeper = stand.keeper(node)
    stand.look_until(keeper, node, NodeState.READY)
    stand.kill(node)
    wishes.wish(
        node.pk, Wish.RESTART, by=RUNNER, reason="stage txt2img of job 6 failed. The WebUI gave no answer."
    )
    keeper.look()
    first = boot(node, 1, is_over)
    assert f"The WebUI process {first.pid} was ended by SIGKILL" in first.ended_because
    assert first.ended_at is not None
    told = "Restarting: stage txt2img of job 6 failed. The WebUI gave no answer."
    assert boot(node, 2).begun_because == told
    assert Node.objects.get(pk=node.pk).wish_by == RUNNER


def test_end_that_nobody_saw_has_no_time(stand: KeeperStand) -> None:
    node = stand.simulator()
    stand.start_until_ready(node).stop(stop_webui=False, deadline_s=10)
    stand.kill(node)
    stand.start(node)
    next_ready(stand, node, 2)
    gone = boot(node, 1, is_over)
    assert gone.ended_at is None
    assert gone.ended_because.startswith(f"{UNSEEN_END} The WebUI process {gone.pid} ")


def test_history_of_an_attached_server_tells_when_it_answered(stand: KeeperStand, tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path) as server:
        node = stand.node(port=server.port)
        stand.start_until_ready(node)
        assert boot(node, 1).pid is None
        boot(node, 1, was_ready)
        server.process.kill()
        stand.wait(node, NodeState.UNREACHABLE)
    lost, waiting = boot(node, 1, is_over), boot(node, 2)
    assert lost.ended_at is not None
    assert "Nothing listens at" in lost.ended_because
    assert "waiting until it does again" in waiting.begun_because
    assert waiting.ready_at is None
    with SimulatorProcess(tmp_path, port=server.port):
        stand.wait(node, NodeState.READY)
        wishes.wish(node.pk, Wish.RESTART, by="anna", reason="leak")
        stand.wait(node, NodeState.READY, where=lambda node: "It was not restarted" in node.state_reason)
    assert boot(node, 2).ended_at is None, "nobody restarted it"
    assert node.generation == 2


def test_attached_server_that_gets_another_address_is_looked_for_there(
    stand: KeeperStand, tmp_path: Path
) -> None:
    node = stand.node()
    stand.start(node)
    stand.wait(node, NodeState.UNREACHABLE, where=lambda node: "Nothing listens" in node.state_reason)
    with SimulatorProcess(tmp_path) as first, SimulatorProcess(tmp_path) as second:
        change_node(node, base_url=first.url)
        next_ready(stand, node, 2)
        change_node(node, base_url=second.url)
        next_ready(stand, node, 3)
        assert boot(node, 2, is_over).ended_because == f"Its address is {second.url} now."


def test_somebody_elses_webui_is_a_generation_until_ours_takes_its_place(
    stand: KeeperStand, tmp_path: Path
) -> None:
    with SimulatorProcess(tmp_path) as server:
        node = stand.simulator(port=server.port)
        stand.start_until_ready(node)
        theirs = boot(node, 1, was_ready)
        assert theirs.begun_because.startswith("Somebody else's WebUI at")
        assert theirs.pid is None
        server.process.kill()
        stand.wait(node, NodeState.READY, where=lambda node: not node.adopted_foreign)
    assert boot(node, 1).ended_at is not None
    assert boot(node, 2).pid == node.pid


def events_of_history(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.__dict__["event"] for record in caplog.records if record.name == "webui.keeper.boot_history"
    ]


def test_history_that_cannot_be_written_stops_no_start(
    stand: KeeperStand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What was lost is made good as far as it is known."""
    node = stand.simulator()

    def refuse(*arguments: object, **options: object) -> None:
        raise OperationalError("database is locked")

    with (
        monkeypatch.context() as broken,
        caplog.at_level(logging.WARNING, logger="webui.keeper.boot_history"),
    ):
        broken.setattr("webui.keeper.boot_history.transaction", SimpleNamespace(atomic=refuse))
        stand.start_until_ready(node)
        # Its start, and that it was ready, which is written after the row has said so.
        wait_until(lambda: len(events_of_history(caplog)) == 2)
    assert not Boot.objects.exists()
    assert set(events_of_history(caplog)) == {"node.history_not_written"}
    stand.kill(node)
    next_ready(stand, node, 2)
    late = boot(node, 1, is_over)
    assert late.begun_because == NOT_WRITTEN_DOWN
    assert late.ended_at is not None
    assert late.ready_at is not None
    assert "SIGKILL" in late.ended_because


def test_only_the_newest_generations_are_kept() -> None:
    node = make_node("old", generation=KEPT_BOOTS + 5)
    other = make_node("other")
    now = timezone.now()
    Boot.objects.bulk_create(
        Boot(node=node, generation=number, begun_at=now, ended_at=now) for number in range(1, KEPT_BOOTS + 5)
    )
    boot_history.begun(other, "first")
    boot_history.begun(node, "newest")
    kept = Boot.objects.filter(node=node)
    assert (kept.count(), kept.earliest("generation").generation) == (KEPT_BOOTS, 6)
    assert Boot.objects.filter(node=other).count() == 1


@pytest.mark.parametrize("step", [boots.bury, lambda node: boots.end(node, "Stopped.")])
def test_a_node_that_never_started_has_no_history(step: Callable[[Node], object]) -> None:
    step(make_node("fresh", generation=0, state=NodeState.STOPPED))
    assert not Boot.objects.exists()

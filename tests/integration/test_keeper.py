"""The keeper of one node with a real server: start, readiness, wishes, adoption, attached and foreign servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import requests
from django.db import OperationalError
from pytest_django import Settings

from tests.contract.simulator_process import SimulatorProcess
from tests.free_ports import free_port
from tests.keepers import OTHER_SERVER, KeeperStand, is_running, journal_lines
from tests.promises import PATIENCE_S
from webui.http import ports
from webui.keeper.keeper import Keeper
from webui.keeper.step import Upkeep
from webui.models import Node, NodeState, Wish
from webui.nodes import adding, wishes
from webui.processes import process

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stand(tmp_path: Path, settings: Settings) -> Iterator[KeeperStand]:
    with KeeperStand(tmp_path, settings) as stand:
        yield stand


# --- start and stop -------------------------------------------------------------------------------------


def test_new_managed_node_is_started_and_becomes_ready(stand: KeeperStand) -> None:
    node = stand.simulator("--checkpoint", "some-model.safetensors")
    stand.start_until_ready(node)
    assert (node.generation, node.restarts, node.adopted_foreign) == (1, 0, False)
    assert process.is_process_alive(node)
    assert node.last_ready_at is not None
    assert node.state_reason == f"The WebUI at {node.base_url} answers."
    stand.wait_readies(node.pk)
    stand.wait(node, NodeState.READY, where=lambda node: "some-model" in node.checkpoint)


def test_row_is_written_before_the_process_exists(
    stand: KeeperStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = stand.simulator()
    seen: list[Node] = []
    real = process.spawn

    def spawn(command: list[str], **arguments: object) -> process.Started:
        seen.append(Node.objects.get(pk=node.pk))
        return real(command, **arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(process, "spawn", spawn)
    stand.look_until(stand.keeper(node), node, NodeState.READY)
    (before,) = seen
    assert (before.state, before.generation, before.pid) == (NodeState.STARTING, 1, None)
    assert before.nonce == node.nonce != ""


def test_keeper_that_ends_leaves_the_webui_to_the_next_one(stand: KeeperStand) -> None:
    node = stand.simulator()
    keeper = stand.start_until_ready(node)
    assert keeper.stop(stop_webui=False, deadline_s=PATIENCE_S)
    assert not keeper.alive
    assert is_running(node.pid)
    pid = node.pid
    stand.start(node)
    stand.wait_readies(node.pk, node.pk)  # READY always kicks, also when it was adopted
    stand.stays(node, NodeState.READY)
    assert (node.pid, node.generation) == (pid, 1)


def test_keeper_that_is_told_to_stops_the_webui_and_the_next_one_starts_it(stand: KeeperStand) -> None:
    node = stand.simulator()
    keeper = stand.start_until_ready(node)
    identity = process.identity_of(node)
    assert keeper.stop(stop_webui=True, deadline_s=PATIENCE_S)
    node.refresh_from_db()
    assert node.state == NodeState.STOPPED
    assert process.family(identity) == []
    stand.start(node)
    stand.wait(node, NodeState.READY)
    assert node.generation == 2


def test_only_one_keeper_acts_on_a_node(stand: KeeperStand) -> None:
    node = stand.simulator()
    first = stand.start_until_ready(node)
    second = stand.start(node)
    assert not second.take_lock()
    os.kill(node.pid or 0, signal.SIGKILL)
    stand.wait(node, NodeState.READY, where=lambda node: node.generation == 2)
    stand.wait_readies(node.pk, node.pk)
    stand.stays(node, NodeState.READY)
    assert (node.generation, stand.readies) == (2, [node.pk] * 2)
    first.stop(stop_webui=False, deadline_s=PATIENCE_S)
    os.kill(node.pid or 0, signal.SIGKILL)
    stand.wait(node, NodeState.READY, where=lambda node: node.generation == 3)


def test_simulated_node_moves_to_another_port_when_its_own_is_taken(
    stand: KeeperStand, settings: Settings
) -> None:
    settings.STABLENEW_WEBUI_URL = settings.STABLENEW_WEBUI_COMMAND = settings.STABLENEW_WEBUI_AUTH = ""
    settings.STABLENEW_SIMULATOR_OPTIONS = ""
    node = adding.ensure_default_node()
    taken = ports.endpoint(node.base_url)[1]
    with subprocess.Popen([sys.executable, "-c", OTHER_SERVER, str(taken)]) as other:
        while ports.connect_problem("127.0.0.1", taken, 1.0):
            pass
        stand.start_until_ready(node)
        assert ports.endpoint(node.base_url)[1] != taken
        assert not node.adopted_foreign
        other.kill()


def test_logs_of_each_boot_are_kept_apart(stand: KeeperStand) -> None:
    node = stand.simulator()
    stand.start_until_ready(node)
    first = Path(node.log_directory)
    assert first.name == "boot-1"
    wishes.wish(node.pk, Wish.RESTART, by="anna", reason="")
    stand.wait(node, NodeState.READY, where=lambda node: node.generation == 2)
    assert Path(node.log_directory) == first.with_name("boot-2")
    assert "Startup time" in (first / "stdout.log").read_text()


# --- wishes ---------------------------------------------------------------------------------------------


def test_restart_by_wish_is_a_new_process_of_the_next_generation(stand: KeeperStand) -> None:
    node = stand.simulator()
    stand.start_until_ready(node)
    before = process.identity_of(node)
    assert wishes.restart_and_wait_ready(node.pk, PATIENCE_S, by="anna", reason="new checkpoint")
    node.refresh_from_db()
    assert (node.generation, node.restarts, node.wish) == (2, 1, "")
    assert node.pid != before.pid
    assert process.family(before) == []


def test_restart_asked_for_twice_happens_once(stand: KeeperStand) -> None:
    node = stand.simulator()
    stand.start_until_ready(node)
    for worker in ("one", "two"):
        wishes.wish(node.pk, Wish.RESTART, by=worker, reason="500", generation=1)
    stand.wait(node, NodeState.READY, where=lambda node: node.generation == 2)
    # The second worker read generation 1 and writes its wish only now, past the check of the verb.
    Node.objects.filter(pk=node.pk).update(wish=Wish.RESTART, wish_generation=1)
    stand.wait(node, NodeState.READY, where=lambda node: node.wish == "")
    stand.stays(node, NodeState.READY)
    assert node.generation == 2


def test_stopped_node_stays_stopped_until_somebody_starts_it(stand: KeeperStand) -> None:
    node = stand.simulator()
    keeper = stand.start_until_ready(node)
    identity = process.identity_of(node)
    wishes.wish(node.pk, Wish.STOP, by="anna", reason="driver update")
    stand.wait(node, NodeState.STOPPED)
    assert node.state_reason == "Stopped by anna (driver update)."
    assert process.family(identity) == []
    stand.stays(node, NodeState.STOPPED)
    keeper.stop(stop_webui=True, deadline_s=PATIENCE_S)
    stand.start(node)
    stand.stays(node, NodeState.STOPPED)
    wishes.wish(node.pk, Wish.RUN, by="anna", reason="")
    stand.wait(node, NodeState.READY)
    assert node.wish == ""


def test_wish_to_run_changes_nothing_on_a_ready_node(stand: KeeperStand) -> None:
    node = stand.simulator()
    stand.start_until_ready(node)
    wishes.wish(node.pk, Wish.RUN, by="anna", reason="")
    stand.wait(node, NodeState.READY, where=lambda node: node.wish == "")
    assert node.generation == 1


# --- readiness ------------------------------------------------------------------------------------------


def test_server_gets_no_request_before_it_has_settled(stand: KeeperStand, settings: Settings) -> None:
    settings.STABLENEW_SETTLE_S = 0.8
    journal = stand.folder / "journal"
    node = stand.simulator("--fragile-start", "--boot-seconds", "0.5", "--journal", str(journal))
    stand.start_until_ready(node)
    assert node.generation == 1
    asked = [line["path"] for line in journal_lines(journal) if "path" in line]
    assert asked[0] == "/sdapi/v1/progress"
    assert not {"/", "/internal/ping"} & set(asked)


def test_wrong_password_says_what_to_change_and_heals_by_itself(stand: KeeperStand) -> None:
    node = stand.simulator("--api-auth", "anna:right", api_auth="anna:wrong")
    stand.start(node)
    stand.wait(node, NodeState.FAILED)
    assert "refuses our user and password" in node.state_reason
    assert "STABLENEW_WEBUI_AUTH=user:password" in node.state_reason
    pid = node.pid
    stand.stays(node, NodeState.FAILED)
    Node.objects.filter(pk=node.pk).update(api_auth="anna:right")
    stand.wait(node, NodeState.READY)
    assert (node.pid, node.generation) == (pid, 1), "the server was right: it is not restarted"


# --- adoption -------------------------------------------------------------------------------------------


def test_keeper_that_finds_starting_goes_on_with_that_boot(stand: KeeperStand) -> None:
    node = stand.simulator("--boot-seconds", "1")
    first = stand.start(node)
    stand.wait(node, NodeState.STARTING, where=lambda node: node.pid is not None)
    first.stop(stop_webui=False, deadline_s=PATIENCE_S)
    pid = node.pid
    stand.start(node)
    stand.wait(node, NodeState.READY)
    assert (node.pid, node.generation) == (pid, 1)


def test_keeper_finds_a_boot_without_pid_by_its_nonce(stand: KeeperStand) -> None:
    node = stand.simulator("--boot-seconds", "1")
    first = stand.start(node)
    stand.wait(node, NodeState.STARTING, where=lambda node: node.pid is not None)
    first.stop(stop_webui=False, deadline_s=PATIENCE_S)
    pid = node.pid
    Node.objects.filter(pk=node.pk).update(pid=None, process_start_ticks=None, boot_id="")
    stand.start(node)
    stand.wait(node, NodeState.READY)
    assert (node.pid, node.generation) == (pid, 1)


def test_keeper_that_finds_a_dead_process_starts_anew(stand: KeeperStand) -> None:
    node = stand.simulator()
    stand.start_until_ready(node).stop(stop_webui=False, deadline_s=PATIENCE_S)
    os.kill(node.pid or 0, signal.SIGKILL)
    stand.start(node)
    stand.wait(node, NodeState.READY, where=lambda node: node.generation == 2)


# --- attached servers -----------------------------------------------------------------------------------


def test_attached_server_is_used_when_it_answers(stand: KeeperStand, tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path) as server:
        node = stand.node(port=server.port)
        stand.start_until_ready(node)
        assert (node.generation, node.pid, node.adopted_foreign) == (1, None, False)


def test_attached_server_that_is_not_there_is_unreachable_until_it_is(
    stand: KeeperStand, tmp_path: Path
) -> None:
    node = stand.node()
    stand.start(node)
    stand.wait(node, NodeState.UNREACHABLE, where=lambda node: "Nothing listens at" in node.state_reason)
    with SimulatorProcess(tmp_path, port=ports.endpoint(node.base_url)[1]) as server:
        stand.wait(node, NodeState.READY)
        server.process.kill()
        stand.wait(node, NodeState.UNREACHABLE)
    with SimulatorProcess(tmp_path, port=server.port):
        stand.wait(node, NodeState.READY)
        assert node.generation == 2
    stand.wait_readies(node.pk, node.pk)


def test_restart_of_an_attached_server_ends_no_process_and_waits_for_it(
    stand: KeeperStand, tmp_path: Path
) -> None:
    with SimulatorProcess(tmp_path) as server:
        node = stand.node(port=server.port)
        stand.start_until_ready(node)
        assert wishes.restart_and_wait_ready(node.pk, PATIENCE_S, by="anna", reason="") == 1
        assert server.process.poll() is None
        node.refresh_from_db()
        assert (node.generation, node.restarts) == (1, 0), "nobody has restarted it"
        assert not wishes.wished_away(node, except_by=()), "what came to nothing ended no request"


def test_stop_of_an_attached_server_only_ends_its_use(stand: KeeperStand, tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path) as server:
        node = stand.node(port=server.port)
        stand.start_until_ready(node)
        wishes.wish(node.pk, Wish.STOP, by="anna", reason="")
        stand.wait(node, NodeState.STOPPED)
        assert requests.get(f"{server.url}/sdapi/v1/progress", timeout=60).ok


def test_attached_server_without_the_api_is_named_as_such(stand: KeeperStand) -> None:
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-c", OTHER_SERVER, str(port)], stderr=subprocess.DEVNULL
    ) as other:
        node = stand.node(port=port)
        stand.start(node)
        stand.wait(node, NodeState.UNREACHABLE, where=lambda node: "start it with --api" in node.state_reason)
        other.kill()


# --- somebody else on the port of a managed node ----------------------------------------------------------


def test_stranger_on_the_port_is_named_and_nothing_is_started(stand: KeeperStand) -> None:
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-c", OTHER_SERVER, str(port)], stderr=subprocess.DEVNULL
    ) as other:
        while ports.connect_problem("127.0.0.1", port, 1.0):
            pass
        node = stand.simulator(port=port)
        stand.start(node)
        stand.wait(node, NodeState.FAILED)
        assert f"Port {port} is taken by process {other.pid} (" in node.state_reason
        assert "http.server" in node.state_reason
        assert node.generation == 0
        other.kill()
        other.wait()
        stand.wait(node, NodeState.READY)
        assert (node.generation, node.adopted_foreign) == (1, False)


def test_somebody_elses_webui_is_used_and_not_restarted(stand: KeeperStand, tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path) as server:
        node = stand.simulator(port=server.port)
        keeper = stand.start_until_ready(node)
        assert node.adopted_foreign
        assert node.pid is None
        assert wishes.restart_and_wait_ready(node.pk, PATIENCE_S, by="anna", reason="")
        keeper.stop(stop_webui=True, deadline_s=PATIENCE_S)
        assert server.process.poll() is None
        stand.start(node)
        stand.wait(node, NodeState.READY)
        server.process.kill()
        stand.wait(node, NodeState.READY, where=lambda node: not node.adopted_foreign)
        assert process.is_process_alive(node), "when it is gone, ours is started"


def test_somebody_elses_webui_with_another_password_is_asked_only_now_and_then(
    stand: KeeperStand, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"

    def asked_at() -> list[datetime]:
        lines = [line for line in journal_lines(journal) if line["event"] == "request"]
        return [datetime.fromisoformat(str(line["time"])) for line in lines]

    with SimulatorProcess(tmp_path, "--api-auth", "bob:right", "--journal", str(journal)) as server:
        node = stand.simulator(port=server.port, api_auth="bob:wrong")
        stand.keeper(node, relook_s=2.0).start()
        stand.wait(node, NodeState.FAILED)
        assert "refuses our user and password" in node.state_reason
        stand.wait(node, NodeState.FAILED, where=lambda node: len(asked_at()) >= 2)
    pauses = [later - earlier for earlier, later in pairwise(asked_at())]
    # By the clock of the server, whose lines are written after its answers are made.
    assert min(pauses) > timedelta(seconds=1.5)


# --- the thread -------------------------------------------------------------------------------------------


def test_keeper_survives_errors_of_the_database(stand: KeeperStand, monkeypatch: pytest.MonkeyPatch) -> None:
    node = stand.simulator()
    keeper = stand.start_until_ready(node)
    failures = iter([OperationalError("database is locked"), OperationalError("gone")])
    real = Upkeep.look

    def look(self: Upkeep) -> float:
        for failure in failures:
            raise failure
        return real(self)

    monkeypatch.setattr("webui.keeper.keeper.AFTER_ERROR_S", 0.05)
    monkeypatch.setattr(Upkeep, "look", look)
    os.kill(node.pid or 0, signal.SIGKILL)
    stand.wait(node, NodeState.READY, where=lambda node: node.generation == 2)
    assert keeper.alive
    assert list(failures) == []


def test_boot_that_could_not_be_written_down_is_adopted_not_doubled(
    stand: KeeperStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = stand.simulator()
    failures = iter([OperationalError("disk I/O error")])
    real = process.spawn
    spawned: list[int] = []

    def spawn(command: list[str], **arguments: object) -> process.Started:
        started = real(command, **arguments)  # type: ignore[arg-type]
        spawned.append(started.pid)
        for failure in failures:
            raise failure
        return started

    monkeypatch.setattr("webui.keeper.keeper.AFTER_ERROR_S", 0.05)
    monkeypatch.setattr(process, "spawn", spawn)
    stand.start_until_ready(node)
    assert spawned == [node.pid]
    assert node.generation == 1


def test_look_without_anything_to_do_is_one_query(
    stand: KeeperStand, django_assert_num_queries: object
) -> None:
    node = stand.simulator()
    keeper: Keeper = stand.keeper(node)
    stand.look_until(keeper, node, NodeState.READY)
    keeper.look()  # reads the checkpoint
    while node.ram_bytes is None:  # measured beside the looks
        keeper.look()
        node.refresh_from_db()
    with django_assert_num_queries(1):  # type: ignore[operator]
        keeper.look()

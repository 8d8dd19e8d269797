"""The keeper of a server that answers nothing, or that was started without its API."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from tests.contract.simulator_process import SimulatorProcess
from tests.free_ports import free_port
from tests.keepers import PAGE_WITHOUT_API, KeeperStand, is_running
from webui.keeper import ready_watch, start_watch
from webui.models import Boot, NodeState
from webui.work.timeouts import Timeouts

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stand(tmp_path: Path, settings: Settings) -> Iterator[KeeperStand]:
    with KeeperStand(tmp_path, settings) as stand:
        yield stand


@pytest.mark.parametrize("managed", [True, False], ids=["ours", "attached"])
def test_webui_without_its_api_is_told_at_once_and_used_when_it_has_it(
    stand: KeeperStand, tmp_path: Path, settings: Settings, managed: bool
) -> None:
    settings.STABLENEW_READY_TIMEOUT_S = 600.0
    port = free_port()
    command = shlex.join([sys.executable, "-c", PAGE_WITHOUT_API, str(port)])
    if managed:
        node = stand.node(command, port=port)
        stand.start(node)
    else:
        server = subprocess.Popen(shlex.split(command), stderr=subprocess.DEVNULL)
        node = stand.node(port=port)
        stand.start(node)
    try:
        stand.wait(node, NodeState.FAILED, where=lambda node: "started without --api" in node.state_reason)
        assert node.base_url in node.state_reason
    finally:
        if not managed:
            server.kill()
            server.wait()
    if not managed:
        with SimulatorProcess(tmp_path, port=port):
            stand.wait(node, NodeState.READY)


def test_ready_server_that_answers_nothing_says_so_and_is_no_less_ready_when_it_goes_on(
    stand: KeeperStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    quicken(monkeypatch)
    node = stand.simulator()
    stand.start_until_ready(node)
    assert node.pid is not None
    os.kill(node.pid, signal.SIGSTOP)
    try:
        stand.wait(node, NodeState.READY, where=lambda node: "has not answered since" in node.state_reason)
    finally:
        os.kill(node.pid, signal.SIGCONT)
    stand.wait(node, NodeState.READY, where=lambda node: node.state_reason.endswith("answers."))
    assert node.generation == 1


def test_idle_server_of_ours_that_stands_still_is_started_anew(
    stand: KeeperStand, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    quicken(monkeypatch)
    settings.STABLENEW_HANG_IDLE_S = 1.0
    node = stand.simulator()
    stand.busy.set()
    stand.start_until_ready(node)
    first = node.pid
    assert first is not None
    os.kill(first, signal.SIGSTOP)
    stand.wait(node, NodeState.READY, where=lambda node: "has not answered since" in node.state_reason)
    stand.stays(node, NodeState.READY, for_s=2.0)
    # While a job ran its run was to judge that.
    stand.busy.clear()
    stand.wait(node, NodeState.READY, where=lambda node: node.generation == 2)
    assert not is_running(first), "a stopped process takes no TERM"
    assert "answered nothing" in Boot.objects.get(node=node, generation=1).ended_because


def test_silent_server_of_others_is_not_used_and_keeps_its_generation(
    stand: KeeperStand, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    quicken(monkeypatch)
    settings.STABLENEW_HANG_IDLE_S = 1.0
    with SimulatorProcess(tmp_path) as server:
        node = stand.node(port=server.port)
        stand.start_until_ready(node)
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            stand.wait(node, NodeState.UNREACHABLE)
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
        stand.wait(node, NodeState.READY)
        assert (node.generation, node.restarts) == (1, 0)


def quicken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen server is asked often and waited for briefly."""
    monkeypatch.setattr(ready_watch, "ASK_EVERY_S", 0.2)
    for module in (ready_watch, start_watch):
        monkeypatch.setattr(module, "ASK_TIMEOUTS", Timeouts(connect_s=1.0, progress_s=1.0, small_s=1.0))

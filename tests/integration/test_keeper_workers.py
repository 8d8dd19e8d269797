"""The keeper of a node whose server is a DiffSynth worker: tokens, loading, failures that it tells of, its kind."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from pytest_django import Settings

from tests.contract.simulated_worker import TOKEN, SimulatedWorkerProcess
from tests.free_ports import free_port
from tests.keepers import ROOT, KeeperStand, is_running, journal_lines
from webui.driver import driver_of
from webui.evidence.redaction import redact_text, secrets_of
from webui.models import Boot, Node, NodeState, Wish
from webui.nodes import wishes
from webui.nodes.change import change_node
from webui.nodes.connecting import connect, credentials_of, follow, token_of
from webui.processes.process import NODE_VARIABLE
from webui.work.told import ApiAnswer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stand(tmp_path: Path, settings: Settings) -> Iterator[KeeperStand]:
    with KeeperStand(tmp_path, settings) as stand:
        yield stand


def worker(stand: KeeperStand, *options: str, kind: str = "i2v", serves: str = "") -> Node:
    """A managed node; its simulated worker serves another kind where `serves` says so."""
    port = free_port()
    words = [sys.executable, "-m", "webui.simulator", "--kind", serves or kind, "--port", str(port)]
    words += ["--journal", str(stand.folder / "journal"), "--load-seconds", "0", *options]
    return stand.node(shlex.join(words), port=port, kind=kind)


def starts(stand: KeeperStand) -> int:
    return sum(line["event"] == "start" for line in journal_lines(stand.folder / "journal"))


def test_a_worker_is_started_with_a_token_that_we_alone_know(stand: KeeperStand) -> None:
    node = worker(stand)
    stand.start_until_ready(node)
    token = token_of(node)
    process = psutil.Process(node.pid)
    assert process.environ()["STABLENEW_WORKER_TOKEN"] == token
    assert process.environ()[NODE_VARIABLE].endswith(node.nonce)
    assert token not in shlex.join(process.cmdline())
    for log in Path(node.log_directory).iterdir():
        assert token not in log.read_text()
    assert connect(node).ask().answer is ApiAnswer.API
    # In whatever leaves in a file.
    said = redact_text(f"Authorization: Bearer {token}; {token}", secrets_of(node_id=node.pk))
    assert token not in said
    stranger = driver_of(node.driver).connect(node.base_url, auth=("token", "x" * 64))
    assert stranger.ask().answer is ApiAnswer.WRONG_PASSWORD
    assert node.state_reason == f"The worker at {node.base_url} answers."
    stand.wait(node, NodeState.READY, where=lambda node: node.checkpoint == "simulated-wan2.2-i2v")


def test_after_a_restart_the_token_is_another_one_and_who_holds_a_server_follows(stand: KeeperStand) -> None:
    node = worker(stand)
    stand.start_until_ready(node)
    server, before = connect(node), token_of(node)
    stand.kill(node)
    stand.wait(node, NodeState.READY, where=lambda node: node.generation == 2)
    assert token_of(node) != before
    assert server.ask().answer is ApiAnswer.WRONG_PASSWORD
    follow(server, node)
    assert server.ask().answer is ApiAnswer.API


def test_a_worker_that_loads_says_how_far_it_is(stand: KeeperStand) -> None:
    node = worker(stand, "--fault", "hang-load@1")
    stand.start(node)
    stand.wait(
        node,
        NodeState.STARTING,
        where=lambda node: node.state_reason == f"The worker at {node.base_url} loads its model.",
    )


def test_a_worker_that_never_loads_is_ended_in_time(stand: KeeperStand, settings: Settings) -> None:
    leapt_s = 0.0
    node = worker(stand, "--fault", "hang-load@1")
    stand.keeper(node, clock=lambda: time.monotonic() + leapt_s).start()
    stand.wait(node, NodeState.STARTING, where=lambda node: "loads its model" in node.state_reason)
    leapt_s = settings.STABLENEW_READY_TIMEOUT_S
    stand.wait(node, NodeState.FAILED)
    assert "The worker was not ready after 60 s. The worker at" in node.state_reason
    stand.wait(node, NodeState.READY)


def test_a_worker_that_failed_to_load_makes_its_node_failed_and_is_tried_again_later(
    stand: KeeperStand,
) -> None:
    node = worker(stand, "--fault", "failed-load@1-2")
    stand.start(node)
    stand.wait(node, NodeState.FAILED)
    assert "fits no layer" in node.state_reason
    assert "Trying again in 1 s." in node.state_reason
    stand.wait(node, NodeState.FAILED, where=lambda node: "again in 2 s" in node.state_reason)
    assert node.failed_starts == 2
    stand.wait(node, NodeState.READY)
    assert (starts(stand), node.failed_starts) == (3, 0)
    ends = Boot.objects.filter(node=node).exclude(ended_because="").values_list("ended_because", flat=True)
    assert all("fits no layer" in end for end in ends)


def test_a_failed_worker_holds_no_graphics_card_meanwhile(stand: KeeperStand) -> None:
    node = worker(stand, "--fault", "failed-load@*")
    stand.start(node)
    stand.wait(node, NodeState.FAILED)
    assert not is_running(node.pid)


def test_a_person_need_not_wait_for_the_next_try(stand: KeeperStand) -> None:
    node = worker(stand, "--fault", "failed-load@1-3")
    stand.start(node)
    stand.wait(node, NodeState.FAILED, where=lambda node: node.failed_starts == 3)
    assert "again in 10 s" in node.state_reason
    wishes.wish(node.pk, Wish.RUN, by="anna", reason="corrected")
    stand.wait(node, NodeState.READY)


def test_a_worker_that_runs_out_of_memory_is_started_again(stand: KeeperStand) -> None:
    node = worker(stand)
    stand.start_until_ready(node)
    stand.kill(node)
    stand.wait(node, NodeState.READY, where=lambda node: node.generation == 2)
    assert "The worker process" in Boot.objects.get(node=node, generation=1).ended_because


def test_a_worker_of_another_kind_makes_its_node_failed(stand: KeeperStand) -> None:
    node = worker(stand, kind="i2v", serves="edit")
    stand.start(node)
    stand.wait(node, NodeState.FAILED)
    assert "takes edits, and node node1 is for image to video" in node.state_reason
    assert "node change node1 --kind edit" in node.state_reason
    change_node(node, kind="edit")
    stand.wait(node, NodeState.READY)


# --- workers that somebody else starts ----------------------------------------------------------------


@pytest.fixture
def attached(stand: KeeperStand, tmp_path: Path) -> Iterator[SimulatedWorkerProcess]:
    with SimulatedWorkerProcess(tmp_path, "edit") as process:
        yield process


def node_at(
    stand: KeeperStand, process: SimulatedWorkerProcess, *, kind: str = "edit", auth: str = ""
) -> Node:
    port = int(process.worker.base_url.rpartition(":")[2])
    return stand.node(port=port, kind=kind, api_auth=auth or TOKEN)


def test_an_attached_worker_is_used_with_its_own_token(
    stand: KeeperStand, attached: SimulatedWorkerProcess
) -> None:
    node = node_at(stand, attached)
    assert credentials_of(node) == ("token", TOKEN)
    stand.start_until_ready(node)
    wishes.wish(node.pk, Wish.RESTART, by="anna", reason="")
    stand.wait(node, NodeState.READY, where=lambda node: "does not restart itself" in node.state_reason)


def test_a_wrong_token_is_said_and_the_right_one_used_at_once(
    stand: KeeperStand, attached: SimulatedWorkerProcess
) -> None:
    node = node_at(stand, attached, auth="wrong")
    stand.start(node)
    stand.wait(node, NodeState.FAILED)
    assert "refuses our token" in node.state_reason
    assert node.state_reason.count("wrong") == 0
    change_node(node, api_auth=TOKEN)
    stand.wait(node, NodeState.READY)


def test_an_attached_worker_of_another_kind_is_not_used_until_the_node_says_so(
    stand: KeeperStand, attached: SimulatedWorkerProcess
) -> None:
    node = node_at(stand, attached, kind="i2v")
    stand.start(node)
    stand.wait(node, NodeState.FAILED)
    assert "takes edits" in node.state_reason
    change_node(node, kind="edit")
    stand.wait(node, NodeState.READY)


def test_a_ready_node_whose_kind_is_changed_is_looked_at_anew(
    stand: KeeperStand, attached: SimulatedWorkerProcess
) -> None:
    node = node_at(stand, attached)
    stand.start_until_ready(node)
    change_node(node, kind="i2v")
    stand.wait(node, NodeState.FAILED)
    assert "takes edits, and node node1 is for image to video" in node.state_reason


def test_an_attached_worker_that_loads_is_waited_for_and_says_so(stand: KeeperStand, tmp_path: Path) -> None:
    with SimulatedWorkerProcess(tmp_path, "edit", "--fault", "hang-load@1", waits=False) as process:
        node = node_at(stand, process)
        stand.start(node)
        stand.wait(node, NodeState.UNREACHABLE, where=lambda node: "loads its model" in node.state_reason)


def test_a_stranger_on_the_port_of_a_worker_is_not_taken_for_it(stand: KeeperStand) -> None:
    node = worker(stand)
    port = node.base_url.rpartition(":")[2]
    words = [sys.executable, "-m", "webui.simulator", "--kind", "i2v", "--port", port]
    environment = {"STABLENEW_WORKER_TOKEN": "of-somebody-else", "PATH": ""}
    with subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as stranger:
        try:
            assert stranger.stdout is not None
            stranger.stdout.readline()
            stand.start(node)
            stand.wait(node, NodeState.FAILED)
            assert not node.adopted_foreign
            assert starts(stand) == 0
        finally:
            stranger.kill()
            stranger.wait()
    stand.wait(node, NodeState.READY)

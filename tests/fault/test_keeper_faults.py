"""One fault each against a keeper: dying servers, dying keepers, commands that do not start."""

from __future__ import annotations

import itertools
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from pytest_django import Settings

from tests.free_ports import free_port
from tests.keepers import ROOT, KeeperStand, is_running, journal_lines
from tests.promises import PATIENCE_S
from webui.http.ports import endpoint
from webui.keeper.keeper import Keeper
from webui.models import Node, NodeState
from webui.processes import process

pytestmark = pytest.mark.django_db(transaction=True)

#: Speaks just enough of the API on the port of argv[1]; deaf to TERM; SIGUSR1 closes its listening socket.
STUBBORN = """
import http.server, signal, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"progress": 0, "eta_relative": 0, "state": {"job_count": 0}}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)

def close(number, frame):
    server.socket.close()
    time.sleep(60)

signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGUSR1, close)
server.serve_forever()
"""

SLEEP = "import time; time.sleep(60)"

KEEPER = """
import sys, time
import django
django.setup()
from webui.keeper.keeper import Keeper
Keeper(int(sys.argv[1])).start()
time.sleep(60)
"""


@pytest.fixture
def stand(tmp_path: Path, settings: Settings) -> Iterator[KeeperStand]:
    with KeeperStand(tmp_path, settings) as stand:
        yield stand


def python(program: str, *arguments: object) -> str:
    return shlex.join([sys.executable, "-c", program, *map(str, arguments)])


def kill(node: Node) -> None:
    assert node.pid is not None
    os.kill(node.pid, signal.SIGKILL)


def test_killed_webui_is_ready_again_at_once_as_the_next_generation(
    stand: KeeperStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "webui.keeper.ready_watch.CONNECT_CHECK_S", 600.0
    )  # its death is seen, not its closed port
    monkeypatch.setattr(
        "webui.nodes.start_backoff.START_PAUSES_S", (600.0,)
    )  # the first restart starts at once
    node = stand.simulator("--boot-seconds", "1")
    stand.start_until_ready(node)
    kill(node)
    stand.wait(node, NodeState.READY, where=lambda node: node.generation == 2)
    assert (node.restarts, node.failed_starts) == (1, 0)
    stand.wait_readies(node.pk, node.pk)


def test_why_it_was_restarted_is_told_with_the_last_line_of_the_dead_boot(stand: KeeperStand) -> None:
    node = stand.simulator("--boot-seconds", "1")
    keeper = stand.keeper(node)
    stand.look_until(keeper, node, NodeState.READY)
    kill(node)
    stand.look_until(keeper, node, NodeState.STARTING)
    assert "was ended by SIGKILL; its last line: " in node.state_reason


@pytest.mark.stack
@pytest.mark.timeout(600)
def test_thirty_fragile_starts_all_succeed(stand: KeeperStand, settings: Settings) -> None:
    settings.STABLENEW_SETTLE_S = 1.0
    journal = stand.folder / "journal"
    node = stand.simulator("--fragile-start", "--journal", str(journal))
    stand.start_until_ready(node)
    for generation in range(2, 31):
        kill(node)
        deadline = time.monotonic() + PATIENCE_S
        while (node.generation, node.state) != (generation, NodeState.READY):
            assert time.monotonic() < deadline, node.state_reason
            assert node.generation <= generation, node.state_reason
            time.sleep(0.02)
            node = stand.seen(Node.objects.get(pk=node.pk))
    starts = [line for line in journal_lines(journal) if line["event"] == "start"]
    assert len(starts) == 30


def test_helpers_of_a_dead_webui_end_before_the_next_boot(stand: KeeperStand) -> None:
    port = free_port()
    helper = (
        f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {SLEEP!r}], env={{}}).pid)"
    )
    node = stand.node(python(f"{helper}\n{STUBBORN}", port), port=port)
    stand.start_until_ready(node)
    helper_pid = int((Path(node.log_directory) / "stdout.log").read_text())
    assert is_running(helper_pid)
    kill(node)
    stand.wait(node, NodeState.READY, where=lambda node: node.generation == 2)
    assert not is_running(helper_pid)


def test_webui_that_ignores_term_is_killed_after_the_grace(stand: KeeperStand) -> None:
    port = free_port()
    node = stand.node(python(STUBBORN, port), port=port)
    keeper = stand.start_until_ready(node)
    identity = process.identity_of(node)
    assert keeper.stop(stop_webui=True, deadline_s=PATIENCE_S)
    assert process.family(identity) == []


def test_webui_that_lives_but_refuses_connections_is_restarted(
    stand: KeeperStand, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.STABLENEW_SETTLE_S = 1.5  # the look below is not to miss what is said meanwhile
    monkeypatch.setattr("webui.keeper.step.REFUSED_PATIENCE_S", 0.5)
    monkeypatch.setattr("webui.keeper.ready_watch.CONNECT_CHECK_S", 0.2)
    port = free_port()
    node = stand.node(python(STUBBORN, port), port=port)
    stand.start_until_ready(node)
    first = node.pid
    os.kill(first or 0, signal.SIGUSR1)
    stand.wait(node, NodeState.STARTING, where=lambda node: "accepts no connections" in node.state_reason)
    stand.wait(node, NodeState.READY, where=lambda node: node.generation == 2)
    assert not is_running(first)


def test_webui_that_dies_at_start_is_failed_with_its_last_words_and_tried_again(
    stand: KeeperStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webui.nodes.start_backoff.START_PAUSES_S", (0.2, 0.4))
    node = stand.node(python("raise SystemExit('no GPU was found')"))
    stand.start(node)
    stand.wait(node, NodeState.FAILED, where=lambda node: node.generation >= 3)
    assert "ended with exit code 1; its last line: no GPU was found" in node.state_reason
    assert "Trying again in 0.4 s." in node.state_reason
    repaired = stand.simulator(port=free_port()).start_command
    Node.objects.filter(pk=node.pk).update(
        start_command=repaired, base_url=f"http://127.0.0.1:{shlex.split(repaired)[-1]}"
    )
    stand.wait(node, NodeState.READY)


def test_pauses_between_failed_starts_grow(stand: KeeperStand) -> None:
    node = stand.node(python("raise SystemExit(1)"))
    now_s = 0.0
    keeper = Keeper(node.pk, clock=lambda: now_s)
    starts_at: list[float] = []
    while now_s < 700:
        generation = node.generation
        keeper.look()
        node.refresh_from_db()
        stand.seen(node)
        if node.generation > generation:
            starts_at.append(now_s)
        if node.state == NodeState.STARTING:
            time.sleep(0.02)
        else:
            now_s += 0.5
    pauses = [round(later - earlier) for earlier, later in itertools.pairwise(starts_at)]
    assert pauses[:7] == [1, 2, 10, 30, 60, 120, 300]


def test_command_that_does_not_exist_is_told_in_one_sentence(stand: KeeperStand) -> None:
    node = stand.node("/nowhere/webui.sh --api")
    stand.start(node)
    stand.wait(node, NodeState.FAILED)
    assert "The WebUI cannot be started (No such file or directory: /nowhere/webui.sh)" in node.state_reason


def test_log_folder_that_cannot_be_written_is_told_in_one_sentence(stand: KeeperStand) -> None:
    (stand.folder / "logs").write_text("a file where a folder should be")
    node = stand.simulator()
    stand.start(node)
    stand.wait(node, NodeState.FAILED)
    assert "rights on the log folder" in node.state_reason


def test_webui_that_is_not_ready_in_time_is_ended(stand: KeeperStand, settings: Settings) -> None:
    settings.STABLENEW_READY_TIMEOUT_S = 1.0
    node = stand.node(python("import time; time.sleep(60)"))
    stand.start(node)
    stand.wait(node, NodeState.FAILED)
    assert "was not ready after 1 s. Nothing listened at" in node.state_reason
    assert "does its command give it this port" in node.state_reason
    assert not is_running(node.pid)


def test_webui_repaired_by_hand_is_used_without_being_told(
    stand: KeeperStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webui.nodes.start_backoff.START_PAUSES_S", (600.0,))
    node = stand.node("/nowhere/webui.sh")
    stand.start(node)
    stand.wait(node, NodeState.FAILED)
    command = [sys.executable, "-m", "webui.simulator", "--port", str(endpoint(node.base_url)[1])]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as by_hand:
        stand.wait(node, NodeState.READY)
        assert node.adopted_foreign
        by_hand.kill()


def test_row_with_the_pid_of_a_stranger_harms_nobody(stand: KeeperStand) -> None:
    node = stand.simulator()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        Node.objects.filter(pk=node.pk).update(
            state=NodeState.READY,
            generation=4,
            pid=stranger.pid,
            process_start_ticks=12,
            boot_id=process.machine_boot_id(),
            nonce="of-a-boot-long-gone",
        )
        stand.start(node)
        stand.wait(node, NodeState.READY, where=lambda node: node.generation == 5)
        assert stranger.poll() is None
        stranger.kill()


# --- the keeper's own process dies ------------------------------------------------------------------------


@pytest.fixture
def keeper_process(stand: KeeperStand, settings: Settings) -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for one in started:
        one.kill()
        one.wait()


def run_keeper(stand: KeeperStand, node: Node) -> subprocess.Popen[bytes]:
    """A keeper in a process of its own, on this test's database and folders."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        url = f"sqlite:///{database['NAME']}"
    else:
        url = "postgres://{USER}:{PASSWORD}@{HOST}:{PORT}/{NAME}".format(**database)
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "stablenew_site.settings",
        "DATABASE_URL": url,
        "STABLENEW_DATA_DIR": str(stand.folder),
        "STABLENEW_SETTLE_S": "0.2",
    }
    return subprocess.Popen([sys.executable, "-c", KEEPER, str(node.pk)], cwd=ROOT, env=environment)


@pytest.mark.parametrize("state", [NodeState.STARTING, NodeState.READY])
def test_webui_survives_the_death_of_its_keeper_and_is_adopted(
    stand: KeeperStand, keeper_process: list[subprocess.Popen[bytes]], state: NodeState
) -> None:
    journal = stand.folder / "journal"
    node = stand.simulator("--boot-seconds", "1.5", "--journal", str(journal))
    first = run_keeper(stand, node)
    keeper_process.append(first)
    stand.wait(node, state, where=lambda node: node.pid is not None)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    pid = node.pid
    assert is_running(pid)
    stand.start(node)
    stand.wait(node, NodeState.READY, where=lambda node: bool(stand.readies))
    assert (node.pid, node.generation) == (pid, 1)
    assert len([line for line in journal_lines(journal) if line["event"] == "start"]) == 1


def test_adopted_webui_is_watched_restarted_and_stopped_like_our_own(
    stand: KeeperStand, keeper_process: list[subprocess.Popen[bytes]]
) -> None:
    node = stand.simulator()
    first = run_keeper(stand, node)
    keeper_process.append(first)
    stand.wait(node, NodeState.READY)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    keeper = stand.start(node)
    kill(node)
    stand.wait(node, NodeState.READY, where=lambda node: node.generation == 2)
    identity = process.identity_of(node)
    assert keeper.stop(stop_webui=True, deadline_s=PATIENCE_S)
    assert process.family(identity) == []

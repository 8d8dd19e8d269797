"""A WebUI that does not come up again: tries, pauses, who waits and who repairs; and who sits on its port."""

from __future__ import annotations

import itertools
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from django.db import connections
from pytest_django import Settings

from tests.contract.simulator_process import SimulatorProcess
from tests.free_ports import free_port
from tests.keepers import OTHER_SERVER, KeeperStand, journal_lines
from tests.promises import PATIENCE_S
from webui.http import ports
from webui.keeper.keeper import Keeper
from webui.models import Node, NodeState, Wish
from webui.nodes import wishes
from webui.processes import process

pytestmark = pytest.mark.django_db(transaction=True)

#: Announces its start like the WebUI; SIGUSR1 closes its port and opens it again 1.5 s later, in the same process.
RELOADER = """
import http.server, json, signal, socketserver, sys, threading, time

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print(json.dumps({"asked_after_s": time.monotonic() - opened_at}), flush=True)
        body = b'{"progress": 0, "eta_relative": 0, "state": {"job_count": 0}}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

class Server(http.server.ThreadingHTTPServer):
    allow_reuse_address = True

def serve():
    global server, opened_at
    opened_at = time.monotonic()
    server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

def reload_ui(number, frame):
    threading.Thread(target=again).start()

def again():
    server.shutdown()
    server.server_close()
    print("Restarting UI...", flush=True)
    time.sleep(1.5)
    serve()

signal.signal(signal.SIGUSR1, reload_ui)
serve()
print("Startup time: 0.1s", flush=True)
while True:
    time.sleep(60)
"""

#: Writes a progress bar without end, as real servers do for days, and speaks just enough of the API.
CHATTERER = """
import http.server, sys, threading, time

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"progress": 0, "eta_relative": 0, "state": {"job_count": 0}}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass

server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
step = 0
while True:
    step += 1
    sys.stderr.write(f"\\r{step}%|#####      | 5/20 [00:02<00:06,  2.43it/s]" + ("\\n" if step % 20 == 0 else ""))
    if step % 20 == 0:
        time.sleep(0.001)
"""


@pytest.fixture
def stand(tmp_path: Path, settings: Settings) -> Iterator[KeeperStand]:
    with KeeperStand(tmp_path, settings) as stand:
        yield stand


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def recovery(pool: ThreadPoolExecutor, node: Node) -> Future[int]:
    """Waits for the restart of this generation, as the run of a job does."""
    generation = node.generation

    def wait() -> int:
        try:
            return wishes.restart_and_wait_ready(
                node.pk, by="(runner)", reason="refused", generation=generation, waiting=lambda: True
            )
        finally:
            connections.close_all()

    return pool.submit(wait)


def starts(journal: Path) -> int:
    return [line["event"] for line in journal_lines(journal)].count("start")


def other_server(port: int) -> subprocess.Popen[bytes]:
    """A stranger without the API, already listening."""
    other = subprocess.Popen([sys.executable, "-c", OTHER_SERVER, str(port)], stderr=subprocess.DEVNULL)
    while ports.connect_problem("127.0.0.1", port, 1.0):
        time.sleep(0.02)
    return other


# --- it cannot start ------------------------------------------------------------------------------------


def test_who_waits_gets_his_answer_after_three_failed_tries_and_the_keeper_goes_on(
    stand: KeeperStand, pool: ThreadPoolExecutor, journal: Path, caplog: pytest.LogCaptureFixture
) -> None:
    node = stand.simulator("--journal", str(journal), "--fault", "no-boot@2-5")
    stand.start_until_ready(node)
    began = time.monotonic()
    waiter = recovery(pool, node)
    stand.kill(node)
    assert waiter.result(PATIENCE_S) == 0
    assert time.monotonic() - began >= 3.0, "the pauses are 1 s and 2 s"
    node.refresh_from_db()
    assert (node.state, node.failed_starts, node.generation) == (NodeState.FAILED, 3, 4)
    (record,) = [record for record in caplog.records if getattr(record, "event", "") == "node.restart_failed"]
    assert "3 tries have failed: The WebUI process" in record.getMessage()
    wishes.wish(node.pk, Wish.RUN, by="anna", reason="")
    stand.wait(node, NodeState.FAILED, where=lambda node: node.generation == 5 and node.failed_starts == 1)
    stand.wait(node, NodeState.READY)
    assert (node.generation, node.failed_starts, starts(journal)) == (6, 0, 6)
    stand.wait_readies(node.pk, node.pk)


def test_start_by_a_person_does_not_wait_for_the_pause(
    stand: KeeperStand, monkeypatch: pytest.MonkeyPatch, journal: Path
) -> None:
    monkeypatch.setattr("webui.nodes.start_backoff.START_PAUSES_S", (600.0,))
    node = stand.simulator("--journal", str(journal), "--fault", "no-boot@1")
    stand.start(node)
    stand.wait(node, NodeState.FAILED)
    assert "Trying again in 600 s." in node.state_reason
    stand.stays(node, NodeState.FAILED)
    wishes.wish(node.pk, Wish.RUN, by="anna", reason="")
    stand.wait(node, NodeState.READY)
    assert (node.generation, node.failed_starts, node.adopted_foreign) == (2, 0, False)


def test_restart_by_a_person_does_not_wait_for_the_pause_nor_fail_by_what_was(
    stand: KeeperStand, monkeypatch: pytest.MonkeyPatch, journal: Path
) -> None:
    monkeypatch.setattr("webui.nodes.start_backoff.START_PAUSES_S", (0.1, 0.1, 600.0))
    node = stand.simulator("--journal", str(journal), "--fault", "no-boot@1-3")
    stand.start(node)
    stand.wait(node, NodeState.FAILED, where=lambda node: node.failed_starts == 3)
    assert wishes.restart_and_wait_ready(node.pk, by="anna", reason="repaired") == 4


@pytest.mark.parametrize("simulated", [False, True])
def test_webui_started_by_hand_is_used_although_the_next_try_is_far_away(
    stand: KeeperStand,
    pool: ThreadPoolExecutor,
    journal: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    simulated: bool,
) -> None:
    monkeypatch.setattr("webui.nodes.start_backoff.START_PAUSES_S", (0.2, 0.2, 600.0))
    node = stand.simulator("--journal", str(journal), "--fault", "no-boot@2-", simulated=simulated)
    keeper = Keeper(node.pk, on_ready=lambda: stand.readies.append(node.pk))
    keeper.start()
    try:
        stand.wait(node, NodeState.READY)
        waiter = recovery(pool, node)
        stand.kill(node)
        assert waiter.result(PATIENCE_S) == 0
        stand.wait(node, NodeState.FAILED)
        stand.stays(node, NodeState.FAILED, for_s=2.5)  # it is looked for again and again
        with SimulatorProcess(tmp_path, port=ports.endpoint(node.base_url)[1]) as by_hand:
            stand.wait(node, NodeState.READY)
            assert (node.adopted_foreign, node.failed_starts, node.generation) == (True, 0, 5)
            assert by_hand.url == node.base_url
            stand.wait_readies(node.pk, node.pk)
    finally:
        keeper.stop(stop_webui=True, deadline_s=PATIENCE_S)


@pytest.mark.parametrize("simulated", [False, True])
def test_start_asked_where_somebody_has_started_it_by_hand_uses_that_one(
    stand: KeeperStand, journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulated: bool
) -> None:
    monkeypatch.setattr("webui.nodes.start_backoff.START_PAUSES_S", (600.0,))
    node = stand.simulator("--journal", str(journal), "--fault", "no-boot@*", simulated=simulated)
    keeper = stand.keeper(node)
    stand.look_until(keeper, node, NodeState.FAILED)
    address = node.base_url
    with SimulatorProcess(tmp_path, port=ports.endpoint(address)[1]):
        wishes.wish(node.pk, Wish.RUN, by="anna", reason="")
        stand.look_until(keeper, node, NodeState.READY)
        assert (node.base_url, node.adopted_foreign, starts(journal)) == (address, True, 1)


# --- it dies at other moments ---------------------------------------------------------------------------


def test_webui_killed_during_its_boot_is_one_failed_try(stand: KeeperStand, journal: Path) -> None:
    node = stand.simulator("--journal", str(journal), "--boot-seconds", "1")
    stand.start(node)
    stand.wait(node, NodeState.STARTING, where=lambda node: node.pid is not None)
    stand.kill(node)
    stand.wait(node, NodeState.FAILED)
    assert node.failed_starts == 1
    assert "was ended by SIGKILL" in node.state_reason
    stand.wait(node, NodeState.READY)
    assert (node.generation, node.failed_starts) == (2, 0)


def test_webui_killed_during_the_restart_is_brought_up_for_who_waits(
    stand: KeeperStand, pool: ThreadPoolExecutor, journal: Path
) -> None:
    node = stand.simulator("--journal", str(journal), "--boot-seconds", "1")
    stand.start_until_ready(node)
    waiter = recovery(pool, node)
    stand.wait(node, NodeState.STARTING, where=lambda node: node.pid is not None and starts(journal) == 2)
    stand.kill(node)
    assert waiter.result(PATIENCE_S) == 3
    assert starts(journal) == 3


def test_server_that_opens_its_port_again_gets_its_pause_although_it_once_announced_its_start(
    stand: KeeperStand, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webui.keeper.ready_watch.CONNECT_CHECK_S", 0.2)
    settings.STABLENEW_SETTLE_S = 1.0
    port = free_port()
    node = stand.node(shlex.join([sys.executable, "-c", RELOADER, str(port)]), port=port)
    stand.start_until_ready(node)
    pid = node.pid or 0
    os.kill(pid, 10)
    stand.wait(node, NodeState.STARTING)
    stand.wait(node, NodeState.READY)
    assert (node.pid, node.generation) == (pid, 1), "it lives: it is not restarted"
    log = (Path(node.log_directory) / "stdout.log").read_text().partition("Restarting UI...")[2]
    first = next(line for line in log.splitlines() if "asked_after_s" in line)
    assert float(first.partition(": ")[2].rstrip("}")) >= 0.95


def test_server_that_closed_its_port_and_then_died_is_started_at_once(
    stand: KeeperStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webui.keeper.ready_watch.CONNECT_CHECK_S", 0.2)
    monkeypatch.setattr("webui.nodes.start_backoff.START_PAUSES_S", (600.0,))
    port = free_port()
    node = stand.node(shlex.join([sys.executable, "-c", RELOADER, str(port)]), port=port)
    stand.start_until_ready(node)
    os.kill(node.pid or 0, 10)
    stand.wait(node, NodeState.STARTING)
    stand.kill(node)
    stand.wait(node, NodeState.READY, where=lambda node: node.generation == 2)


# --- a stranger takes its port ----------------------------------------------------------------------------


@pytest.fixture
def keeper_less(stand: KeeperStand) -> Callable[[Node], None]:
    """A READY node whose WebUI dies while its keeper is away, so that the port is free for a moment."""

    def prepare(node: Node) -> None:
        stand.start_until_ready(node).stop(stop_webui=False, deadline_s=PATIENCE_S)
        stand.kill(node)
        while ports.connect_problem(*ports.endpoint(node.base_url), 1.0) is None:
            time.sleep(0.02)

    return prepare


def test_stranger_without_the_api_on_the_port_is_named_and_who_waits_gets_his_answer(
    stand: KeeperStand, pool: ThreadPoolExecutor, keeper_less: Callable[[Node], None]
) -> None:
    node = stand.simulator()
    keeper_less(node)
    port = ports.endpoint(node.base_url)[1]
    with other_server(port) as stranger:
        waiter = recovery(pool, node)
        stand.start(node)
        assert waiter.result(PATIENCE_S) == 0
        stand.wait(node, NodeState.FAILED)
        assert f"Port {port} is taken by process {stranger.pid} (" in node.state_reason
        assert (node.generation, stranger.poll()) == (1, None), "nothing was started, nothing was ended"
        stranger.kill()
    stand.wait(node, NodeState.READY)
    assert (node.generation, node.adopted_foreign, node.failed_starts) == (2, False, 0)


def test_stranger_with_the_api_on_the_port_is_used_for_the_retry(
    stand: KeeperStand, pool: ThreadPoolExecutor, tmp_path: Path, keeper_less: Callable[[Node], None]
) -> None:
    node = stand.simulator()
    keeper_less(node)
    with SimulatorProcess(tmp_path, port=ports.endpoint(node.base_url)[1]) as stranger:
        waiter = recovery(pool, node)
        stand.start(node)
        assert waiter.result(PATIENCE_S) == 2
        node.refresh_from_db()
        assert node.adopted_foreign
        assert stranger.process.poll() is None


def test_simulator_whose_port_was_taken_while_it_was_down_moves_to_another_one(
    stand: KeeperStand, monkeypatch: pytest.MonkeyPatch, journal: Path
) -> None:
    monkeypatch.setattr("webui.nodes.start_backoff.START_PAUSES_S", (600.0,))
    command = "-m webui.simulator --port {port} --fault no-boot@1 --journal"
    node = stand.node(f"{shlex.quote(sys.executable)} {command} {shlex.quote(str(journal))}", simulated=True)
    stand.start(node)
    stand.wait(node, NodeState.FAILED)
    port = ports.endpoint(node.base_url)[1]
    with other_server(port) as stranger:
        stand.wait(node, NodeState.READY)
        assert ports.endpoint(node.base_url)[1] != port
        assert process.is_process_alive(node)
        stranger.kill()


# --- its output -------------------------------------------------------------------------------------------


def test_output_of_a_webui_that_never_stops_writing_stays_within_its_bound(
    stand: KeeperStand, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webui.keeper.step.LOGS_EVERY_S", 0.1)
    settings.STABLENEW_LOG_MAX_BYTES = 300_000
    port = free_port()
    node = stand.node(shlex.join([sys.executable, "-c", CHATTERER, str(port)]), port=port)
    stand.start_until_ready(node)
    log = Path(node.log_directory) / "stderr.log"
    sizes = [log.stat().st_size]
    until = time.monotonic() + PATIENCE_S
    cuts = 0
    # How far it grows between two looks is the machine's affair; that every look shortens it is ours.
    while cuts < 3:
        assert time.monotonic() < until, f"it was shortened {cuts} times: {sizes[-20:]}"
        time.sleep(0.02)
        sizes.append(log.stat().st_size)
        cuts += sizes[-1] < sizes[-2]
    assert min(later for earlier, later in itertools.pairwise(sizes) if later < earlier) <= 300_000
    stand.kill(node)
    stand.wait(node, NodeState.READY, where=lambda node: node.generation == 2)
    # The kill may have cut its last line short.
    assert any("it/s]" in line for line in log.read_text().splitlines()[-2:])

"""Restart of a server that somebody else keeps running: through its API, by a command, or by waiting for it."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from tests.contract.simulator_process import SimulatorProcess
from tests.factories import make_node
from tests.free_ports import free_port
from tests.keepers import ROOT, KeeperStand, journal_lines
from tests.promises import PATIENCE_S
from webui.keeper.restart_means import begin, restart_means
from webui.models import Node, NodeState, Wish
from webui.nodes import adding, wishes
from webui.processes import boot_logs

pytestmark = pytest.mark.django_db(transaction=True)

#: Starts its arguments again whenever they exit with 0, as the WebUI's own script does after a server-restart.
WRAPPER = "import subprocess, sys\nwhile subprocess.call(sys.argv[1:]) == 0: pass"

#: Ends the process whose pid is in the file, starts the rest of the arguments, writes their pid there.
RESTARTER = """
import os, pathlib, signal, subprocess, sys
file = pathlib.Path(sys.argv[1])
os.kill(int(file.read_text()), signal.SIGKILL)
with open(os.devnull, "wb") as nowhere:
    new = subprocess.Popen(sys.argv[2:], stdout=nowhere, stderr=nowhere, start_new_session=True)
file.write_text(str(new.pid))
print("restarted", sys.argv[2:4], "STABLENEW_SECRET_KEY" in os.environ)
"""


#: Writes its pid whole, then outlasts any test.
NEVER_ENDS = """
import os, pathlib, sys, time
fresh = pathlib.Path(sys.argv[1] + ".new")
fresh.write_text(str(os.getpid()))
fresh.replace(sys.argv[1])
time.sleep(600)
"""


@pytest.fixture
def stand(tmp_path: Path, settings: Settings) -> Iterator[KeeperStand]:
    with KeeperStand(tmp_path, settings) as stand:
        yield stand


def python(program: str, *arguments: object) -> str:
    return shlex.join([sys.executable, "-c", program, *map(str, arguments)])


def simulator(port: int, *options: object) -> list[str]:
    return [sys.executable, "-m", "webui.simulator", "--port", str(port), *map(str, options)]


@pytest.mark.parametrize(
    ("given", "means"),
    [
        ({"start_command": "./webui.sh"}, "by us"),
        ({"start_command": "./webui.sh", "adopted_foreign": True}, "not by us: somebody else started it"),
        ({"restart_command": "docker restart webui"}, "by the command docker restart webui"),
        ({"restart_command": "again --api-auth anna:hidden"}, "by the command again --api-auth ***"),
        ({}, "through its API if it offers that, else not by us"),
    ],
)
def test_node_says_how_it_is_restarted(given: dict[str, object], means: str) -> None:
    assert restart_means(Node(name="gpu", **given)) == means


def test_server_that_offers_a_restart_is_asked_through_its_api(
    stand: KeeperStand, tmp_path: Path, settings: Settings
) -> None:
    settings.STABLENEW_SETTLE_S = 0.6
    journal, port = tmp_path / "journal", free_port()
    # A request within 400 ms of the opening of the port would end it with 1, and the wrapper with it.
    command = simulator(port, "--api-server-stop", "--fragile-start", "--journal", journal)
    environment = {**os.environ, "SD_WEBUI_RESTART": "tmp/restart"}
    with subprocess.Popen(
        [sys.executable, "-c", WRAPPER, *command], cwd=ROOT, env=environment, start_new_session=True
    ) as wrapper:
        try:
            node = stand.node(port=port)
            stand.start_until_ready(node)
            assert (
                wishes.restart_and_wait_ready(node.pk, PATIENCE_S, by="worker", reason="500", generation=1)
                == 2
            )
            lines = journal_lines(journal)
            assert [line["event"] for line in lines].count("start") == 2
            assert [line.get("path") for line in lines].count("/sdapi/v1/server-restart") == 1
            node.refresh_from_db()
            assert (node.restarts, node.adopted_foreign) == (1, False)
            assert node.state_reason == f"The WebUI at {node.base_url} answers."
        finally:
            os.killpg(wrapper.pid, 9)


@pytest.mark.parametrize("options", [(), ("--api-server-stop",)], ids=["404", "501"])
def test_server_that_offers_no_restart_is_used_on_and_the_row_says_so(
    stand: KeeperStand, tmp_path: Path, caplog: pytest.LogCaptureFixture, options: tuple[str, ...]
) -> None:
    with SimulatorProcess(tmp_path, *options) as server:
        node = stand.node(port=server.port)
        stand.start_until_ready(node)
        assert wishes.restart_and_wait_ready(node.pk, PATIENCE_S, by="worker", reason="500") == 1
        node.refresh_from_db()
        assert (node.generation, node.restarts) == (1, 0)
        assert "It was not restarted: it offers no restart through its API." in node.state_reason
        assert server.process.poll() is None
    assert "node.not_restarted" in [getattr(record, "event", "") for record in caplog.records]


def test_server_that_is_down_is_waited_for(stand: KeeperStand, tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path) as server:
        node = stand.node(port=server.port)
        keeper = stand.start_until_ready(node)
        keeper.stop(stop_webui=False, deadline_s=PATIENCE_S)
        server.process.kill()
        server.process.wait()
    wishes.wish(node.pk, Wish.RESTART, by="worker", reason="refused", generation=1)
    Node.objects.filter(pk=node.pk).update(state=NodeState.READY)
    stand.start(node)
    stand.wait(node, NodeState.UNREACHABLE, where=lambda node: "Nothing listens at" in node.state_reason)
    stand.stays(node, NodeState.UNREACHABLE)
    with SimulatorProcess(tmp_path, port=server.port):
        stand.wait(node, NodeState.READY)
        assert node.generation == 2
        assert "not restarted" not in node.state_reason


def test_restart_command_is_run_and_the_server_awaited(
    stand: KeeperStand, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.STABLENEW_SETTLE_S = 0.6
    monkeypatch.setenv("STABLENEW_SECRET_KEY", "x" * 50)
    journal, port, pid_file = tmp_path / "journal", free_port(), tmp_path / "pid"
    command = simulator(port, "--boot-seconds", "0.5", "--fragile-start", "--journal", journal)
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as first:
        pid_file.write_text(str(first.pid))
        node = stand.node(port=port, restart_command=python(RESTARTER, pid_file, *command))
        stand.start_until_ready(node)
        try:
            assert wishes.restart_and_wait_ready(node.pk, PATIENCE_S, by="worker", reason="500") == 2
            assert first.wait(PATIENCE_S) == -9
            assert [line["event"] for line in journal_lines(journal)].count("start") == 2
        finally:
            os.kill(int(pid_file.read_text()), 9)
    node.refresh_from_db()
    assert node.log_directory == "", "the output of the command is not that of the WebUI"
    said = boot_logs.restart_log(node.name, 2).read_text()
    assert said.startswith("restarted ")
    assert said.endswith(" False\n"), "our secrets stay ours"


@pytest.mark.parametrize(
    ("command", "within_s", "sentence"),
    [
        (
            python("raise SystemExit('Unit webui.service not found.')"),
            PATIENCE_S,
            "The restart command ended with exit code 1; its last line: Unit webui.service not found.",
        ),
        (
            "/nowhere/systemctl restart webui",
            PATIENCE_S,
            "cannot be run (No such file or directory: /nowhere/systemctl)",
        ),
        (python("import time; time.sleep(600)"), 1.0, "it took longer than 1 s"),
        (python("import sys; sys.exit(len(sys.argv))", ";", "$HOME"), PATIENCE_S, "ended with exit code 3"),
    ],
    ids=["fails", "missing", "never ends", "no shell"],
)
def test_restart_command_that_fails_is_told(
    stand: KeeperStand, tmp_path: Path, settings: Settings, command: str, within_s: float, sentence: str
) -> None:
    settings.STABLENEW_RESTART_COMMAND_S = within_s
    with SimulatorProcess(tmp_path) as server:
        node = stand.node(port=server.port, restart_command=command)
        stand.start_until_ready(node)
        assert wishes.restart_and_wait_ready(node.pk, PATIENCE_S, by="worker", reason="500") == 1
        node.refresh_from_db()
        assert (node.generation, node.restarts) == (1, 0)
        assert sentence in node.state_reason


def test_keeper_heeds_a_stop_while_the_restart_command_runs(
    stand: KeeperStand, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with SimulatorProcess(tmp_path) as server:
        pid_file = tmp_path / "pid"
        node = stand.node(port=server.port, restart_command=python(NEVER_ENDS, pid_file))
        stand.start_until_ready(node)
        wishes.wish(node.pk, Wish.RESTART, by="anna", reason="")
        stand.wait(node, NodeState.RESTARTING, where=lambda node: pid_file.exists())
        wishes.wish(node.pk, Wish.STOP, by="anna", reason="")
        stand.wait(node, NodeState.STOPPED)
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid_file.read_text()), 9)


def test_settings_give_the_default_node_a_restart_command(settings: Settings) -> None:
    settings.STABLENEW_WEBUI_URL, settings.STABLENEW_WEBUI_COMMAND = "http://gpu:7860", ""
    settings.STABLENEW_WEBUI_AUTH, settings.STABLENEW_WEBUI_RESTART_COMMAND = "", "systemctl restart webui"
    node = adding.ensure_default_node()
    assert node.restart_command == "systemctl restart webui"
    Node.objects.filter(pk=node.pk).update(state=NodeState.READY)
    settings.STABLENEW_WEBUI_RESTART_COMMAND = "docker restart webui"
    assert adding.ensure_default_node().wish == "", "how it is restarted is no reason to restart it"
    settings.STABLENEW_WEBUI_COMMAND = "./webui.sh"
    assert adding.ensure_default_node().restart_command == ""


def test_last_words_of_a_restart_command_are_told_without_its_passwords(
    tmp_path: Path, settings: Settings
) -> None:
    settings.STABLENEW_LOG_DIR = tmp_path
    node = make_node(
        "far", api_auth="ann:hush7", restart_command="sh -c 'echo no login for ann:hush7; exit 3'"
    )
    walk = begin(node, clock=time.monotonic)
    while (done := walk.step()) is None:
        time.sleep(0.02)
    assert "its last line: no login for [removed]" in done.problem

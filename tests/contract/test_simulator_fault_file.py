"""Faults of a simulator's start, and the file of faults that may change while it runs: real processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from tests.contract.simulator_process import ROOT, SimulatorProcess, journal_lines

# --- starts ---------------------------------------------------------------------------------------------


def started(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A simulator that is expected to end by itself."""
    command = [sys.executable, "-m", "webui.simulator", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_failed_start_ends_with_a_traceback_and_counts_over_starts(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    words = ("--journal", str(journal), "--fault", "no-boot@2-3")
    with SimulatorProcess(tmp_path, *words):
        pass
    for _ in range(2):
        ended = started("--port", "0", *words)
        assert ended.returncode == 1
        assert ended.stderr.startswith("Traceback (most recent call last):\n")
        assert "(fault no-boot)" in ended.stderr.splitlines()[-1]
        assert "Running on local URL" not in ended.stdout
    with SimulatorProcess(tmp_path, *words) as simulator:
        assert simulator.post().status_code == 200
    assert [line["boot"] for line in journal_lines(journal, "start")] == [1, 2, 3, 4]
    assert [line["boot"] for line in journal_lines(journal, "ready")] == [1, 4]
    assert [(line["boot"], line["how"]) for line in journal_lines(journal, "end")] == [
        (2, "no-boot"),
        (3, "no-boot"),
    ]


def test_slow_start_opens_its_port_later(tmp_path: Path) -> None:
    started_at = time.monotonic()
    with SimulatorProcess(tmp_path, "--fault", "slow-boot=0.8@1"):
        assert time.monotonic() - started_at >= 0.8


@pytest.mark.parametrize(
    ("sent", "how", "code"), [(signal.SIGTERM, "SIGTERM", -15), (signal.SIGINT, "SIGINT", 0)]
)
def test_end_by_a_signal_is_told_and_a_kill_is_not(
    tmp_path: Path, sent: signal.Signals, how: str, code: int
) -> None:
    journal = tmp_path / "journal"
    for number in (sent, signal.SIGKILL):
        with SimulatorProcess(tmp_path, "--journal", str(journal)) as simulator:
            simulator.process.send_signal(number)
            simulator.process.wait(timeout=120)
    assert [(line["boot"], line["how"], line["code"]) for line in journal_lines(journal, "end")] == [
        (1, how, code)
    ]


# --- the file of faults ---------------------------------------------------------------------------------


def put(path: Path, *rules: str) -> None:
    """As others should: never half a file."""
    beside = path.with_suffix(".new")
    beside.write_text("\n".join(rules) + "\n")
    os.replace(beside, path)


def test_file_of_faults_steers_the_next_request(tmp_path: Path) -> None:
    path = tmp_path / "faults"
    with SimulatorProcess(tmp_path, "--fault-file", str(path)) as simulator:
        assert simulator.post().status_code == 200
        put(path, "500@*")
        assert simulator.post().status_code == 500
        put(path, "nonsense", "503~wolf")
        assert [simulator.post(prompt=f"a {who}").status_code for who in ("cat", "wolf")] == [200, 503]
        assert "skipped a line of" in simulator.log
        path.unlink()
        assert simulator.post(prompt="a wolf").status_code == 200


def test_file_of_faults_steers_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "faults"
    put(path, "no-boot@*")
    assert started("--port", "0", "--fault-file", str(path)).returncode == 1
    put(path)
    with SimulatorProcess(tmp_path, "--fault-file", str(path)) as simulator:
        assert simulator.post().status_code == 200


def test_rules_with_once_survive_a_restart(tmp_path: Path) -> None:
    path, journal = tmp_path / "faults", tmp_path / "journal"
    put(path, "once:1 500@*", "once no-boot@*", "once:2 die@*")
    words = ("--fault-file", str(path), "--journal", str(journal), "--port", "0")
    assert started(*words).returncode == 1
    with SimulatorProcess(tmp_path, *words[:4]) as simulator:
        assert simulator.post().status_code == 500
        with pytest.raises(requests.ConnectionError, match="RemoteDisconnected"):
            simulator.post()
        simulator.process.wait(timeout=120)
    with SimulatorProcess(tmp_path, *words[:4]) as simulator:
        assert [simulator.post().status_code for _ in range(2)] == [200, 200]
    struck = [(line["boot"], line["n"], line["rule"]) for line in journal_lines(journal, "fault")]
    assert struck == [(1, None, "once no-boot@*"), (2, 1, "once:1 500@*"), (2, 2, "once:2 die@*")]


def test_simulators_with_the_same_options_keep_files_of_their_own(tmp_path: Path) -> None:
    words = ("--journal", str(tmp_path / "journal-{port}"), "--fault-file", str(tmp_path / "faults-{port}"))
    ports = []
    for _ in range(2):
        with SimulatorProcess(tmp_path) as probe:
            ports.append(probe.port)
    put(tmp_path / f"faults-{ports[0]}", "500@*")
    statuses = []
    for port in ports:
        with SimulatorProcess(tmp_path, *words, port=port) as simulator:
            statuses.append(simulator.post().status_code)
    assert statuses == [500, 200]
    assert [journal_lines(tmp_path / f"journal-{port}", "ready")[0]["port"] for port in ports] == ports

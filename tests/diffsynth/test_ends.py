"""How a worker and its jobs end: kill, cancel and faults in every phase, its parent, its folder, its exit status."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.diffsynth.environment import interpreter
from tests.diffsynth.worker_process import (
    PATIENCE_S,
    TOKEN,
    Holds,
    WorkerClient,
    WorkerProcess,
    environment_of,
    tiny_configuration,
    write_configuration,
)
from tests.diffsynth.works import edit_body, film_body, picture, sha256_of
from tests.free_ports import free_port

pytestmark = pytest.mark.diffsynth

PICTURE = picture()
PHASES = pytest.mark.parametrize("phase", ["encode", "denoise", "decode", "save"])


@pytest.fixture
def holds(tmp_path: Path) -> Iterator[Holds]:
    holds = Holds(tmp_path)
    yield holds
    holds.release()


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Where workers of this test make their folders."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


def started(
    kind: str, tmp_path: Path, weights: Path, holds: Holds, temporary: Path, **changes: object
) -> WorkerProcess:
    config = write_configuration(tmp_path, tiny_configuration(kind, weights, **changes))
    return WorkerProcess(config, weights, environment={**holds.environment, "TMPDIR": str(temporary)})


def own_folders(temporary: Path) -> list[Path]:
    return [path for path in temporary.iterdir() if path.name.startswith("stablenew-worker-")]


def send(client: WorkerClient, job_id: str, **changes: object) -> None:
    client.put(sha256_of(PICTURE), PICTURE)
    body = film_body if client.health().json["kind"] == "i2v" else edit_body
    assert client.ask("POST", "/jobs", body(job_id, PICTURE, **changes)).status == 202


@PHASES
def test_a_worker_killed_in_any_phase_is_gone_at_once_and_the_next_one_draws(
    phase: str, tmp_path: Path, weights: Path, holds: Holds, temporary: Path
) -> None:
    holds.hold(phase)
    with started("i2v", tmp_path, weights, holds, temporary) as worker:
        assert worker.client.wait_until_loaded()["state"] == "ready"
        send(worker.client, "a")
        worker.client.wait_for_phase("a", phase)
        worker.process.kill()
        assert worker.process.wait(PATIENCE_S) == -signal.SIGKILL
        with pytest.raises(requests.ConnectionError):
            worker.client.health()
    holds.release()
    [left_behind] = own_folders(temporary)
    with started("i2v", tmp_path, weights, holds, temporary) as worker:
        assert worker.client.wait_until_loaded()["state"] == "ready"
        assert left_behind not in own_folders(temporary)
        assert worker.client.ask("GET", "/jobs/a").code == "unknown_job"
        send(worker.client, "a")
        assert worker.client.wait_for("a")["state"] == "done"


def test_a_worker_killed_while_it_loads_leaves_nothing_that_hinders_the_next(
    tmp_path: Path, weights: Path, holds: Holds, temporary: Path
) -> None:
    with started("edit", tmp_path, weights, holds, temporary) as worker:
        assert worker.client.health().json["state"] == "loading"
        worker.process.kill()
        worker.process.wait(PATIENCE_S)
    with started("edit", tmp_path, weights, holds, temporary) as worker:
        assert worker.client.wait_until_loaded()["state"] == "ready"
        assert len(own_folders(temporary)) == 1


def test_a_cancelled_job_ends_at_the_next_place_where_it_can(
    tmp_path: Path, weights: Path, holds: Holds, temporary: Path
) -> None:
    with started("i2v", tmp_path, weights, holds, temporary) as worker:
        worker.client.wait_until_loaded()
        for phase, state in (
            ("encode", "cancelled"),
            ("denoise", "cancelled"),
            ("decode", "cancelled"),
            ("save", "done"),
        ):
            holds.hold(phase)
            send(worker.client, phase)
            before = worker.client.wait_for_phase(phase, phase)
            assert worker.client.ask("POST", f"/jobs/{phase}/cancel").status == 202
            assert before["state"] == "running"
            holds.release()
            ended = worker.client.wait_for(phase)
            # What is written already is not thrown away.
            assert (ended["state"], ended["result"] is not None) == (state, state == "done")
        send(worker.client, "next")
        assert worker.client.wait_for("next")["state"] == "done"


def test_a_job_that_fails_in_the_library_costs_that_job_alone(
    tmp_path: Path, weights: Path, holds: Holds, temporary: Path
) -> None:
    with started("edit", tmp_path, weights, holds, temporary) as worker:
        worker.client.wait_until_loaded()
        holds.fail("other")
        send(worker.client, "a")
        error = worker.client.wait_for("a")["error"]
        assert error == {"code": "failed", "message": "the tensors of this test do not fit"}
        holds.fail_no_more()
        send(worker.client, "b")
        assert worker.client.wait_for("b")["state"] == "done"


@pytest.mark.parametrize(
    ("fault", "code", "status"),
    [("cuda-memory", "out_of_memory", 70), ("memory", "out_of_memory", 70), ("device", "failed", 71)],
)
def test_a_worker_without_memory_or_card_says_so_and_exits(
    fault: str, code: str, status: int, tmp_path: Path, weights: Path, holds: Holds, temporary: Path
) -> None:
    with started("i2v", tmp_path, weights, holds, temporary) as worker:
        worker.client.wait_until_loaded()
        holds.fail(fault)
        send(worker.client, "a")
        ended = worker.client.wait_for("a")
        assert (ended["state"], ended["error"]["code"]) == ("failed", code)
        assert worker.process.wait(PATIENCE_S) == status
    assert own_folders(temporary) == []


def test_a_film_that_does_not_fit_the_memory_of_the_machine_is_told_so(
    tmp_path: Path, weights: Path, holds: Holds, temporary: Path
) -> None:
    """Nothing pretends here: the process may take 400 MB more, and the film needs gigabytes."""
    with started("i2v", tmp_path, weights, holds, temporary) as worker:
        worker.client.wait_until_loaded()
        send(worker.client, "small")
        assert worker.client.wait_for("small")["state"] == "done"
        pages = int(Path(f"/proc/{worker.process.pid}/statm").read_text().split()[0])
        most = pages * os.sysconf("SC_PAGE_SIZE") + 400_000_000
        resource.prlimit(worker.process.pid, resource.RLIMIT_AS, (most, most))
        send(worker.client, "large", width=1920, height=1920, num_frames=241)
        error = worker.client.wait_for("large")["error"]
        assert error["code"] == "out_of_memory"
        assert worker.process.wait(PATIENCE_S) == 70


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_asked_to_end_ends_in_the_middle_of_a_job(
    number: signal.Signals, tmp_path: Path, weights: Path, holds: Holds, temporary: Path
) -> None:
    with started("i2v", tmp_path, weights, holds, temporary) as worker:
        worker.client.wait_until_loaded()
        holds.hold("denoise")
        send(worker.client, "a")
        worker.client.wait_for_phase("a", "denoise")
        worker.process.send_signal(number)
        assert worker.process.wait(PATIENCE_S) == 128 + number
    assert own_folders(temporary) == []
    # One line of ours on standard output, whatever the library prints.
    assert worker.rest == [b""]


STARTER = """
import subprocess, sys, time
process = subprocess.Popen(sys.argv[1:])
print(process.pid, flush=True)
time.sleep(100_000)
"""


@pytest.mark.parametrize("follows", [True, False])
def test_a_worker_ends_with_its_parent_where_it_was_told_so(
    follows: bool, tmp_path: Path, weights: Path, temporary: Path
) -> None:
    config = write_configuration(tmp_path, tiny_configuration("edit", weights))
    port = free_port()
    command = [str(interpreter()), "-P", "-m", "webui.drivers.diffsynth.worker", "--config", str(config)]
    command += ["--port", str(port), *(["--with-parent"] * follows)]
    environment = {**environment_of(weights), "STABLENEW_WORKER_TOKEN": TOKEN, "TMPDIR": str(temporary)}
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, *command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    pid = 0
    try:
        assert starter.stdout
        pid = int(starter.stdout.readline())
        assert b"worker listening on" in starter.stdout.readline()
        client = WorkerClient(f"http://127.0.0.1:{port}")
        assert client.health().json["pid"] == pid
        starter.kill()
        starter.wait()
        if follows:
            wait_until_gone(pid)
            assert own_folders(temporary) == []
        else:
            # It has looked for its parent more than once by then, if it looks at all.
            time.sleep(2.5)
            assert client.health().json["pid"] == pid
    finally:
        starter.kill()
        starter.wait()
        assert starter.stdout
        starter.stdout.close()
        if pid and is_alive(pid):
            os.kill(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    # An orphan that nobody has waited for yet has ended, too.
    return state != "Z"


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while is_alive(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.05)

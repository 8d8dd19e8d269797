"""A host sleeps in the middle of a job while another one takes its node, and comes back."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.contract.simulator_process import SimulatorProcess
from tests.e2e.queueing import submit
from tests.e2e.stack import Stack

#: A pid of one namespace means nothing in another: to us that is another machine.
ANOTHER_HOST = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
PROMPTS = 8
HOST = "SELECT host_identity FROM jobs_runner"


@pytest.fixture
def namespaces() -> None:
    if sys.platform != "linux":
        pytest.skip("namespaces are Linux's")
    said = subprocess.run([*ANOTHER_HOST, "true"], capture_output=True, text=True, check=False)
    if said.returncode:
        pytest.skip(f"no namespace can be made here: {said.stderr.strip()}")


@pytest.fixture
def server(tmp_path: Path, stack: Stack) -> Iterator[SimulatorProcess]:
    with SimulatorProcess(
        tmp_path, "--seconds-per-step", "0.05", "--journal", str(stack.journal_path)
    ) as simulator:
        yield simulator


@pytest.mark.stack
@pytest.mark.usefixtures("namespaces")
def test_host_that_slept_gives_its_node_up_and_disturbs_no_run_of_the_new_one(
    stack: Stack, server: SimulatorProcess, tmp_path: Path
) -> None:
    stack.env["STABLENEW_SECRET_KEY"] = "the key of both hosts, which have to have the same one"
    node = stack.add_attached(server.url)
    job_ids = submit(stack, text="\n\n".join(f"lighthouse {number}\nneg: fog" for number in range(PROMPTS)))
    first = stack.start_node(node)
    stack.wait_until(lambda: stack.posts(), "the first picture is begun")
    asleep = [psutil.Process(first.pid), *psutil.Process(first.pid).children(recursive=True)]
    try:
        for process in asleep:
            process.suspend()
        other = _take_over(stack, node, tmp_path)
    finally:
        for process in asleep:
            with suppress(psutil.NoSuchProcess):
                process.resume()
    assert first.wait() == 1
    assert "is run by another host now" in stack.log(f"node-{node}")
    for job_id in job_ids:
        job = stack.wait_job(job_id, "COMPLETED", "FAILED")
        assert job["status"] == "COMPLETED", job["error"]
    retries = stack.sql("SELECT count(*) FROM jobs_job WHERE retry_count > 0")
    assert retries in ([(0,)], [(1,)])
    assert other.poll() is None
    other.send_signal(signal.SIGKILL)


def _is_decided(stack: Stack, ended: Callable[[], int | None], before: list[tuple[str]]) -> bool:
    return ended() is not None or stack.sql(HOST) != before


def _take_over(stack: Stack, node: str, tmp_path: Path) -> subprocess.Popen[bytes]:
    """On another machine: refused for as long as the first one was heard of just now."""
    env = stack.env
    stack.env = {**env, "STABLENEW_DATA_DIR": str(tmp_path / "another-host")}
    before = stack.sql(HOST)
    try:
        while True:
            said = len(stack.log("another-host"))
            process = stack.spawn("another-host", ["run_node", node], within=ANOTHER_HOST)
            ended = process.poll
            stack.wait_until(partial(_is_decided, stack, ended, before), "the node is taken or refused")
            if process.poll() is None:
                return process
            assert "is run by another host" in stack.log("another-host")[said:]
    finally:
        stack.env = env

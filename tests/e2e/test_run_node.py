"""The processes of one node: its lock, its children, its drain, its healing. Real kills on real processes."""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import partial
from typing import Any

import psutil
import pytest

from tests.e2e.household import engine_of
from tests.e2e.queueing import posted_jobs, submit
from tests.e2e.stack import NODE, Stack
from tests.promises import PATIENCE_S

pytestmark = pytest.mark.stack

LONG: dict[str, Any] = {"overrides": {"txt2img.steps": 150, "txt2img.width": 64, "txt2img.height": 64}}


def ready(stack: Stack, seconds_per_step: float = 0.01, *words: str) -> psutil.Process:
    """A ready node; its main process."""
    stack.add_simulator(seconds_per_step=seconds_per_step)
    process = stack.start_node(NODE, *words)
    stack.wait_ready()
    return psutil.Process(process.pid)


def webui_pid(stack: Stack) -> int:
    [(pid,)] = stack.sql("SELECT pid FROM webui_node")
    return int(pid)


def worker_pid(stack: Stack) -> int:
    [(owner,)] = stack.sql("SELECT owner FROM jobs_job WHERE status = 'RUNNING'")
    return int(owner.split("|")[1])


def has_posts(stack: Stack, count: int) -> bool:
    return len(stack.posts()) == count


def gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


# --- the lock ------------------------------------------------------------------------------------------


def files_of(pid: int) -> list[str]:
    """What the process holds open."""
    return [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]


def test_the_lock_is_held_by_the_whole_engine_not_by_the_webui_and_refuses_a_second_run_node(
    stack: Stack,
) -> None:
    main = ready(stack)
    engine = engine_of(main)
    for process in engine.values():
        assert any("run-node" in path for path in files_of(process.pid)), process
    pid = webui_pid(stack)
    assert not any("run-node" in path for path in files_of(pid))
    assert os.getsid(pid) == pid, "it has a session of its own"
    assert os.getsid(engine["sentinel"].pid) != os.getsid(main.pid)

    second = stack.run("run_node", NODE)
    assert second.returncode == 1
    assert "Another run_node" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_second_run_node_is_refused_while_only_an_orphan_of_the_first_lives(stack: Stack) -> None:
    stack.add_simulator(seconds_per_step=0.01)
    [(node_id,)] = stack.sql("SELECT id FROM webui_node")
    # What a platform without the death signal leaves: the lock's taker is gone, a fork of it lives on.
    taker = stack.spawn_python(
        "taker",
        "import os, time\n"
        "from pathlib import Path\n"
        "from jobs.supervising.process_guard import lock_node\n"
        f"lock = lock_node(Path(os.environ['STABLENEW_DATA_DIR']) / 'processes/run-node-{node_id}.lock')\n"
        "child = os.fork()\n"
        "if child:\n"
        "    print(child, flush=True)\n"
        "    os._exit(0)\n"
        "time.sleep(100)",
    )
    assert taker.wait(PATIENCE_S) == 0
    orphan = psutil.Process(int(stack.log("taker")))
    refused = stack.run("run_node", NODE)
    assert refused.returncode == 1
    assert "Another run_node, or a process that it left behind" in refused.stderr
    orphan.kill()
    stack.wait_until(lambda: gone(orphan), "the orphan ended")
    stack.start_node()
    stack.wait_ready()


# --- a machine with nothing left -----------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="limits of another process are Linux's")
def test_run_node_without_descriptors_goes_on_and_so_does_its_job(stack: Stack) -> None:
    main = ready(stack, 0.05)
    engine = {process.pid for process in engine_of(main).values()}
    pid = webui_pid(stack)
    [job_id] = submit(stack, **LONG)
    stack.wait_until(lambda: has_posts(stack, 1), "the request was sent")
    limits = main.rlimit(psutil.RLIMIT_NOFILE)
    main.rlimit(psutil.RLIMIT_NOFILE, (0, limits[1]))
    try:
        stack.wait_until(lambda: stack.log(f"node-{NODE}").count("The run_node of") >= 3, "it tells of it")
    finally:
        main.rlimit(psutil.RLIMIT_NOFILE, limits)
    stack.wait_job(job_id, "COMPLETED")
    assert main.is_running()
    assert {process.pid for process in engine_of(main).values()} == engine
    assert webui_pid(stack) == pid
    assert has_posts(stack, 1)
    assert stack.sql("SELECT retry_count FROM jobs_job") == [(0,)]


# --- deaths ----------------------------------------------------------------------------------------------


def test_killing_the_main_process_ends_its_forks_but_not_the_webui_which_is_adopted(stack: Stack) -> None:
    main = ready(stack)
    forks = engine_of(main).values()
    pid = webui_pid(stack)
    main.kill()
    for process in forks:
        stack.wait_until(partial(gone, process), f"{process} ended")
    assert psutil.pid_exists(pid)
    stack.start_node(key="second")
    [job_id] = submit(stack)
    stack.wait_job(job_id, "COMPLETED")
    assert webui_pid(stack) == pid
    assert len(stack.journal("start")) == 1


def test_killing_the_sentinel_starts_the_engine_anew(stack: Stack) -> None:
    main = ready(stack)
    engine_of(main)["sentinel"].kill()
    [job_id] = submit(stack)
    stack.wait_job(job_id, "COMPLETED")
    assert main.is_running()
    assert len(stack.journal("start")) == 1


def test_killing_an_idle_process_of_the_engine_does_not_stop_the_queue(stack: Stack) -> None:
    main = ready(stack)
    expected = submit(stack, "first")
    stack.wait_job(expected[0], "COMPLETED")
    # The last forked first: who is forked again is the last one from then on.
    for victim in ("pusher", "monitor", "worker"):
        stack.wait_until(lambda: acknowledged(stack), "every wake-up is acknowledged")
        time.sleep(1)
        engine_of(main)[victim].kill()
        ids = submit(stack, victim, repeat=3)
        stack.wait_ledger(completed=len(expected) + 3)
        expected += ids
        assert posted_jobs(stack) == expected
    stack.wait_until(lambda: acknowledged(stack), "every wake-up is acknowledged")


def acknowledged(stack: Stack) -> bool:
    return stack.sql("SELECT count(*) FROM django_q_ormq") == [(0,)]


def test_a_killed_worker_costs_one_retry_and_never_runs_two_jobs_at_once(stack: Stack) -> None:
    ready(stack, 0.1)
    [lost] = submit(stack, "lost", **LONG)
    [following] = submit(stack, "next")
    stack.wait_until(lambda: len(stack.posts()) == 1, "the job is sent")
    os.kill(worker_pid(stack), signal.SIGKILL)
    stack.wait_until(lambda: len(stack.posts()) == 2, "a job runs again")
    assert posted_jobs(stack) == [lost, lost]
    stack.manage("jobs", "cancel", lost)
    job = stack.wait_job(lost, "CANCELLED")
    assert job["retry_count"] == 1
    assert [attempt["outcome"] for attempt in job["stage_attempts"]] == ["lost", "cancelled"]
    requeued = [event for event in job["events"] if event["event_type"] == "REQUEUED"]
    assert [event["data"]["charged"] for event in requeued] == [True]
    # The leftover of the lost run was interrupted before the retry was sent.
    paths = [line["path"] for line in stack.journal() if line["event"] in ("post", "request")]
    told = [path for path in paths if path.endswith(("/txt2img", "/interrupt"))]
    assert told[:3] == ["/sdapi/v1/txt2img", "/sdapi/v1/interrupt", "/sdapi/v1/txt2img"]
    stack.wait_job(following, "COMPLETED")


def test_a_worker_lost_twice_fails_the_job_without_a_third_execution(stack: Stack) -> None:
    ready(stack, 0.1)
    [lost] = submit(stack, "lost", **LONG)
    [following] = submit(stack, "next")
    for count in (1, 2):
        stack.wait_until(partial(has_posts, stack, count), f"post {count}")
        os.kill(worker_pid(stack), signal.SIGKILL)
    job = stack.wait_job(lost, "FAILED")
    assert job["error"]["code"] == "WORKER_LOST"
    assert job["retry_count"] == 1
    assert stack.wait_job(following, "COMPLETED")["retry_count"] == 0
    assert posted_jobs(stack) == [lost, lost, following]


# --- drain -----------------------------------------------------------------------------------------------


def test_term_lets_the_running_job_finish_and_claims_no_other(stack: Stack) -> None:
    main = ready(stack, 0.05)
    first, second = submit(
        stack, repeat=2, overrides={"txt2img.steps": 40, "txt2img.width": 64, "txt2img.height": 64}
    )
    stack.wait_until(lambda: len(stack.posts()) == 1, "the first job is sent")
    main.terminate()
    assert main.wait(PATIENCE_S) in (0, None)
    assert stack.job(first)["status"] == "COMPLETED"
    assert stack.job(second)["status"] == "QUEUED"
    assert posted_jobs(stack) == [first]
    stack.wait_until(lambda: not stack.living(), "everything has left")


@pytest.mark.parametrize("how", ["time is up", "second TERM", "the group"])
def test_drain_interrupts_and_requeues_uncharged(stack: Stack, how: str) -> None:
    # No test lasts until the long one is over.
    drain = "1" if how == "time is up" else "1000"
    main = ready(stack, 0.1, "--drain", drain, "--stop-webui")
    [job_id] = submit(stack, **LONG)
    [following] = submit(stack, "next")
    stack.wait_until(lambda: len(stack.posts()) == 1, "the job is sent")
    if how == "the group":
        os.killpg(main.pid, signal.SIGTERM)
    else:
        main.terminate()
    if how != "time is up":
        stack.wait_draining()
        main.terminate()
    main.wait(PATIENCE_S)
    job = stack.job(job_id)
    assert job["status"] == "QUEUED"
    assert job["retry_count"] == 0
    assert stack.sql(f"SELECT operator_requeues FROM jobs_job WHERE id = {job_id}") == [(1,)]  # noqa: S608
    stack.wait_until(lambda: not stack.living(), "everything has left")
    stack.start_node(key="again")
    stack.wait_until(lambda: len(stack.posts()) == 2, "it runs again")
    assert posted_jobs(stack) == [job_id, job_id]
    stack.manage("jobs", "cancel", job_id)
    stack.wait_job(following, "COMPLETED")


@pytest.mark.parametrize("after_s", [0.2, 1.0, 2.0])
def test_a_term_while_the_engine_starts_anew_is_not_lost(stack: Stack, after_s: float) -> None:
    main = ready(stack)
    engine_of(main)["sentinel"].kill()
    time.sleep(after_s)
    main.terminate()
    stack.wait_until(lambda: stack.living() == [], "run_node and its WebUI left")


def test_run_node_leaves_with_the_process_that_started_it(stack: Stack) -> None:
    stack.add_simulator(seconds_per_step=0.01)
    starter = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, 'manage.py', 'run_node', 'simulator', '--with-parent', '--stop-webui'])\n"
        "time.sleep(100)"
    )
    parent = stack.spawn_python("starter", starter)
    stack.wait_ready()
    parent.kill()
    parent.wait()
    stack.wait_until(lambda: stack.living() == [], "run_node and its WebUI left")


# --- an operator's restart -------------------------------------------------------------------------------


def test_a_restart_that_a_person_asks_for_is_charged_to_nobody(stack: Stack) -> None:
    ready(stack, 0.1)
    [job_id] = submit(stack, overrides={"txt2img.steps": 120, "txt2img.width": 64, "txt2img.height": 64})
    stack.wait_until(lambda: len(stack.posts()) == 1, "the job is sent")
    stack.manage("node", "restart", NODE, "--now")
    job = stack.wait_job(job_id, "COMPLETED")
    assert job["retry_count"] == 0
    assert [attempt["outcome"] for attempt in job["stage_attempts"]] == ["drained", "completed"]
    assert len(stack.journal("start")) == 2

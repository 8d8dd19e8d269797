"""A crash costs one restart and one retry, and a second one the job: real processes, the journal is the witness."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.evidence import (
    CRASH_SUSPECTED,
    FIRST,
    PLAIN,
    RETRY_EXHAUSTED,
    boots,
    ended,
    endpoints,
    kinds,
    last_line,
    posts_of,
    run_folder,
    tail,
    told,
    tries,
)
from tests.e2e.processes import failing_node, standing_still, stop_still, worker
from tests.e2e.queueing import submit
from tests.e2e.recovering import kill_webui
from tests.e2e.stack import Stack
from tests.e2e.test_up import start_up

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

RETRIED = ["STAGE_STARTED", CRASH_SUSPECTED, "WEBUI_RESTARTED", "RETRY_STARTED"]


def test_a_500_costs_one_restart_and_one_retry_under_up(stack: Stack) -> None:
    stack.env["STABLENEW_SIMULATOR_OPTIONS"] += " --seconds-per-step 0.01 --fault 500@1"
    start_up(stack)
    [job_id] = submit(stack)
    [job] = ended(stack, [job_id])
    assert (job["status"], job["retry_count"], len(job["outputs"])) == ("COMPLETED", 1, 1)
    assert boots(stack) == 2
    assert endpoints(stack) == ["txt2img", "txt2img"]
    first, second = stack.posts()
    assert first["body_sha256"] == second["body_sha256"]
    assert (first["boot"], second["boot"]) == (1, 2)
    assert kinds(job) == [*RETRIED, "STAGE_COMPLETED", "COMPLETED"]
    suspected = told(job, CRASH_SUSPECTED)
    assert (suspected["stage"], suspected["attempt"], suspected["http_status"]) == ("txt2img", 1, 500)
    assert {"prompt", "seed", "steps"} <= set(suspected["payload_keys"])
    assert "lighthouse" not in json.dumps([suspected, job["stage_attempts"]])
    for name in (*PLAIN, *FIRST):
        assert (run_folder(stack, job_id) / name).is_file(), name
    # The traceback of the very request was the last that this boot said before it was restarted.
    assert "simulated failure of generation 1 (fault 500)" in tail(stack, job_id).strip().splitlines()[-1]
    assert "lighthouse" not in tail(stack, job_id) + tail(stack, job_id, PLAIN[0])


CRASHES = ("die", "drop", "oom", "half-answer")


def test_every_kind_of_crash_costs_the_same(stack: Stack) -> None:
    # Each job is struck at its first request: posts 1, 3, 5...
    failing_node(stack, *(f"{fault}@{2 * index + 1}" for index, fault in enumerate(CRASHES)))
    jobs = submit(stack, repeat=len(CRASHES))
    assert {(job["status"], job["retry_count"]) for job in ended(stack, jobs)} == {("COMPLETED", 1)}
    assert boots(stack) == 1 + len(CRASHES)
    assert len(stack.posts()) == 2 * len(CRASHES)
    for generation, (job_id, fault) in enumerate(zip(jobs, CRASHES, strict=True), start=1):
        first, second = posts_of(stack, job_id)
        assert first["body_sha256"] == second["body_sha256"], fault
        assert (first["boot"], second["boot"]) == (generation, generation + 1), fault
    # The dying boot's last words are what it left in its own log.
    assert "the process ends here" in last_line(stack, 1)
    assert last_line(stack, 1) == tail(stack, jobs[0]).strip().splitlines()[-1]


# --- the retry fails as well ---------------------------------------------------------------------------


def assert_exhausted(stack: Stack, job: dict[str, Any], code: str) -> None:
    """FAILED after its retry, with an envelope whose files are there."""
    assert (job["status"], job["retry_count"], job["outputs"]) == ("FAILED", 1, [])
    assert kinds(job) == [*RETRIED, RETRY_EXHAUSTED, "FAILED"]
    assert (job["error"]["code"], job["error_code"]) == (code, code)
    paths = job["error"]["artifact_paths"]
    assert [Path(path).name for path in paths] == [*PLAIN, *PLAIN]
    for path in paths:
        assert (stack.folder / "outputs" / path).is_file(), path
    assert told(job, RETRY_EXHAUSTED)["artifacts"] == paths
    assert [attempt["outcome"] for attempt in job["stage_attempts"]] == ["unavailable", "unavailable"]
    assert [attempt["generation"] for attempt in job["stage_attempts"]] == [1, 2]


def test_a_job_that_kills_the_webui_twice_fails_and_the_next_one_runs(stack: Stack) -> None:
    failing_node(stack, "die@1,2")
    first, second = submit(stack, repeat=2)
    job, following = ended(stack, [first, second])
    assert_exhausted(stack, job, "WEBUI_CONNECTION_LOST")
    assert "crash in generation 2" in tail(stack, first)
    assert "crash in generation 1" in tail(stack, first, FIRST[1])
    assert "lighthouse" not in json.dumps(job["error"])
    assert (following["status"], following["retry_count"]) == ("COMPLETED", 0)
    assert (boots(stack), len(stack.posts())) == (3, 3)
    assert stack.sql("SELECT crash_failures FROM jobs_runner") == [(0,)]


def count_of(stack: Stack, kind: str) -> int:
    [(count,)] = stack.sql(f"SELECT count(*) FROM jobs_lifecycleevent WHERE event_type = '{kind}'")  # noqa: S608
    return int(count)


def test_a_job_whose_connections_are_refused_twice_fails_and_the_next_one_runs(stack: Stack) -> None:
    keeper = failing_node(stack)
    # While the keeper stands still the node's row goes on saying READY, though nobody listens any more.
    with standing_still(stack, keeper):
        kill_webui(stack)
        first, second = submit(stack, repeat=2)
        stack.wait_until(lambda: count_of(stack, CRASH_SUSPECTED), "the first request was refused")
        runs = worker(stack)
        stop_still(stack, runs)
    stack.wait_until(
        lambda: stack.sql("SELECT generation, state FROM webui_node") == [(2, "READY")], "it is restarted"
    )
    with standing_still(stack, keeper):
        kill_webui(stack)
        runs.send_signal(signal.SIGCONT)
        stack.wait_until(lambda: count_of(stack, RETRY_EXHAUSTED), "the retry was refused")
    job, following = ended(stack, [first, second])
    assert_exhausted(stack, job, "WEBUI_NOT_SENT")
    assert (following["status"], following["retry_count"]) == ("COMPLETED", 0)
    assert posts_of(stack, first) == []
    assert boots(stack) == 3


# --- a dead worker and a dead WebUI share one budget ---------------------------------------------------


def test_a_webui_crash_after_a_lost_worker_is_the_last_execution(stack: Stack) -> None:
    failing_node(stack, "slow=0.2@1", "die@2")
    long = {"txt2img.steps": 150, "txt2img.width": 64, "txt2img.height": 64}
    [lost] = submit(stack, "long", overrides=long)
    stack.wait_until(stack.posts, "the request has arrived")
    worker(stack).kill()
    job, following = ended(stack, [lost, *submit(stack, "quick")])
    assert (following["status"], following["retry_count"]) == ("COMPLETED", 0)
    assert (job["status"], job["retry_count"]) == ("FAILED", 1)
    assert tries(job) == [("txt2img", None, 1, "lost"), ("txt2img", None, 2, "unavailable")]
    assert job["execution_metadata"]["executions"] == 2
    assert told(job, "REQUEUED")["charged"] is True
    assert kinds(job)[-2:] == [RETRY_EXHAUSTED, "FAILED"]
    assert len(posts_of(stack, lost)) == 2

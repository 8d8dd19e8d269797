"""A bundle from one machine replays on another: two data folders, two simulators, one request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.databases import Template
from tests.e2e.queueing import submit
from tests.e2e.stack import NODE, Stack, running_stack

pytestmark = pytest.mark.stack

STAGES = {"pipeline": {"upscale_enabled": True}, "upscale": {"upscaler": "Lanczos", "upscaling_resize": 2}}


@pytest.fixture
def other(tmp_path: Path, database_template: Template) -> Iterator[Stack]:
    """A second installation, which knows nothing of the first."""
    folder = tmp_path / "other"
    folder.mkdir()
    with database_template.copy(folder) as database:
        yield from running_stack(folder, database, {})


def ready(stack: Stack, *faults: str) -> Stack:
    words = [word for fault in faults for word in ("--fault", fault)]
    stack.add_simulator(*words, seconds_per_step=0.01)
    stack.start_node()
    stack.wait_ready()
    return stack


def bundle(stack: Stack, job_id: int, *words: str) -> Path:
    path = stack.folder / f"job-{job_id}.zip"
    stack.manage("jobs", "bundle", job_id, "--output", path, *words)
    return path


def test_a_failed_request_of_one_machine_fails_alike_on_another_with_the_same_hash(
    stack: Stack, other: Stack
) -> None:
    ready(stack, "oom@*")
    ready(other, "oom@*")
    [failed] = submit(stack)
    stack.wait_job(failed, "FAILED")
    path = bundle(stack, failed, "--with-prompts")
    done = other.manage("jobs", "replay", path, "--node", NODE, "--output", other.folder / "came")
    [request] = done["requests"]
    assert (request["same_request"], request["alike"]) == (True, True)
    assert request["here"] == request["there"] == "WEBUI_OUT_OF_MEMORY"
    # The simulators' own word of what arrived.
    assert other.posts()[-1]["task_id"] == stack.posts()[-1]["task_id"]
    assert other.posts()[-1]["body_sha256"] == stack.posts()[-1]["body_sha256"]
    assert not other.status()["paused"]


def test_a_completed_job_gives_the_same_pictures_elsewhere(stack: Stack, other: Stack) -> None:
    ready(stack)
    ready(other)
    [done] = submit(stack, document=json.dumps(STAGES))
    stack.wait_job(done, "COMPLETED")
    path = bundle(stack, done, "--with-prompts")
    answer = other.manage("jobs", "replay", path, "--node", NODE, "--output", other.folder / "came")
    assert [one["stage"] for one in answer["requests"]] == ["txt2img", "upscale"]
    assert all(one["same_request"] and one["alike"] and one["same_pictures"] for one in answer["requests"])
    assert len(list((other.folder / "came").iterdir())) == 2

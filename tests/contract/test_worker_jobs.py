"""The life of a worker's job over HTTP: ids, phases, cancel, results, and what ends the process."""

from __future__ import annotations

import functools
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.contract.hand_worker import PICTURE, SHA256, HandPipeline, HandWorker, hand_worker, wait_until
from tests.diffsynth.works import edit_body, picture
from webui.drivers.diffsynth.worker.drawing import FatalDrawingError, NoMemoryError
from webui.drivers.diffsynth.worker.jobs import MAX_JOBS, MAX_LISTED, MAX_RESULTS


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[HandWorker]:
    with hand_worker(tmp_path) as hand:
        yield hand


@pytest.fixture
def slow_worker(tmp_path: Path) -> Iterator[HandWorker]:
    with hand_worker(tmp_path, HandPipeline(waits=True)) as hand:
        yield hand


def test_a_job_is_accepted_drawn_and_fetched(worker: HandWorker) -> None:
    accepted = worker.send("a", seed=7)
    assert accepted.status == 202
    assert set(accepted.json) == {"id", "state", "phase", "step", "steps", "elapsed_s", "error", "result"}
    result = worker.wait_for("a")["result"]
    fetched = worker.ask("GET", "/jobs/a/result")
    assert fetched.status == 200
    assert (
        hashlib.sha256(fetched.content).hexdigest() == result["sha256"] == fetched.headers["X-Result-SHA256"]
    )
    assert len(fetched.content) == result["size_bytes"] == int(fetched.headers["Content-Length"])
    assert fetched.headers["Content-Type"] == result["media_type"] == "image/png"
    assert (fetched.headers["X-Result-Width"], fetched.headers["X-Result-Height"]) == ("64", "64")
    assert "frames" not in result
    assert "X-Result-Frames" not in fetched.headers
    with Image.open(io.BytesIO(fetched.content)) as drawn:
        told = json.loads(drawn.text["stablenew"])  # type: ignore[attr-defined]
        assert drawn.size == (64, 64)
    assert told == {**result["used"], "prompt": "make the sky green", "negative_prompt": ""}
    assert result["used"] == {
        "width": 64,
        "height": 64,
        "steps": 4,
        "cfg_scale": 1.0,
        "scheduler": "lightning",
        "seed": 7,
        "model": "by-hand",
        "loras": [{"name": "few-steps", "target": "dit", "strength": 1.0}],
    }


def test_a_size_of_0_follows_the_picture(worker: HandWorker) -> None:
    worker.send("a", width=0, height=0)
    used = worker.wait_for("a")["result"]["used"]
    assert (used["width"], used["height"]) == (1248, 832)


def test_the_same_id_is_the_same_job_and_is_drawn_once(worker: HandWorker) -> None:
    assert worker.send("a").status == 202
    worker.wait_for("a")
    again = worker.send("a")
    assert (again.status, again.json["state"]) == (200, "done")
    assert len(worker.pipeline.orders) == 1


def test_the_same_id_for_another_job_is_refused(worker: HandWorker) -> None:
    worker.send("a")
    answer = worker.send("a", seed=43)
    assert (answer.status, answer.code) == (409, "other_job")


def test_a_busy_worker_names_its_job_and_takes_no_other(slow_worker: HandWorker) -> None:
    slow_worker.send("a")
    answer = slow_worker.send("b")
    assert (answer.status, answer.code, answer.json["error"]["job"]) == (409, "busy", "a")
    assert slow_worker.ask("GET", "/health").json["job"] == "a"
    slow_worker.pipeline.allow(4)
    slow_worker.wait_for("a")
    assert slow_worker.send("b").status == 202


def is_at(step: int, state: Any) -> bool:
    return (state["phase"], state["step"]) == ("denoise", step)


def test_steps_are_told_as_they_are_made(slow_worker: HandWorker) -> None:
    slow_worker.send("a")
    for step in range(4):
        at_step = functools.partial(is_at, step)
        told = slow_worker.wait_for("a", at_step)
        assert (told["state"], told["steps"], told["result"]) == ("running", 4, None)
        assert slow_worker.ask("GET", "/jobs/a/result").code == "not_done"
        slow_worker.pipeline.allow()
    assert slow_worker.wait_for("a")["state"] == "done"


def test_a_cancelled_job_ends_at_its_next_step_and_the_next_one_runs(slow_worker: HandWorker) -> None:
    slow_worker.send("a")
    slow_worker.wait_for("a", lambda state: state["phase"] == "denoise")
    asked = slow_worker.ask("POST", "/jobs/a/cancel")
    assert (asked.status, asked.json["state"]) == (202, "running")
    slow_worker.pipeline.allow()
    ended = slow_worker.wait_for("a")
    assert (ended["state"], ended["error"], ended["result"]) == ("cancelled", None, None)
    again = slow_worker.ask("POST", "/jobs/a/cancel")
    assert (again.status, again.json["state"]) == (200, "cancelled")
    assert slow_worker.ask("GET", "/jobs/a/result").code == "not_done"
    slow_worker.pipeline.allow(4)
    slow_worker.send("b")
    assert slow_worker.wait_for("b")["state"] == "done"


def test_a_job_without_its_picture_is_told_which_one(worker: HandWorker) -> None:
    other = picture(colour="red")
    worker.put()
    answer = worker.ask("POST", "/jobs", edit_body("a", PICTURE, other))
    assert (answer.status, answer.code) == (422, "missing_input")
    assert answer.json["error"]["sha256"] == hashlib.sha256(other).hexdigest()
    assert worker.ask("GET", "/jobs/a").status == 404
    assert worker.ask("GET", "/health").json["job"] is None


def test_a_picture_that_went_away_fails_that_job_alone(worker: HandWorker) -> None:
    worker.put()
    (worker.folder.inputs / SHA256).unlink()
    worker.ask("POST", "/jobs", edit_body("a", PICTURE))
    error = worker.wait_for("a")["error"]
    assert error["code"] == "input"
    assert error["message"].startswith("Input picture 1 cannot be used: ")


def test_a_failed_job_says_why_and_the_next_one_runs(worker: HandWorker) -> None:
    worker.pipeline.fails = ValueError("shapes\n  do not fit")
    worker.send("a")
    assert worker.wait_for("a")["error"] == {"code": "failed", "message": "shapes do not fit"}
    worker.pipeline.fails = None
    worker.send("b")
    assert worker.wait_for("b")["state"] == "done"
    assert worker.left == []


@pytest.mark.parametrize(
    ("fails", "code", "status"),
    [
        (NoMemoryError("cuda:0 has too little memory"), "out_of_memory", 70),
        (MemoryError(), "out_of_memory", 70),
        (FatalDrawingError("cuda:0 failed"), "failed", 71),
    ],
)
def test_what_leaves_the_process_unusable_is_told_once_and_then_it_ends(
    worker: HandWorker, fails: Exception, code: str, status: int
) -> None:
    worker.pipeline.fails = fails
    worker.send("a")
    # Others may ask meanwhile; only who reads the end of this job lets the process go.
    assert worker.ask("GET", "/health").json["job"] == "a"
    assert worker.send("b").code == "busy"
    wait_until(lambda: worker.worker.jobs.state("a"), lambda state: bool(state and state["error"]))
    assert not worker.has_left.wait(0.2), "nobody has read it yet"
    ended = worker.wait_for("a")
    assert (ended["state"], ended["error"]["code"]) == ("failed", code)
    assert worker.has_left.wait(120)
    assert worker.left == [status]


def test_jobs_and_results_are_bounded(worker: HandWorker) -> None:
    count = MAX_JOBS + 5
    for number in range(count):
        assert worker.send(f"job-{number}", width=64, height=64, steps=1).status == 202
        worker.wait_for(f"job-{number}")
    assert worker.ask("GET", "/jobs/job-4").status == 404
    assert worker.ask("GET", "/jobs/job-5").status == 200
    newest = [state["id"] for state in worker.ask("GET", "/jobs").json["jobs"]]
    assert newest == [f"job-{number}" for number in range(count - 1, count - 1 - MAX_LISTED, -1)]
    kept = [worker.ask("GET", f"/jobs/job-{number}/result").status for number in range(5, count)]
    assert kept == [410] * (MAX_JOBS - MAX_RESULTS) + [200] * MAX_RESULTS
    assert len(list(worker.folder.results.iterdir())) == MAX_RESULTS


def test_jobs_run_in_one_thread_and_get_pictures_in_order(worker: HandWorker) -> None:
    other = picture(32, 48, colour="red")
    worker.put(other)
    worker.put()
    worker.ask("POST", "/jobs", edit_body("a", other, PICTURE))
    worker.wait_for("a")
    worker.send("b")
    worker.wait_for("b")
    assert len(worker.pipeline.threads) == 1
    assert [one.size for one in worker.pipeline.pictures[0]] == [(32, 48), (96, 64)]


def test_every_wrong_field_is_told_at_once(worker: HandWorker) -> None:
    answer = worker.send("a", steps=0, width=65, scheduler="fast", seed=-1, colour="red")
    assert (answer.status, answer.code) == (422, "refused")
    fields = [one["field"] for one in answer.json["error"]["fields"]]
    assert sorted(fields) == ["colour", "scheduler", "seed", "steps", "width"]
    assert worker.ask("GET", "/jobs/a").status == 404


@pytest.mark.parametrize("job_id", ["", "a b", "a/b", "ä", "x" * 101, None, 7])
def test_an_id_that_is_none_is_refused(worker: HandWorker, job_id: object) -> None:
    answer = worker.ask("POST", "/jobs", {**edit_body("a", PICTURE), "id": job_id})
    assert (answer.status, answer.code) == (422, "refused")
    assert [one["field"] for one in answer.json["error"]["fields"]] == ["id"]

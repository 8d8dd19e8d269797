"""Every fault of a simulated worker as a client meets it: real processes, real HTTP, one fault each."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import pytest
import requests
from PIL import Image, ImageChops

from tests.contract.simulated_worker import SimulatedWorkerProcess
from tests.contract.simulator_process import wait_until
from tests.contract.worker_client import RunningWorker, sha256_of

BOTH = pytest.mark.parametrize("kind", ["i2v", "edit"])
PHASES = ("prepare", "encode", "denoise", "decode", "save")


@contextmanager
def struck_by(rule: str, folder: Path, kind: str, *words: str) -> Iterator[SimulatedWorkerProcess]:
    """A worker under one rule; its process must live on to the end."""
    with SimulatedWorkerProcess(folder, kind, "--fault", rule, *words) as process:
        yield process
        assert process.process.poll() is None, process.log


def answers(process: SimulatedWorkerProcess) -> list[tuple[Any, ...]]:
    return [
        (line["status"], line["outcome"], line["fault"], line["images"]) for line in process.told("answer")
    ]


def frames_of(content: bytes) -> tuple[list[Image.Image], float]:
    """The pictures of a film, and its rate."""
    with av.open(BytesIO(content), "r") as film:
        stream = film.streams.video[0]
        pictures = [frame.to_image() for frame in film.decode(stream)]  # type: ignore[no-untyped-call]
        return pictures, float(stream.average_rate or 0)


def opened(content: bytes) -> Image.Image:
    with Image.open(BytesIO(content)) as image:
        return image.convert("RGB")


def difference(one: Image.Image, other: Image.Image) -> int:
    """Of 255: what the most different of 8 x 8 places differs by."""
    small = ImageChops.difference(one, other).resize((8, 8), Image.Resampling.BOX)
    return max(int(most) for _, most in small.getextrema())  # type: ignore[misc]  # three bands


# --- refusals and failures ------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [("refused", 422, "refused"), ("busy", 409, "busy"), ("missing-input", 422, "missing_input")],
)
def test_refused_job_is_not_executed_and_may_come_again(
    tmp_path: Path, kind: str, fault: str, status: int, code: str
) -> None:
    with struck_by(f"{fault}@1", tmp_path, kind) as process:
        worker = process.worker
        body = worker.body()
        answer = worker.post(body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert worker.call("GET", f"/jobs/{body['id']}").status_code == 404
        assert not process.told("begin")
        assert worker.done(body)[0]["state"] == "done"
        assert answers(process) == [(status, "refused", fault, 0), (200, "answered", None, 1)]


@BOTH
@pytest.mark.parametrize(("fault", "code"), [("failed", "failed"), ("input", "input")])
def test_failed_job_says_why_and_the_worker_goes_on(tmp_path: Path, kind: str, fault: str, code: str) -> None:
    with struck_by(f"{fault}@1", tmp_path, kind) as process:
        worker = process.worker
        body = worker.body()
        worker.post(body)
        state = worker.ended(body["id"])
        assert (state["state"], state["error"]["code"], state["result"]) == ("failed", code, None)
        assert state["error"]["message"]
        assert worker.result(body["id"]).status_code == 409
        assert worker.done(worker.body())[0]["state"] == "done"
        assert answers(process) == [(200, "failed", fault, 0), (200, "answered", None, 1)]


@pytest.mark.parametrize("fault", ["oom", *(f"oom-{phase}" for phase in PHASES)])
def test_out_of_memory_is_told_once_and_ends_the_process(tmp_path: Path, fault: str) -> None:
    with SimulatedWorkerProcess(tmp_path, "i2v", "--fault", f"{fault}@1") as process:
        worker = process.worker
        body = worker.body()
        worker.post(body)
        state = worker.ended(body["id"])
        assert (state["state"], state["error"]["code"]) == ("failed", "out_of_memory")
        assert process.process.wait(timeout=120) == 70
        assert [(line["how"], line["code"]) for line in process.told("end")] == [("oom", 70)]
        assert answers(process) == [(200, "failed", fault, 0)]


def test_process_that_ran_out_of_memory_takes_nothing_more(tmp_path: Path) -> None:
    with SimulatedWorkerProcess(tmp_path, "edit", "--fault", "oom@1") as process:
        worker = process.worker
        body = worker.body()
        worker.post(body)
        wait_until(lambda: process.told("answer"))
        assert worker.call("GET", "/health").json()["job"] == body["id"]
        assert worker.post(worker.body()).json()["error"]["code"] == "busy"
        assert worker.ended(body["id"])["state"] == "failed"
        assert process.process.wait(timeout=120) == 70


@BOTH
@pytest.mark.parametrize("phase", ["", *PHASES])
def test_death_leaves_its_last_line_and_its_phase(tmp_path: Path, kind: str, phase: str) -> None:
    fault = f"die-{phase}" if phase else "die"
    with SimulatedWorkerProcess(tmp_path, kind, "--fault", f"{fault}@1") as process:
        # It may be dead before its answer is sent.
        with suppress(requests.ConnectionError):
            process.worker.post(process.worker.body())
        assert process.process.wait(timeout=120) == 1
        assert process.told("phase")[-1]["phase"] == (phase or "denoise")
        assert answers(process) == [(None, "died", fault, 0)]
        assert [(line["how"], line["code"]) for line in process.told("end")] == [("died", 1)]
        assert "simulated crash" in process.log


@pytest.mark.parametrize("phase", ["", *PHASES])
def test_hang_stands_in_its_phase_and_cancel_does_not_help(tmp_path: Path, phase: str) -> None:
    fault = f"hang-{phase}" if phase else "hang"
    with struck_by(f"{fault}@1", tmp_path, "i2v") as process:
        worker = process.worker
        body = worker.body(steps=3)
        worker.post(body)
        wait_until(lambda: answers(process))
        first = worker.job(body["id"])
        assert (first["state"], first["phase"]) == ("running", phase or "denoise")
        assert (first["step"], first["steps"]) == ((1, 3) if phase in ("", "denoise") else (0, 0))
        assert worker.cancel(body["id"]).status_code == 202
        time.sleep(0.2)
        later = worker.job(body["id"])
        assert {**later, "elapsed_s": 0} == {**first, "elapsed_s": 0}, "nothing moves"
        assert worker.call("GET", "/health").json()["job"] == body["id"]
        assert worker.post(worker.body()).status_code == 409
        assert answers(process) == [(None, "hung", fault, 0)]


def test_slow_job_takes_its_seconds_for_each_step(tmp_path: Path) -> None:
    with struck_by("slow=0.3@1", tmp_path, "edit") as process:
        worker = process.worker
        body = worker.body(steps=3)
        worker.post(body)
        assert worker.ended(body["id"])["elapsed_s"] >= 3 * 0.3


# --- connections ----------------------------------------------------------------------------------------


def lost(worker: RunningWorker, method: str, path: str, **words: Any) -> bool:
    """Whether the connection was closed without an answer."""
    try:
        worker.call(method, path, **words)
    except requests.ConnectionError:
        return True
    return False


@BOTH
def test_job_whose_answer_was_lost_is_there_and_runs_once(tmp_path: Path, kind: str) -> None:
    with struck_by("once drop@*", tmp_path, kind) as process:
        worker = process.worker
        body = worker.body()
        assert lost(worker, "POST", "/jobs", json=body)
        assert worker.post(body).status_code == 200
        assert worker.ended(body["id"])["state"] == "done"
        assert len(process.told("begin")) == 1
        assert [line["status"] for line in process.told("request") if line["path"] == "/jobs"] == [None, 200]


@BOTH
def test_questions_about_a_job_may_be_dropped(tmp_path: Path, kind: str) -> None:
    with struck_by("drop-poll@1", tmp_path, kind) as process:
        worker = process.worker
        body = worker.body()
        assert worker.post(body).status_code == 202
        assert [lost(worker, "GET", f"/jobs/{body['id']}") for _ in range(2)] == [True, True]
        assert worker.call("GET", "/health").status_code == 200
        wait_until(lambda: answers(process))
        assert worker.done(worker.body())[0]["state"] == "done"


@BOTH
def test_fetches_of_a_result_may_be_dropped_once(tmp_path: Path, kind: str) -> None:
    with struck_by("once drop-result@1", tmp_path, kind) as process:
        worker = process.worker
        body = worker.body()
        worker.post(body)
        worker.ended(body["id"])
        assert [lost(worker, "GET", f"/jobs/{body['id']}/result") for _ in range(2)] == [True, False]


@BOTH
def test_job_may_be_forgotten_and_its_result_be_gone(tmp_path: Path, kind: str) -> None:
    with struck_by("forget@1", tmp_path, kind, "--fault", "gone@2") as process:
        worker = process.worker
        body = worker.body()
        worker.post(body)
        wait_until(lambda: answers(process) and worker.call("GET", f"/jobs/{body['id']}").status_code == 404)
        assert worker.result(body["id"]).status_code == 404
        state, result = worker.done(worker.body())
        assert (state["state"], result.status_code) == ("done", 410)
        assert result.json()["error"]["code"] == "gone"


# --- results that are not what they say -----------------------------------------------------------------


@BOTH
def test_truncated_result_ends_before_its_length(tmp_path: Path, kind: str) -> None:
    with struck_by("truncated@1", tmp_path, kind) as process:
        worker = process.worker
        body = worker.body()
        worker.post(body)
        told = worker.ended(body["id"])["result"]
        answer = worker.call("GET", f"/jobs/{body['id']}/result", stream=True)
        assert int(answer.headers["Content-Length"]) == told["size_bytes"]
        with pytest.raises(requests.RequestException):
            _ = answer.content


@BOTH
def test_torn_result_agrees_with_all_that_is_told_of_it_and_does_not_decode(
    tmp_path: Path, kind: str
) -> None:
    with struck_by("torn@1", tmp_path, kind) as process:
        state, answer = process.worker.done(process.worker.body())
        told = state["result"]
        assert len(answer.content) == told["size_bytes"]
        assert sha256_of(answer.content) == told["sha256"] == answer.headers["X-Result-SHA256"]
        with pytest.raises((av.FFmpegError, OSError, SyntaxError, AssertionError)):
            assert len(frames_of(answer.content)[0]) == 5 if kind == "i2v" else opened(answer.content)


@BOTH
def test_wrong_hash_stands_in_the_header(tmp_path: Path, kind: str) -> None:
    with struck_by("wrong-hash@1", tmp_path, kind) as process:
        state, answer = process.worker.done(process.worker.body())
        assert sha256_of(answer.content) == state["result"]["sha256"]
        assert answer.headers["X-Result-SHA256"] != state["result"]["sha256"]


@BOTH
def test_wrong_size_is_told_as_the_right_one(tmp_path: Path, kind: str) -> None:
    with struck_by("wrong-size@1", tmp_path, kind) as process:
        state, answer = process.worker.done(process.worker.body())
        first = frames_of(answer.content)[0][0] if kind == "i2v" else opened(answer.content)
        assert first.size == (80, 80)
        assert (state["result"]["width"], answer.headers["X-Result-Height"]) == (64, "64")


@pytest.mark.parametrize(("asked", "made"), [(5, 9), (13, 9)])
def test_wrong_frames_are_told_as_the_right_ones(tmp_path: Path, asked: int, made: int) -> None:
    with struck_by("wrong-frames@1", tmp_path, "i2v") as process:
        state, answer = process.worker.done(process.worker.body(num_frames=asked))
        assert len(frames_of(answer.content)[0]) == made
        assert state["result"]["frames"] == int(answer.headers["X-Result-Frames"]) == asked


@pytest.mark.parametrize(("asked", "made"), [(16, 32), (60, 30)])
def test_wrong_rate_is_told_as_the_right_one(tmp_path: Path, asked: int, made: int) -> None:
    with struck_by("wrong-rate@1", tmp_path, "i2v") as process:
        state, answer = process.worker.done(process.worker.body(fps=asked))
        pictures, rate = frames_of(answer.content)
        assert (len(pictures), rate) == (5, made)
        assert state["result"]["fps"] == asked


@BOTH
def test_wrong_seed_is_used_and_told(tmp_path: Path, kind: str) -> None:
    with struck_by("wrong-seed@1", tmp_path, kind) as process:
        worker = process.worker
        wrong, right = (worker.done(worker.body(seed=7)) for _ in range(2))
        assert [state["result"]["used"]["seed"] for state, _ in (wrong, right)] == [6, 7]
        honest = worker.done(worker.body(seed=6))
        assert wrong[1].content == honest[1].content


def test_frozen_film_stands_still_and_others_move(tmp_path: Path) -> None:
    with struck_by("frozen@1", tmp_path, "i2v") as process:
        worker = process.worker
        films = [frames_of(worker.done(worker.body(num_frames=9))[1].content)[0] for _ in range(2)]
        most = [max(difference(film[0], frame) for frame in film) for film in films]
        assert most[0] <= 4
        assert most[1] > 30


@BOTH
def test_flat_result_has_one_colour(tmp_path: Path, kind: str) -> None:
    with struck_by("flat@1", tmp_path, kind) as process:
        _, answer = process.worker.done(process.worker.body())
        pictures = frames_of(answer.content)[0] if kind == "i2v" else [opened(answer.content)]
        for picture in pictures:
            assert all(most - least <= 2 for least, most in picture.getextrema())  # type: ignore[misc]


# --- starts ---------------------------------------------------------------------------------------------


def loading(worker: RunningWorker) -> dict[str, Any]:
    answer = worker.call("GET", "/health")
    assert answer.status_code == 503
    told: dict[str, Any] = answer.json()
    return told


def test_failed_start_ends_with_a_traceback(tmp_path: Path) -> None:
    process = SimulatedWorkerProcess(tmp_path, "i2v", "--fault", "no-boot@1")
    try:
        assert process.process.wait(timeout=120) == 1
        assert process.log.startswith("Traceback (most recent call last):\n")
        assert "worker listening" not in process.log
        assert [(line["how"], line["code"]) for line in process.told("end")] == [("no-boot", 1)]
    finally:
        process.end()


def test_slow_load_takes_no_job_and_says_what_it_loads(tmp_path: Path) -> None:
    with SimulatedWorkerProcess(tmp_path, "i2v", "--fault", "slow-load=600@1", waits=False) as process:
        worker = process.worker
        told = loading(worker)
        assert (told["state"], told["phase"], told["kind"]) == ("loading", "import", "i2v")
        refused = worker.post(worker.body())
        assert (refused.status_code, refused.json()["state"]) == (503, "loading")
        assert not process.told("post")


def test_loading_goes_through_its_phases(tmp_path: Path) -> None:
    with SimulatedWorkerProcess(tmp_path, "i2v", "--fault", "slow-load=0.2@1") as process:
        found = re.findall(r"^loading: (\w+)$", process.log, re.MULTILINE)
        assert found == ["import", "files", "weights", "loras"]
        assert process.worker.wait_until_ready()["ready_s"] >= 0.2


def test_slow_boot_opens_its_port_later(tmp_path: Path) -> None:
    started_at = time.monotonic()
    with SimulatedWorkerProcess(tmp_path, "edit", "--fault", "slow-boot=0.8@1"):
        assert time.monotonic() - started_at >= 0.8


def test_worker_that_cannot_load_stays_and_says_why(tmp_path: Path) -> None:
    with SimulatedWorkerProcess(tmp_path, "i2v", "--fault", "failed-load@1", waits=False) as process:
        worker = process.worker
        wait_until(lambda: loading(worker)["state"] == "failed")
        told = loading(worker)
        assert "fits no layer" in told["reason"]
        assert told["kind"] == "i2v"
        refused = worker.post(worker.body())
        assert (refused.status_code, refused.json()["state"]) == (503, "failed")
        assert process.process.poll() is None
        assert not process.told("ready")


def test_worker_may_die_or_hang_while_it_loads(tmp_path: Path) -> None:
    words = ("--fault", "die-load@1", "--fault", "hang-load@2")
    dying = SimulatedWorkerProcess(tmp_path, "i2v", *words)
    try:
        assert dying.process.wait(timeout=120) == 1
    finally:
        dying.end()
    with SimulatedWorkerProcess(tmp_path, "i2v", *words, waits=False) as process:
        wait_until(lambda: process.told("fault")[1:] and loading(process.worker)["phase"] == "weights")
        time.sleep(0.2)
        told = loading(process.worker)
        assert (told["state"], told["phase"]) == ("loading", "weights")

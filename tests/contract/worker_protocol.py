"""What every worker of films or edits answers: rules that are held against simulated and real ones alike.

A module of tests derives a class from `WorkerProtocol` and gives it a fixture `worker`. Sizes are small, because a real
worker computes; nothing here knows which kind of worker answers.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from io import BytesIO
from typing import Any

import av
import pytest
from PIL import Image

from tests.contract.worker_client import (
    ENDED,
    RunningWorker,
    encoded,
    picture,
    sha256_of,
    small_job,
    status_on,
)
from webui.work.limits import LIMITS, MAX_INPUT_BYTES, MAX_INPUT_PIXELS, MAX_PROMPT_CHARACTERS

PHASES = ["", "prepare", "encode", "denoise", "decode", "save"]
STATES = ["queued", "running", "done"]
MAX_JSON_BYTES = 64 * 1024
LISTED, KEPT_RESULTS, KEPT_INPUTS = 20, 20, 64
TRIES = 20
"""A job that should be caught while it runs may have ended before; then another one is sent."""


class WorkerProtocol:
    # --- who may ask, and what ------------------------------------------------------------------------

    def test_health_tells_what_it_is(self, worker: RunningWorker) -> None:
        health = worker.wait_until_ready()
        assert (health["state"], health["kind"], health["job"]) == ("ready", worker.kind, None)
        assert health["limits"] == {
            name: json.loads(json.dumps({"default": limit.default, **asdict(limit)}))
            for name, limit in LIMITS[worker.kind].items()
        }
        assert health["model"]
        assert health["device"]
        assert all({"name", "target", "tensors"} <= lora.keys() for lora in health["loras"])
        assert health["memory"].keys() == {"ram_bytes", "vram_used_bytes", "vram_total_bytes"}
        assert all(isinstance(version, str) for version in health["versions"].values())
        assert health["ready_s"] >= 0
        assert worker.wait_until_ready()["boot"] == health["boot"]

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/health"),
            ("GET", "/jobs"),
            ("PUT", "/inputs/" + "0" * 64),
            ("POST", "/jobs"),
            ("GET", "/x"),
        ],
    )
    def test_nobody_gets_in_without_the_token(self, worker: RunningWorker, method: str, path: str) -> None:
        assert worker.token, "a worker under test has a token"
        for headers in ({}, {"Authorization": f"Bearer {worker.token}x"}, {"Authorization": worker.token}):
            answer = worker.call(method, path, headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["code"]

    def test_unknown_paths_and_wrong_methods_are_told_apart(self, worker: RunningWorker) -> None:
        for method, path, status in (
            ("GET", "/", 404),
            ("GET", "/inputs", 404),
            ("GET", "/inputs/short", 404),
            ("POST", "/health", 405),
            ("DELETE", "/jobs", 405),
            ("GET", "/inputs/" + "0" * 64, 405),
            ("GET", "/jobs/some/cancel", 405),
        ):
            answer = worker.call(method, path)
            assert answer.status_code == status, (method, path)
            assert answer.json()["error"]["message"]

    # --- inputs ---------------------------------------------------------------------------------------

    def test_input_is_kept_under_its_hash(self, worker: RunningWorker) -> None:
        content = picture((80, 48), (10, 120, 60))
        sha256 = sha256_of(content)
        assert not worker.has(sha256)
        first, second = worker.put(content), worker.put(content)
        assert (first.status_code, second.status_code) == (201, 200)
        assert first.json() == {"sha256": sha256, "width": 80, "height": 48}
        assert worker.has(sha256)

    def test_input_may_come_in_chunks(self, worker: RunningWorker) -> None:
        content = picture((80, 48), (11, 121, 61))
        pieces = iter([content[:50], content[50:]])
        answer = worker.call("PUT", f"/inputs/{sha256_of(content)}", data=pieces)
        assert answer.status_code == 201, answer.text

    def test_photo_is_measured_as_it_is_seen(self, worker: RunningWorker) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6  # turned by a quarter
        content = encoded(Image.new("RGB", (80, 48), (90, 20, 30)), "JPEG", exif=exif)
        told = worker.put(content).json()
        assert (told["width"], told["height"]) == (48, 80)

    def test_bytes_under_another_hash_are_refused(self, worker: RunningWorker) -> None:
        other = sha256_of(b"another")
        answer = worker.put(picture((80, 48), (12, 122, 62)), other)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "hash_differs")
        assert not worker.has(other)

    @pytest.mark.parametrize(
        "what", ["nothing", "text", "half", "GIF", "broken AVIF", "moving PNG", "moving WEBP", "giant"]
    )
    def test_what_is_no_picture_is_refused(self, worker: RunningWorker, what: str) -> None:
        content = _no_picture(what)
        answer = worker.put(content)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "no_picture"), answer.text
        assert not worker.has(sha256_of(content))

    def test_large_input_is_refused_before_it_is_sent(self, worker: RunningWorker) -> None:
        head = f"PUT /inputs/{'0' * 64} HTTP/1.1\nContent-Length: {MAX_INPUT_BYTES + 1}"
        with worker.connect(head) as connection:
            assert status_on(connection) == 413

    def test_large_input_without_a_length_is_refused_while_it_streams_in(self, worker: RunningWorker) -> None:
        with worker.connect(f"PUT /inputs/{'0' * 64} HTTP/1.1\nTransfer-Encoding: chunked") as connection:
            left = MAX_INPUT_BYTES + 1
            while left:
                piece = b"x" * min(left, 256 * 1024)
                connection.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                left -= len(piece)
            # The last chunk, which would end the body, is never sent.
            assert status_on(connection) == 413

    def test_largest_input_is_not_too_large(self, worker: RunningWorker) -> None:
        answer = worker.put(b"x" * MAX_INPUT_BYTES)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "no_picture")

    def test_only_the_newest_inputs_are_kept(self, worker: RunningWorker) -> None:
        contents = [encoded(Image.new("RGB", (8, 8), (index, 1, 2))) for index in range(KEPT_INPUTS + 1)]
        for content in contents:
            assert worker.put(content).ok
        assert [worker.has(sha256_of(content)) for content in contents] == [False] + [True] * KEPT_INPUTS

    # --- what is no job -------------------------------------------------------------------------------

    def test_body_of_a_job_has_a_length_and_bounds(self, worker: RunningWorker) -> None:
        head = "POST /jobs HTTP/1.1\nContent-Type: application/json\n"
        for more, status in (
            ("Transfer-Encoding: chunked", 411),
            ("X-None: 0", 411),
            (f"Content-Length: {MAX_JSON_BYTES + 1}", 413),
        ):
            with worker.connect(head + more) as connection:
                assert status_on(connection) == status, more

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"job"', b"\xff\xfe"])
    def test_what_is_no_json_object_is_refused(self, worker: RunningWorker, content: bytes) -> None:
        answer = worker.call("POST", "/jobs", data=content)
        assert answer.status_code == 400
        assert answer.json()["error"]["message"]

    @pytest.mark.parametrize("job_id", ["", "a b", "ä", "x" * 101, "a/b", 7, None])
    def test_id_that_is_none_is_refused(self, worker: RunningWorker, job_id: Any) -> None:
        error = worker.post(worker.body(id=job_id)).json()["error"]
        assert (error["code"], _fields(error)) == ("refused", {"id"})

    def test_every_wrong_field_is_told_at_once(self, worker: RunningWorker) -> None:
        wrong: dict[str, Any] = {
            "inputs": ["nohash"],
            "prompt": "x" * (MAX_PROMPT_CHARACTERS + 1),
            "negative_prompt": None,
            "seed": -1,
            "model": "somebody-else's",
            "width": 63,
            "height": 100_000,
            "steps": 0,
            "cfg_scale": "high",
            "surprise": 1,
        }
        wrong |= {"num_frames": 6, "fps": 0, "fit": "bend"} if worker.kind == "i2v" else {"scheduler": "?"}
        body = worker.body(**wrong)
        answer = worker.post(body)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (422, "refused")
        assert _fields(error) == set(wrong)
        assert all(field["message"] for field in error["fields"])
        assert worker.call("GET", f"/jobs/{body['id']}").status_code == 404

    def test_number_of_pictures_is_bounded(self, worker: RunningWorker) -> None:
        too_many = ["0" * 64] * (2 if worker.kind == "i2v" else 5)
        for inputs in ([], too_many):
            error = worker.post(worker.body(inputs=inputs)).json()["error"]
            assert (error["code"], _fields(error)) == ("refused", {"inputs"})
        if worker.kind == "edit":
            body = worker.body()
            body["inputs"] *= 2
            assert worker.done(body)[0]["state"] == "done"

    def test_input_that_is_not_here_is_named(self, worker: RunningWorker) -> None:
        sha256 = sha256_of(b"never sent")
        answer = worker.post(small_job(worker.kind, sha256))
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["sha256"]) == (422, "missing_input", sha256)

    def test_unknown_job_is_unknown_everywhere(self, worker: RunningWorker) -> None:
        for method, path in (("GET", ""), ("GET", "/result"), ("POST", "/cancel")):
            answer = worker.call(method, f"/jobs/never-sent{path}")
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_job")

    # --- jobs -----------------------------------------------------------------------------------------

    def test_job_goes_forward_to_its_end(self, worker: RunningWorker) -> None:
        body = worker.body(steps=8)
        accepted = worker.post(body)
        assert accepted.status_code == 202
        assert accepted.json()["id"] == body["id"]
        states = [accepted.json(), *worker.states(body["id"])]
        assert all(state["error"] is None for state in states)
        order = [STATES.index(state["state"]) for state in states]
        assert order == sorted(order)
        running = [state for state in states if state["state"] == "running"]
        places = [(PHASES.index(state["phase"]), state["step"]) for state in running]
        assert places == sorted(places)
        assert all(0 <= state["step"] <= 8 for state in running)
        assert all(state["steps"] == 8 for state in running if state["step"])
        assert [state["result"] is None for state in states] == [True] * (len(states) - 1) + [False]
        assert states[-1]["elapsed_s"] >= 0

    def test_same_id_is_the_same_job(self, worker: RunningWorker) -> None:
        body = worker.body()
        state, result = worker.done(body)
        again = worker.post(dict(reversed(body.items())))
        assert (again.status_code, again.json()["state"]) == (200, "done")
        assert again.json()["result"] == state["result"]
        # The id decides before what is wrong with the body.
        for change in ({"seed": 43}, {"steps": "many"}):
            other = worker.post(body | change)
            assert (other.status_code, other.json()["error"]["code"]) == (409, "other_job"), change
        assert worker.result(body["id"]).content == result.content

    def test_one_job_at_a_time(self, worker: RunningWorker) -> None:
        for _ in range(TRIES):
            first, second = worker.body(steps=100), worker.body()
            assert worker.post(first).status_code == 202
            answer = worker.post(second)
            worker.cancel(first["id"])
            worker.ended(first["id"])
            if answer.status_code == 409:
                error = answer.json()["error"]
                assert (error["code"], error["job"]) == ("busy", first["id"])
                assert worker.call("GET", f"/jobs/{second['id']}").status_code == 404
                assert worker.done(second)[0]["state"] == "done"
                return
            assert answer.status_code == 202
            worker.ended(second["id"])
            assert worker.job(first["id"])["state"] == "done", "two jobs at once"
        pytest.fail("every job had ended before the next one was sent")

    def test_cancelled_job_ends_without_a_result(self, worker: RunningWorker) -> None:
        for _ in range(TRIES):
            body = worker.body(steps=100)
            assert worker.post(body).status_code == 202
            answer = worker.cancel(body["id"])
            state = worker.ended(body["id"])
            if state["state"] == "done":
                continue  # it was faster
            assert answer.status_code == 202
            assert (state["state"], state["error"], state["result"]) == ("cancelled", None, None)
            result = worker.result(body["id"])
            assert (result.status_code, result.json()["error"]["code"]) == (409, "not_done")
            again = worker.cancel(body["id"])
            assert (again.status_code, again.json()["state"]) == (200, "cancelled")
            assert worker.post(body).json()["state"] == "cancelled"
            assert worker.done(worker.body())[0]["state"] == "done"
            return
        pytest.fail("every job had ended before it was cancelled")

    def test_only_the_newest_jobs_are_listed(self, worker: RunningWorker) -> None:
        bodies = [worker.body() for _ in range(LISTED + 1)]
        for body in bodies:
            assert worker.post(body).status_code == 202
            worker.cancel(body["id"])
            worker.ended(body["id"])
        listed = worker.call("GET", "/jobs").json()["jobs"]
        assert [job["id"] for job in listed] == [body["id"] for body in bodies[::-1][:LISTED]]
        assert all(job["state"] in ENDED for job in listed)

    # --- results --------------------------------------------------------------------------------------

    def test_result_is_what_its_headers_and_the_job_say(self, worker: RunningWorker) -> None:
        is_film = worker.kind == "i2v"
        state, answer = worker.done(worker.body(width=96, height=64))
        told = state["result"]
        assert answer.status_code == 200
        assert (
            answer.headers["Content-Type"] == told["media_type"] == ("video/mp4" if is_film else "image/png")
        )
        assert int(answer.headers["Content-Length"]) == len(answer.content) == told["size_bytes"]
        assert answer.headers["X-Result-SHA256"] == sha256_of(answer.content) == told["sha256"]
        assert (answer.headers["X-Result-Width"], answer.headers["X-Result-Height"]) == ("96", "64")
        assert (told["width"], told["height"]) == (96, 64)
        if is_film:
            assert (answer.headers["X-Result-Frames"], answer.headers["X-Result-FPS"]) == ("5", "16")
            assert (told["frames"], told["fps"]) == (5, 16)
        else:
            assert "X-Result-Frames" not in answer.headers
            assert "frames" not in told

    def test_used_parameters_are_told_and_stand_in_the_file(self, worker: RunningWorker) -> None:
        changes = {
            "prompt": 'a "cat" on an ÄPFEL 🍎',
            "negative_prompt": "rain",
            "seed": 4294967295,
            "cfg_scale": 2.5,
        }
        body = worker.body(**changes)
        state, answer = worker.done(body)
        used = state["result"]["used"]
        asked = {name: value for name, value in body.items() if name in LIMITS[worker.kind]}
        assert {name: used[name] for name in asked} == asked
        assert used["seed"] == 4294967295
        assert used["model"] == worker.wait_until_ready()["model"]
        assert isinstance(used["loras"], list)
        inside = json.loads(_comment(answer.content))
        assert {name: inside[name] for name in used} == used
        assert {name: inside[name] for name in ("prompt", "seed")} == {
            name: changes[name] for name in ("prompt", "seed")
        }

    def test_result_decodes_to_what_was_asked_for(self, worker: RunningWorker) -> None:
        changes = {"num_frames": 9, "fps": 25} if worker.kind == "i2v" else {}
        _, answer = worker.done(worker.body(width=64, height=96, **changes))
        if worker.kind == "edit":
            with Image.open(BytesIO(answer.content)) as image:
                image.load()
                assert (image.format, image.size) == ("PNG", (64, 96))
            return
        with av.open(BytesIO(answer.content), "r") as film:
            stream = film.streams.video[0]
            frames = list(film.decode(stream))
            assert (stream.codec_context.name, float(stream.average_rate or 0)) == ("h264", 25.0)
            assert len(frames) == 9
            assert {(frame.width, frame.height) for frame in frames} == {(64, 96)}
        assert answer.content.index(b"moov") < answer.content.index(b"mdat"), "the index comes first"


class ManyResultsProtocol:
    """What needs more finished jobs than a real worker without a graphics card makes in a moment."""

    def test_only_the_newest_results_are_kept(self, worker: RunningWorker) -> None:
        bodies = [worker.body(steps=1, seed=seed) for seed in range(KEPT_RESULTS + 1)]
        for body in bodies:
            worker.done(body)
        gone, kept = worker.result(bodies[0]["id"]), worker.result(bodies[1]["id"])
        assert (gone.status_code, gone.json()["error"]["code"]) == (410, "gone")
        assert kept.status_code == 200
        assert worker.job(bodies[0]["id"])["state"] == "done"


def _fields(error: dict[str, Any]) -> set[str]:
    return {field["field"] for field in error["fields"]}


def _comment(content: bytes) -> str:
    if content[4:8] == b"ftyp":
        with av.open(BytesIO(content), "r") as film:
            return str(film.metadata["comment"])
    with Image.open(BytesIO(content)) as image:
        image.load()
        return str(image.info["stablenew"])


def _no_picture(what: str) -> bytes:
    if what == "nothing":
        return b""
    if what == "text":
        return b"this is no picture"
    if what == "half":
        whole = picture()
        return whole[: len(whole) // 2]
    if what == "broken AVIF":
        whole = encoded(Image.linear_gradient("L").convert("RGB"), "AVIF")
        data = whole.index(b"mdat") + 4
        return whole[:data] + b"\xff" * (len(whole) - data)
    if what == "GIF":
        return encoded(Image.new("RGB", (16, 16)), "GIF")
    if what.startswith("moving"):
        frames = [Image.new("RGB", (16, 16), (shade, 0, 0)) for shade in (10, 200)]
        return encoded(frames[0], what.split()[1], save_all=True, append_images=frames[1:])
    side = int(MAX_INPUT_PIXELS**0.5) + 1
    return encoded(Image.new("1", (side, side)))

"""What a worker answers over HTTP: who may ask, bounds of bodies, inputs, errors."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.contract.hand_worker import (
    PICTURE,
    SHA256,
    TOKEN,
    HandPipeline,
    HandWorker,
    hand_worker,
    wait_until,
)
from tests.diffsynth.works import edit_body, picture, sha256_of
from webui.drivers.diffsynth.worker.drawing import PipelineBuildError
from webui.drivers.diffsynth.worker.routes import MAX_JSON_BYTES
from webui.drivers.diffsynth.worker.server import MAX_CONNECTIONS
from webui.work.limits import EDIT, MAX_INPUT_BYTES

AUTHORIZED = f"Authorization: Bearer {TOKEN}\r\n".encode()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[HandWorker]:
    with hand_worker(tmp_path) as hand:
        yield hand


@pytest.mark.parametrize("path", ["/health", "/jobs", "/nothing", f"/inputs/{SHA256}"])
@pytest.mark.parametrize("token", ["", "secret of a tesT", "secret of a test ", "geheim ü"])
def test_nothing_is_answered_without_the_token(worker: HandWorker, path: str, token: str) -> None:
    answer = worker.ask("GET", path, token=token)
    assert (answer.status, answer.code) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_body_is_not_read_without_the_token(worker: HandWorker) -> None:
    said = worker.say(b"PUT /inputs/%s HTTP/1.1\r\nContent-Length: 5000000\r\n\r\nabc" % SHA256.encode())
    assert said.startswith(b"HTTP/1.1 401 ")
    assert b"Connection: close" in said


def test_health_tells_the_limits_of_its_kind_and_what_it_runs_on(worker: HandWorker) -> None:
    answer = worker.ask("GET", "/health")
    told = answer.json
    assert answer.status == 200
    assert (told["state"], told["kind"], told["model"], told["device"]) == ("ready", "edit", "by-hand", "cpu")
    assert told["job"] is None
    assert set(told["limits"]) == set(EDIT)
    assert told["limits"]["scheduler"] == {"default": "lightning", "values": ["lightning", "default"]}
    assert told["loras"] == [{"name": "few-steps", "target": "dit", "tensors": 3, "strength": 1.0}]
    assert told["memory"]["ram_bytes"] > 0
    assert told["memory"]["vram_used_bytes"] is None


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "unknown_path"),
        ("GET", "/inputs/abc", 404, "unknown_path"),
        ("GET", f"/inputs/{SHA256.upper()}", 404, "unknown_path"),
        ("GET", "/jobs/" + "a" * 101, 404, "unknown_path"),
        ("GET", "/jobs/nobody", 404, "unknown_job"),
        ("GET", "/jobs/nobody/result", 404, "unknown_job"),
        ("POST", "/jobs/nobody/cancel", 404, "unknown_job"),
        ("POST", "/health", 405, "wrong_method"),
        ("DELETE", "/jobs", 405, "wrong_method"),
        ("GET", f"/inputs/{SHA256}", 405, "wrong_method"),
    ],
)
def test_an_unknown_address_or_method_says_so(
    worker: HandWorker, method: str, path: str, status: int, code: str
) -> None:
    answer = worker.ask(method, path)
    assert (answer.status, answer.code) == (status, code)


def test_a_picture_is_put_once_and_found_by_its_hash(worker: HandWorker) -> None:
    assert worker.ask("HEAD", f"/inputs/{SHA256}").status == 404
    first, second = worker.put(), worker.put()
    assert (first.status, second.status) == (201, 200)
    assert first.json == second.json == {"sha256": SHA256, "width": 96, "height": 64}
    assert worker.ask("HEAD", f"/inputs/{SHA256}").status == 200


def test_the_size_of_a_picture_is_told_as_it_is_seen(worker: HandWorker) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = picture(96, 64, kind="JPEG", exif=exif)
    assert worker.put(turned).json == {"sha256": sha256_of(turned), "width": 64, "height": 96}


def animation() -> bytes:
    out = io.BytesIO()
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    frames[0].save(out, format="WEBP", save_all=True, append_images=frames[1:], duration=100)
    return out.getvalue()


@pytest.mark.parametrize("content", [b"", b"no picture", PICTURE[:200], animation()])
def test_what_is_no_picture_is_refused_and_not_kept(worker: HandWorker, content: bytes) -> None:
    answer = worker.put(content)
    assert (answer.status, answer.code) == (422, "no_picture")
    assert worker.ask("HEAD", f"/inputs/{sha256_of(content)}").status == 404
    assert list(worker.folder.inputs.iterdir()) == []


def test_bytes_of_another_hash_are_refused(worker: HandWorker) -> None:
    answer = worker.ask("PUT", f"/inputs/{'0' * 64}", PICTURE)
    assert (answer.status, answer.code) == (422, "hash_differs")
    assert SHA256 in answer.json["error"]["message"]
    worker.put()
    assert worker.ask("PUT", f"/inputs/{SHA256}", picture(colour="red")).code == "hash_differs"


def test_a_picture_in_chunks_is_taken(worker: HandWorker) -> None:
    answer = worker.ask(
        "PUT", f"/inputs/{SHA256}", (PICTURE[at : at + 100] for at in range(0, len(PICTURE), 100))
    )
    assert answer.status == 201


def test_a_picture_beyond_the_limit_is_refused_by_its_length(worker: HandWorker) -> None:
    content = bytes(MAX_INPUT_BYTES + 1)
    answer = worker.ask("PUT", f"/inputs/{sha256_of(content)}", content)
    assert (answer.status, answer.code) == (413, "too_large")
    for number in ("7,864,321", "7,864,320", "10,485,760"):
        assert number in answer.json["error"]["message"]


def test_a_picture_beyond_the_limit_is_refused_while_it_streams_in(worker: HandWorker) -> None:
    with socket.create_connection(worker.address, timeout=120) as connection:
        connection.sendall(b"PUT /inputs/%s HTTP/1.1\r\n" % SHA256.encode() + AUTHORIZED)
        connection.sendall(b"Transfer-Encoding: chunked\r\n\r\n")
        piece = b"10000\r\n" + bytes(0x10000) + b"\r\n"
        for _ in range(MAX_INPUT_BYTES // 0x10000):
            connection.sendall(piece)
        # No end was sent: what came is enough to know.
        connection.sendall(b"1\r\nx")
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
    assert worker.ask("GET", "/health").status == 200


def test_a_json_body_is_bounded_and_needs_its_length(worker: HandWorker) -> None:
    big = edit_body("a", PICTURE, prompt="x" * MAX_JSON_BYTES)
    assert (worker.ask("POST", "/jobs", big).status, worker.ask("POST", "/jobs", big).code) == (
        413,
        "too_large",
    )
    assert worker.ask("POST", "/jobs", iter([b"{}"])).status == 411
    assert worker.say(b"POST /jobs HTTP/1.1\r\nConnection: close\r\n" + AUTHORIZED + b"\r\n").startswith(
        b"HTTP/1.1 411 "
    )


@pytest.mark.parametrize("length", [b"-1", b"abc", b"1\r\nContent-Length: 2", b"9" * 30])
def test_a_broken_length_is_refused(worker: HandWorker, length: bytes) -> None:
    said = worker.say(b"POST /jobs HTTP/1.1\r\nContent-Length: " + length + b"\r\n" + AUTHORIZED + b"\r\nabc")
    assert said.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 413 "))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b'{"seed": NaN}', b"[" * 30_000])
def test_what_is_no_json_object_is_refused(worker: HandWorker, body: bytes) -> None:
    answer = worker.ask("POST", "/jobs", body)
    assert (answer.status, answer.code) == (400, "no_json")


def test_a_connection_is_kept_for_the_next_question(worker: HandWorker) -> None:
    with socket.create_connection(worker.address, timeout=120) as connection:
        for _ in range(3):
            connection.sendall(b"HEAD /inputs/%s HTTP/1.1\r\n" % SHA256.encode() + AUTHORIZED + b"\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 404 ")


def test_a_client_that_asks_first_sends_no_body_that_is_refused(worker: HandWorker) -> None:
    asking = b"PUT /inputs/%s HTTP/1.1\r\nExpect: 100-continue\r\n" % SHA256.encode() + AUTHORIZED
    with socket.create_connection(worker.address, timeout=120) as connection:
        connection.sendall(asking + b"Content-Length: 99999999\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
    with socket.create_connection(worker.address, timeout=120) as connection:
        connection.sendall(asking + b"Content-Length: %d\r\n\r\n" % len(PICTURE))
        assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")
        connection.sendall(PICTURE)
        assert connection.recv(65536).startswith(b"HTTP/1.1 201 ")


def test_more_connections_than_the_most_are_closed_and_do_not_stay_lost(worker: HandWorker) -> None:
    held = [socket.create_connection(worker.address, timeout=120) for _ in range(MAX_CONNECTIONS)]
    try:
        wait_until(lambda: worker.server._free._value, lambda free: free == 0)
        with socket.create_connection(worker.address, timeout=120) as one_more:
            assert one_more.recv(1) == b""
    finally:
        for connection in held:
            connection.close()
    wait_until(lambda: worker.server._free._value, lambda free: free == MAX_CONNECTIONS)
    assert worker.ask("GET", "/health").status == 200


def test_pictures_are_bounded_and_the_least_recently_used_one_goes_first(worker: HandWorker) -> None:
    worker.pipeline.waits = True
    worker.send("busy")
    pictures = [picture(16, 16, colour=(number, 0, 0)) for number in range(70)]
    for content in pictures:
        assert worker.put(content).status == 201
    there = [worker.ask("HEAD", f"/inputs/{sha256_of(content)}").status for content in pictures]
    # One of the 64 places is that of the running job's picture, which is the oldest of all.
    assert there == [404] * 7 + [200] * 63
    assert worker.ask("HEAD", f"/inputs/{SHA256}").status == 200
    assert len(list(worker.folder.inputs.iterdir())) == 64


def test_a_worker_that_loads_says_its_phase_and_takes_no_job(tmp_path: Path) -> None:
    go_on = threading.Event()

    def build(_: object, enter: object) -> HandPipeline:
        enter("weights")  # type: ignore[operator]
        assert go_on.wait(120)
        return HandPipeline()

    with hand_worker(tmp_path, build=build, waits_until_ready=False) as worker:
        told = wait_until(
            lambda: worker.ask("GET", "/health").json, lambda told: told.get("phase") == "weights"
        )
        assert set(told) == {"state", "phase", "kind", "boot", "pid"}
        worker.put()
        answer = worker.ask("POST", "/jobs", edit_body("a", PICTURE))
        assert (answer.status, answer.json["state"]) == (503, "loading")
        go_on.set()
        wait_until(lambda: worker.ask("GET", "/health").status, lambda status: status == 200)
        assert worker.ask("POST", "/jobs", edit_body("a", PICTURE)).status == 202


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PipelineBuildError("The LoRA x.safetensors fits no layer of dit."), "fits no layer of dit"),
        (
            ZeroDivisionError("of a library"),
            "The pipeline could not be loaded: ZeroDivisionError: of a library",
        ),
    ],
)
def test_a_worker_that_cannot_load_stays_and_says_why(tmp_path: Path, error: Exception, words: str) -> None:
    def build(_: object, __: object) -> HandPipeline:
        raise error

    with hand_worker(tmp_path, build=build, waits_until_ready=False) as worker:
        told = wait_until(lambda: worker.ask("GET", "/health").json, lambda told: told["state"] == "failed")
        assert words in told["reason"]
        assert set(told) == {"state", "reason", "kind", "boot", "pid"}
        assert worker.ask("POST", "/jobs", edit_body("a", PICTURE)).json["state"] == "failed"
        assert worker.left == []

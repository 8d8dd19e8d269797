"""A running worker of films or edits as a test speaks to it: bare HTTP, nothing of the product's client."""

from __future__ import annotations

import hashlib
import itertools
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import requests
from PIL import Image, ImageDraw

from tests.contract.simulator_process import wait_until

ENDED = ("done", "failed", "cancelled")
TIMEOUT_S = 120.0
_numbers = itertools.count(1)


@dataclass(frozen=True)
class RunningWorker:
    """`token` "" is a worker that asks for none."""

    base_url: str
    token: str
    kind: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def call(self, method: str, path: str, **words: Any) -> requests.Response:
        headers = words.pop("headers", self.headers)
        return requests.request(method, self.base_url + path, headers=headers, timeout=TIMEOUT_S, **words)

    def wait_until_ready(self) -> dict[str, Any]:
        """What health says then."""
        answers = (self.call("GET", "/health") for _ in itertools.count())
        found: list[requests.Response] = []

        def is_ready() -> bool:
            found[:] = [next(answers)]
            assert found[0].json()["state"] != "failed", found[0].text
            return found[0].status_code == 200

        wait_until(is_ready)
        health: dict[str, Any] = found[0].json()
        return health

    # --- inputs ---------------------------------------------------------------------------------------

    def put(self, content: bytes, sha256: str = "") -> requests.Response:
        return self.call("PUT", f"/inputs/{sha256 or sha256_of(content)}", data=content)

    def has(self, sha256: str) -> bool:
        status = self.call("HEAD", f"/inputs/{sha256}").status_code
        assert status in (200, 404)
        return status == 200

    # --- jobs -----------------------------------------------------------------------------------------

    def body(self, **changes: Any) -> dict[str, Any]:
        """A small job with an id of its own, whose input is already there."""
        content = picture()
        sha256 = sha256_of(content)
        if not self.has(sha256):
            assert self.put(content).ok
        return small_job(self.kind, sha256) | changes

    def post(self, body: Mapping[str, Any]) -> requests.Response:
        return self.call("POST", "/jobs", json=body)

    def job(self, job_id: str) -> dict[str, Any]:
        answer = self.call("GET", f"/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        state: dict[str, Any] = answer.json()
        return state

    def cancel(self, job_id: str) -> requests.Response:
        return self.call("POST", f"/jobs/{job_id}/cancel")

    def result(self, job_id: str) -> requests.Response:
        return self.call("GET", f"/jobs/{job_id}/result")

    def states(self, job_id: str) -> Iterator[dict[str, Any]]:
        """As they are seen, to the one in which it has ended."""
        while True:
            state = self.job(job_id)
            yield state
            if state["state"] in ENDED:
                return

    def ended(self, job_id: str) -> dict[str, Any]:
        *_, last = self.states(job_id)
        return last

    def done(self, body: Mapping[str, Any]) -> tuple[dict[str, Any], requests.Response]:
        """The state of this job at its end, and its result."""
        accepted = self.post(body)
        assert accepted.status_code == 202, accepted.text
        state = self.ended(body["id"])
        assert state["state"] == "done", state
        return state, self.result(body["id"])

    # --- below HTTP -----------------------------------------------------------------------------------

    def connect(self, head: str) -> socket.socket:
        """A connection on which the head of a request was sent; its lines are given without the token."""
        address = urlsplit(self.base_url)
        assert address.hostname is not None
        assert address.port is not None
        connection = socket.create_connection((address.hostname, address.port), timeout=TIMEOUT_S)
        lines = [*head.splitlines(), f"Host: {address.netloc}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        return connection


def status_on(connection: socket.socket) -> int:
    """The status of the answer that comes, whatever more the server waits for."""
    with connection.makefile("rb") as stream:
        return int(stream.readline().split()[1])


def small_job(kind: str, *inputs: str) -> dict[str, Any]:
    """The cheapest job, with an id of its own."""
    shared = {
        "id": f"job-{next(_numbers)}",
        "inputs": list(inputs),
        "prompt": "a cat",
        "negative_prompt": "",
        "seed": 42,
        "model": "",
        "width": 64,
        "height": 64,
        "steps": 2,
        "cfg_scale": 1.0,
    }
    if kind == "edit":
        return {**shared, "scheduler": "lightning"}
    return {**shared, "num_frames": 5, "fps": 16, "boundary": 0.9, "sigma_shift": 5.0, "fit": "crop"}


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def picture(size: tuple[int, int] = (96, 64), colour: tuple[int, int, int] = (200, 90, 40)) -> bytes:
    """A PNG of one colour with a blue diagonal."""
    image = Image.new("RGB", size, colour)
    ImageDraw.Draw(image).line((0, 0, *size), fill=(20, 40, 220), width=6)
    return encoded(image)


def encoded(image: Image.Image, kind: str = "PNG", **words: Any) -> bytes:
    stream = BytesIO()
    image.save(stream, kind, **words)
    return stream.getvalue()

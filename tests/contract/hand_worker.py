"""The real worker in this process, with a pipeline that a test drives step by step: all of it but torch is real."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from PIL import Image

from tests.diffsynth.works import edit_body, picture, sha256_of
from webui.drivers.diffsynth.worker.configuration import WorkerConfiguration, read_configuration
from webui.drivers.diffsynth.worker.drawing import DrawingProgress, FusedLora
from webui.drivers.diffsynth.worker.folder import WorkerFolder
from webui.drivers.diffsynth.worker.orders import WorkOrder
from webui.drivers.diffsynth.worker.routes import Routes
from webui.drivers.diffsynth.worker.server import WorkerServer
from webui.drivers.diffsynth.worker.worker import Worker

T = TypeVar("T")

TOKEN = "secret of a test"
PATIENCE_S = 120.0
PICTURE = picture()
SHA256 = sha256_of(PICTURE)
EMPTY_SAFETENSORS = (2).to_bytes(8, "little") + b"{}"


@dataclass
class HandPipeline:
    """Draws flat pictures. With `waits` each step begins when the test calls `allow`; `fails` is raised after them."""

    waits: bool = False
    fails: Exception | None = None
    device: str = "cpu"
    loras: tuple[FusedLora, ...] = (FusedLora("few-steps", "dit", 1.0, 3),)
    versions: Mapping[str, str] = field(default_factory=lambda: {"diffsynth": "none"})
    orders: list[WorkOrder] = field(default_factory=list)
    pictures: list[Sequence[Image.Image]] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    _allowed: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def allow(self, steps: int = 1) -> None:
        self._allowed.release(steps)

    def vram_bytes(self) -> tuple[int, int] | None:
        return None

    def draw(
        self,
        order: WorkOrder,
        size_px: tuple[int, int],
        pictures: Sequence[Image.Image],
        progress: DrawingProgress,
    ) -> list[Image.Image]:
        self.threads.add(threading.get_ident())
        self.orders.append(order)
        self.pictures.append(pictures)
        progress.enter("encode")
        progress.enter("denoise")
        count = order.whole("steps")
        progress.step(0, count)
        for number in range(count):
            progress.check()
            if self.waits:
                assert self._allowed.acquire(timeout=PATIENCE_S)
            progress.step(number + 1, count)
        if self.fails:
            raise self.fails
        progress.enter("decode")
        return [Image.new("RGB", size_px, (order.seed % 256, 10, 20))]


@dataclass(frozen=True)
class HandAnswer:
    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])


@dataclass
class HandWorker:
    worker: Worker
    server: WorkerServer
    folder: WorkerFolder
    pipeline: HandPipeline
    left: list[int]
    has_left: threading.Event

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.server.url)
        return parts.hostname or "", parts.port or 0

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str = TOKEN,
        headers: Mapping[str, str] | None = None,
    ) -> HandAnswer:
        """A mapping is sent as JSON; an iterable of bytes in chunks."""
        content = json.dumps(body).encode() if isinstance(body, dict) else body
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE_S)
        try:
            given = {"Authorization": f"Bearer {token}", **(headers or {})}
            connection.request(method, path, body=content, headers=given)
            answer = connection.getresponse()
            return HandAnswer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def say(self, text: bytes) -> bytes:
        """The raw answer to raw bytes, until the worker closes the connection."""
        with socket.create_connection(self.address, timeout=PATIENCE_S) as connection:
            connection.sendall(text)
            parts = []
            while part := connection.recv(65536):
                parts.append(part)
            return b"".join(parts)

    def put(self, content: bytes = PICTURE) -> HandAnswer:
        return self.ask("PUT", f"/inputs/{sha256_of(content)}", content)

    def send(self, job_id: str = "a", **changes: Any) -> HandAnswer:
        self.put()
        return self.ask("POST", "/jobs", edit_body(job_id, PICTURE, **changes))

    def state(self, job_id: str = "a") -> Any:
        return self.ask("GET", f"/jobs/{job_id}").json

    def wait_for(self, job_id: str = "a", until: Callable[[Any], bool] | None = None) -> Any:
        """The job's state once it is so, by default once it has ended."""
        wanted = until or (lambda state: state["state"] in {"done", "failed", "cancelled"})
        return wait_until(lambda: self.state(job_id), wanted)


def wait_until(look: Callable[[], T], wanted: Callable[[T], bool]) -> T:
    pause = threading.Event()
    for _ in range(int(PATIENCE_S * 200)):
        seen = look()
        if wanted(seen):
            return seen
        pause.wait(0.005)
    raise AssertionError(f"it never came: {seen}")


def edit_configuration(folder: Path) -> WorkerConfiguration:
    """Of a worker of edits whose files are there and empty."""
    (folder / "processor").mkdir()
    (folder / "processor/tokenizer.json").write_text("{}")
    for name in ("dit", "text_encoder", "vae"):
        (folder / f"{name}.safetensors").write_bytes(EMPTY_SAFETENSORS)
    document = {
        "kind": "edit",
        "name": "by-hand",
        "device": "cpu",
        "files": {name: f"{name}.safetensors" for name in ("dit", "text_encoder", "vae")},
        "processor": "processor",
    }
    path = folder / "worker.json"
    path.write_text(json.dumps(document))
    return read_configuration(path, allow_modules=False)


Build = Callable[[WorkerConfiguration, Callable[[str], None]], HandPipeline]


@contextmanager
def hand_worker(
    folder: Path,
    pipeline: HandPipeline | None = None,
    *,
    build: Build | None = None,
    waits_until_ready: bool = True,
) -> Iterator[HandWorker]:
    """Stops with the block; its threads end with the test process."""
    pipeline = pipeline or HandPipeline()
    left: list[int] = []
    has_left = threading.Event()

    def leave(status: int) -> None:
        left.append(status)
        has_left.set()

    own = WorkerFolder()
    server = WorkerServer("127.0.0.1", 0, TOKEN)
    configuration = edit_configuration(folder)
    drawn = pipeline
    worker = Worker(
        "edit",
        lambda: configuration,
        build or (lambda _, __: drawn),
        own,
        leave,
        last_answer_s=PATIENCE_S,
    )
    server.routes = Routes(worker)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    worker.start()
    hand = HandWorker(worker, server, own, pipeline, left, has_left)
    try:
        if waits_until_ready:
            wait_until(lambda: worker.health()[0], bool)
        yield hand
    finally:
        pipeline.allow(10_000)
        server.shutdown()
        server.server_close()
        own.remove()

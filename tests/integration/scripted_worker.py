"""A worker of films or edits that does what a test's script says, in front of it the real driver's requests.

worker = ScriptedWorker(frozen, moves)
job = execute(claim, worker, ScriptedKeeper(worker))

As a real one it knows jobs by their ids: the same id again is the same job, and is executed once.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image, ImageOps

from tests.drawn_films import encoded, film, flat_film
from tests.integration.scripted_webui import PATIENCE_S
from tests.sketches import sketch
from webui.drivers.diffsynth.client import WorkerClient
from webui.drivers.diffsynth.driver import DRIVER
from webui.drivers.diffsynth.server import DiffSynthServer
from webui.drivers.diffsynth.used import facts_of
from webui.errors import WebUIConnectionLostError, WebUIError, WebUINotSentError, WebUIOutOfMemoryError
from webui.models import Node
from webui.work.catalog import Catalog
from webui.work.pictures import Pictures
from webui.work.told import Fate, Patience, Progress
from webui.work.unit import Request

Act = Callable[["ScriptedWorker", Request], bytes]
IDLE = Progress()


class ScriptedWorker(DiffSynthServer):
    """Makes the n-th job by the n-th act of its script, and well where the script has ended.

    `posts` are all requests as they came, `executed` the ids that it began.
    """

    def __init__(self, *script: Act) -> None:
        super().__init__(DRIVER, WorkerClient("http://127.0.0.1:9"))
        self.script = script
        self.posts: list[Request] = []
        self.executed: list[str] = []
        self.results: dict[str, bytes] = {}
        self.ended: set[str] = set()
        self.under_way = ""
        self.cancelled: list[str] = []
        self.stopped = threading.Event()
        """The job under way ends: by a cancel or a restart."""
        self.restarted = threading.Event()
        self.state: Any = IDLE
        self.is_gone = False

    def connect(self, node: Node, **_: Any) -> ScriptedWorker:
        """What a run calls to get its server."""
        self.base_url = node.base_url
        return self

    def send(self, request: Request) -> Sequence[bytes]:
        try:
            return self._sent(request)
        except WebUIError as error:
            error.endpoint, error.method, error.stage = request.endpoint, "POST", request.stage
            raise

    def _sent(self, request: Request) -> Sequence[bytes]:
        if self.is_gone:
            raise WebUINotSentError("Connection refused")
        self.posts.append(request)
        if request.task_id not in self.results:
            self.executed.append(request.task_id)
            self.under_way = request.task_id
            number = len(self.executed)
            act = self.script[number - 1] if number <= len(self.script) else moves
            try:
                self.results[request.task_id] = act(self, request)
            finally:
                self.under_way = ""
                self.state = IDLE
        used = {key: request.body[key] for key in request.body if key != "inputs"}
        return Pictures.of([self.results[request.task_id]], [facts_of(used)])

    def progress(self) -> Progress:
        if self.is_gone:
            raise WebUINotSentError("Connection refused")
        return self.state if isinstance(self.state, Progress) else IDLE

    def is_running(self, task_id: str, *, alone: bool) -> bool:
        return bool(task_id) and self.under_way == task_id

    def interrupt(self) -> None:
        self.cancelled.append(self.under_way)
        self.stopped.set()

    def end_leftover(self, task_id: str, *, alone: bool) -> bool:
        if self.under_way == task_id:
            self.interrupt()
        return self.under_way != task_id

    def fate_of(self, task_id: str) -> Fate:
        if self.under_way == task_id:
            return Fate.RUNNING
        return Fate.DONE if task_id in self.results else Fate.UNKNOWN

    def catalog(self) -> Catalog:
        return Catalog()

    def forget(self) -> None:
        """Another boot: it knows nothing of what it was asked before."""
        self.results.clear()


# --- acts ----------------------------------------------------------------------------------------------


def moves(worker: ScriptedWorker, request: Request) -> bytes:
    """A film that moves, or a picture; another for each execution."""
    assert request.size_px is not None
    shade = len(worker.executed)
    if request.frames:
        return film(request.size_px, request.frames, fps=round(request.fps), shade=shade)
    return png(sketch(request.size_px, shade + 3))


def frozen(worker: ScriptedWorker, request: Request) -> bytes:
    assert request.size_px is not None
    return encoded([sketch(request.size_px, 3)] * request.frames, fps=round(request.fps))


def flat(worker: ScriptedWorker, request: Request) -> bytes:
    assert request.size_px is not None
    if request.frames:
        return flat_film(request.size_px, request.frames, (10, 10, 200))
    return png(Image.new("RGB", request.size_px, (10, 10, 200)))


def short(worker: ScriptedWorker, request: Request) -> bytes:
    assert request.size_px is not None
    return film(request.size_px, request.frames - 4, fps=round(request.fps))


def slow(worker: ScriptedWorker, request: Request) -> bytes:
    assert request.size_px is not None
    return film(request.size_px, request.frames, fps=8)


def narrow(worker: ScriptedWorker, request: Request) -> bytes:
    assert request.size_px is not None
    width, height = request.size_px
    if request.frames:
        return film((width - 16, height), request.frames, fps=round(request.fps))
    return png(sketch((width - 16, height), 3))


def torn(worker: ScriptedWorker, request: Request) -> bytes:
    whole = moves(worker, request)
    return whole[: len(whole) // 2]


def nothing(worker: ScriptedWorker, request: Request) -> bytes:
    return b""


def a_picture(worker: ScriptedWorker, request: Request) -> bytes:
    return png(sketch((64, 64), 5))


def unchanged(worker: ScriptedWorker, request: Request) -> bytes:
    """An edit that is its input, at the size that was asked for."""
    assert request.size_px is not None
    with Image.open(io.BytesIO(request.uploads[0])) as given:
        return png(ImageOps.fit(given.convert("RGB"), request.size_px))


def out_of_memory(worker: ScriptedWorker, request: Request) -> bytes:
    worker.is_gone = True
    raise WebUIOutOfMemoryError("CUDA out of memory")


def dies(worker: ScriptedWorker, request: Request) -> bytes:
    worker.is_gone = True
    raise WebUIConnectionLostError("Connection reset by peer")


def answer_lost(worker: ScriptedWorker, request: Request) -> bytes:
    """The film is made, and nobody hears of it; a second question finds it."""
    worker.results[request.task_id] = moves(worker, request)
    raise WebUIConnectionLostError("Connection reset by peer")


def stands_still(worker: ScriptedWorker, request: Request) -> bytes:
    """Never answers, in the middle of a step; the restart ends it."""
    worker.state = Progress(idle=False, step=1, steps=8, fingerprint=("denoise", 1), patience=Patience.STEP)
    worker.restarted.wait(PATIENCE_S)
    raise WebUIConnectionLostError("Connection reset by peer")


def until_stopped(worker: ScriptedWorker, request: Request) -> bytes:
    """Works until somebody cancels it, which takes effect at its next step."""
    worker.state = Progress(idle=False, step=1, steps=8, fingerprint=("denoise", 1), patience=Patience.STEP)
    assert worker.stopped.wait(PATIENCE_S)
    raise WebUIConnectionLostError("none: the job was cancelled at the worker")


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
